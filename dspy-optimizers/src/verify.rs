//! Verification of a search result on held-out rows.

use std::fmt;

use dspy_core::Seed;
use serde::{Deserialize, Serialize};

use crate::OptimizeError;
use crate::data::Rows;
use crate::report::percent;

/// The smallest number of rows to hold out; fewer would not be meaningful.
const FEWEST: usize = 10;

/// Settings of the verification of a result on rows that the search never uses.
///
/// A search selects the candidate with the best score on the rows that it uses. Part of that score is luck,
/// and more so the more candidates it tries. Verification therefore runs the best candidates and the original
/// program on held-out rows. The result is the candidate with the best score there, or the original program
/// if it scores higher than all of them. [`Report::verification`] has the scores.
///
/// The rows are those of [`Data::holdout`](crate::Data::holdout). Without it, rows are drawn at random from
/// the valset (or from the trainset, if there is no valset) before the search begins, at most half of them.
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
    pub(crate) finalists: usize,
    pub(crate) reserve: f64,
}

impl Verify {
    /// Creates settings that hold out up to this many rows, verify the best three candidates and reserve 15 %
    /// of the budget for it.
    pub const fn rows(rows: usize) -> Self {
        Verify { rows, finalists: 3, reserve: 0.15 }
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
        if (0.0..=1.0).contains(&self.reserve) {
            return Ok(());
        }
        Err(OptimizeError::Option { option: "verify.reserve", value: self.reserve.to_string() })
    }

    /// Splits rows into those for the search and those to hold out. If there are too few of the latter,
    /// returns all rows and the number that could have been held out.
    pub(crate) fn split<'d, E>(
        &self,
        rows: &Rows<'d, E>,
        seed: Seed,
    ) -> (Rows<'d, E>, Result<Rows<'d, E>, usize>) {
        let count = self.rows.min(rows.len() / 2);
        if count < FEWEST {
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

/// The result of a [verification](Verify).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verification {
    /// No verification was requested.
    #[default]
    Off,
    /// There were too few rows to hold any out, so the result is that of the search.
    TooFewRows {
        /// The number of rows that could be held out.
        rows: usize,
    },
    /// The search has found no program better than the original one.
    NothingFound,
    /// The budget was exhausted before all programs had run on a block of rows, so the result is that of the
    /// search.
    OutOfBudget,
    /// The best candidate is not worse than the original program, and is the result.
    Passed(Verified),
    /// The original program is better than all candidates, and is the result.
    Failed(Verified),
}

/// The scores on held-out rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verified {
    /// The number of rows on which all programs have run.
    pub rows: usize,
    /// The index in [`Report::trials`](crate::Report::trials) of the best candidate on these rows.
    pub trial: usize,
    /// Its mean score on these rows.
    pub score: f64,
    /// Half the width of the 95 % confidence interval of that score.
    pub margin: f64,
    /// The mean score of the original program on these rows.
    pub baseline: f64,
    /// The mean score of the candidate in the search. Its difference from `score` is mostly luck.
    pub search_score: Option<f64>,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verification::Off => f.write_str("not verified"),
            Verification::TooFewRows { rows } => {
                write!(f, "not verified: {rows} rows are too few to hold out")
            }
            Verification::NothingFound => f.write_str("nothing to verify: the program is as it was given"),
            Verification::OutOfBudget => f.write_str("not verified: the budget was used up"),
            Verification::Passed(verified) => verified.fmt(f),
            Verification::Failed(verified) => {
                write!(f, "{verified}; not returned, the program is as it was given")
            }
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { rows, score, margin, baseline, search_score, .. } = self;
        let (score, margin, baseline) = (percent(*score), margin * 100.0, percent(*baseline));
        write!(f, "verified on {rows} unseen rows: {score} (± {margin:.1}), from {baseline}")?;
        search_score.map_or(Ok(()), |seen| write!(f, "; {} in the search", percent(seen)))
    }
}
