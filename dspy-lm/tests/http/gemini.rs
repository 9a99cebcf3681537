//! Gemini's contents on the wire.

use std::sync::Arc;

use dspy_lm::{
    Capabilities, Content, Endpoint, FinishReason, LmErrorKind, Media, MediaKind, Message, Part, Protocol,
    ReasoningEffort, Request, Response, ResponseFormat, Role, ToolCall, ToolChoice, ToolSpec,
};
use serde_json::{Value, json};

use crate::conformance::Described;
use dspy_test_server::protocols::{events, heard};
use dspy_test_server::{Act, Server, chunks, reply};

const ABLE: Capabilities = Capabilities::NONE.json_object(true).json_schema(true).tools(true);

pub(crate) fn endpoint(server: &Server) -> Endpoint {
    crate::endpoint(&format!("http://{}", server.address)).protocol(Protocol::Gemini).api_key("AIza-key")
}

fn candidate(parts: Value, reason: &str) -> Value {
    json!({"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0,
        "safetyRatings": [{"category": "x", "probability": "NEGLIGIBLE"}]})
}

fn counts() -> Value {
    json!({"promptTokenCount": 11, "cachedContentTokenCount": 3, "candidatesTokenCount": 7, "thoughtsTokenCount": 5,
        "totalTokenCount": 23, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 11}]})
}

fn answer(candidates: Value) -> Act {
    let body = json!({"candidates": candidates, "usageMetadata": counts(), "modelVersion": "gemini-served",
        "responseId": "r1"});
    reply(200, &[], &body.to_string())
}

fn said(text: &str) -> Act {
    answer(json!([candidate(json!([{"text": text}]), "STOP")]))
}

/// The body that the model of that name gets.
async fn sent(model: &str, change: impl FnOnce(&mut Request)) -> Value {
    let server = Server::script(vec![said("ok")]).await;
    let mut request = Request::new(vec![Message::user("Hi")]);
    change(&mut request);
    endpoint(&server).capabilities(ABLE).model(model).unwrap().complete(request).await.unwrap();
    server.seen()[0].json()
}

#[tokio::test]
async fn a_plain_request() {
    let server = Server::script(vec![said("Paris")]).await;
    let request = Request::new(vec![
        Message::system("Be brief."),
        Message::user("Capital of Italy?"),
        Message::assistant("Rome"),
        Message::user("Of France?"),
    ]);
    let response = endpoint(&server).model("gemini-3.5-flash").unwrap().complete(request).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.path(), "/v1beta/models/gemini-3.5-flash:generateContent");
    assert_eq!((seen.header("x-goog-api-key"), seen.header("authorization")), (Some("AIza-key"), None));
    let turn = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    let expected = json!({
        "contents": [turn("user", "Capital of Italy?"), turn("model", "Rome"), turn("user", "Of France?")],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    });
    assert_eq!(seen.json(), expected);
    assert_eq!(response.completions[0].text, "Paris");
    let usage = response.usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (11, 12));
    assert_eq!((usage.cache_read_tokens, usage.reasoning_tokens), (3, 5));
    assert_eq!((response.model.as_str(), response.request_id.as_deref()), ("gemini-served", Some("r1")));
    let tuned = endpoint(&server).model("tunedModels/mine").unwrap();
    tuned.ask("Hi").await.unwrap();
    assert_eq!(server.seen()[1].path(), "/v1beta/tunedModels/mine:generateContent");
}

#[tokio::test]
async fn every_parameter_is_sent() {
    let body = sent("gemini-3.5-flash", |request| {
        let params = &mut request.params;
        params.temperature = Some(0.25);
        params.top_p = Some(0.5);
        params.max_tokens = Some(64);
        params.n = Some(2);
        params.seed = Some(7);
        params.stop = vec!["END".into()];
        params.top_logprobs = Some(2);
        params.reasoning_effort = Some(ReasoningEffort::Low);
        params.extra.insert("generationConfig".into(), json!({"topK": 40}));
        params.extra.insert("safetySettings".into(), json!([]));
    })
    .await;
    let config = json!({
        "temperature": 0.25, "topP": 0.5, "maxOutputTokens": 64, "candidateCount": 2, "seed": 7,
        "stopSequences": ["END"], "responseLogprobs": true, "logprobs": 2, "topK": 40,
        "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": true},
    });
    assert_eq!((&body["generationConfig"], &body["safetySettings"]), (&config, &json!([])));
}

#[tokio::test]
async fn formats_and_tools() {
    let schema = json!({"type": "object", "properties": {"a": {"const": "x"}, "b": {"type": "string", "pattern": "y"}},
        "required": ["a"]});
    let format = ResponseFormat::JsonSchema { name: "answer".into(), schema: Arc::new(schema) };
    let cleaned = json!({"type": "object", "properties": {"a": {"enum": ["x"], "type": "string"},
        "b": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let no_arguments = ToolSpec::new("now", "The time.", json!({"type": "object", "properties": {}}));
    let weather = ToolSpec::new(
        "weather",
        "The weather.",
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
    );
    let enforced = json!({"responseMimeType": "application/json", "responseJsonSchema": cleaned});
    for (model, both) in [("gemini-3.5-flash", true), ("gemini-2.5-flash", false)] {
        let body = sent(model, |request| {
            request.format = format.clone();
            request.tools = vec![no_arguments.clone(), weather.clone()];
            request.tool_choice = ToolChoice::Named("now".into());
        })
        .await;
        let tools = json!([{"functionDeclarations": [
            {"name": "now", "description": "The time."},
            {"name": "weather", "description": "The weather.", "parametersJsonSchema": {"type": "object",
                "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false}},
        ]}]);
        assert_eq!(body["tools"], tools);
        let choice = json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["now"]}});
        assert_eq!(body["toolConfig"], choice);
        assert_eq!(body.get("generationConfig"), both.then_some(&enforced), "{model}");
    }
    let body = sent("gemini-2.5-flash", |request| request.format = ResponseFormat::JsonObject).await;
    assert_eq!(body["generationConfig"], json!({"responseMimeType": "application/json"}));
}

#[tokio::test]
async fn all_kinds_of_media_are_sent() {
    let media = |kind, url: &str| Part::Media(Media::new(kind, url));
    let parts = [
        media(MediaKind::Image, "data:image/png;base64,AA=="),
        media(MediaKind::Audio, "data:audio/flac;base64,BB=="),
        media(MediaKind::File, "https://example.org/b.PDF?x=1"),
        media(MediaKind::File, "https://generativelanguage.googleapis.com/v1beta/files/abc"),
    ];
    let body = sent("gemini-3.5-flash", |request| {
        request.messages = vec![Message { role: Role::User, content: Content::Parts(parts.into()) }];
    })
    .await;
    let expected = json!([
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"inlineData": {"mimeType": "audio/flac", "data": "BB=="}},
        {"fileData": {"fileUri": "https://example.org/b.PDF?x=1", "mimeType": "application/pdf"}},
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
    ]);
    assert_eq!(body["contents"][0]["parts"], expected);
}

fn thinking_and_calling() -> Value {
    json!([
        {"text": "Hm. ", "thought": true},
        {"text": "Let me see."},
        {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "sig"},
        {"functionCall": {"name": "now", "args": {}}},
        {"newPart": 1},
    ])
}

fn check_call(response: &Response) {
    let completion = &response.completions[0];
    assert_eq!((completion.text.as_str(), completion.finish), ("Let me see.", FinishReason::ToolCalls));
    assert_eq!(completion.reasoning.as_deref(), Some("Hm. "));
    let weather = ToolCall::new("weather", json!({"city": "Paris"})).with_id("c1");
    assert_eq!(completion.tool_calls, [weather, ToolCall::new("now", json!({}))]);
}

#[tokio::test]
async fn signatures_go_back_to_the_model_that_gave_them() {
    let call = answer(json!([candidate(thinking_and_calling(), "STOP")]));
    let server = Server::script(vec![call, said("Rain.")]).await;
    let lm = endpoint(&server).model("gemini-3.5-flash").unwrap();
    let response = lm.complete(Request::new(vec![Message::user("Weather?")])).await.unwrap();
    check_call(&response);
    let mut completion = response.completions[0].clone();
    completion.tool_calls[1].id = Some("own".into());
    let messages = vec![
        Message::user("Weather?"),
        (&completion).into(),
        Message::tool_result("c1", r#"{"sky": "grey"}"#),
        Message::tool_result("own", "noon"),
    ];
    lm.complete(Request::new(messages.clone())).await.unwrap();
    let contents = server.seen()[1].json()["contents"].clone();
    assert_eq!(contents[1], json!({"role": "model", "parts": thinking_and_calling()}));
    let results = json!([
        {"functionResponse": {"id": "c1", "name": "weather", "response": {"sky": "grey"}}},
        {"functionResponse": {"name": "now", "response": {"result": "noon"}}},
    ]);
    assert_eq!(contents[2], json!({"role": "user", "parts": results}));
    endpoint(&server).model("gemini-2.5-flash").unwrap().complete(Request::new(messages)).await.unwrap();
    let parts = server.seen()[2].json()["contents"][1]["parts"].clone();
    let expected = json!([{"text": "Let me see."},
        {"functionCall": {"name": "weather", "args": {"city": "Paris"}}},
        {"functionCall": {"name": "now", "args": {}}}]);
    assert_eq!(parts, expected);
}

#[tokio::test]
async fn answers_are_read_in_full() {
    let mut second = candidate(json!([{"text": "second"}]), "MAX_TOKENS");
    second["index"] = 1.into();
    let mut first = candidate(json!([{"text": "Hi"}]), "STOP");
    first["logprobsResult"] = json!({
        "chosenCandidates": [{"token": "Hi", "tokenId": 5, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "Hi", "logProbability": -0.5}, {"token": "Ho", "logProbability": -2}]}],
    });
    let server = Server::script(vec![answer(json!([second, first]))]).await;
    let lm = endpoint(&server).model("m").unwrap();
    let response = lm.complete(Request::default()).await.unwrap();
    let read: Vec<_> = response.completions.iter().map(|c| (c.text.as_str(), c.finish)).collect();
    assert_eq!(read, [("Hi", FinishReason::Stop), ("second", FinishReason::Length)]);
    let logprobs = &response.completions[0].logprobs;
    assert_eq!((logprobs[0].token.as_str(), logprobs[0].logprob), ("Hi", -0.5));
    assert_eq!(logprobs[0].top, [("Hi".to_owned(), -0.5), ("Ho".to_owned(), -2.0)]);
    for (reason, finish) in [
        ("SAFETY", FinishReason::ContentFilter),
        ("RECITATION", FinishReason::ContentFilter),
        ("MALFORMED_FUNCTION_CALL", FinishReason::Other),
    ] {
        // A refused candidate comes without content.
        let server = Server::script(vec![answer(json!([{"finishReason": reason}]))]).await;
        let response = endpoint(&server).model("m").unwrap().complete(Request::default()).await.unwrap();
        assert_eq!((response.completions[0].text.as_str(), response.completions[0].finish), ("", finish));
    }
}

fn call_events() -> String {
    let part = |parts: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 11}, "modelVersion": "gemini-served", "responseId": "r1"})
    };
    let all = thinking_and_calling();
    let mut last = part(json!([all[3], all[4]]));
    last["candidates"][0]["finishReason"] = "STOP".into();
    last["usageMetadata"] = counts();
    events(&[
        part(json!([{"text": "Hm", "thought": true}])),
        part(json!([{"text": ". ", "thought": true}, {"text": "Let "}])),
        part(json!([{"text": "me see."}, all[2]])),
        last,
    ])
}

/// What the tests of all protocols drive.
pub(crate) fn described() -> Described {
    let error = |code: u16, status: &str, message: &str| {
        let body = json!({"error": {"code": code, "status": status, "message": message,
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo"}]}});
        reply(code, &[], &body.to_string())
    };
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": counts()});
    let refused = |reason: Value| json!({"candidates": [reason]});
    let told = refused(json!({"finishReason": "SAFETY", "finishMessage": "I will not.", "index": 0}));
    let part = |index: usize, text: &str, reason: Value| json!({"index": index, "content": {"parts": [{"text": text}]}, "finishReason": reason});
    let several = json!({"candidates": [part(1, "two", json!("MAX_TOKENS")), part(0, "one", json!("STOP"))]});
    let pieces = events(&[
        json!({"candidates": [part(0, "o", Value::Null), part(1, "tw", Value::Null)]}),
        json!({"candidates": [part(1, "o", json!("MAX_TOKENS"))]}),
        json!({"candidates": [part(0, "ne", json!("STOP"))]}),
    ]);
    Described {
        protocol: Protocol::Gemini,
        endpoint,
        model: "gemini-3.5-flash",
        whole: json!({"candidates": [candidate(thinking_and_calling(), "STOP")], "usageMetadata": counts(),
            "modelVersion": "gemini-served", "responseId": "r1"}),
        events: call_events(),
        spare: 0,
        calls: vec![
            ToolCall::new("weather", json!({"city": "Paris"})).with_id("c1"),
            ToolCall::new("now", json!({})),
        ],
        opaque: Some(thinking_and_calling()),
        served: ("gemini-served", "r1"),
        tokens: [11, 12, 3, 5],
        reasons: &[
            ("STOP", FinishReason::Stop),
            ("MAX_TOKENS", FinishReason::Length),
            ("SAFETY", FinishReason::ContentFilter),
            ("RECITATION", FinishReason::ContentFilter),
            ("MALFORMED_FUNCTION_CALL", FinishReason::Other),
        ],
        refusals: vec![
            (reply(200, &[], &told.to_string()), "I will not."),
            (chunks(&[events(&[told]).as_bytes()], true), "I will not."),
            // A refused candidate comes without content.
            (reply(200, &[], &refused(json!({"finishReason": "SAFETY"})).to_string()), ""),
        ],
        errors: vec![
            (
                error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
                LmErrorKind::Auth,
            ),
            (
                error(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum"),
                LmErrorKind::ContextWindow,
            ),
            (error(400, "INVALID_ARGUMENT", "bad topK"), LmErrorKind::InvalidRequest),
            (error(403, "PERMISSION_DENIED", "no"), LmErrorKind::Auth),
            (error(404, "NOT_FOUND", "models/x is not found"), LmErrorKind::NotFound),
            (error(429, "RESOURCE_EXHAUSTED", "quota"), LmErrorKind::RateLimit),
            (error(503, "UNAVAILABLE", "The model is overloaded."), LmErrorKind::Server),
            (error(504, "DEADLINE_EXCEEDED", "late"), LmErrorKind::Server),
            (reply(200, &[], &blocked.to_string()), LmErrorKind::ContentFilter),
            (reply(200, &[], r#"{"candidates": []}"#), LmErrorKind::Decode),
            (reply(200, &[], "[]"), LmErrorKind::Decode),
        ],
        errors_within: vec![
            (
                events(&[json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}})]),
                LmErrorKind::Server,
            ),
            (events(&[json!({"promptFeedback": {"blockReason": "OTHER"}})]), LmErrorKind::ContentFilter),
            (events(&[json!({"candidates": [{"index": 9_000_000_000u64}]})]), LmErrorKind::Decode),
        ],
        several: Some((several, pieces)),
    }
}

#[tokio::test]
async fn streams_have_a_path_of_their_own() {
    let lm = |server: &Server| endpoint(server).model("gemini-3.5-flash").unwrap();
    let (_, _, server) = heard(vec![chunks(&[call_events().as_bytes()], true)], lm).await;
    assert_eq!(server.seen()[0].path(), "/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse");
}
