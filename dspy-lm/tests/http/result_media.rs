//! Images in the results of tools, on the wire of each protocol.

use dspy_lm::{Capabilities, Message, Part, Protocol, Request, ToolCall};
use dspy_test_server::protocols::{ALL, speaking, whole};
use dspy_test_server::{Server, reply};
use serde_json::{Value, json};

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";
const SHOWN: &str = "Before: <image image/png, 9 bytes>";

/// Returns the part of the body with the conversation after two calls, the first of which has returned an image.
async fn sent(protocol: Protocol, able: Capabilities) -> Value {
    let server =
        Server::script(vec![reply(200, &[], &whole(protocol, "ok", &Value::Null).to_string())]).await;
    let call = |id: &str| ToolCall::new("look", json!({})).with_id(id);
    let request = Request::new(vec![
        Message::user("Look."),
        Message::calls("", [call("a"), call("b")]),
        Message::tool_result_parts("a", [Part::Text("Before: ".into()), Part::image(PIXEL)]),
        Message::tool_result("b", "nothing"),
        Message::user("So?"),
    ]);
    let lm = speaking(&server, protocol).capabilities(able).model("m").unwrap();
    lm.complete(request).await.unwrap();
    let body = server.seen()[0].json();
    let name = match protocol {
        Protocol::Responses => "input",
        Protocol::Gemini => "contents",
        _ => "messages",
    };
    body[name].clone()
}

const ABLE: Capabilities = Capabilities::NONE.tools(true).images(true);

#[tokio::test]
async fn anthropic_has_them_in_the_result() {
    let messages = sent(Protocol::Anthropic, ABLE).await;
    let image = json!({"type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}});
    let expected = json!([
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "Before: "}, image]},
        {"type": "tool_result", "tool_use_id": "b", "content": "nothing"},
        {"type": "text", "text": "So?"},
    ]);
    assert_eq!(messages[2]["content"], expected);
}

#[tokio::test]
async fn responses_have_them_in_the_result() {
    let items = sent(Protocol::Responses, ABLE).await;
    let output = json!([
        {"type": "input_text", "text": "Before: "},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
    ]);
    assert_eq!(items[3], json!({"type": "function_call_output", "call_id": "a", "output": output}));
    assert_eq!(items[4]["output"], "nothing");
}

#[tokio::test]
async fn chat_completions_have_them_after_all_results() {
    let messages = sent(Protocol::Chat, ABLE).await;
    let image = json!({"type": "image_url", "image_url": {"url": PIXEL}});
    let expected = json!([
        {"role": "tool", "content": SHOWN, "tool_call_id": "a"},
        {"role": "tool", "content": "nothing", "tool_call_id": "b"},
        {"role": "user", "content": [{"type": "text", "text": "In the result of the call a:"}, image]},
        {"role": "user", "content": "So?"},
    ]);
    assert_eq!(messages.as_array().unwrap()[2..], *expected.as_array().unwrap());
}

#[tokio::test]
async fn gemini_has_them_after_all_results() {
    let contents = sent(Protocol::Gemini, ABLE).await;
    let response = |text: &str| json!({"functionResponse": {"name": "look", "response": {"result": text}}});
    let expected = json!([
        response(SHOWN),
        response("nothing"),
        {"text": "In the result of the call a:"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        {"text": "So?"},
    ]);
    assert_eq!(contents[2]["parts"], expected);
}

#[tokio::test]
async fn a_model_that_sees_no_images_reads_that_there_is_one() {
    for protocol in ALL {
        let sent = sent(protocol, ABLE.images(false)).await.to_string();
        assert!(sent.contains("<image image/png, 9 bytes>"), "{protocol:?}: {sent}");
        assert!(!sent.contains("iVBOR"), "{protocol:?}: {sent}");
    }
}
