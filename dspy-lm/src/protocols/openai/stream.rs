//! The events of a streamed reply.

use serde_json::{Map, Value};

use super::response::{detailed, reasoning, split_content, usage};
use super::{calls, logprobs, source};
use crate::network::transport::{Answer, Events, Failure};
use crate::protocols::wire::{Progress, completion_of, finish_reason, number, parse, string};
use crate::{Completion, Delta, FinishReason, LmErrorKind, Response, TokenLogprob, Usage};

/// More completions than this were not asked for.
const MOST_CHOICES: usize = 128;

/// A reply, put together from its events.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    /// The name that the model was asked by.
    name: &'a str,
    choices: Vec<Building>,
    usage: Usage,
    model: Option<String>,
    id: Option<String>,
    progress: Progress,
    ended: bool,
}

#[derive(Debug, Default)]
struct Building {
    text: String,
    reasoning: String,
    refusal: String,
    calls: calls::Building,
    /// The call in the form from before there could be several.
    legacy: calls::Building,
    details: Vec<Value>,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Assembly {
            name,
            choices: Vec::new(),
            usage: Usage::tokens(0, 0),
            model: None,
            id: None,
            progress: Progress::default(),
            ended: false,
        }
    }

    /// Takes in the choice at that place of an event.
    fn choice(&mut self, at: usize, mut choice: Value, deltas: &mut Vec<Delta>) -> Result<(), Failure> {
        Failure::check(&choice)?;
        let index =
            number(choice.get("index")).map_or(at, |index| usize::try_from(index).unwrap_or(usize::MAX));
        if index >= MOST_CHOICES {
            return Err(Failure::new(
                LmErrorKind::Decode,
                "the reply numbers its choices beyond all measure",
            ));
        }
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Building::default);
        }
        let building = &mut self.choices[index];
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
        // Whoever watches sees one reply.
        if index == 0 {
            deltas.extend((!thoughts.is_empty()).then_some(Delta::Reasoning(thoughts)));
            deltas.extend((!text.is_empty()).then_some(Delta::Text(text)));
        }
        Ok(())
    }
}

impl Events for Assembly<'_> {
    fn read(&mut self, data: &str, deltas: &mut Vec<Delta>) -> Result<bool, Failure> {
        if data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(true);
        }
        let mut event = parse(data.as_bytes()).map_err(|error| {
            Failure::new(LmErrorKind::Decode, format!("an event cannot be read: {error}"))
        })?;
        Failure::check(&event)?;
        match event.get_mut("choices").map(Value::take) {
            Some(Value::Array(choices)) => {
                self.progress.known();
                for (at, choice) in choices.into_iter().enumerate() {
                    self.choice(at, choice, deltas)?;
                }
            }
            _ => self.progress.unknown(&event)?,
        }
        // Groq has a place of its own for it.
        let counts =
            event.get("usage").filter(|usage| usage.is_object()).or_else(|| event.pointer("/x_groq/usage"));
        if let Some(counts) = counts {
            self.usage = usage(counts);
        }
        self.model = self.model.take().or_else(|| string(event.get("model")));
        self.id = self.id.take().or_else(|| string(event.get("id")));
        Ok(false)
    }

    fn finish(mut self, answer: &Answer) -> Result<Response, Failure> {
        let open = self.choices.is_empty() || self.choices.iter().any(|choice| choice.finish.is_none());
        // Neither the reason to stop nor the end mark has come: what there is may be any part of the reply.
        if open && !self.ended {
            return Err(self.progress.cut());
        }
        // The end mark alone comes after errors, too.
        if let Some(failure) = self.progress.stray().filter(|_| open) {
            return Err(failure);
        }
        if self.choices.is_empty() {
            return Err(Failure::new(LmErrorKind::Decode, "the stream holds no choices"));
        }
        let completions =
            self.choices.into_iter().map(|choice| choice.finish(self.name)).collect::<Result<_, _>>()?;
        Ok(Response {
            completions,
            usage: self.usage,
            model: self.model.unwrap_or_else(|| self.name.to_owned()),
            request_id: answer.request_id.clone().or(self.id),
            cached: false,
        })
    }
}

impl Building {
    /// Takes in a piece of `reasoning_details`: more of the last one, or another.
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
