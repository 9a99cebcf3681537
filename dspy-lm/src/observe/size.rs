//! Approximate sizes of requests and answers in memory.

use crate::{Completion, Content, Message, Part, Request, Response, TokenLogprob, ToolCall};

/// Returns the approximate size of a request in bytes. Shared strings count in full.
pub fn request(request: &Request) -> usize {
    let asked: usize = request.messages.iter().map(message_size).sum();
    let tools: usize =
        request.tools.iter().map(|tool| tool.description.len() + json_size(&tool.parameters)).sum();
    let extra: usize = request.params.extra.values().map(json_size).sum();
    asked + tools + extra
}

/// Returns the approximate size of an answer in bytes.
pub fn response(response: &Response) -> usize {
    response.completions.iter().map(completion_size).sum()
}

fn message_size(message: &Message) -> usize {
    let content = match &message.content {
        Content::Text(text) => text.len(),
        Content::Parts(parts) => parts_size(parts),
        Content::Calls { text, calls, opaque } => {
            let opaque = opaque.as_deref().map_or(0, json_size);
            text.len() + calls.iter().map(call_size).sum::<usize>() + opaque
        }
        Content::ToolResult { id, text, parts } => id.len() + text.len() + parts_size(parts),
    };
    size_of::<Message>() + content
}

fn parts_size(parts: &[Part]) -> usize {
    let size = |part: &Part| match part {
        Part::Text(text) => text.len() + 32,
        Part::Media(media) => media.url.len() + 64,
    };
    parts.iter().map(size).sum()
}

fn completion_size(completion: &Completion) -> usize {
    let calls: usize = completion.tool_calls.iter().map(call_size).sum();
    let logprobs = completion.logprobs.iter().map(|token| {
        let others: usize = token.top.iter().map(|(other, _)| 32 + other.len()).sum();
        size_of::<TokenLogprob>() + token.token.len() + others
    });
    size_of::<Completion>()
        + completion.text.len()
        + logprobs.sum::<usize>()
        + completion.reasoning.as_deref().map_or(0, str::len)
        + completion.opaque.as_ref().map_or(0, json_size)
        + calls
}

fn call_size(call: &ToolCall) -> usize {
    size_of::<ToolCall>() + call.name.len() + json_size(&call.arguments)
}

/// Returns the approximate size of a JSON value in bytes.
fn json_size(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    let own = size_of::<Value>();
    own + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_size).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| 48 + name.len() + json_size(value)).sum()
        }
        _ => 0,
    }
}
