//! Responses of models.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{LmError, LmErrorKind, ToolCall, Usage};

/// The reason why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The reply is complete.
    #[default]
    Stop,
    /// The reply was truncated by the token limit.
    Length,
    /// A content filter stopped the reply, or the model refuses to answer. The text is the reply so far, or
    /// the refusal. [`Lm::ask`](crate::Lm::ask) and predictors turn it into an error.
    ContentFilter,
    /// The model calls tools.
    ToolCalls,
    /// Another reason reported by the endpoint. Predictors treat the reply as truncated.
    Other,
}

/// A token of a reply and its log-probability.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenLogprob {
    /// The text of the token.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// The likeliest tokens at this position with their log-probabilities;
    /// [`Params::top_logprobs`](crate::Params::top_logprobs) is their number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, f64)>,
}

/// One sampled reply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// The text of the reply.
    pub text: String,
    /// The reason why the model stopped.
    pub finish: FinishReason,
    /// Reasoning that the endpoint returned beside the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Tools that the model called natively, in the model's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The tokens of the text with their log-probabilities, if [requested](crate::Params::logprobs) and
    /// returned by the endpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<TokenLogprob>,
    /// Data in the endpoint's own format that it needs back together with the tool calls: signed or encrypted
    /// reasoning. Pass it on with [`Message::with_opaque`](crate::Message::with_opaque); other models cannot
    /// read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Value>,
}

impl Completion {
    /// Creates a complete reply.
    pub fn new(text: impl Into<String>) -> Self {
        Completion { text: text.into(), ..Completion::default() }
    }

    /// Sets the reasoning that led to the reply.
    #[must_use]
    pub fn with_reasoning(mut self, reasoning: impl Into<String>) -> Self {
        self.reasoning = Some(reasoning.into());
        self
    }

    /// Sets native tool calls, and [`ToolCalls`](FinishReason::ToolCalls) as the reason to stop.
    #[must_use]
    pub fn calling(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.tool_calls.extend(calls);
        self.finish = FinishReason::ToolCalls;
        self
    }

    /// Sets the reason to stop.
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
    /// The tokens and the cost of the request.
    pub usage: Usage,
    /// The name of the model as reported by the endpoint.
    pub model: String,
    /// The endpoint's id of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether the answer came from a cache or a journal and was not charged.
    #[serde(default)]
    pub cached: bool,
}

/// The most bytes of text in an error.
const EXCERPT: usize = 2 << 10;

fn start(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT)]
}

impl Response {
    /// Creates an answer with one complete reply.
    pub fn text(text: impl Into<String>) -> Self {
        Response { completions: vec![Completion::new(text)], ..Response::default() }
    }

    /// Returns the error for an answer that consists only of filtered replies and refusals, with their text.
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

    /// Sets the usage.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }
}
