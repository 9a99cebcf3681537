//! OpenAI's chat completions: what the tests of all protocols drive. Bodies of requests are in `payload`.

use dspy_lm::{Endpoint, FinishReason, LmErrorKind, Protocol, ToolCall};
use serde_json::{Value, json};

use crate::conformance::Described;
use dspy_test_server::protocols::events;
use dspy_test_server::{Server, chunks, reply};

fn endpoint(server: &Server) -> Endpoint {
    crate::endpoint(&server.url()).api_key("sk-key")
}

/// A reply to one choice, or a piece of it.
fn reply_of(choices: Value, usage: Value) -> Value {
    json!({"id": "chatcmpl-1", "model": "gpt-served", "choices": choices, "usage": usage})
}

fn piece(delta: Value, reason: Value) -> Value {
    reply_of(json!([{"index": 0, "delta": delta, "finish_reason": reason}]), Value::Null)
}

pub(crate) fn described() -> Described {
    let usage = json!({"prompt_tokens": 11, "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens": 7,
        "completion_tokens_details": {"reasoning_tokens": 5}});
    let call = json!({"id": "c1", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\": \"Paris\"}"}});
    let message = json!({"role": "assistant", "content": "Let me see.", "reasoning_content": "Hm. ", "tool_calls": [call]});
    let part = |arguments: &str| {
        piece(json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}), Value::Null)
    };
    let stream = events(&[
        piece(json!({"role": "assistant", "reasoning_content": "Hm"}), Value::Null),
        piece(json!({"reasoning_content": ". "}), Value::Null),
        piece(json!({"content": "Let me "}), Value::Null),
        piece(json!({"content": "see."}), Value::Null),
        piece(
            json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "weather", "arguments": ""}}]}),
            Value::Null,
        ),
        part("{\"city\": \"Pa"),
        part("ris\"}"),
        // Counts come with the reason to stop here; servers that send them after it are in `streaming`.
        reply_of(json!([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]), usage.clone()),
    ]) + "data: [DONE]\n\n";
    let choice = |member: &str, index: usize, said: Value, reason: Value| json!({"index": index, member: said, "finish_reason": reason});
    let said = |member: &str, index: usize, text: &str, reason: Value| {
        choice(member, index, json!({"content": text}), reason)
    };
    let several = reply_of(
        json!([said("message", 1, "two", json!("length")), said("message", 0, "one", json!("stop"))]),
        Value::Null,
    );
    let pieces = events(&[
        reply_of(
            json!([said("delta", 0, "o", Value::Null), said("delta", 1, "tw", Value::Null)]),
            Value::Null,
        ),
        reply_of(json!([said("delta", 1, "o", json!("length"))]), Value::Null),
        reply_of(json!([said("delta", 0, "ne", json!("stop"))]), Value::Null),
    ]) + "data: [DONE]\n\n";
    let refused = json!({"content": null, "refusal": "I will not."});
    let whole_refusal = reply_of(json!([choice("message", 0, refused.clone(), json!("stop"))]), Value::Null);
    let refused_stream = events(&[piece(refused, json!("stop"))]);
    Described {
        protocol: Protocol::Chat,
        endpoint,
        model: "m",
        whole: reply_of(json!([{"index": 0, "message": message, "finish_reason": "tool_calls"}]), usage),
        events: stream,
        spare: 1,
        calls: vec![ToolCall::new("weather", json!({"city": "Paris"})).with_id("c1")],
        opaque: None,
        served: ("gpt-served", "chatcmpl-1"),
        tokens: [11, 7, 3, 5],
        reasons: &[
            ("stop", FinishReason::Stop),
            ("length", FinishReason::Length),
            ("content_filter", FinishReason::ContentFilter),
            ("something_new", FinishReason::Other),
        ],
        refusals: vec![
            (reply(200, &[], &whole_refusal.to_string()), "I will not."),
            (chunks(&[refused_stream.as_bytes()], true), "I will not."),
        ],
        errors: vec![
            (
                reply(400, &[], r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#),
                LmErrorKind::ContextWindow,
            ),
            (reply(401, &[], r#"{"error":{"message":"x"}}"#), LmErrorKind::Auth),
            (reply(429, &[], r#"{"error":{"message":"x"}}"#), LmErrorKind::RateLimit),
            (reply(200, &[], r#"{"error":{"message":"x","code":503}}"#), LmErrorKind::Server),
            (reply(200, &[], r#"{"choices":[]}"#), LmErrorKind::Decode),
        ],
        errors_within: vec![
            (
                events(&[
                    piece(json!({"content": "Pa"}), Value::Null),
                    json!({"error": {"message": "no", "code": "content_filter"}}),
                ]),
                LmErrorKind::ContentFilter,
            ),
            (
                events(&[reply_of(json!([{"index": 99_999_999, "delta": {}}]), Value::Null)]),
                LmErrorKind::Decode,
            ),
            ("data: [DONE]\n\n".into(), LmErrorKind::Decode),
        ],
        several: Some((several, pieces)),
    }
}
