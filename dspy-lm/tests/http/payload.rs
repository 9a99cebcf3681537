//! What goes over the wire, and how answers are read.

use dspy_lm::{
    Capabilities, Content, Detail, Endpoint, FinishReason, Lm, LmErrorKind, Media, MediaKind, Message,
    Params, Part, Request, ResponseFormat, Role,
};
use serde_json::{Value, json};

use crate::{endpoint, lm};
use dspy_test_server::{Server, chat, reply};

fn request() -> Request {
    Request::new(vec![Message::system("Be brief."), Message::user("Capital of France?")])
}

/// All that can be asked for at once.
fn full_params() -> Params {
    let mut params = Params::default();
    params.temperature = Some(0.25);
    params.top_p = Some(0.5);
    params.max_tokens = Some(64);
    params.n = Some(2);
    params.seed = Some(7);
    params.stop = vec!["END".into()];
    params.extra.insert("logit_bias".into(), json!({"50256": -100}));
    params
}

fn capable(json_object: bool, json_schema: bool) -> Capabilities {
    Capabilities::NONE.json_object(json_object).json_schema(json_schema)
}

/// The body that `lm` sends for `request`.
async fn sent(server: &Server, lm: &Lm, request: Request) -> Value {
    lm.complete(request).await.unwrap();
    server.seen().last().unwrap().json()
}

#[tokio::test]
async fn a_plain_request_holds_model_and_messages_only() {
    let server = Server::script(vec![chat("Paris")]).await;
    let body = sent(&server, &lm(&server), request()).await;
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Capital of France?"},
    ]);
    assert_eq!(body, json!({"model": "m", "messages": messages}));
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /v1/chat/completions HTTP/1.1"), "{}", seen.head);
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn every_parameter_is_sent() {
    let server = Server::script(vec![chat("Paris")]).await;
    let lm = lm(&server).with_params(full_params()).rollout(3);
    let body = sent(&server, &lm, Request::new(vec![Message::user("Hi")])).await;
    let expected = json!({
        "model": "m", "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.25, "top_p": 0.5, "max_tokens": 64, "n": 2, "seed": 7, "stop": ["END"],
        "logit_bias": {"50256": -100},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn hand_written_members_replace_the_librarys() {
    let server = Server::script(vec![chat("Paris")]).await;
    let mut params = full_params();
    params.extra.insert("temperature".into(), json!(1.5));
    let body = sent(&server, &lm(&server).with_params(params), request()).await;
    assert_eq!(body["temperature"], 1.5);
    assert_eq!(String::from_utf8_lossy(&server.seen()[0].body).matches("temperature").count(), 1);
}

#[tokio::test]
async fn reasoning_models_get_their_own_parameters() {
    let server = Server::script(vec![chat("Paris")]).await;
    for model in ["o3-mini", "openai/gpt-5-mini"] {
        let lm = endpoint(&server.url()).model(model).unwrap().with_params(full_params());
        let body = sent(&server, &lm, request()).await;
        assert_eq!(body["max_completion_tokens"], 64);
        for absent in ["max_tokens", "temperature", "top_p"] {
            assert_eq!(body.get(absent), None, "{model}: {absent}");
        }
        assert_eq!(body["seed"], 7);
    }
}

#[tokio::test]
async fn formats_are_sent_as_far_as_the_deployment_takes_them() {
    let server = Server::script(vec![chat("{}")]).await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
        "additionalProperties": false});
    let asked =
        ResponseFormat::JsonSchema { name: "answer".into(), schema: std::sync::Arc::new(schema.clone()) };
    let named = |strict: bool| json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": schema}});
    let any = json!({"type": "json_schema",
        "json_schema": {"name": "object", "strict": false, "schema": {"type": "object"}}});
    let object = json!({"type": "json_object"});
    for (format, capabilities, expected) in [
        (ResponseFormat::Text, capable(true, true), None),
        (asked.clone(), capable(true, true), Some(&named(false))),
        (asked.clone(), capable(true, true).strict(true), Some(&named(true))),
        (asked.clone(), capable(true, false), Some(&object)),
        (asked.clone(), capable(false, false), None),
        (ResponseFormat::JsonObject, capable(true, true), Some(&object)),
        (ResponseFormat::JsonObject, capable(false, true), Some(&any)),
        (ResponseFormat::JsonObject, capable(false, false), None),
    ] {
        let lm = endpoint(&server.url()).capabilities(capabilities).model("m").unwrap();
        assert_eq!(lm.capabilities(), capabilities);
        let mut request = request();
        request.format = format;
        assert_eq!(sent(&server, &lm, request).await.get("response_format"), expected);
    }
}

#[tokio::test]
async fn images_are_sent_as_parts() {
    let server = Server::script(vec![chat("a cat")]).await;
    let parts = [Part::Text("What is this?".into()), Part::image("data:image/png;base64,AA==")];
    let message = Message { role: Role::User, content: Content::Parts(parts.into()) };
    let body = sent(&server, &lm(&server), Request::new(vec![message])).await;
    let content = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]);
    assert_eq!(body["messages"], json!([{"role": "user", "content": content}]));
}

#[tokio::test]
async fn every_kind_of_media_has_its_own_part() {
    let server = Server::script(vec![chat("ok")]).await;
    let media = |kind, url: &str| Media::new(kind, url);
    let parts = [
        media(MediaKind::Image, "https://example.org/cat.png").with_detail(Detail::Low),
        media(MediaKind::Audio, "data:audio/x-wav;base64,UklGRg=="),
        media(MediaKind::Audio, "data:audio/mpeg;base64,SUQz"),
        media(MediaKind::File, "data:application/pdf;base64,JVBERg==").with_name("a.pdf"),
        media(MediaKind::File, "https://example.org/b.pdf"),
    ];
    let parts: Vec<_> = parts.into_iter().map(Part::Media).collect();
    let message = Message { role: Role::User, content: Content::Parts(parts.into()) };
    let body = sent(&server, &lm(&server), Request::new(vec![message])).await;
    let content = json!([
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "file", "file": {"file_data": "https://example.org/b.pdf"}},
    ]);
    assert_eq!(body["messages"][0]["content"], content);
}

#[tokio::test]
async fn audio_that_the_endpoint_cannot_take_is_refused_before_anything_is_sent() {
    let server = Server::script(vec![chat("ok")]).await;
    for (url, part) in
        [("https://example.org/a.wav", "not by URL"), ("data:audio/flac;base64,ZkxhQw==", "`audio/flac`")]
    {
        let parts = [Part::Media(Media::new(MediaKind::Audio, url))];
        let message = Message { role: Role::User, content: Content::Parts(parts.into()) };
        let error = lm(&server).complete(Request::new(vec![message])).await.unwrap_err();
        assert_eq!(error.kind, LmErrorKind::InvalidRequest);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn keys_and_headers_are_sent() {
    let server = Server::script(vec![chat("ok")]).await;
    let keyed = endpoint(&server.url()).api_key("sk-test-key\n").header("X-Title", "test");
    keyed.model("m").unwrap().ask("Hi").await.unwrap();
    keyed.header("Authorization", "Basic abc").model("m").unwrap().ask("Hi").await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), Some("Bearer sk-test-key"));
    assert_eq!(seen[0].header("x-title"), Some("test"));
    assert_eq!(seen[1].header("authorization"), Some("Basic abc"));
    assert_eq!(seen[1].head.to_lowercase().matches("authorization").count(), 1);
}

#[tokio::test]
async fn base_urls_may_be_pasted_in_any_form() {
    let server = Server::script(vec![chat("ok")]).await;
    let url = format!("http://{}", server.address);
    for base in ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/chat/completions/"] {
        let lm = Endpoint::new(format!("{url}{base}")).model("m").unwrap();
        assert_eq!(lm.endpoint(), format!("{url}/v1"));
        lm.ask("Hi").await.unwrap();
        assert_eq!(server.seen().last().unwrap().path(), "/v1/chat/completions", "{base}");
    }
}

#[tokio::test]
async fn answers_are_read_in_full() {
    let body = json!({
        "id": "body-id", "model": "m-2026", "created": 1, "unknown": {"x": []},
        "choices": [
            {"index": 1, "message": {"content": "second", "reasoning": "hm"}, "finish_reason": "length"},
            {"index": 0, "message": {"content": "first", "reasoning_content": "aha"}, "finish_reason": "stop"},
            {"index": 2, "message": {"content": null, "tool_calls": []}, "finish_reason": "tool_calls"},
            {"index": 3, "message": {"content": null, "refusal": "I will not."}, "finish_reason": "stop"},
            {"index": 4, "message": {"content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "let me see"}]},
                {"type": "text", "text": "in "}, {"type": "text", "text": "parts"},
            ]}, "finish_reason": "strange"},
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 9,
            "completion_tokens_details": {"reasoning_tokens": 4}},
    });
    let acts =
        vec![reply(200, &[("x-request-id", "req-1")], &body.to_string()), reply(200, &[], &body.to_string())];
    let server = Server::script(acts).await;
    let response = lm(&server).complete(request()).await.unwrap();
    let read: Vec<_> =
        response.completions.iter().map(|c| (c.text.as_str(), c.finish, c.reasoning.as_deref())).collect();
    let expected = [
        ("first", FinishReason::Stop, Some("aha")),
        ("second", FinishReason::Length, Some("hm")),
        ("", FinishReason::ToolCalls, None),
        ("I will not.", FinishReason::ContentFilter, None),
        ("in parts", FinishReason::Other, Some("let me see")),
    ];
    assert_eq!(read, expected);
    assert_eq!(
        (response.usage.requests, response.usage.prompt_tokens, response.usage.completion_tokens),
        (1, 5, 9)
    );
    assert_eq!((response.usage.cost_usd, response.cached), (None, false));
    assert_eq!(response.model, "m-2026");
    assert_eq!(response.request_id.as_deref(), Some("req-1"));
    assert_eq!(lm(&server).complete(request()).await.unwrap().request_id.as_deref(), Some("body-id"));
}

#[tokio::test]
async fn what_can_be_missing_may_be_missing() {
    let bare = r#"{"choices":[{"message":{"content":"hi"}}],"usage":null,"error":null,"id":null}"#;
    let server = Server::script(vec![reply(200, &[("content-type", "text/plain")], bare)]).await;
    let response = lm(&server).complete(request()).await.unwrap();
    assert_eq!((response.completions[0].text.as_str(), response.model.as_str()), ("hi", "m"));
    assert_eq!((response.usage.requests, response.usage.total_tokens()), (1, 0));
}

#[tokio::test]
async fn sixty_four_calls_at_once_get_their_own_answers() {
    let server = Server::start(|_, seen| chat(seen.json()["messages"][0]["content"].as_str().unwrap())).await;
    let lm = lm(&server);
    let calls = (0..64).map(|number| {
        let lm = lm.clone();
        tokio::spawn(async move { (number, lm.ask(format!("question {number}")).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (number, answer) = call.await.unwrap();
        assert_eq!(answer.unwrap(), format!("question {number}"));
    }
    assert_eq!(server.seen().len(), 64);
}

#[tokio::test]
async fn values_that_json_lacks_are_refused_by_the_endpoint_not_by_a_panic() {
    let server = Server::script(vec![reply(400, &[], r#"{"error":{"message":"bad temperature"}}"#)]).await;
    let error = lm(&server).temperature(f64::NAN).ask("Hi").await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::InvalidRequest);
}
