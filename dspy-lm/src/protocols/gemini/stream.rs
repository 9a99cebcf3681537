//! The events of a streamed reply: each is a reply of its own, with the next parts.

use serde_json::{Map, Value, json};

use super::response::{check, is_thought, reply_of};
use crate::network::transport::{Answer, Events, Failure};
use crate::protocols::wire::{Progress, finish_reason, number, parse};
use crate::{Delta, LmErrorKind, Response};

/// More candidates than this were not asked for.
const MOST_CANDIDATES: usize = 128;

/// A reply, put together from its events.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    /// The name that the model was asked by.
    name: &'a str,
    reply: Map<String, Value>,
    candidates: Vec<Building>,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Building {
    parts: Vec<Value>,
    members: Map<String, Value>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Assembly { name, reply: Map::new(), candidates: Vec::new(), progress: Progress::default() }
    }

    fn candidate(&mut self, at: usize, mut candidate: Value, deltas: &mut Vec<Delta>) -> Result<(), Failure> {
        let index =
            number(candidate.get("index")).map_or(at, |index| usize::try_from(index).unwrap_or(usize::MAX));
        if index >= MOST_CANDIDATES {
            let message = "the reply numbers its candidates beyond all measure";
            return Err(Failure::new(LmErrorKind::Decode, message));
        }
        if self.candidates.len() <= index {
            self.candidates.resize_with(index + 1, Building::default);
        }
        let building = &mut self.candidates[index];
        let parts = candidate.pointer_mut("/content/parts").map(Value::take);
        for part in parts.as_ref().and_then(Value::as_array).into_iter().flatten() {
            let said = part.get("text").and_then(Value::as_str).unwrap_or_default();
            // Whoever watches sees one reply.
            if index == 0 && !said.is_empty() {
                let thought = is_thought(part);
                deltas.push(if thought { Delta::Reasoning(said.into()) } else { Delta::Text(said.into()) });
            }
            building.add(part);
        }
        let Value::Object(members) = candidate else { return Ok(()) };
        for (name, value) in members.into_iter().filter(|(name, _)| name != "content") {
            match (building.members.get_mut(&name), value) {
                // Log-probabilities come with the parts that they are of.
                (Some(Value::Object(own)), Value::Object(more)) if name == "logprobsResult" => {
                    append(own, more);
                }
                (_, Value::Null) => {}
                (_, value) => drop(building.members.insert(name, value)),
            }
        }
        Ok(())
    }
}

/// Adds lists to lists.
fn append(own: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (own.get_mut(&name), value) {
            (Some(Value::Array(own)), Value::Array(more)) => own.extend(more),
            (_, value) => drop(own.insert(name, value)),
        }
    }
}

impl Building {
    /// Takes in a part; a text that goes on becomes one with what came before.
    fn add(&mut self, part: &Value) {
        let text_only = |part: &Value| {
            part.as_object().is_some_and(|members| {
                members.keys().all(|name| name == "text" || name == "thought") && members.contains_key("text")
            })
        };
        if let Some(last) = self.parts.last_mut()
            && text_only(part)
            && text_only(last)
            && is_thought(part) == is_thought(last)
            && let (Some(Value::String(text)), Some(Value::String(more))) =
                (last.get_mut("text"), part.get("text"))
        {
            text.push_str(more);
            return;
        }
        self.parts.push(part.clone());
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
        check(&event)?;
        if event.get("candidates").or_else(|| event.get("usageMetadata")).is_some() {
            self.progress.known();
        } else {
            self.progress.unknown(&event)?;
        }
        let candidates = event.get_mut("candidates").map(Value::take);
        if let Some(Value::Array(candidates)) = candidates {
            for (at, candidate) in candidates.into_iter().enumerate() {
                self.candidate(at, candidate, deltas)?;
            }
        }
        // The counts are the totals so far.
        let Value::Object(members) = event else { return Ok(false) };
        self.reply
            .extend(members.into_iter().filter(|(name, value)| name != "candidates" && !value.is_null()));
        Ok(false)
    }

    fn finish(self, answer: &Answer) -> Result<Response, Failure> {
        let Assembly { name, mut reply, candidates, progress } = self;
        if candidates.is_empty() {
            return Err(progress.cut());
        }
        // There is no end mark; the reason to stop is the last thing that comes of a candidate.
        for candidate in &candidates {
            if finish_reason(candidate.members.get("finishReason"))?.is_none() {
                return Err(progress.cut());
            }
        }
        let whole = |(index, building): (usize, Building)| {
            let mut members = building.members;
            members.insert("index".into(), index.into());
            members.insert("content".into(), json!({"parts": building.parts}));
            Value::from(members)
        };
        let candidates: Vec<Value> = candidates.into_iter().enumerate().map(whole).collect();
        reply.insert("candidates".into(), candidates.into());
        reply_of(reply.into(), answer, name)
    }
}
