//! The steps of an agent as an input field.

use std::borrow::Cow;
use std::collections::HashMap;

use dspy_base::keyword;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parts;
use crate::lm::{Message, Part, ToolCall};

/// The earlier turns of an agent that calls tools, oldest first: an input of the predictor that decides on the next one.
///
/// A model with native tool calls receives them as messages: the calls, and the result of each under its id. Other
/// models, and demonstrations, show them as text.
///
/// ```
/// use dspy_core::tools::ToolCall;
/// use dspy_core::types::{Observation, Trajectory, Turn};
///
/// let call = ToolCall::new("weather", serde_json::json!({"city": "Bergen"})).with_id("call_1");
/// let mut turn = Turn::new("I need the forecast.", [call]);
/// turn.results.push(Observation::new("call_1", "weather", "12 mm"));
/// let trajectory = Trajectory::from_iter([turn]);
/// let text = trajectory.to_string();
/// assert!(text.contains("I need the forecast.\nweather {\"city\":\"Bergen\"}\n-> 12 mm"), "{text}");
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trajectory {
    /// A summary of turns that are no longer listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The turns.
    #[serde(default)]
    pub turns: Vec<Turn>,
}

/// One turn of an agent: what the model thought, which tools it called, what they returned.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Turn {
    /// The text of the model beside the calls.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub thought: String,
    /// The calls, each with an id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// The results, in the order of the calls. A call without one has not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Observation>,
    /// A message to the model about this turn, such as that its reply could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Data that the endpoint needs back with the calls; see [`Completion::opaque`](crate::lm::Completion::opaque).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Value>,
}

/// The result of one call, as the model reads it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Observation {
    /// The id of the call.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// The result, or the message of the error. Media are placeholders here.
    pub text: String,
    /// The result in parts if it has media, otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "parts")]
    pub parts: Vec<Part>,
    /// Whether the call failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

impl Turn {
    /// Creates a turn whose calls have not run.
    pub fn new(thought: impl Into<String>, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Turn { thought: thought.into(), calls: calls.into_iter().collect(), ..Turn::default() }
    }

    /// Returns the result of the call with that id.
    pub fn result(&self, id: &str) -> Option<&Observation> {
        self.results.iter().find(|result| result.id == id)
    }

    /// Returns the results by the id of their call.
    fn results_by_id(&self) -> HashMap<&str, &Observation> {
        // In reverse, so that the first one of an id stays, as in `result`.
        self.results.iter().rev().map(|result| (result.id.as_str(), result)).collect()
    }
}

impl Observation {
    /// Creates the result of a successful call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, text: impl Into<String>) -> Self {
        Observation { id: id.into(), name: name.into(), text: text.into(), ..Self::default() }
    }

    /// Sets the result to text and media, which the model sees.
    #[must_use]
    pub fn with_parts(mut self, parts: impl Into<Vec<Part>>) -> Self {
        self.parts = parts.into();
        self.text = self.parts.iter().map(Part::shown).collect();
        self
    }

    /// Creates the result of a call that failed.
    pub fn error(id: impl Into<String>, name: impl Into<String>, text: impl Into<String>) -> Self {
        Observation { is_error: true, ..Self::new(id, name, text) }
    }

    /// Returns the text that the model reads: that of an error begins with `error: `.
    pub fn shown(&self) -> Cow<'_, str> {
        if self.is_error { format!("error: {}", self.text).into() } else { self.text.as_str().into() }
    }

    fn to_message(&self) -> Message {
        if self.parts.is_empty() || self.is_error {
            return Message::tool_result(self.id.as_str(), self.shown().as_ref());
        }
        Message::tool_result_parts(self.id.as_str(), self.parts.as_slice())
    }
}

/// The text in place of the result of a call that has not run.
const NOT_RUN: &str = "not run";

impl Trajectory {
    /// Reads a trajectory from the value of a field; anything else is an empty one.
    pub(crate) fn of(value: &Value) -> Self {
        Trajectory::deserialize(value).unwrap_or_default()
    }

    /// Returns whether the value is the JSON form of a trajectory, with nothing else in it.
    pub(crate) fn is_form(value: &Value) -> bool {
        let known = |name: &String| name == "summary" || name == "turns";
        value.as_object().is_some_and(|members| members.keys().all(known))
            && Trajectory::deserialize(value).is_ok()
    }

    /// Returns the turns as messages, with native tool calls.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut messages: Vec<_> = self.summary.as_deref().map(summary_message).into_iter().collect();
        self.turns.iter().for_each(|turn| turn.push_messages(&mut messages));
        messages
    }
}

/// Returns the message with a summary of earlier turns.
pub(super) fn summary_message(summary: &str) -> Message {
    Message::user(format!("A summary of the earlier turns:\n{summary}"))
}

impl Turn {
    /// Appends the turn as messages, with native tool calls.
    pub(super) fn push_messages(&self, messages: &mut Vec<Message>) {
        let results = self.results_by_id();
        messages.extend(calls_with_results(&self.thought, &self.calls, self.opaque.as_ref(), |id| {
            results.get(id).map(|result| result.to_message())
        }));
        if let Some(note) = &self.note {
            messages.push(Message::user(note.as_str()));
        }
    }

    /// Returns the turn as a model reads it outside of messages, without the line with its number.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut out = Pieces::default();
        out.turn(self);
        out.end_text();
        out.parts
    }
}

/// Returns the message with a model's calls, and one for the result of each, since endpoints refuse a call without a
/// result. Without calls there is the text alone, if any.
pub(crate) fn calls_with_results(
    text: &str,
    calls: &[ToolCall],
    opaque: Option<&Value>,
    result: impl Fn(&str) -> Option<Message>,
) -> Vec<Message> {
    if calls.is_empty() {
        return if text.is_empty() { Vec::new() } else { vec![Message::assistant(text)] };
    }
    let with_id = |(index, call): (usize, &ToolCall)| {
        let id = call.id.clone().unwrap_or_else(|| format!("call_{index}"));
        call.clone().with_id(id)
    };
    let calls: Vec<ToolCall> = calls.iter().enumerate().map(with_id).collect();
    let results = calls.iter().filter_map(|call| {
        let id = call.id.as_deref()?;
        Some(result(id).unwrap_or_else(|| Message::tool_result(id, NOT_RUN)))
    });
    let results: Vec<Message> = results.collect();
    let said = Message::calls(text, calls).with_opaque(opaque.cloned());
    std::iter::once(said).chain(results).collect()
}

/// The line above a summary.
pub(super) const SUMMARY: &str = "Summary of the earlier turns:\n";

impl Trajectory {
    /// The text of a log without turns.
    pub(super) const EMPTY: &str = "(nothing yet)";

    /// Appends the line with the number of a turn.
    pub(super) fn push_number(out: &mut String, index: usize) {
        out.push_str(if index > 0 { "\n\nTurn " } else { "Turn " });
        out.push_str(&(index + 1).to_string());
    }

    /// Returns the turns as a model reads them outside of messages: the thought, then each call with its result below
    /// it. Media are parts of their own.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let mut out = Pieces::default();
        if let Some(summary) = &self.summary {
            out.text.push_str(&format!("{SUMMARY}{summary}\n\n"));
        }
        for (index, turn) in self.turns.iter().enumerate() {
            Self::push_number(&mut out.text, index);
            out.turn(turn);
        }
        if self.turns.is_empty() && self.summary.is_none() {
            out.text.push_str(Self::EMPTY);
        }
        out.end_text();
        out.parts
    }
}

/// Text under construction, with media in it.
#[derive(Default)]
struct Pieces {
    parts: Vec<Part>,
    text: String,
}

impl Pieces {
    fn turn(&mut self, turn: &Turn) {
        if !turn.thought.is_empty() {
            self.line(&turn.thought);
        }
        let results = turn.results_by_id();
        for call in &turn.calls {
            self.line(&format!("{} {}\n-> ", call.name, call.arguments));
            match call.id.as_deref().and_then(|id| results.get(id).copied()) {
                Some(result) => self.result(result),
                None => self.text.push_str(NOT_RUN),
            }
        }
        if let Some(note) = &turn.note {
            self.line(&format!("({note})"));
        }
        self.text.truncate(self.text.trim_end().len());
    }

    fn line(&mut self, text: &str) {
        self.text.push('\n');
        self.text.push_str(text);
    }

    fn result(&mut self, result: &Observation) {
        let indented = |text: &str| text.replace('\n', "\n   ");
        if result.parts.is_empty() || result.is_error {
            return self.text.push_str(&indented(&result.shown()));
        }
        for part in &result.parts {
            if matches!(part, Part::Media(_)) {
                self.end_text();
                self.parts.push(part.clone());
            } else {
                self.text.push_str(&indented(&part.shown()));
            }
        }
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text).into()));
        }
    }
}

impl std::fmt::Display for Trajectory {
    /// Writes the turns as a model reads them: the thought, then each call with its result below it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts().iter().try_for_each(|part| f.write_str(&part.shown()))
    }
}

impl FromIterator<Turn> for Trajectory {
    fn from_iter<I: IntoIterator<Item = Turn>>(turns: I) -> Self {
        Trajectory { summary: None, turns: turns.into_iter().collect() }
    }
}

// Prompts show it as text, or as messages outside their text.
impl JsonSchema for Trajectory {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Trajectory".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", (keyword::NATIVE): "trajectory" })
    }
}

/// The text of a model beside its tool calls: the type of an output field. A model with native tool calls writes it
/// outside any format; it may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thought(pub String);

impl JsonSchema for Thought {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Thought".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", (keyword::NATIVE): "thought" })
    }
}
