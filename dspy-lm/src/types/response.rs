//! What a model answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LmError, LmErrorKind, ToolCall, Usage};

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The reply is complete.
    #[default]
    Stop,
    /// The token limit cut the reply off.
    Length,
    /// A content filter cut the reply off, or the model refuses; the text is what there is of the reply, or the refusal.
    /// [`Lm::ask`](crate::Lm::ask) and predictors make an error of it.
    ContentFilter,
    /// The model wants tools to be called.
    ToolCalls,
    /// Anything else that an endpoint reports. It is no normal end, so predictors take the reply for a truncated one.
    Other,
}

/// A token of a reply, and how likely it was.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenLogprob {
    /// The text of the token.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens at this place with their log-probabilities, as many as were
    /// [asked for](crate::Params::top_logprobs).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f64)>,
}

/// One sampled reply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// The text of the reply.
    pub text: String,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// Reasoning that the endpoint returned beside the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Tools that the model called natively, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The tokens of the text with their log-probabilities, where they were [asked for](crate::Params::logprobs) and
    /// the endpoint returns them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    /// What the endpoint wants back together with the tool calls, in its own form: signed or encrypted reasoning. Pass
    /// it on by [`Message::with_opaque`](crate::Message::with_opaque); it means nothing to another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Value>,
}

impl Completion {
    /// A complete reply.
    pub fn new(text: impl Into<String>) -> Self {
        Completion { text: text.into(), ..Completion::default() }
    }

    /// The same reply with the reasoning that led to it.
    #[must_use]
    pub fn with_reasoning(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = Some(reasoning.into());
        self
    }

    /// The same reply with native calls of tools.
    #[must_use]
    pub fn calling(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls.extend(calls);
        self.finish = FinishReason::ToolCalls;
        self
    }

    /// The same reply with another reason to stop.
    #[must_use]
    pub fn finished(mut self, finish: FinishReason) -> Self {
        self.finish = finish;
        self
    }
}

/// The answer to one [`Request`](crate::Request).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Response {
    /// The sampled replies, at least one.
    pub completions: Vec<Completion>,
    /// What the request cost.
    pub usage: Usage,
    /// The model that answered, as the endpoint names it.
    pub model: String,
    /// The endpoint's id of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether the answer came from a cache or a journal and was not charged.
    #[serde(default)]
    pub cached: bool,
}

/// How much of a text goes into an error, in bytes.
const EXCERPT: usize = 2 << 10;

fn start(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT)]
}

impl Response {
    /// An answer with one complete reply.
    pub fn text(text: impl Into<String>) -> Self {
        Response { completions: vec![Completion::new(text)], ..Response::default() }
    }

    /// The error that an answer is of which nothing is left but what a filter has stopped, and refusals. It has the
    /// text.
    #[doc(hidden)]
    pub fn refusal(&self, model: &str) -> Option<LmError> {
        let filtered = |completion: &Completion| completion.finish == FinishReason::ContentFilter;
        if self.completions.is_empty() || !self.completions.iter().all(filtered) {
            return None;
        }
        let text =
            self.completions.iter().map(|completion| completion.text.trim()).find(|text| !text.is_empty());
        let said = text.map_or_else(
            || "the reply was stopped before it began".to_owned(),
            |text| format!("the model refused or its reply was stopped; it says: {}", start(text)),
        );
        let mut error = LmError::new(LmErrorKind::ContentFilter, model, said);
        error.request_id.clone_from(&self.request_id);
        error.body = text.map(|text| start(text).to_owned());
        Some(error)
    }

    /// The same answer with its usage.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }
}
