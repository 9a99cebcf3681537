//! The calls of proposers, for estimates.

use super::SharedProposer;
use super::program::{ENOUGH_SKIPS, MOST_BATCHES};
use crate::estimate::{Span, Writer};

impl SharedProposer {
    /// Returns whether it is the default proposer with the current model.
    fn is_default(&self) -> bool {
        self.identity() == SharedProposer::default().identity()
    }

    /// Returns the model that writes the texts.
    pub(crate) fn writer(&self) -> Writer {
        Writer::proposer(self.is_default())
    }

    /// Returns the calls that it makes where the default proposer makes these. Another one may call no model.
    pub(crate) fn calls(&self, calls: Span<u64>) -> Span<u64> {
        if self.is_default() { calls } else { Span { least: 0, ..calls } }
    }
}

/// Returns the calls of the default proposer that describe this many rows, in batches, and a program with this number
/// of predictors.
pub(crate) fn grounding_calls(rows: usize, batch: usize, program: Option<usize>) -> Span<u64> {
    let batches = rows.div_ceil(batch.max(1)).min(MOST_BATCHES);
    let data = if batches == 0 {
        Span::exactly(0)
    } else {
        Span::between(batches.min(ENOUGH_SKIPS) as u64, batches as u64 + 1)
    };
    data + Span::exactly(program.map_or(0, |predictors| predictors as u64 + 1))
}
