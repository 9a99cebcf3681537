//! Anthropic's messages on the wire.

use std::sync::Arc;

use dspy_lm::{
    Capabilities, Content, Endpoint, FinishReason, LmErrorKind, Media, MediaKind, Message, Part, PromptCache,
    Protocol, ReasoningEffort, Request, Response, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec,
};
use serde_json::{Value, json};

use crate::conformance::Described;
use dspy_test_server::protocols::events;
use dspy_test_server::{Act, Server, reply};

pub(crate) fn endpoint(server: &Server) -> Endpoint {
    crate::endpoint(&server.url()).protocol(Protocol::Anthropic).api_key("sk-ant-key")
}

fn message(content: Value, reason: &str) -> Act {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-served", "content": content,
        "stop_reason": reason, "stop_sequence": null, "container": {"unknown": true},
        "usage": {"input_tokens": 11, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
            "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}, "service_tier": "standard"},
    });
    reply(200, &[("request-id", "req_1")], &body.to_string())
}

fn said(text: &str) -> Act {
    message(json!([{"type": "text", "text": text}]), "end_turn")
}

/// The body that the model of that name gets.
async fn sent(model: &str, change: impl FnOnce(&mut Request)) -> Value {
    let server = Server::script(vec![said("ok")]).await;
    let mut request = Request::new(vec![Message::user("Hi")]);
    change(&mut request);
    let able = Capabilities::NONE.json_schema(true).tools(true).n(false);
    endpoint(&server).capabilities(able).model(model).unwrap().complete(request).await.unwrap();
    server.seen()[0].json()
}

fn weather() -> ToolSpec {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string", "x-note": 1},
        "more": {"type": "object", "additionalProperties": true}}, "required": ["city"]});
    ToolSpec::new("weather", "The weather in a city.", parameters)
}

#[tokio::test]
async fn a_plain_request() {
    let server = Server::script(vec![said("Paris")]).await;
    let request = Request::new(vec![Message::system("Be brief."), Message::user("Capital of France?")]);
    let lm = endpoint(&server).model("claude-haiku-4-5").unwrap();
    let response = lm.complete(request).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.path(), "/v1/messages");
    assert_eq!((seen.header("x-api-key"), seen.header("authorization")), (Some("sk-ant-key"), None));
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    let expected = json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Capital of France?"}]}],
    });
    assert_eq!(seen.json(), expected);
    let usage = response.usage;
    assert_eq!((usage.requests, usage.prompt_tokens, usage.completion_tokens), (1, 131, 7));
    assert_eq!((usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens), (100, 20, 3));
    assert_eq!((response.model.as_str(), response.request_id.as_deref()), ("claude-served", Some("req_1")));
    assert_eq!(response.completions[0].text, "Paris");
}

#[tokio::test]
async fn parameters_that_the_protocol_has_words_for() {
    let body = sent("claude-haiku-4-5", |request| {
        let params = &mut request.params;
        params.temperature = Some(0.25);
        params.top_p = Some(0.5);
        params.max_tokens = Some(64);
        params.seed = Some(7);
        params.logprobs = Some(true);
        params.stop = vec!["END".into()];
        params.extra.insert("metadata".into(), json!({"user_id": "u"}));
    })
    .await;
    let expected = json!({
        "model": "claude-haiku-4-5", "max_tokens": 64, "temperature": 0.25, "stop_sequences": ["END"],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "metadata": {"user_id": "u"},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn models_are_told_to_think_in_the_way_of_their_family() {
    use ReasoningEffort::{High, Low, None, XHigh};
    let adaptive = json!({"type": "adaptive", "display": "summarized"});
    for (model, effort, max_tokens, thinking, word, sampling) in [
        (
            "claude-haiku-4-5",
            High,
            32_000,
            json!({"type": "enabled", "budget_tokens": 16384}),
            Value::Null,
            false,
        ),
        (
            "claude-haiku-4-5",
            XHigh,
            8_000,
            json!({"type": "enabled", "budget_tokens": 6000}),
            Value::Null,
            false,
        ),
        ("claude-haiku-4-5", High, 1_000, Value::Null, Value::Null, true),
        ("claude-3-5-haiku-latest", High, 1_000, Value::Null, Value::Null, true),
        ("claude-opus-4-6", XHigh, 9, adaptive.clone(), json!("max"), false),
        ("claude-opus-4-6", None, 9, Value::Null, Value::Null, true),
        ("claude-opus-4-8", XHigh, 9, adaptive.clone(), json!("xhigh"), false),
        ("claude-opus-5", None, 9, json!({"type": "disabled"}), Value::Null, false),
        ("claude-opus-5-5", None, 9, Value::Null, json!("low"), false),
        ("claude-sonnet-5", Low, 9, adaptive.clone(), json!("low"), false),
    ] {
        let body = sent(model, |request| {
            request.params.reasoning_effort = Some(effort);
            request.params.temperature = Some(0.5);
            request.params.max_tokens = Some(max_tokens);
        })
        .await;
        assert_eq!(
            (&body["thinking"], &body["output_config"]["effort"]),
            (&thinking, &word),
            "{model} {effort:?}"
        );
        assert_eq!(body.get("temperature").is_some(), sampling, "{model} {effort:?}");
    }
}

#[tokio::test]
async fn thoughts_are_asked_for_where_they_are_wanted() {
    let server = Server::script(vec![said("ok")]).await;
    let able = Capabilities::NONE.reasoning(true);
    endpoint(&server).capabilities(able).model("claude-opus-5").unwrap().ask("Hi").await.unwrap();
    let body = server.seen()[0].json();
    assert_eq!(body["thinking"], json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(body.get("output_config"), None);
}

#[tokio::test]
async fn schemas_are_closed_or_not_sent() {
    let format = |member: Value| ResponseFormat::JsonSchema {
        name: "answer".into(),
        schema: Arc::new(json!({"type": "object", "properties": {"a": member}, "required": ["a"]})),
    };
    let body = sent("claude-haiku-4-5", |request| {
        request.format = format(json!({"type": "integer", "minimum": 1}));
        request.tools = vec![weather()];
    })
    .await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": schema}}));
    let open = format(json!({"type": "object", "additionalProperties": {"type": "string"}}));
    for format in [open, ResponseFormat::JsonObject] {
        let body = sent("claude-haiku-4-5", |request| request.format = format).await;
        assert_eq!(body.get("output_config"), None);
    }
}

#[tokio::test]
async fn a_refused_schema_is_left_out_and_the_handle_remembers() {
    let words = "output_config.format.schema: Too many optional parameters in the schema";
    let server = Server::start(move |_, seen| {
        let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": words}});
        if seen.json().get("output_config").is_some() {
            reply(400, &[], &error.to_string())
        } else {
            said("{}")
        }
    })
    .await;
    let lm = endpoint(&server).capabilities(Capabilities::NONE.json_schema(true)).model("claude-m").unwrap();
    let mut request = Request::new(vec![Message::user("Hi")]);
    request.format = ResponseFormat::JsonSchema {
        name: "a".into(),
        schema: Arc::new(json!({"type": "object", "properties": {}})),
    };
    for _ in 0..2 {
        lm.complete(request.clone()).await.unwrap();
    }
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn tools_calls_and_results() {
    let call = |id: &str| ToolCall::new("weather", json!({"city": "Paris"})).with_id(id);
    let body = sent("claude-haiku-4-5", |request| {
        request.messages = vec![
            Message::user("Weather?"),
            Message::calls("Let me see.", [call("a"), call("b")]),
            Message::tool_result("a", "rain"),
            Message::tool_result("b", "sun"),
            Message::user("So?"),
        ];
        request.tools = vec![weather()];
        request.tool_choice = ToolChoice::Named("weather".into());
    })
    .await;
    let used =
        |id: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {"city": "Paris"}});
    let result = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": text});
    let text = |text: &str| json!({"type": "text", "text": text});
    let messages = json!([
        {"role": "user", "content": [text("Weather?")]},
        {"role": "assistant", "content": [text("Let me see."), used("a"), used("b")]},
        {"role": "user", "content": [result("a", "rain"), result("b", "sun"), text("So?")]},
    ]);
    assert_eq!(body["messages"], messages);
    let tool = json!({"name": "weather", "description": "The weather in a city.", "input_schema": {
        "type": "object", "properties": {"city": {"type": "string"},
            "more": {"type": "object", "additionalProperties": true}},
        "required": ["city"], "additionalProperties": false}});
    assert_eq!(body["tools"], json!([tool]));
    assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "weather"}));
    for (model, choice, expected) in [
        ("claude-haiku-4-5", ToolChoice::Required, json!({"type": "any"})),
        ("claude-haiku-4-5", ToolChoice::None, json!({"type": "none"})),
        ("claude-haiku-4-5", ToolChoice::Auto, Value::Null),
        ("claude-opus-5-5", ToolChoice::Required, Value::Null),
    ] {
        let body = sent(model, |request| {
            request.tools = vec![weather()];
            request.tool_choice = choice;
            request.params.reasoning_effort = Some(ReasoningEffort::High);
        })
        .await;
        assert_eq!(body["tool_choice"], expected, "{model}");
        // A budget for thoughts and a forced tool do not go together.
        let forced = expected == json!({"type": "any"});
        assert_eq!(body.get("thinking").is_none(), forced, "{model}");
    }
}

#[tokio::test]
async fn the_start_of_the_prompt_can_be_marked_for_the_cache() {
    let body = sent("claude-haiku-4-5", |request| {
        request.messages = vec![
            Message::system("Rules."),
            Message::user("one"),
            Message::assistant("1"),
            Message::user("two"),
        ];
        request.params.prompt_cache = Some(PromptCache::Prefix);
    })
    .await;
    let mark = json!({"type": "ephemeral"});
    assert_eq!(body["system"][0]["cache_control"], mark);
    let marked: Vec<_> =
        (0..3).map(|turn| body["messages"][turn]["content"][0].get("cache_control")).collect();
    assert_eq!(marked, [None, Some(&mark), None]);
}

#[tokio::test]
async fn media_that_it_takes_and_media_that_it_does_not() {
    let media = |kind, url: &str| Part::Media(Media::new(kind, url));
    let parts = [
        Part::Text("Look.".into()),
        media(MediaKind::Image, "data:image/png;base64,AA=="),
        media(MediaKind::Image, "https://example.org/cat.png"),
        Part::Media(Media::new(MediaKind::File, "data:application/pdf;base64,JVBERg==").with_name("a.pdf")),
        media(MediaKind::File, "https://example.org/b.pdf"),
        media(MediaKind::File, "data:text/markdown;base64,IyBIaQ=="),
    ];
    let of = |parts: &[Part]| vec![Message { role: Role::User, content: Content::Parts(parts.into()) }];
    let body = sent("claude-haiku-4-5", |request| request.messages = of(&parts)).await;
    let content = json!([
        {"type": "text", "text": "Look."},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.png"}},
        {"type": "document", "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        {"type": "document", "source": {"type": "url", "url": "https://example.org/b.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "# Hi"}},
    ]);
    assert_eq!(body["messages"][0]["content"], content);

    let server = Server::script(vec![said("ok")]).await;
    let lm = endpoint(&server).model("claude-m").unwrap();
    let blind = endpoint(&server).capabilities(Capabilities::NONE.images(false)).model("claude-m").unwrap();
    for (lm, part, why) in [
        (&lm, media(MediaKind::Audio, "data:audio/wav;base64,AA=="), "transcribe"),
        (&lm, media(MediaKind::File, "data:application/zip;base64,AA=="), "`application/zip`"),
        (&blind, media(MediaKind::Image, "data:image/png;base64,AA=="), "no images"),
    ] {
        let error = lm.complete(Request::new(of(&[part]))).await.unwrap_err();
        assert_eq!(error.kind, LmErrorKind::InvalidRequest);
        assert!(error.message.contains(why), "{error}");
    }
    assert_eq!(server.seen().len(), 0);
}

fn thinking_and_calling() -> Value {
    json!([
        {"type": "thinking", "thinking": "Hm. ", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
        {"type": "new_kind", "x": 1},
    ])
}

/// What all the ways to read that reply must give.
fn check_call(response: &Response) {
    let completion = &response.completions[0];
    assert_eq!((completion.text.as_str(), completion.finish), ("Let me see.", FinishReason::ToolCalls));
    assert_eq!(completion.reasoning.as_deref(), Some("Hm. "));
    assert_eq!(completion.tool_calls, [ToolCall::new("weather", json!({"city": "Paris"})).with_id("t1")]);
}

#[tokio::test]
async fn signed_thoughts_go_back_to_the_model_that_had_them() {
    let server = Server::script(vec![message(thinking_and_calling(), "tool_use"), said("Rain.")]).await;
    let lm = endpoint(&server).model("claude-opus-5").unwrap();
    let response = lm.complete(Request::new(vec![Message::user("Weather?")])).await.unwrap();
    check_call(&response);
    let messages = vec![
        Message::user("Weather?"),
        (&response.completions[0]).into(),
        Message::tool_result("t1", "rain"),
    ];
    lm.complete(Request::new(messages.clone())).await.unwrap();
    assert_eq!(server.seen()[1].json()["messages"][1]["content"], thinking_and_calling());
    // Another model gets what was said and called.
    endpoint(&server).model("claude-haiku-4-5").unwrap().complete(Request::new(messages)).await.unwrap();
    let content = server.seen()[2].json()["messages"][1]["content"].clone();
    let kinds: Vec<_> = content.as_array().unwrap().iter().map(|block| block["type"].clone()).collect();
    assert_eq!(kinds, ["text", "tool_use"]);
}

/// The events of [`thinking_and_calling`], cut up as the API does it.
fn call_events() -> String {
    let delta =
        |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    events(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "claude-served", "content": [], "stop_reason": null,
            "usage": {"input_tokens": 11, "cache_read_input_tokens": 100, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "Hm"})),
        delta(0, json!({"type": "thinking_delta", "thinking": ". "})),
        delta(0, json!({"type": "signature_delta", "signature": "sig"})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "xyz"})),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "Let me "})),
        delta(2, json!({"type": "text_delta", "text": "see."})),
        delta(2, json!({"type": "unknown_delta", "x": 1})),
        stop(2),
        start(3, json!({"type": "tool_use", "id": "t1", "name": "weather", "input": {}})),
        delta(3, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(3, json!({"type": "input_json_delta", "partial_json": "{\"city\": \"Pa"})),
        delta(3, json!({"type": "input_json_delta", "partial_json": "ris\"}"})),
        stop(3),
        start(4, json!({"type": "new_kind", "x": 1})),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": 7, "cache_read_input_tokens": null}}),
        json!({"type": "message_stop"}),
    ])
}

/// What the tests of all protocols drive.
pub(crate) fn described() -> Described {
    let usage = json!({"input_tokens": 11, "cache_read_input_tokens": 100, "output_tokens": 7});
    let error = |status: u16, kind: &str, message: &str| {
        let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"});
        reply(status, &[], &body.to_string())
    };
    let refused = |text: &str| match text {
        "" => json!({"content": null, "stop_reason": "refusal"}),
        text => json!({"content": [{"type": "text", "text": text}], "stop_reason": "refusal"}),
    };
    Described {
        protocol: Protocol::Anthropic,
        endpoint,
        model: "claude-opus-5",
        whole: json!({"id": "msg_1", "type": "message", "model": "claude-served", "usage": usage,
            "content": thinking_and_calling(), "stop_reason": "tool_use"}),
        events: call_events(),
        spare: 1,
        calls: vec![ToolCall::new("weather", json!({"city": "Paris"})).with_id("t1")],
        opaque: Some(thinking_and_calling()),
        served: ("claude-served", "msg_1"),
        tokens: [111, 7, 100, 0],
        reasons: &[
            ("end_turn", FinishReason::Stop),
            ("stop_sequence", FinishReason::Stop),
            ("max_tokens", FinishReason::Length),
            ("model_context_window_exceeded", FinishReason::Length),
            ("refusal", FinishReason::ContentFilter),
            ("pause_turn", FinishReason::Other),
        ],
        refusals: vec![
            (reply(200, &[], &refused("I will not.").to_string()), "I will not."),
            (reply(200, &[], &refused("").to_string()), ""),
        ],
        errors: vec![
            (
                error(400, "invalid_request_error", "prompt is too long: 250000 tokens"),
                LmErrorKind::ContextWindow,
            ),
            (error(400, "invalid_request_error", "Your credit balance is too low"), LmErrorKind::Billing),
            (error(400, "invalid_request_error", "max_tokens: too large"), LmErrorKind::InvalidRequest),
            (error(401, "authentication_error", "invalid x-api-key"), LmErrorKind::Auth),
            (error(403, "permission_error", "no"), LmErrorKind::Auth),
            (error(404, "not_found_error", "model: x"), LmErrorKind::NotFound),
            (error(429, "rate_limit_error", "slow down"), LmErrorKind::RateLimit),
            (error(500, "api_error", "oops"), LmErrorKind::Server),
            (error(529, "overloaded_error", "Overloaded"), LmErrorKind::Server),
            (error(200, "overloaded_error", "Overloaded"), LmErrorKind::Server),
            (reply(200, &[], "{}"), LmErrorKind::Decode),
        ],
        errors_within: vec![
            (
                events(&[
                    json!({"type": "message_start", "message": {"content": []}}),
                    json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
                ]),
                LmErrorKind::Server,
            ),
            (
                events(&[
                    json!({"type": "content_block_start", "index": 9_000_000_000u64, "content_block": {}}),
                ]),
                LmErrorKind::Decode,
            ),
        ],
        several: None,
    }
}
