//! The events of a streamed reply. The last one holds the whole reply.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::response::reply_of;
use crate::lm::transport::{Answer, Events, Failure};
use crate::lm::{Delta, LmErrorKind, Response};

/// A reply that is arriving.
#[derive(Debug)]
pub(in crate::lm) struct Assembly<'a> {
    /// The name that the model was asked by.
    name: &'a str,
    /// The items that are complete, for servers whose last event does not repeat them.
    items: BTreeMap<u64, Value>,
    whole: Option<Value>,
    begun: bool,
    /// The thoughts themselves have been shown; their summary would say the same again.
    thoughts: bool,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Assembly { name, items: BTreeMap::new(), whole: None, begun: false, thoughts: false }
    }
}

impl Events for Assembly<'_> {
    fn read(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let mut event: Value = serde_json::from_str(data).map_err(|error| {
            Failure::new(LmErrorKind::Decode, format!("an event cannot be read: {error}"))
        })?;
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            return Err(Failure::of_error_member(error));
        }
        if kind == "error" {
            // The type of the event says nothing about the error.
            event["type"] = Value::Null;
            return Err(Failure::of_error_member(&event));
        }
        self.begun |= kind.starts_with("response.");
        let more = event.get("delta").and_then(Value::as_str).unwrap_or_default();
        match kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" if !more.is_empty() => {
                deltas.push(Delta::Text(more.into()));
            }
            "response.reasoning_text.delta" if !more.is_empty() => {
                self.thoughts = true;
                deltas.push(Delta::Reasoning(more.into()));
            }
            "response.reasoning_summary_text.delta" if !more.is_empty() && !self.thoughts => {
                deltas.push(Delta::Reasoning(more.into()));
            }
            "response.output_item.done" => {
                let index = event.get("output_index").and_then(Value::as_u64);
                let index = index.unwrap_or(self.items.len() as u64);
                self.items.insert(index, event["item"].take());
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                self.whole = Some(event["response"].take());
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn finish(self, answer: &Answer) -> Result<Response, Failure> {
        let Assembly { name, items, whole, begun, .. } = self;
        let Some(mut whole) = whole else {
            let (kind, message) = if begun {
                (LmErrorKind::Transport, "the stream ended before the reply did")
            } else {
                (LmErrorKind::Decode, "the stream holds no response")
            };
            return Err(Failure::new(kind, message));
        };
        let empty = whole.get("output").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if empty && !items.is_empty() && whole.is_object() {
            whole["output"] = json!(items.into_values().collect::<Vec<_>>());
        }
        reply_of(whole, answer, name)
    }
}
