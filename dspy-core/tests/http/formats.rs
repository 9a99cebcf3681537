//! Reply formats on the wire, and endpoints that refuse them although they are said to take them.

use std::sync::Arc;

use dspy_core::adapter::{Adapter, JsonAdapter};
use dspy_core::lm::{Capabilities, Lm, LmErrorKind, Message, Request, ResponseFormat};
use dspy_core::signature::SignatureSpec;
use serde_json::{Value, json};

use crate::endpoint;
use dspy_test_server::{Act, Seen, Server, chat, reply};

const ALL: Capabilities = Capabilities::NONE.json_object(true).json_schema(true).strict(true);

fn lm(server: &Server, capabilities: Capabilities) -> Lm {
    endpoint(&server.url()).capabilities(capabilities).model("m").unwrap()
}

fn request(signature: &str) -> Request {
    let spec: SignatureSpec = signature.parse().unwrap();
    let mut request = Request::new(vec![Message::user("Reply in JSON.")]);
    request.format = JsonAdapter.format(&spec, ALL);
    request
}

/// The kind of format in a request, and whether it is strict.
fn asked(seen: &Seen) -> String {
    let format = &seen.json()["response_format"];
    let strict = if format["json_schema"]["strict"] == true { "strict " } else { "" };
    format!("{strict}{}", format["type"].as_str().unwrap_or("text"))
}

fn refuse(message: &str) -> Act {
    reply(400, &[], &json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string())
}

#[tokio::test]
async fn strict_schemas_are_closed_and_complete() {
    let server = Server::script(vec![chat("{}")]).await;
    let lm = lm(&server, ALL);
    let asked = request("question -> answer: Optional[int], kind: Literal['a', 'b'], tags: list[str]");
    lm.complete(asked).await.unwrap();
    let expected = json!({"type": "json_schema", "json_schema": {"name": "StringSignature", "strict": true, "schema": {
        "type": "object",
        "properties": {
            "answer": {"type": ["integer", "null"]},
            "kind": {"enum": ["a", "b"], "type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["answer", "kind", "tags"],
        "additionalProperties": false,
    }}});
    let mut sent = server.seen()[0].json()["response_format"].clone();
    sent["json_schema"]["name"] = "StringSignature".into();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn maps_are_sent_without_being_strict() {
    let server = Server::script(vec![chat("{}")]).await;
    lm(&server, ALL).complete(request("question -> counts: dict[str, int]")).await.unwrap();
    let format = server.seen()[0].json()["response_format"]["json_schema"].clone();
    assert_eq!(format["strict"], false);
    assert_eq!(
        format["schema"]["properties"]["counts"],
        json!({"type": "object", "additionalProperties": {"type": "integer"}})
    );
}

/// A server that takes formats up to a strength and refuses the others in `words`.
async fn picky(takes: &'static [&'static str], words: &'static str) -> Server {
    Server::start(move |_, seen| {
        if takes.contains(&asked(seen).as_str()) { chat(r#"{"answer": "x"}"#) } else { refuse(words) }
    })
    .await
}

#[tokio::test]
async fn an_endpoint_without_schemas_is_asked_for_an_object_from_then_on() {
    let server = picky(&["json_object", "text"], "This response_format type is unavailable now").await;
    let lm = lm(&server, ALL);
    lm.complete(request("question -> answer")).await.unwrap();
    lm.clone().complete(request("question -> answer")).await.unwrap();
    lm.complete(request("other -> number: int")).await.unwrap();
    let asked: Vec<_> = server.seen().iter().map(asked).collect();
    assert_eq!(asked, ["strict json_schema", "json_schema", "json_object", "json_object", "json_object"]);
}

#[tokio::test]
async fn a_refused_schema_is_not_the_fault_of_the_others() {
    let words = "Invalid schema for response_format 'x': In context=(), 'anyOf' is not permitted.";
    let server = Server::start(move |_, seen| {
        let bad = asked(seen) == "strict json_schema" && seen.json().to_string().contains("number");
        if bad { refuse(words) } else { chat("{}") }
    })
    .await;
    let lm = lm(&server, ALL);
    let bad = request("question -> number: int");
    for request in [bad.clone(), bad, request("question -> answer")] {
        lm.complete(request).await.unwrap();
    }
    let asked: Vec<_> = server.seen().iter().map(asked).collect();
    assert_eq!(asked, ["strict json_schema", "json_schema", "json_schema", "strict json_schema"]);
}

#[tokio::test]
async fn a_reply_that_the_endpoint_itself_refuses_is_asked_for_again_and_not_remembered() {
    let server = Server::start(|number, _| {
        let words = "Failed to generate JSON for response_format. (json_validate_failed)";
        if number == 0 { refuse(words) } else { chat("{}") }
    })
    .await;
    let lm = lm(&server, ALL);
    let request = request("question -> answer");
    lm.complete(request.clone()).await.unwrap();
    lm.complete(request).await.unwrap();
    let asked: Vec<_> = server.seen().iter().map(asked).collect();
    assert_eq!(asked, ["strict json_schema", "json_schema", "strict json_schema"]);
}

#[tokio::test]
async fn other_errors_are_not_taken_for_refusals() {
    for (act, kind) in [
        (refuse("max_tokens is too large"), LmErrorKind::InvalidRequest),
        (refuse("Invalid schema for function 'search': no type"), LmErrorKind::InvalidRequest),
        (reply(401, &[], r#"{"error":{"message":"response_format is not supported"}}"#), LmErrorKind::Auth),
    ] {
        let server = Server::script(vec![act]).await;
        let error = lm(&server, ALL).complete(request("question -> answer")).await.unwrap_err();
        assert_eq!((error.kind, server.seen().len()), (kind, 1), "{error}");
    }
    // An endpoint that refuses everything in these words is asked once for each format.
    let server = picky(&[], "response_format is not supported").await;
    let error = lm(&server, ALL).complete(request("question -> answer")).await.unwrap_err();
    assert_eq!((error.kind, server.seen().len()), (LmErrorKind::InvalidRequest, 4));
}

#[tokio::test]
async fn a_schema_that_is_no_object_is_not_enforced() {
    let server = Server::script(vec![chat("[]")]).await;
    let mut request = Request::new(vec![Message::user("List.")]);
    request.format = ResponseFormat::JsonSchema {
        name: "list".into(),
        schema: Arc::new(json!({"type": "array", "items": {"type": "string"}})),
    };
    lm(&server, ALL).complete(request).await.unwrap();
    assert_eq!(server.seen()[0].json().get("response_format"), None::<&Value>);
}
