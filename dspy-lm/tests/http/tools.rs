//! Tools and reasoning on the wire.

use dspy_lm::{
    Endpoint, FinishReason, Message, Params, ReasoningEffort, Request, ToolCall, ToolChoice, ToolSpec,
};
use serde_json::{Value, json};

use crate::{endpoint, lm};
use dspy_test_server::{Server, chat, reply};

fn weather() -> ToolSpec {
    let parameters = json!({"type": "object", "title": "Args", "properties": {
        "city": {"type": "string", "x-aliases": ["town"]},
        "days": {"type": "integer", "format": "uint8", "minimum": 0},
    }, "required": ["city"]});
    ToolSpec::new("weather", "The weather in a city.", parameters)
}

fn request() -> Request {
    let mut request = Request::new(vec![Message::user("Weather in Paris?")]);
    request.tools = vec![weather()];
    request
}

#[tokio::test]
async fn tools_are_offered_without_what_endpoints_refuse() {
    let server = Server::script(vec![chat("ok")]).await;
    let sent = |request: Request| async {
        lm(&server).complete(request).await.unwrap();
        server.seen().last().unwrap().json()
    };
    let body = sent(request()).await;
    let expected = json!([{"type": "function", "function": {
        "name": "weather", "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string"}, "days": {"type": "integer", "minimum": 0},
        }, "required": ["city"], "additionalProperties": false},
    }}]);
    assert_eq!((&body["tools"], body.get("tool_choice")), (&expected, None));
    for (choice, expected) in [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Required, json!("required")),
        (ToolChoice::Named("weather".into()), json!({"type": "function", "function": {"name": "weather"}})),
    ] {
        let mut request = request();
        request.tool_choice = choice;
        assert_eq!(sent(request).await["tool_choice"], expected);
    }
}

#[tokio::test]
async fn calls_and_results_are_repeated_to_the_endpoint() {
    let server = Server::script(vec![chat("ok")]).await;
    let calls = [ToolCall::new("weather", json!({"city": "Paris"})).with_id("c1")];
    let messages = vec![
        Message::user("Weather?"),
        Message::calls("", calls.clone()),
        Message::tool_result("c1", "rain"),
        Message::calls("Let me see.", calls),
    ];
    lm(&server).complete(Request::new(messages)).await.unwrap();
    let call = json!({"id": "c1", "type": "function",
        "function": {"name": "weather", "arguments": r#"{"city":"Paris"}"#}});
    let expected = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c1"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
    ]);
    assert_eq!(server.seen()[0].json()["messages"], expected);
}

#[tokio::test]
async fn calls_are_read_in_every_form_that_servers_send() {
    let call = |id: Value, arguments: Value| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let calls = json!([
        call(json!("a"), json!(r#"{"x": 1}"#)),
        call(Value::Null, json!({"x": 2})),
        call(json!(""), json!("")),
        call(json!("d"), json!("{x: 3")),
        {"id": "e", "type": "odd"},
    ]);
    let body = json!({"choices": [{"message": {"content": null, "tool_calls": calls}, "finish_reason": "tool_calls"}]});
    let server = Server::script(vec![reply(200, &[], &body.to_string())]).await;
    let completion = lm(&server).complete(request()).await.unwrap().completions.remove(0);
    let expected = [
        ToolCall::new("f", json!({"x": 1})).with_id("a"),
        ToolCall::new("f", json!({"x": 2})),
        ToolCall::new("f", json!({})),
        ToolCall::new("f", json!("{x: 3")).with_id("d"),
    ];
    assert_eq!((completion.tool_calls, completion.finish), (expected.into(), FinishReason::ToolCalls));
}

#[tokio::test]
async fn the_effort_of_reasoning_is_said_in_the_endpoints_words() {
    let server = Server::script(vec![chat("ok")]).await;
    let mut params = Params::default();
    params.reasoning_effort = Some(ReasoningEffort::Low);
    endpoint(&server.url()).model("m").unwrap().with_params(params).ask("Hi").await.unwrap();
    assert_eq!(server.seen()[0].json()["reasoning_effort"], "low");
}

#[test]
fn what_providers_are_known_to_do() {
    // Keys are only looked at when something is sent.
    let lm = |provider: &str, model: &str| {
        Endpoint::provider(provider).unwrap().model(model).unwrap().capabilities()
    };
    assert!(lm("ollama", "gpt-oss:20b").reasoning);
    assert!(!lm("ollama", "llama3.2").reasoning);
    assert!(lm("vllm", "Qwen/Qwen3-8B").json_schema);
    assert!(!lm("vllm", "Qwen/Qwen3-8B").tools);
}

#[test]
fn whatever_changes_the_reply_changes_the_digest() {
    let plain = Request::new(vec![Message::user("Hi")]);
    let mut forced = request();
    forced.tool_choice = ToolChoice::Required;
    let mut thinking = plain.clone();
    thinking.params.reasoning_effort = Some(ReasoningEffort::High);
    let calls = |argument: &str| {
        let call = ToolCall::new("f", json!({"x": argument})).with_id("1");
        Request::new(vec![Message::calls("", [call])])
    };
    let result = Request::new(vec![Message::tool_result("1", "Hi")]);
    let all = [plain, request(), forced, thinking, calls("a"), calls("b"), result];
    let digests: std::collections::HashSet<_> = all.iter().map(Request::digest).collect();
    assert_eq!(digests.len(), all.len());
}
