//! Decoding of a reply's body.

use serde_json::Value;

use super::source;
use crate::json::{count, parse, string};
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{completion_of, finish_reason, garbage, read_arguments};
use crate::{Completion, FinishReason, LmErrorKind, Response, TokenLogprob, ToolCall, Usage};

/// Reads a reply to the model with this name.
pub(super) fn read(answer: &Answer, model: &str) -> Result<Response, Failure> {
    let reply = parse(&answer.body).map_err(|error| garbage(&answer.body, &error))?;
    reply_of(reply, answer, model)
}

/// Reads a reply, as received or as assembled from events.
pub(super) fn reply_of(mut reply: Value, answer: &Answer, model: &str) -> Result<Response, Failure> {
    check(&reply)?;
    let mut candidates = match reply.get_mut("candidates").map(Value::take) {
        Some(Value::Array(candidates)) if !candidates.is_empty() => candidates,
        _ => return Err(Failure::without("candidates", &reply)),
    };
    candidates.sort_by_key(|candidate| count(candidate.get("index")));
    let completions =
        candidates.into_iter().map(|candidate| completion(candidate, model)).collect::<Result<_, _>>()?;
    Ok(Response {
        completions,
        usage: usage(reply.get("usageMetadata").unwrap_or(&Value::Null)),
        model: string(reply.get("modelVersion")).unwrap_or_else(|| model.to_owned()),
        request_id: answer.request_id.clone().or_else(|| string(reply.get("responseId"))),
        cached: false,
    })
}

/// Returns an error for an error sent with a success status, or a refused prompt.
pub(super) fn check(reply: &Value) -> Result<(), Failure> {
    Failure::check(reply)?;
    if let Some(reason) = string(reply.pointer("/promptFeedback/blockReason")) {
        let said = string(reply.pointer("/promptFeedback/blockReasonMessage"));
        let message = said.unwrap_or_else(|| format!("the prompt was refused: {reason}"));
        return Err(Failure::new(LmErrorKind::ContentFilter, message));
    }
    Ok(())
}

fn completion(mut candidate: Value, model: &str) -> Result<Completion, Failure> {
    let parts = match candidate.pointer_mut("/content/parts").map(Value::take) {
        Some(Value::Array(parts)) => parts,
        _ => Vec::new(),
    };
    let (mut text, mut thoughts, mut calls, mut signed) = (String::new(), String::new(), Vec::new(), false);
    for part in &parts {
        signed |= part.get("thoughtSignature").is_some();
        let said = part.get("text").and_then(Value::as_str).unwrap_or_default();
        if is_thought(part) {
            thoughts.push_str(said);
        } else {
            text.push_str(said);
        }
        if let Some(call) = part.get("functionCall")
            && let Some(name) = string(call.get("name"))
        {
            let arguments = read_arguments(call.get("args").cloned().unwrap_or_default());
            calls.push(ToolCall { id: string(call.get("id")), name, arguments });
        }
    }
    let mut finish = finish_reason(candidate.get("finishReason"))?.unwrap_or_default();
    if finish == FinishReason::Stop && !calls.is_empty() {
        finish = FinishReason::ToolCalls;
    }
    let opaque = (signed && !calls.is_empty()).then(|| source(model).mark(parts));
    let logprobs = logprobs(candidate.get("logprobsResult").unwrap_or(&Value::Null));
    // The reason for stopping a candidate is given beside its content.
    let said = string(candidate.get("finishMessage"));
    let refusal = said.filter(|_| finish == FinishReason::ContentFilter && text.trim().is_empty());
    let completion = completion_of(text, Some(thoughts), refusal, finish);
    Ok(Completion { tool_calls: calls, opaque, logprobs, ..completion })
}

/// Returns whether a part is a summary of the reasoning.
pub(super) fn is_thought(part: &Value) -> bool {
    part.get("thought").and_then(Value::as_bool).unwrap_or_default()
}

fn logprobs(result: &Value) -> Vec<TokenLogprob> {
    let pair = |entry: &Value| {
        Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logProbability")?.as_f64()?))
    };
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let top = list(result.get("topCandidates"));
    let chosen = list(result.get("chosenCandidates")).into_iter().enumerate();
    let read = chosen.filter_map(|(at, entry)| {
        let (token, logprob) = pair(&entry)?;
        let top = list(top.get(at).and_then(|place| place.get("candidates")));
        Some(TokenLogprob { token, logprob, top: top.iter().filter_map(pair).collect() })
    });
    read.collect()
}

/// Reads the usage. Reasoning tokens are not included in the candidates' tokens there.
fn usage(usage: &Value) -> Usage {
    let count = |name: &str| count(usage.get(name));
    let thoughts = count("thoughtsTokenCount");
    Usage::tokens(
        count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        count("candidatesTokenCount").saturating_add(thoughts),
    )
    .prompt_cache(count("cachedContentTokenCount"), 0)
    .reasoning(thoughts)
}
