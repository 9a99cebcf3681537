//! The events of a streamed reply, each of which is a reply with the next parts.

use serde_json::{Map, Value, json};

use super::response::{check, is_thought, reply_of};
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{Pieces, completion_at, finish_reason};
use crate::{Delta, Response};

/// The candidates so far, and the members that concern the whole reply.
#[derive(Debug, Default)]
pub(crate) struct ContentStream {
    reply: Map<String, Value>,
    candidates: Vec<Building>,
}

#[derive(Debug, Default)]
struct Building {
    parts: Vec<Value>,
    members: Map<String, Value>,
}

impl ContentStream {
    fn candidate(&mut self, at: usize, mut candidate: Value, deltas: &mut Vec<Delta>) -> Result<(), Failure> {
        let (index, building) = completion_at(&mut self.candidates, &candidate, at, "candidate")?;
        let parts = candidate.pointer_mut("/content/parts").map(Value::take);
        for part in parts.as_ref().and_then(Value::as_array).into_iter().flatten() {
            let said = part.get("text").and_then(Value::as_str).unwrap_or_default();
            // Only the first candidate is streamed to the reader.
            if index == 0 && !said.is_empty() {
                let thought = is_thought(part);
                deltas.push(if thought { Delta::Reasoning(said.into()) } else { Delta::Text(said.into()) });
            }
            building.add(part);
        }
        let Value::Object(members) = candidate else { return Ok(()) };
        for (name, value) in members.into_iter().filter(|(name, _)| name != "content") {
            match (building.members.get_mut(&name), value) {
                // Log-probabilities arrive with the parts that they belong to.
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

/// Appends lists to lists.
fn append(own: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (own.get_mut(&name), value) {
            (Some(Value::Array(own)), Value::Array(more)) => own.extend(more),
            (_, value) => drop(own.insert(name, value)),
        }
    }
}

impl Building {
    /// Adds a part; consecutive text parts are merged.
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

impl Pieces for ContentStream {
    fn check(event: &Value) -> Result<(), Failure> {
        check(event)
    }

    fn knows(event: &Value) -> bool {
        event.get("candidates").or_else(|| event.get("usageMetadata")).is_some()
    }

    fn add(&mut self, mut event: Value, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        let candidates = event.get_mut("candidates").map(Value::take);
        if let Some(Value::Array(candidates)) = candidates {
            for (at, candidate) in candidates.into_iter().enumerate() {
                self.candidate(at, candidate, deltas)?;
            }
        }
        // The counts are cumulative.
        let Value::Object(members) = event else { return Ok(false) };
        self.reply
            .extend(members.into_iter().filter(|(name, value)| name != "candidates" && !value.is_null()));
        Ok(false)
    }

    /// Returns whether the candidates are complete. There is no end mark: each ends with its finish reason.
    fn is_complete(&self) -> Result<bool, Failure> {
        for candidate in &self.candidates {
            if finish_reason(candidate.members.get("finishReason"))?.is_none() {
                return Ok(false);
            }
        }
        Ok(!self.candidates.is_empty())
    }

    fn finish(self, name: &str, answer: &Answer) -> Result<Response, Failure> {
        let ContentStream { mut reply, candidates } = self;
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
