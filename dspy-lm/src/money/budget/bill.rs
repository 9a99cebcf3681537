//! The highest possible cost of a request.

use crate::Price;
use crate::money::tally::picodollars;

/// The highest possible cost of a request.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Bill {
    /// The cost of the prompt in picodollars.
    pub(super) prompt: u64,
    /// The cost of each generated token in picodollars.
    pub(super) each: f64,
}

impl Bill {
    /// Returns the highest possible cost of a request whose prompt has at most `prompt` tokens.
    pub(super) fn new(price: &Price, prompt: u64) -> Self {
        let (input, output) = price.highest_rates(prompt);
        // One more, because both the cost and this are rounded.
        Bill { prompt: picodollars(prompt as f64 * input / 1e6).saturating_add(1), each: output * 1e6 }
    }
}
