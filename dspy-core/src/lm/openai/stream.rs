//! The events of a streamed reply.

use serde::Deserialize;
use serde_json::Value;

use super::response::{completion_of, finish_reason, split_content, usage};
use crate::lm::transport::{Answer, Events, Failure};
use crate::lm::{Completion, Delta, FinishReason, LmErrorKind, Response, Usage};

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    #[serde(default)]
    delta: Option<Piece>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    reasoning_content: Value,
    #[serde(default)]
    reasoning: Value,
    #[serde(default)]
    refusal: Value,
}

/// More completions than this were not asked for.
const MOST_CHOICES: usize = 128;

/// A reply, put together from its events.
#[derive(Debug)]
pub(super) struct Assembly<'a> {
    /// The name that the model was asked by.
    name: &'a str,
    choices: Vec<Building>,
    usage: Usage,
    model: Option<String>,
    id: Option<String>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Building {
    text: String,
    reasoning: String,
    refusal: String,
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
            ended: false,
        }
    }

    fn choice(&mut self, choice: Choice, deltas: &mut Vec<Delta>) -> Result<(), Failure> {
        if !choice.error.is_null() {
            return Err(Failure::of_error_member(&choice.error));
        }
        if choice.index >= MOST_CHOICES {
            return Err(Failure::new(
                LmErrorKind::Decode,
                "the reply numbers its choices beyond all measure",
            ));
        }
        if self.choices.len() <= choice.index {
            self.choices.resize_with(choice.index + 1, Building::default);
        }
        let building = &mut self.choices[choice.index];
        if let Some(reason) = choice.finish_reason {
            building.finish = Some(finish_reason(Some(&reason)));
        }
        let Some(piece) = choice.delta else { return Ok(()) };
        let (text, thoughts) = split_content(piece.content);
        let thoughts = [&piece.reasoning_content, &piece.reasoning]
            .into_iter()
            .find_map(Value::as_str)
            .map(str::to_owned)
            .or(thoughts)
            .unwrap_or_default();
        building.refusal.push_str(piece.refusal.as_str().unwrap_or_default());
        building.text.push_str(&text);
        building.reasoning.push_str(&thoughts);
        // Whoever watches sees one reply.
        if choice.index == 0 {
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
        let event: Event = serde_json::from_str(data).map_err(|error| {
            Failure::new(LmErrorKind::Decode, format!("an event cannot be read: {error}"))
        })?;
        if !event.error.is_null() {
            return Err(Failure::of_error_member(&event.error));
        }
        for choice in event.choices.into_iter().flatten() {
            self.choice(choice, deltas)?;
        }
        if event.usage.is_object() {
            self.usage = usage(&event.usage);
        }
        let text = |value: Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        self.model = self.model.take().or_else(|| text(event.model));
        self.id = self.id.take().or_else(|| text(event.id));
        Ok(false)
    }

    fn finish(self, answer: &Answer) -> Result<Response, Failure> {
        if self.choices.is_empty() {
            return Err(Failure::new(LmErrorKind::Decode, "the stream holds no choices"));
        }
        // Neither the reason to stop nor the end mark has come: what there is may be any part of the reply.
        if !self.ended && self.choices.iter().any(|choice| choice.finish.is_none()) {
            return Err(Failure::new(LmErrorKind::Transport, "the stream ended before the reply did"));
        }
        let completions = self.choices.into_iter().map(Building::finish).collect();
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
    fn finish(self) -> Completion {
        let Building { text, reasoning, refusal, finish } = self;
        completion_of(text, Some(reasoning), Some(refusal), finish.unwrap_or_default())
    }
}
