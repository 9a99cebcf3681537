//! Decoding of a reply's body.

use serde_json::Value;

use super::source;
use crate::json::{count, parse, string};
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{completion_of, finish_reason, garbage, read_arguments};
use crate::{Completion, FinishReason, Response, ToolCall, Usage};

/// Reads a reply to the model with this name.
pub(super) fn read(answer: &Answer, model: &str) -> Result<Response, Failure> {
    let message = parse(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    message_of(message, answer, model)
}

/// Reads a message, as received or as assembled from events.
pub(super) fn message_of(mut message: Value, answer: &Answer, model: &str) -> Result<Response, Failure> {
    Failure::check(&message)?;
    let finish = finish_reason(message.get("stop_reason"))?;
    let blocks = match message.get_mut("content").map(Value::take) {
        Some(Value::Array(blocks)) => blocks,
        // A refusal may have no content.
        Some(Value::Null) | None if finish == Some(FinishReason::ContentFilter) => Vec::new(),
        _ => return Err(Failure::without("content", &message)),
    };
    // The reason for a refusal is given beside the content.
    let said = string(message.pointer("/stop_details/explanation"));
    let refusal = said.filter(|_| finish == Some(FinishReason::ContentFilter));
    let completion = completion(blocks, finish.unwrap_or_default(), refusal, model);
    Ok(Response {
        completions: vec![completion],
        usage: usage(message.get("usage").unwrap_or(&Value::Null)),
        model: string(message.get("model")).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| string(message.get("id"))),
        cached: false,
    })
}

fn completion(blocks: Vec<Value>, finish: FinishReason, refusal: Option<String>, model: &str) -> Completion {
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
    let completion = completion_of(text, Some(thoughts), refusal, finish);
    Completion { tool_calls: calls, opaque, ..completion }
}

/// Reads the usage. The cached part of the prompt is not included in the input tokens there.
pub(super) fn usage(usage: &Value) -> Usage {
    let count = |path: &str| count(usage.pointer(path));
    let (read, written) = (count("/cache_read_input_tokens"), count("/cache_creation_input_tokens"));
    let sent = count("/input_tokens").saturating_add(read).saturating_add(written);
    Usage::tokens(sent, count("/output_tokens"))
        .prompt_cache(read, written)
        .reasoning(count("/output_tokens_details/thinking_tokens"))
}
