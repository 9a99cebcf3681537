//! The events of a streamed reply. The last one holds the whole reply.

use serde_json::{Value, json};

use super::response::reply_of;
use crate::network::transport::{Answer, Events, Failure};
use crate::protocols::wire::{BREAK, Progress, number, parse, string};
use crate::{Delta, LmErrorKind, Response};

/// More items than this are not a reply.
const MOST_ITEMS: usize = 4_096;

/// A reply that is arriving.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    /// The name that the model was asked by.
    name: &'a str,
    /// The items that are complete, for servers whose last event does not repeat them.
    items: Vec<(Option<u64>, Value)>,
    whole: Option<Value>,
    progress: Progress,
    /// What said the last text that was shown.
    speaker: Option<Value>,
    /// The thoughts themselves have been shown; their summary would say the same again.
    thoughts: bool,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Assembly {
            name,
            items: Vec::new(),
            whole: None,
            progress: Progress::default(),
            speaker: None,
            thoughts: false,
        }
    }
}

impl Events for Assembly<'_> {
    fn read(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let mut event = parse(data.as_bytes()).map_err(|error| {
            Failure::new(LmErrorKind::Decode, format!("an event cannot be read: {error}"))
        })?;
        let kind = string(event.get("type")).unwrap_or_default();
        Failure::check(&event)?;
        if kind.starts_with("response.") {
            self.progress.known();
        } else {
            self.progress.unknown(&event)?;
        }
        let more = event.get("delta").and_then(Value::as_str).unwrap_or_default();
        match kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" if !more.is_empty() => {
                // As in the whole reply.
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
                // Some servers number all items alike.
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

    fn finish(self, answer: &Answer) -> Result<Response, Failure> {
        let Assembly { name, mut items, whole, progress, .. } = self;
        let Some(mut whole) = whole else { return Err(progress.cut()) };
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
