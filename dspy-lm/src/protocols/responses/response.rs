//! Decoding of a reply's body.

use serde_json::Value;

use super::source;
use crate::json::{count, dollars, parse, string};
use crate::network::transport::{Answer, Failure};
use crate::protocols::openai::read_logprobs;
use crate::protocols::wire::{BREAK, completion_of, finish_reason, garbage, read_arguments};
use crate::{Completion, FinishReason, LmErrorKind, Response, ToolCall, Usage};

/// Reads a reply to the model with this name.
pub(super) fn read(answer: &Answer, model: &str) -> Result<Response, Failure> {
    let reply = parse(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    reply_of(reply, answer, model)
}

/// Reads a reply, as received or from the last event of a stream.
pub(super) fn reply_of(mut reply: Value, answer: &Answer, model: &str) -> Result<Response, Failure> {
    Failure::check(&reply)?;
    if reply.get("status").is_some_and(|status| status == "failed" || status == "cancelled") {
        return Err(Failure::new(LmErrorKind::Server, "the response failed, and no reason was given"));
    }
    let Some(Value::Array(items)) = reply.get_mut("output").map(Value::take) else {
        return Err(Failure::without("output", &reply));
    };
    let incomplete = match finish_reason(reply.pointer("/incomplete_details/reason"))? {
        // An incomplete reply did not end regularly, whatever reason is given.
        Some(FinishReason::Stop | FinishReason::ToolCalls) => Some(FinishReason::Other),
        None if is_incomplete(&reply) || items.iter().any(is_cut) => Some(FinishReason::Other),
        reason => reason,
    };
    Ok(Response {
        completions: vec![completion(items, incomplete, model)],
        usage: usage(reply.get("usage").unwrap_or(&Value::Null)),
        model: string(reply.get("model")).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| string(reply.get("id"))),
        cached: false,
    })
}

/// Returns whether a reply or one of its items is marked as incomplete.
fn is_incomplete(part: &Value) -> bool {
    let status = part.get("status").and_then(Value::as_str).unwrap_or_default();
    matches!(status, "incomplete" | "in_progress" | "queued")
}

/// Returns whether an item that is a part of the reply is incomplete.
fn is_cut(item: &Value) -> bool {
    let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
    matches!(kind, "message" | "function_call") && is_incomplete(item)
}

fn completion(items: Vec<Value>, incomplete: Option<FinishReason>, model: &str) -> Completion {
    let (mut text, mut refusal, mut thoughts) = (String::new(), String::new(), String::new());
    let (mut calls, mut logprobs, mut sealed) = (Vec::new(), Vec::new(), false);
    for item in &items {
        let parts = |name: &str| item.get(name).and_then(Value::as_array).into_iter().flatten();
        let said = |part: &Value, name: &str| string(part.get(name)).unwrap_or_default();
        match item.get("type").and_then(Value::as_str) {
            Some("message") => {
                let more: String = parts("content").map(|part| said(part, "text")).collect();
                // Each message is a separate paragraph, such as the text before and after a search.
                if !text.is_empty() && !more.is_empty() {
                    text.push_str(BREAK);
                }
                text.push_str(&more);
                for part in parts("content") {
                    refusal.push_str(&said(part, "refusal"));
                    logprobs.extend(read_logprobs(part.get("logprobs")));
                }
            }
            Some("reasoning") => {
                // Open models return the reasoning itself, OpenAI's models a summary.
                let shown: String = parts("content").map(|part| said(part, "text")).collect();
                let summary = || parts("summary").map(|part| said(part, "text")).collect();
                thoughts.push_str(&if shown.is_empty() { summary() } else { shown });
                sealed |= string(item.get("encrypted_content")).is_some();
            }
            Some("function_call") => {
                let Some(name) = string(item.get("name")) else { continue };
                let id = string(item.get("call_id")).or_else(|| string(item.get("id")));
                let arguments = read_arguments(item.get("arguments").cloned().unwrap_or_default());
                calls.push(ToolCall { id, name, arguments });
            }
            _ => {}
        }
    }
    let finish = match incomplete {
        Some(reason) => reason,
        None if calls.is_empty() => FinishReason::Stop,
        None => FinishReason::ToolCalls,
    };
    let opaque = (sealed && !calls.is_empty()).then(|| source(model).mark(items));
    let completion = completion_of(text, Some(thoughts), Some(refusal), finish);
    Completion { tool_calls: calls, logprobs, opaque, ..completion }
}

fn usage(usage: &Value) -> Usage {
    let count = |path: &str| count(usage.pointer(path));
    let mut read = Usage::tokens(count("/input_tokens"), count("/output_tokens"))
        .prompt_cache(
            count("/input_tokens_details/cached_tokens"),
            count("/input_tokens_details/cache_write_tokens"),
        )
        .reasoning(count("/output_tokens_details/reasoning_tokens"));
    read.cost_usd = dollars(usage.get("cost"));
    read
}
