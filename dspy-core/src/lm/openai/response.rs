//! The body of a reply.

use serde::Deserialize;
use serde_json::Value;

use super::{logprobs, tools};
use crate::lm::transport::{Answer, Failure};
use crate::lm::wire::{completion_of, garbage};
use crate::lm::{Completion, FinishReason, LmErrorKind, Response, Usage};

// Whatever a reply can do without may be missing, null or of a surprising type: servers differ.

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u64>,
    message: Option<Turn>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Value,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Turn {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    reasoning_content: Value,
    #[serde(default)]
    reasoning: Value,
    #[serde(default)]
    refusal: Value,
    #[serde(default)]
    tool_calls: Value,
}

/// Reads a reply to the model of that name.
pub(super) fn read(answer: &Answer, model: &str) -> Result<Response, Failure> {
    let reply: Reply = serde_json::from_slice(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    if !reply.error.is_null() {
        return Err(Failure::of_error_member(&reply.error));
    }
    let mut choices = reply.choices.unwrap_or_default();
    if choices.is_empty() {
        return Err(Failure::new(LmErrorKind::Decode, "the reply holds no choices"));
    }
    choices.sort_by_key(|choice| choice.index);
    let completions = choices.into_iter().map(completion).collect::<Result<_, _>>()?;
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    Ok(Response {
        completions,
        usage: usage(&reply.usage),
        model: text(reply.model).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| text(reply.id)),
        cached: false,
    })
}

fn completion(choice: Choice) -> Result<Completion, Failure> {
    if !choice.error.is_null() {
        return Err(Failure::of_error_member(&choice.error));
    }
    let Some(turn) = choice.message else {
        return Err(Failure::new(LmErrorKind::Decode, "a choice of the reply holds no message"));
    };
    let (text, thoughts) = split_content(turn.content);
    let finish = finish_reason(choice.finish_reason.as_deref());
    let reasoning = [&turn.reasoning_content, &turn.reasoning].into_iter().find_map(Value::as_str);
    let reasoning = reasoning.map(str::to_owned).or(thoughts);
    let refusal = turn.refusal.as_str().map(str::to_owned);
    let completion = completion_of(text, reasoning, refusal, finish);
    let logprobs = logprobs::read(choice.logprobs.get("content"));
    Ok(Completion { tool_calls: tools::read_calls(turn.tool_calls), logprobs, ..completion })
}

pub(super) fn finish_reason(reason: Option<&str>) -> FinishReason {
    match reason {
        None | Some("stop" | "eos" | "end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("length" | "max_tokens" | "model_length") => FinishReason::Length,
        Some("content_filter" | "safety" | "refusal") => FinishReason::ContentFilter,
        Some("tool_calls" | "function_call" | "tool_use") => FinishReason::ToolCalls,
        Some(_) => FinishReason::Other,
    }
}

/// The text and the thoughts of a message, which come as one string or as a list of typed parts.
pub(super) fn split_content(content: Value) -> (String, Option<String>) {
    let parts = match content {
        Value::String(text) => return (text, None),
        Value::Array(parts) => parts,
        _ => return (String::new(), None),
    };
    let (mut text, mut thoughts) = (String::new(), String::new());
    for mut part in parts {
        if let Some(piece) = part.get("text").and_then(Value::as_str) {
            text.push_str(piece);
        } else if let Some(thinking) = part.get_mut("thinking") {
            thoughts.push_str(&split_content(thinking.take()).0);
        }
    }
    (text, Some(thoughts))
}

pub(super) fn usage(usage: &Value) -> Usage {
    // Not by `Value::pointer`, which unescapes every step: this is read with every reply.
    let count = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64).unwrap_or_default();
    let inner = |name: &str| usage.get(name).unwrap_or(&Value::Null);
    let (prompt, completion) = (inner("prompt_tokens_details"), inner("completion_tokens_details"));
    // DeepSeek has a name of its own for what its cache held.
    let read = count(prompt, "cached_tokens").max(count(usage, "prompt_cache_hit_tokens"));
    let mut total = Usage::tokens(count(usage, "prompt_tokens"), count(usage, "completion_tokens"))
        .prompt_cache(read, count(prompt, "cache_write_tokens"))
        .reasoning(count(completion, "reasoning_tokens"));
    total.cost_usd = cost(usage);
    total
}

/// The cost in US dollars, where an endpoint tells it.
fn cost(usage: &Value) -> Option<f64> {
    let dollars = |value: Option<&Value>| value?.as_f64().filter(|usd| *usd >= 0.0);
    // xAI counts in ten-billionths of a dollar.
    if let Some(ticks) = dollars(usage.get("cost_in_usd_ticks")) {
        return Some(ticks / 1e10);
    }
    // OpenRouter; with the user's own key at the provider, what the provider charges comes on top.
    let cost = dollars(usage.get("cost"))?;
    let own = usage.get("is_byok").and_then(Value::as_bool).unwrap_or_default();
    let upstream = || dollars(usage.get("cost_details")?.get("upstream_inference_cost"));
    if own { Some(cost + upstream()?) } else { Some(cost) }
}
