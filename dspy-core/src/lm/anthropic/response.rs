//! The body of a reply.

use serde_json::Value;

use super::source;
use crate::lm::transport::{Answer, Failure};
use crate::lm::wire::{completion_of, garbage, read_arguments, string};
use crate::lm::{Completion, FinishReason, LmErrorKind, Response, ToolCall, Usage};

/// Reads a reply to the model of that name.
pub(super) fn read(answer: &Answer, model: &str) -> Result<Response, Failure> {
    let message: Value =
        serde_json::from_slice(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    message_of(message, answer, model)
}

/// Reads a message, as it came or as its events made it.
pub(super) fn message_of(mut message: Value, answer: &Answer, model: &str) -> Result<Response, Failure> {
    if let Some(error) = message.get("error").filter(|error| !error.is_null()) {
        return Err(Failure::of_error_member(error));
    }
    let Some(Value::Array(blocks)) = message.get_mut("content").map(Value::take) else {
        return Err(Failure::new(LmErrorKind::Decode, "the reply holds no content"));
    };
    let completion = completion(blocks, message.get("stop_reason").and_then(Value::as_str), model);
    Ok(Response {
        completions: vec![completion],
        usage: usage(&message["usage"]),
        model: string(message.get("model")).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| string(message.get("id"))),
        cached: false,
    })
}

fn completion(blocks: Vec<Value>, reason: Option<&str>, model: &str) -> Completion {
    let (mut text, mut thoughts, mut calls, mut signed) = (String::new(), String::new(), Vec::new(), false);
    for block in &blocks {
        let said = |member: &str| block.get(member).and_then(Value::as_str).unwrap_or_default();
        match said("type") {
            "text" => text.push_str(said("text")),
            "thinking" => {
                thoughts.push_str(said("thinking"));
                signed = true;
            }
            "redacted_thinking" => signed = true,
            "tool_use" if !said("name").is_empty() => {
                let arguments = read_arguments(block.get("input").cloned().unwrap_or_default());
                calls.push(ToolCall { id: string(block.get("id")), name: said("name").into(), arguments });
            }
            _ => {}
        }
    }
    let opaque = (signed && !calls.is_empty()).then(|| source(model).mark(blocks));
    let completion = completion_of(text, Some(thoughts), None, finish_reason(reason));
    Completion { tool_calls: calls, opaque, ..completion }
}

fn finish_reason(reason: Option<&str>) -> FinishReason {
    match reason {
        None | Some("end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("tool_use") => FinishReason::ToolCalls,
        Some("refusal") => FinishReason::ContentFilter,
        Some(_) => FinishReason::Other,
    }
}

/// What of the prompt went through the cache is not among the input tokens there.
pub(super) fn usage(usage: &Value) -> Usage {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let (read, written) = (count("/cache_read_input_tokens"), count("/cache_creation_input_tokens"));
    Usage::tokens(count("/input_tokens") + read + written, count("/output_tokens"))
        .prompt_cache(read, written)
        .reasoning(count("/output_tokens_details/thinking_tokens"))
}
