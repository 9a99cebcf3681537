//! The settings of the verification of a result on held-out rows.

use dspy_core::Seed;

use crate::data::Rows;
use crate::error::OptimizeError;
use crate::report::FEWEST_ROWS;

/// Settings of the verification of a result on rows that the search never uses.
///
/// A search selects the candidate with the best score on the rows that it uses. Part of that score is luck,
/// and more so the more candidates it tries. Verification therefore runs the best candidates and the original
/// program on held-out rows. The result is the candidate with the best score there, or the original program
/// if it scores higher than all of them. [`Report::verification`] has the scores.
///
/// The rows are those of [`Data::holdout`](crate::Data::holdout). Without it, rows are drawn at random from
/// the valset (or from the trainset, if there is no valset) before the search begins, by default at most half of them.
/// If these would be fewer than 10, the result is not verified.
///
/// ```
/// use dspy_optimizers::{BootstrapFewShotWithRandomSearch, Verify};
/// let search = BootstrapFewShotWithRandomSearch::builder().verify(Verify::rows(100).finalists(1));
/// // let optimized = search.metric(exact).build().compile(program, &trainset).await?;
/// ```
///
/// [`Report::verification`]: crate::Report::verification
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verify {
    rows: usize,
    share: f64,
    pub(crate) finalists: usize,
    pub(crate) reserve: f64,
}

impl Verify {
    /// Creates settings that hold out up to this many rows, verify the best three candidates and reserve 15 %
    /// of the budget for it.
    pub const fn rows(rows: usize) -> Self {
        Verify { rows, share: 0.5, finalists: 3, reserve: 0.15 }
    }

    /// Sets the largest share of the rows that is held out, from 0 to 1, one half by default.
    #[must_use]
    pub const fn at_most(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets the number of best candidates that are verified, 3 by default and at least 1. The score of a
    /// single one is unbiased; the best of several scores is slightly too high.
    #[must_use]
    pub const fn finalists(mut self, candidates: usize) -> Self {
        self.finalists = if candidates == 0 { 1 } else { candidates };
        self
    }

    /// Sets the share of the budget that is reserved for the verification, from 0 to 1, 0.15 by default.
    #[must_use]
    pub const fn reserve(mut self, share: f64) -> Self {
        self.reserve = share;
        self
    }

    /// Checks that the settings are valid.
    pub(crate) fn check(&self) -> Result<(), OptimizeError> {
        for (option, share) in [("verify.reserve", self.reserve), ("verify.at_most", self.share)] {
            if !(0.0..=1.0).contains(&share) {
                let (value, expected) = (share.to_string(), "a number from 0 to 1");
                return Err(OptimizeError::Option { option, value, expected });
            }
        }
        Ok(())
    }

    /// Splits rows into those for the search and those to hold out. If there are too few of the latter,
    /// returns all rows and the number that could have been held out.
    pub(crate) fn split<'d, E>(
        &self,
        rows: &Rows<'d, E>,
        seed: Seed,
    ) -> (Rows<'d, E>, Result<Rows<'d, E>, usize>) {
        // Not all rows, as the search needs some.
        let most = ((rows.len() as f64 * self.share) as usize).min(rows.len().saturating_sub(1));
        let count = self.rows.min(most);
        if count < FEWEST_ROWS {
            return (rows.clone(), Err(count));
        }
        let mut held = seed.branch("holdout").rng().sample(rows.len(), count);
        held.sort_unstable();
        let rest = rows.select((0..rows.len()).filter(|index| held.binary_search(index).is_err()));
        (rest, Ok(rows.select(held)))
    }
}

impl Default for Verify {
    /// Returns settings that hold out up to 100 rows.
    fn default() -> Self {
        Verify::rows(100)
    }
}
