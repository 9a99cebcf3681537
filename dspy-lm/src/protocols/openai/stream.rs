//! The events of a streamed reply.

use serde_json::{Map, Value};

use super::response::{detailed, reasoning, split_content, usage};
use super::{calls, logprobs, source};
use crate::json::string;
use crate::network::transport::{Answer, Failure};
use crate::protocols::wire::{Pieces, completion_at, completion_of, finish_reason};
use crate::{Completion, Delta, FinishReason, LmErrorKind, Response, TokenLogprob, Usage};

/// The choices so far.
#[derive(Debug)]
pub(crate) struct ChatStream {
    choices: Vec<Building>,
    usage: Usage,
    model: Option<String>,
    id: Option<String>,
}

impl Default for ChatStream {
    fn default() -> Self {
        // A reply without token counts still counts as one request.
        ChatStream { choices: Vec::new(), usage: Usage::tokens(0, 0), model: None, id: None }
    }
}

#[derive(Debug, Default)]
struct Building {
    text: String,
    reasoning: String,
    refusal: String,
    calls: calls::Building,
    /// The legacy form of a single call.
    legacy: calls::Building,
    details: Vec<Value>,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

impl ChatStream {
    /// Adds a choice, at this position in an event.
    fn choice(&mut self, at: usize, mut choice: Value, deltas: &mut Vec<Delta>) -> Result<(), Failure> {
        Failure::check(&choice)?;
        let (index, building) = completion_at(&mut self.choices, &choice, at, "choice")?;
        if let Some(reason) = finish_reason(choice.get("finish_reason"))? {
            building.finish = Some(reason);
        }
        building.logprobs.extend(logprobs::read(choice.pointer("/logprobs/content")));
        let Some(mut piece) = choice.get_mut("delta").map(Value::take) else { return Ok(()) };
        let (text, thoughts) = split_content(piece.get_mut("content").map(Value::take).unwrap_or_default());
        let list = |name: &str| piece.get(name).and_then(Value::as_array).into_iter().flatten();
        let details: Vec<Value> = list("reasoning_details").cloned().collect();
        let thoughts = reasoning(&piece).map(str::to_owned).or(thoughts).or_else(|| detailed(&details));
        let thoughts = thoughts.unwrap_or_default();
        for call in list("tool_calls") {
            building.calls.add(call)?;
        }
        if let Some(function) = piece.get("function_call").filter(|call| call.is_object()) {
            building.legacy.add(&serde_json::json!({ "function": function }))?;
        }
        details.into_iter().for_each(|detail| building.detail(detail));
        building.refusal.push_str(piece.get("refusal").and_then(Value::as_str).unwrap_or_default());
        building.text.push_str(&text);
        building.reasoning.push_str(&thoughts);
        // Only the first choice is streamed to the reader.
        if index == 0 {
            deltas.extend((!thoughts.is_empty()).then_some(Delta::Reasoning(thoughts)));
            deltas.extend((!text.is_empty()).then_some(Delta::Text(text)));
        }
        Ok(())
    }
}

impl Pieces for ChatStream {
    const ENDS_WITH_MARK: bool = true;

    fn knows(event: &Value) -> bool {
        event.get("choices").is_some_and(Value::is_array)
    }

    fn add(&mut self, mut event: Value, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        if let Some(Value::Array(choices)) = event.get_mut("choices").map(Value::take) {
            for (at, choice) in choices.into_iter().enumerate() {
                self.choice(at, choice, deltas)?;
            }
        }
        // Groq reports the usage in a separate member.
        let counts =
            event.get("usage").filter(|usage| usage.is_object()).or_else(|| event.pointer("/x_groq/usage"));
        if let Some(counts) = counts {
            self.usage = usage(counts);
        }
        self.model = self.model.take().or_else(|| string(event.get("model")));
        self.id = self.id.take().or_else(|| string(event.get("id")));
        Ok(false)
    }

    fn is_complete(&self) -> Result<bool, Failure> {
        Ok(!self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some()))
    }

    fn finish(self, name: &str, answer: &Answer) -> Result<Response, Failure> {
        if self.choices.is_empty() {
            return Err(Failure::new(LmErrorKind::Decode, "the stream holds no choices"));
        }
        let completions =
            self.choices.into_iter().map(|choice| choice.finish(name)).collect::<Result<_, _>>()?;
        Ok(Response {
            completions,
            usage: self.usage,
            model: self.model.unwrap_or_else(|| name.to_owned()),
            request_id: answer.request_id.clone().or(self.id),
            cached: false,
        })
    }
}

impl Building {
    /// Adds a delta of `reasoning_details`, which continues the last one or starts another.
    fn detail(&mut self, piece: Value) {
        let Value::Object(piece) = piece else { return };
        let same = |last: &Map<String, Value>| {
            ["type", "index"].iter().all(|name| last.get(*name) == piece.get(*name))
                && last.get("id").zip(piece.get("id")).is_none_or(|(a, b)| a == b || b.is_null())
        };
        let Some(Value::Object(last)) =
            self.details.last_mut().filter(|last| last.as_object().is_some_and(same))
        else {
            self.details.push(piece.into());
            return;
        };
        for (name, value) in piece {
            match (last.get_mut(&name), value) {
                (_, Value::Null) => {}
                (Some(Value::String(text)), Value::String(more))
                    if matches!(&*name, "text" | "summary" | "data") =>
                {
                    text.push_str(&more);
                }
                (_, value) => drop(last.insert(name, value)),
            }
        }
    }

    fn finish(self, model: &str) -> Result<Completion, Failure> {
        let Building { text, reasoning, refusal, calls, legacy, details, logprobs, finish } = self;
        let mut tool_calls = calls.finish()?;
        if tool_calls.is_empty() {
            tool_calls = legacy.finish()?;
        }
        let completion = completion_of(text, Some(reasoning), Some(refusal), finish.unwrap_or_default());
        let opaque = (!tool_calls.is_empty() && !details.is_empty()).then(|| source(model).mark(details));
        Ok(Completion { tool_calls, logprobs, opaque, ..completion })
    }
}
