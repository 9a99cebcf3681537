//! Adding usage up so that the sum does not depend on the order.

use dspy_core::lm::{Response, Usage};

/// Picodollars in a dollar. Sums of integers are the same in every order; sums of floating-point numbers are not.
const PICOS: f64 = 1e12;

/// What calls have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    picodollars: u64,
    unpriced: bool,
}

impl Tally {
    /// Counts an answer. One from a cache was not charged.
    pub(crate) fn count(&mut self, response: &Response) {
        if response.cached {
            return;
        }
        let usage = response.usage;
        // A model that reports nothing was still called.
        self.add(Tally {
            calls: usage.requests.max(1),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            picodollars: usage.cost_usd.map_or(0, |usd| (usd * PICOS).round() as u64),
            unpriced: usage.cost_usd.is_none(),
        });
    }

    /// A request that was refused: it was sent, but cost nothing.
    pub(crate) fn refused() -> Self {
        Tally { calls: 1, ..Tally::default() }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.calls += other.calls;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.picodollars = self.picodollars.saturating_add(other.picodollars);
        self.unpriced |= other.unpriced;
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }

    /// The part of the cost that is known.
    pub(crate) fn usd(&self) -> f64 {
        self.picodollars as f64 / PICOS
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        usage.requests = self.calls;
        usage.prompt_tokens = self.prompt_tokens;
        usage.completion_tokens = self.completion_tokens;
        usage.cost_usd = (self.calls > 0 && !self.unpriced).then(|| self.usd());
        usage
    }
}
