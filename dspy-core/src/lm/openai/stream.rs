//! The events of a streamed reply.

use serde::Deserialize;
use serde_json::{Value, json};

use super::response::{finish_reason, split_content, usage};
use super::{logprobs, tools};
use crate::lm::transport::{Answer, Events, Failure};
use crate::lm::wire::completion_of;
use crate::lm::{Completion, Delta, FinishReason, LmErrorKind, Response, TokenLogprob, Usage};

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
    logprobs: Value,
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
    #[serde(default)]
    tool_calls: Option<Vec<Value>>,
}

/// More completions, or calls of one, than this were not asked for.
const MOST_CHOICES: usize = 128;

/// A reply, put together from its events.
#[derive(Debug)]
pub(in crate::lm) struct Assembly<'a> {
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
    calls: Vec<BegunCall>,
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

/// A call of a tool, whose arguments arrive in pieces.
#[derive(Debug, Default)]
struct BegunCall {
    id: String,
    name: String,
    arguments: String,
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
        building.logprobs.extend(logprobs::read(choice.logprobs.get("content")));
        let Some(piece) = choice.delta else { return Ok(()) };
        let (text, thoughts) = split_content(piece.content);
        let thoughts = [&piece.reasoning_content, &piece.reasoning]
            .into_iter()
            .find_map(Value::as_str)
            .map(str::to_owned)
            .or(thoughts)
            .unwrap_or_default();
        for call in piece.tool_calls.into_iter().flatten() {
            building.call(&call)?;
        }
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
    /// Takes in a piece of a call. Servers that send calls whole may leave out which one it is.
    fn call(&mut self, piece: &Value) -> Result<(), Failure> {
        let text = |pointer: &str| piece.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (id, name) = (text("/id"), text("/function/name"));
        let index = match piece.get("index").and_then(Value::as_u64) {
            Some(index) => usize::try_from(index).unwrap_or(usize::MAX),
            None if name.is_empty() => self.calls.len().saturating_sub(1),
            None => self.calls.len(),
        };
        if index >= MOST_CHOICES {
            return Err(Failure::new(LmErrorKind::Decode, "the reply numbers its calls beyond all measure"));
        }
        if self.calls.len() <= index {
            self.calls.resize_with(index + 1, BegunCall::default);
        }
        let call = &mut self.calls[index];
        if !id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if !name.is_empty() {
            name.clone_into(&mut call.name);
        }
        match piece.pointer("/function/arguments") {
            Some(Value::String(more)) => call.arguments.push_str(more),
            None | Some(Value::Null) => {}
            Some(whole) => call.arguments = whole.to_string(),
        }
        Ok(())
    }

    fn finish(self) -> Completion {
        let Building { text, reasoning, refusal, calls, logprobs, finish } = self;
        let calls = calls
            .into_iter()
            .filter(|call| !call.name.is_empty())
            .map(|call| json!({"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}));
        let completion = completion_of(text, Some(reasoning), Some(refusal), finish.unwrap_or_default());
        Completion { tool_calls: tools::read_calls(calls.collect()), logprobs, ..completion }
    }
}
