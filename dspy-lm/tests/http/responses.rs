//! OpenAI's responses on the wire.

use std::sync::Arc;

use dspy_lm::{
    Capabilities, Content, Detail, Endpoint, FinishReason, LmErrorKind, Media, MediaKind, Message, Part,
    PromptCache, Protocol, ReasoningEffort, Request, Response, ResponseFormat, Role, ToolCall, ToolChoice,
    ToolSpec,
};
use serde_json::{Value, json};

use crate::conformance::Described;
use dspy_test_server::protocols::{events, heard};
use dspy_test_server::{Act, Server, chunks, reply};

const ABLE: Capabilities =
    Capabilities::NONE.json_object(true).json_schema(true).strict(true).tools(true).n(false);

pub(crate) fn endpoint(server: &Server) -> Endpoint {
    crate::endpoint(&server.url()).protocol(Protocol::Responses).api_key("sk-key")
}

fn body(output: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-served", "error": null,
        "incomplete_details": null, "output": output, "unknown": [1],
        "usage": {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 18}})
}

fn text(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn said(said: &str) -> Act {
    reply(200, &[("x-request-id", "req-1")], &body(json!([text(said)])).to_string())
}

async fn sent(model: &str, able: Capabilities, change: impl FnOnce(&mut Request)) -> Value {
    let server = Server::script(vec![said("ok")]).await;
    let mut request = Request::new(vec![Message::user("Hi")]);
    change(&mut request);
    endpoint(&server).capabilities(able).model(model).unwrap().complete(request).await.unwrap();
    server.seen()[0].json()
}

#[tokio::test]
async fn a_plain_request() {
    let server = Server::script(vec![said("Paris")]).await;
    let request = Request::new(vec![Message::system("Be brief."), Message::user("Capital of France?")]);
    let response = endpoint(&server).model("m").unwrap().complete(request).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!((seen.path(), seen.header("authorization")), ("/v1/responses", Some("Bearer sk-key")));
    let input = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]);
    assert_eq!(seen.json(), json!({"model": "m", "input": input, "store": false}));
    assert_eq!(response.completions[0].text, "Paris");
    assert_eq!(response.completions[0].finish, FinishReason::Stop);
    let usage = response.usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (11, 7));
    assert_eq!((usage.cache_read_tokens, usage.reasoning_tokens), (3, 5));
    assert_eq!((response.model.as_str(), response.request_id.as_deref()), ("gpt-served", Some("req-1")));
}

#[tokio::test]
async fn parameters_that_the_protocol_has_words_for() {
    let full = |request: &mut Request| {
        let params = &mut request.params;
        params.temperature = Some(0.25);
        params.top_p = Some(0.5);
        params.max_tokens = Some(64);
        params.seed = Some(7);
        params.top_logprobs = Some(2);
        params.reasoning_effort = Some(ReasoningEffort::Low);
        params.prompt_cache = Some(PromptCache::Keyed("k".into()));
        params.extra.insert("text".into(), json!({"verbosity": "low"}));
        request.format = ResponseFormat::JsonObject;
    };
    let input = json!([{"role": "user", "content": "Hi"}]);
    let expected = json!({
        "model": "gpt-4o", "input": input, "store": false, "temperature": 0.25, "top_p": 0.5,
        "max_output_tokens": 64, "top_logprobs": 2, "include": ["message.output_text.logprobs"],
        "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    });
    assert_eq!(sent("gpt-4o", ABLE, full).await, expected);
    let expected = json!({
        "model": "o3", "input": input, "store": false, "max_output_tokens": 64,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    });
    assert_eq!(sent("o3", ABLE.logprobs(false).reasoning(true), full).await, expected);
}

#[tokio::test]
async fn schemas_and_tools() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": []});
    let tool = ToolSpec::new("now", "The time.", json!({"type": "object"}));
    let change = |request: &mut Request| {
        request.format =
            ResponseFormat::JsonSchema { name: "answer".into(), schema: Arc::new(schema.clone()) };
        request.tools = vec![tool.clone()];
        request.tool_choice = ToolChoice::Named("now".into());
    };
    let body = sent("gpt-6-luna", ABLE, change).await;
    let strict = json!({"type": "object", "properties": {"a": {"type": ["integer", "null"]}}, "required": ["a"],
        "additionalProperties": false});
    assert_eq!(
        body["text"],
        json!({"format": {"type": "json_schema", "name": "answer", "strict": true, "schema": strict}})
    );
    let tools = json!([{"type": "function", "name": "now", "description": "The time.", "strict": false,
        "parameters": {"type": "object", "properties": {}}}]);
    assert_eq!(body["tools"], tools);
    assert_eq!(body["tool_choice"], json!({"type": "function", "name": "now"}));
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    // A model that does not reason has nothing to encrypt.
    assert_eq!(sent("gpt-4o", ABLE, change).await.get("include"), None);
}

#[tokio::test]
async fn media_that_it_takes_and_what_it_has_no_words_for() {
    let media = |kind, url: &str| Media::new(kind, url);
    let parts = [
        Part::Text("Look.".into()),
        Part::Media(media(MediaKind::Image, "https://example.org/cat.png").with_detail(Detail::Low)),
        Part::Media(media(MediaKind::File, "data:application/pdf;base64,JVBERg==").with_name("a.pdf")),
        Part::Media(media(MediaKind::File, "https://example.org/b.pdf")),
    ];
    let of = |parts: &[Part]| vec![Message { role: Role::User, content: Content::Parts(parts.into()) }];
    let body = sent("m", ABLE, |request| request.messages = of(&parts)).await;
    let content = json!([
        {"type": "input_text", "text": "Look."},
        {"type": "input_image", "image_url": "https://example.org/cat.png", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        {"type": "input_file", "file_url": "https://example.org/b.pdf"},
    ]);
    assert_eq!(body["input"][0]["content"], content);
    let server = Server::script(vec![said("ok")]).await;
    let lm = endpoint(&server).model("m").unwrap();
    let audio = Request::new(of(&[Part::Media(media(MediaKind::Audio, "data:audio/wav;base64,AA=="))]));
    let mut stop = Request::new(vec![Message::user("Hi")]);
    stop.params.stop = vec!["END".into()];
    for request in [audio, stop] {
        let error = lm.complete(request).await.unwrap_err();
        assert_eq!(error.kind, LmErrorKind::InvalidRequest);
        assert!(error.message.contains("Protocol::Chat"), "{error}");
    }
    assert_eq!(server.seen().len(), 0);
}

fn thinking_and_calling() -> Value {
    json!([
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA",
            "summary": [{"type": "summary_text", "text": "Hm. "}]},
        text("Let me see."),
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": "{\"city\": \"Paris\"}",
            "status": "completed"},
        {"type": "new_item", "x": 1},
    ])
}

fn check_call(response: &Response) {
    let completion = &response.completions[0];
    assert_eq!((completion.text.as_str(), completion.finish), ("Let me see.", FinishReason::ToolCalls));
    assert_eq!(completion.reasoning.as_deref(), Some("Hm. "));
    assert_eq!(completion.tool_calls, [ToolCall::new("weather", json!({"city": "Paris"})).with_id("c1")]);
}

#[tokio::test]
async fn encrypted_reasoning_goes_back_to_the_model_that_had_it() {
    let call = reply(200, &[], &body(thinking_and_calling()).to_string());
    let server = Server::script(vec![call, said("Rain.")]).await;
    let lm = endpoint(&server).model("o3").unwrap();
    let response = lm.complete(Request::new(vec![Message::user("Weather?")])).await.unwrap();
    check_call(&response);
    let messages = vec![
        Message::user("Weather?"),
        (&response.completions[0]).into(),
        Message::tool_result("c1", "rain"),
    ];
    lm.complete(Request::new(messages.clone())).await.unwrap();
    let mut expected = vec![json!({"role": "user", "content": "Weather?"})];
    expected.extend(thinking_and_calling().as_array().unwrap().iter().cloned());
    let result = json!({"type": "function_call_output", "call_id": "c1", "output": "rain"});
    expected.push(result.clone());
    assert_eq!(server.seen()[1].json()["input"], json!(expected));
    endpoint(&server).model("gpt-4o").unwrap().complete(Request::new(messages)).await.unwrap();
    let plain = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\":\"Paris\"}"},
        result,
    ]);
    assert_eq!(server.seen()[2].json()["input"], plain);
}

#[tokio::test]
async fn answers_are_read_in_full() {
    let refusal = json!([{"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}]);
    let incomplete = |reason: &str| {
        let mut body = body(json!([text("Pa")]));
        body["status"] = "incomplete".into();
        body["incomplete_details"] = json!({"reason": reason});
        body
    };
    for (body, text, finish) in [
        (body(refusal), "I will not.", FinishReason::ContentFilter),
        (incomplete("max_output_tokens"), "Pa", FinishReason::Length),
        (incomplete("content_filter"), "Pa", FinishReason::ContentFilter),
        (json!({"output": [{"type": "message", "content": [{"text": "bare"}]}]}), "bare", FinishReason::Stop),
    ] {
        let server = Server::script(vec![reply(200, &[], &body.to_string())]).await;
        let response = endpoint(&server).model("m").unwrap().complete(Request::default()).await.unwrap();
        assert_eq!((response.completions[0].text.as_str(), response.completions[0].finish), (text, finish));
    }
    let mut likely = text("Hi");
    likely["content"][0]["logprobs"] = json!([{"token": "Hi", "logprob": -0.5, "bytes": [72, 105],
        "top_logprobs": [{"token": "Ho", "logprob": -2.0}]}]);
    let server = Server::script(vec![reply(200, &[], &body(json!([likely])).to_string())]).await;
    let response = endpoint(&server).model("m").unwrap().complete(Request::default()).await.unwrap();
    assert_eq!(response.completions[0].logprobs[0].top, [("Ho".to_owned(), -2.0)]);
}

fn call_events(last: Value) -> String {
    let items = thinking_and_calling();
    let delta = |kind: &str, delta: &str| json!({"type": format!("response.{kind}.delta"), "delta": delta});
    let done = |index: usize| json!({"type": "response.output_item.done", "output_index": index, "item": items[index]});
    events(&[
        json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}}),
        delta("reasoning_summary_text", "Hm"),
        delta("reasoning_summary_text", ". "),
        done(0),
        delta("output_text", "Let me "),
        delta("output_text", "see."),
        done(1),
        delta("function_call_arguments", "{\"city\": \"Paris\"}"),
        done(2),
        json!({"type": "response.completed", "response": last}),
    ])
}

/// What the tests of all protocols drive.
pub(crate) fn described() -> Described {
    let failed = |code: &str| {
        json!({"id": "r", "status": "failed", "output": [], "error": {"code": code, "message": "no"}})
            .to_string()
    };
    let end = |kind: &str, response: Value| {
        events(&[json!({"type": format!("response.{kind}"), "response": response})])
    };
    let refused =
        body(json!([{"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}]));
    let refused_stream = events(&[json!({"type": "response.refusal.delta", "delta": "I will not."})])
        + &end("completed", refused.clone());
    Described {
        protocol: Protocol::Responses,
        endpoint,
        model: "o3",
        whole: body(thinking_and_calling()),
        events: call_events(body(thinking_and_calling())),
        spare: 0,
        calls: vec![ToolCall::new("weather", json!({"city": "Paris"})).with_id("c1")],
        opaque: Some(thinking_and_calling()),
        served: ("gpt-served", "resp_1"),
        tokens: [11, 7, 3, 5],
        reasons: &[
            ("max_output_tokens", FinishReason::Length),
            ("content_filter", FinishReason::ContentFilter),
            ("something_new", FinishReason::Other),
        ],
        refusals: vec![
            (reply(200, &[], &refused.to_string()), "I will not."),
            (chunks(&[refused_stream.as_bytes()], true), "I will not."),
        ],
        errors: vec![
            (
                reply(400, &[], r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#),
                LmErrorKind::ContextWindow,
            ),
            (reply(401, &[], r#"{"error":{"message":"x"}}"#), LmErrorKind::Auth),
            (reply(200, &[], &failed("server_error")), LmErrorKind::Server),
            (reply(200, &[], &failed("rate_limit_exceeded")), LmErrorKind::RateLimit),
            (reply(200, &[], r#"{"status":"failed"}"#), LmErrorKind::Server),
            (reply(200, &[], "{}"), LmErrorKind::Decode),
        ],
        errors_within: vec![
            (
                end(
                    "failed",
                    json!({"status": "failed", "error": {"code": "server_error", "message": "sorry"}}),
                ),
                LmErrorKind::Server,
            ),
            (
                events(&[json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow down"})]),
                LmErrorKind::RateLimit,
            ),
            (
                events(&[
                    json!({"type": "error", "error": {"type": "invalid_request_error", "code": "invalid_api_key"}}),
                ]),
                LmErrorKind::Auth,
            ),
        ],
        several: None,
    }
}

#[tokio::test]
async fn the_last_event_need_not_repeat_the_items() {
    let lm = |server: &Server| endpoint(server).model("o3").unwrap();
    let mut read = Vec::new();
    for last in [body(thinking_and_calling()), body(json!([]))] {
        let (deltas, response, _server) =
            heard(vec![chunks(&[call_events(last).as_bytes()], true)], lm).await;
        let completion = response.unwrap().completions.remove(0);
        assert!(completion.opaque.is_some());
        read.push((deltas, completion.text, completion.reasoning, completion.tool_calls, completion.finish));
    }
    assert_eq!(read[0], read[1]);
}
