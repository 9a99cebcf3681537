//! Decoding of a reply's body.

use serde_json::Value;

use super::calls::Building;
use super::{logprobs, plain, source, tools};
use crate::json::{count, dollars, number, parse, string};
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{completion_of, finish_reason, garbage};
use crate::{Completion, LmErrorKind, Response, Usage};

// Optional members may be missing, null or of an unexpected type, because servers differ.

/// Reads a reply to the model with this name.
pub(super) fn read(answer: &Answer, model: &str) -> Result<Response, Failure> {
    plain::read(answer, model).map_or_else(|| read_any(answer, model), Ok)
}

/// Reads a reply of any shape.
pub(super) fn read_any(answer: &Answer, model: &str) -> Result<Response, Failure> {
    let mut reply = parse(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    Failure::check(&reply)?;
    let mut choices = match reply.get_mut("choices").map(Value::take) {
        Some(Value::Array(choices)) if !choices.is_empty() => choices,
        _ => return Err(Failure::without("choices", &reply)),
    };
    choices.sort_by_key(|choice| number(choice.get("index")));
    let completions =
        choices.into_iter().map(|choice| completion(choice, model)).collect::<Result<_, _>>()?;
    Ok(Response {
        completions,
        usage: usage(reply.get("usage").unwrap_or(&Value::Null)),
        model: string(reply.get("model")).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| string(reply.get("id"))),
        cached: false,
    })
}

fn completion(mut choice: Value, model: &str) -> Result<Completion, Failure> {
    Failure::check(&choice)?;
    let Some(mut turn) = choice.get_mut("message").map(Value::take).filter(Value::is_object) else {
        return Err(Failure::new(LmErrorKind::Decode, "a choice of the reply holds no message"));
    };
    let mut take = |name: &str| turn.get_mut(name).map(Value::take).unwrap_or_default();
    let (text, thoughts) = split_content(take("content"));
    let finish = finish_reason(choice.get("finish_reason"))?.unwrap_or_default();
    let mut tool_calls = tools::read_calls(take("tool_calls"))?;
    if tool_calls.is_empty() {
        // The legacy form of a single call.
        tool_calls.extend(Building::legacy(&take("function_call"))?);
    }
    let details = match take("reasoning_details") {
        Value::Array(details) => details,
        _ => Vec::new(),
    };
    let reasoning = reasoning(&turn).map(str::to_owned).or(thoughts).or_else(|| detailed(&details));
    let completion = completion_of(text, reasoning, string(turn.get("refusal")), finish);
    let opaque = (!tool_calls.is_empty() && !details.is_empty()).then(|| source(model).mark(details));
    let logprobs = logprobs::read(choice.pointer("/logprobs/content"));
    Ok(Completion { tool_calls, logprobs, opaque, ..completion })
}

/// Returns the reasoning of a message. Some servers send both members, one of them empty.
pub(super) fn reasoning(turn: &Value) -> Option<&str> {
    let said = |name| turn.get(name).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
    ["reasoning_content", "reasoning"].into_iter().find_map(said)
}

/// Returns the readable part of OpenRouter's `reasoning_details`.
pub(super) fn detailed(details: &[Value]) -> Option<String> {
    let said = |detail: &Value| string(detail.get("text")).or_else(|| string(detail.get("summary")));
    let text: String = details.iter().filter_map(said).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// Splits the content of a message, a string or a list of typed parts, into the text and the reasoning.
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
    (text, Some(thoughts).filter(|thoughts| !thoughts.is_empty()))
}

pub(super) fn usage(usage: &Value) -> Usage {
    // Not with `Value::pointer`, which unescapes every step: this runs for every reply.
    let inner = |name: &str| usage.get(name).unwrap_or(&Value::Null);
    let (prompt, completion) = (inner("prompt_tokens_details"), inner("completion_tokens_details"));
    // DeepSeek has a different name for the tokens read from its cache.
    let read = count(prompt.get("cached_tokens")).max(count(usage.get("prompt_cache_hit_tokens")));
    let mut total = Usage::tokens(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")))
        .prompt_cache(read, count(prompt.get("cache_write_tokens")))
        .reasoning(count(completion.get("reasoning_tokens")));
    total.cost_usd = cost(usage);
    total
}

/// Returns the cost in US dollars, if the endpoint reports it.
fn cost(usage: &Value) -> Option<f64> {
    // xAI reports ten-billionths of a dollar.
    if let Some(ticks) = dollars(usage.get("cost_in_usd_ticks")) {
        return Some(ticks / 1e10);
    }
    // OpenRouter; with the user's own key at the provider, the provider's charge is added.
    let cost = dollars(usage.get("cost"))?;
    let own = usage.get("is_byok").and_then(Value::as_bool).unwrap_or_default();
    let upstream = || dollars(usage.get("cost_details")?.get("upstream_inference_cost"));
    if own { Some(cost + upstream()?) } else { Some(cost) }
}
