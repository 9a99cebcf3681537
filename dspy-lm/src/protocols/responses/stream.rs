//! The events of a streamed reply. The last one contains the whole reply.

use serde_json::{Value, json};

use super::response::reply_of;
use crate::json::number;
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{BREAK, Pieces};
use crate::{Delta, LmErrorKind, Response};

/// The maximum number of items in a reply.
const MOST_ITEMS: usize = 4_096;

/// The items so far.
#[derive(Debug, Default)]
pub(crate) struct ResponseStream {
    /// The complete items, for servers whose last event does not repeat them.
    items: Vec<(Option<u64>, Value)>,
    whole: Option<Value>,
    /// The source of the last text delta.
    speaker: Option<Value>,
    /// Whether the reasoning itself was streamed, so that its summary would repeat it.
    thoughts: bool,
}

/// Returns the type of an event.
fn kind(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

impl Pieces for ResponseStream {
    fn knows(event: &Value) -> bool {
        kind(event).starts_with("response.")
    }

    fn add(&mut self, mut event: Value, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        let kind = kind(&event).to_owned();
        let more = event.get("delta").and_then(Value::as_str).unwrap_or_default();
        match kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" if !more.is_empty() => {
                // The same as in the whole reply.
                let member = |name: &str| event.get(name).cloned().unwrap_or_default();
                let item = [member("output_index"), member("item_id")];
                let speaker = json!([item, kind.starts_with("response.refusal")]);
                if self.speaker.as_ref().is_some_and(|last| *last != speaker) {
                    deltas.push(Delta::Text(BREAK.into()));
                }
                self.speaker = Some(speaker);
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
                let index = number(event.get("output_index"));
                let item = event.get_mut("item").map(Value::take).unwrap_or_default();
                // Some servers send the same number for all items.
                let same =
                    |known: &(Option<u64>, Value)| known.0 == index && known.1.get("id") == item.get("id");
                match self.items.iter().position(same).filter(|_| index.is_some()) {
                    Some(at) => self.items[at].1 = item,
                    None if self.items.len() < MOST_ITEMS => self.items.push((index, item)),
                    None => return Err(Failure::new(LmErrorKind::Decode, "the reply holds too many items")),
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                self.whole = Some(event.get_mut("response").map(Value::take).unwrap_or_default());
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn is_complete(&self) -> Result<bool, Failure> {
        Ok(self.whole.is_some())
    }

    fn finish(self, name: &str, answer: &Answer) -> Result<Response, Failure> {
        let ResponseStream { mut items, whole, .. } = self;
        let mut whole = whole.unwrap_or_default();
        let empty = whole.get("output").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if empty && !items.is_empty() && whole.is_object() {
            if items.iter().all(|(index, _)| index.is_some()) {
                items.sort_by_key(|(index, _)| *index);
            }
            whole["output"] = items.into_iter().map(|(_, item)| item).collect();
        }
        reply_of(whole, answer, name)
    }
}
