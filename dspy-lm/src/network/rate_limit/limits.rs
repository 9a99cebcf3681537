//! The limits that a user configures.

use super::circuit::Circuit;

/// Limits on the rate and concurrency of requests to a model. Limits that are not set do not apply.
///
/// For servers use [`Endpoint::requests_per_minute`](crate::Endpoint::requests_per_minute) and the methods after it,
/// which apply to all handles to the server; for a single handle or a custom model, use
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
    /// Creates limits of which none is set.
    pub const fn new() -> Self {
        Limits { requests_per_minute: None, tokens_per_minute: None, max_concurrent: None, circuit: None }
    }

    /// Returns these limits, with those that are not set taken from `others`.
    pub(super) fn or(self, others: &Limits) -> Limits {
        Limits {
            requests_per_minute: self.requests_per_minute.or(others.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(others.tokens_per_minute),
            max_concurrent: self.max_concurrent.or(others.max_concurrent),
            circuit: self.circuit.or(others.circuit),
        }
    }

    /// Sets how many requests may start per minute, at least 1. They are spread over the minute: two seconds' worth
    /// may start at once.
    #[must_use]
    pub const fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = Some(requests);
        self
    }

    /// Sets how many tokens, of prompts and replies together, may be used per minute, at least 1.
    ///
    /// The tokens of a request are estimated before it is sent: a quarter of the prompt's characters, a flat 1,000
    /// for each image or file, and for each completion its [`max_tokens`](crate::Params::max_tokens), or if that is
    /// not set the average of the replies so far. The usage that the endpoint reports then replaces the estimate.
    #[must_use]
    pub const fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.tokens_per_minute = Some(tokens);
        self
    }

    /// Sets how many requests may be in flight at once, at least 1.
    #[must_use]
    pub const fn max_concurrent(mut self, requests: u32) -> Self {
        self.max_concurrent = Some(requests);
        self
    }

    /// Sets the circuit breaker, which refuses requests while a model does not respond.
    #[must_use]
    pub const fn circuit(mut self, circuit: Circuit) -> Self {
        self.circuit = Some(circuit);
        self
    }
}
