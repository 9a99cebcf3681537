//! Sums of usage that do not depend on the order of addition.

use crate::{Response, Usage};

/// The number of picodollars in a dollar. Sums of integers are the same in any order; sums of floating-point
/// numbers are not.
const PICOS: f64 = 1e12;

/// Converts a cost to picodollars, rounded to the nearest integer.
pub(crate) fn picodollars(usd: f64) -> u64 {
    (usd * PICOS).round() as u64
}

/// Converts a cost to US dollars.
pub(crate) fn dollars(picodollars: u64) -> f64 {
    picodollars as f64 / PICOS
}

/// The usage of calls as integers. The sum does not depend on the order of addition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of calls; the retries of a call do not count.
    pub calls: u64,
    pub(crate) requests: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    pub(crate) picodollars: u64,
    pub(crate) unpriced: bool,
}

impl Tally {
    /// Converts the usage of one call.
    pub fn of(usage: &Usage) -> Self {
        Tally {
            calls: 1,
            requests: usage.requests,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            picodollars: usage.cost_usd.map_or(0, picodollars),
            unpriced: usage.requests > 0 && usage.cost_usd.is_none(),
        }
    }

    /// Returns the charge for an answer. A cached answer is free; an answer without usage still counts as a
    /// call.
    pub fn answered(response: &Response) -> Self {
        if response.cached {
            return Tally::default();
        }
        let mut usage = response.usage;
        usage.requests = usage.requests.max(1);
        Tally::of(&usage)
    }

    /// Returns the charge for a refused request: it was sent, but cost nothing.
    pub fn refused() -> Self {
        Tally { calls: 1, requests: 1, ..Tally::default() }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: Tally) {
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.calls, other.calls);
        sum(&mut self.requests, other.requests);
        sum(&mut self.prompt_tokens, other.prompt_tokens);
        sum(&mut self.completion_tokens, other.completion_tokens);
        sum(&mut self.cache_read_tokens, other.cache_read_tokens);
        sum(&mut self.cache_write_tokens, other.cache_write_tokens);
        sum(&mut self.reasoning_tokens, other.reasoning_tokens);
        sum(&mut self.picodollars, other.picodollars);
        self.unpriced |= other.unpriced;
    }

    /// Returns the number of tokens, input and output.
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Converts the sum to a [`Usage`].
    pub fn usage(&self) -> Usage {
        Usage {
            requests: self.requests,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            cache_read_tokens: self.cache_read_tokens,
            cache_write_tokens: self.cache_write_tokens,
            reasoning_tokens: self.reasoning_tokens,
            cost_usd: (self.requests > 0 && !self.unpriced).then(|| dollars(self.picodollars)),
        }
    }
}
