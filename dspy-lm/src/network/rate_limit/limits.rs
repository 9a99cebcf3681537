//! What a user limits.

use super::circuit::Circuit;

/// Limits of how fast and how much at a time a model is asked. What is not set is not limited.
///
/// For servers see [`Endpoint::requests_per_minute`](crate::Endpoint::requests_per_minute) and its neighbours,
/// which hold for all handles to the server; for a single handle, or a model of your own, see
/// [`Lm::limited`](crate::Lm::limited).
///
/// ```
/// use dspy_lm::{Limits, Lm};
/// let lm = Lm::builtin().limited(Limits::new().requests_per_minute(600).max_concurrent(8));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    pub(super) requests_per_minute: Option<u32>,
    pub(super) tokens_per_minute: Option<u32>,
    pub(super) max_concurrent: Option<u32>,
    pub(super) circuit: Option<Circuit>,
}

impl Limits {
    /// No limits.
    pub const fn new() -> Self {
        Limits { requests_per_minute: None, tokens_per_minute: None, max_concurrent: None, circuit: None }
    }

    /// These limits, with what is not set taken from `others`.
    pub(super) fn or(self, others: &Limits) -> Limits {
        Limits {
            requests_per_minute: self.requests_per_minute.or(others.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(others.tokens_per_minute),
            max_concurrent: self.max_concurrent.or(others.max_concurrent),
            circuit: self.circuit.or(others.circuit),
        }
    }

    /// How many requests may start in any minute, at least 1. They are spread over the minute: two seconds' worth may
    /// start at once.
    #[must_use]
    pub const fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = Some(requests);
        self
    }

    /// How many tokens, of prompts and replies together, may be used in a minute, at least 1.
    ///
    /// Before a request is sent its tokens are estimated: a quarter of the characters of its prompt, a flat thousand
    /// for each image or file, and its [`max_tokens`](crate::Params::max_tokens) for each completion, or what
    /// replies have had on average where that is not set. What the endpoint reports then replaces the estimate.
    #[must_use]
    pub const fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.tokens_per_minute = Some(tokens);
        self
    }

    /// How many requests may be under way at the same time, at least 1.
    #[must_use]
    pub const fn max_concurrent(mut self, requests: u32) -> Self {
        self.max_concurrent = Some(requests);
        self
    }

    /// When to leave a model alone that does not answer any more.
    #[must_use]
    pub const fn circuit(mut self, circuit: Circuit) -> Self {
        self.circuit = Some(circuit);
        self
    }
}
