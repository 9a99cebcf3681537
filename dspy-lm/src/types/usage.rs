//! Token counts and cost.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The tokens and the cost of one or more requests.
///
/// ```
/// use dspy_lm::Usage;
/// let mut total = Usage::tokens(10, 5);
/// total += Usage::tokens(1, 1);
/// assert_eq!((total.requests, total.total_tokens()), (2, 17));
/// assert_eq!(total.cost_usd, None); // an unknown price is never zero
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// The number of charged requests.
    pub requests: u64,
    /// The number of input tokens, including those that the endpoint read from its prompt cache.
    pub prompt_tokens: u64,
    /// The number of output tokens, including reasoning.
    pub completion_tokens: u64,
    /// The part of `prompt_tokens` that the endpoint read from its prompt cache, usually at a lower price.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// The part of `prompt_tokens` that the endpoint wrote to its prompt cache, at some endpoints at a higher
    /// price.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// The part of `completion_tokens` that was spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// The cost in US dollars; `None` if the price of any part is unknown.
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// Creates the usage of one request of which only the token counts are known.
    pub fn tokens(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Usage { requests: 1, prompt_tokens, completion_tokens, ..Usage::default() }
    }

    /// Sets the cost in US dollars.
    #[must_use]
    pub fn at_cost(mut self, usd: f64) -> Self {
        self.cost_usd = Some(usd);
        self
    }

    /// Sets the numbers of prompt tokens that were read from and written to the endpoint's prompt cache.
    #[must_use]
    pub fn prompt_cache(mut self, read: u64, written: u64) -> Self {
        (self.cache_read_tokens, self.cache_write_tokens) = (read, written);
        self
    }

    /// Sets the number of completion tokens that were spent on reasoning.
    #[must_use]
    pub fn reasoning(mut self, tokens: u64) -> Self {
        self.reasoning_tokens = tokens;
        self
    }

    /// Returns the sum of input and output tokens, saturating at [`u64::MAX`], because reported counts are
    /// not checked.
    pub fn total_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.cost_usd = match (self.requests, other.requests) {
            (0, _) => other.cost_usd,
            (_, 0) => self.cost_usd,
            _ => self.cost_usd.zip(other.cost_usd).map(|(a, b)| (a + b).min(f64::MAX)),
        };
        let sum = |a: &mut u64, b: u64| *a = a.saturating_add(b);
        sum(&mut self.requests, other.requests);
        sum(&mut self.prompt_tokens, other.prompt_tokens);
        sum(&mut self.completion_tokens, other.completion_tokens);
        sum(&mut self.cache_read_tokens, other.cache_read_tokens);
        sum(&mut self.cache_write_tokens, other.cache_write_tokens);
        sum(&mut self.reasoning_tokens, other.reasoning_tokens);
    }
}
