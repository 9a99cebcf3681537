//! The gate between what a search has found and the user: rows that the search has never seen.

use std::fmt;

use dspy_core::Seed;
use serde::{Deserialize, Serialize};

use crate::data::Rows;
use crate::report::percent;

/// Fewer rows say too little.
const FEWEST: usize = 10;

/// How what a search has found is verified: on which rows, how many of its candidates, at what cost.
///
/// A search picks what did best on the rows that it has seen, which is partly luck; the more candidates it tries, the
/// more. So the best of them run once more, on rows that were never used, beside the program as it was given. What is
/// best there is the result, unless the program as it was given is better. [`Report::verification`] says what came of
/// it.
///
/// The rows are those of [`Data::holdout`](crate::Data::holdout). Without one, rows are set aside from those to select
/// by before the search begins, at random and never more than half. If these are fewer than 10, nothing is verified.
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
    /// Sets up to so many rows aside, and verifies the best three candidates on them. 15 % of the budget are reserved
    /// for it.
    pub const fn rows(rows: usize) -> Self {
        Verify { rows, finalists: 3, reserve: 0.15 }
    }

    /// Sets how many of the best candidates run on the rows, 3 by default and at least 1. With one the score on these
    /// rows is unbiased; the best of several is a little too high.
    #[must_use]
    pub const fn finalists(mut self, candidates: usize) -> Self {
        self.finalists = if candidates == 0 { 1 } else { candidates };
        self
    }

    /// Sets the share of the budget that the search must leave, from 0 to 1, 0.15 by default.
    #[must_use]
    pub const fn reserve(mut self, share: f64) -> Self {
        self.reserve = share;
        self
    }

    /// Splits rows off for this: the rest in their order, and these, or how many there would be if they are too few.
    pub(crate) fn set_aside<'d, E>(
        &self,
        rows: &Rows<'d, E>,
        seed: Seed,
    ) -> (Rows<'d, E>, Result<Rows<'d, E>, usize>) {
        let count = self.rows.min(rows.len() / 2);
        if count < FEWEST {
            return (rows.clone(), Err(count));
        }
        let mut aside = seed.branch("holdout").rng().sample(rows.len(), count);
        aside.sort_unstable();
        let rest = rows.select((0..rows.len()).filter(|index| aside.binary_search(index).is_err()));
        (rest, Ok(rows.select(aside)))
    }
}

impl Default for Verify {
    /// 100 rows.
    fn default() -> Self {
        Verify::rows(100)
    }
}

/// What came of the [verification](Verify) of a result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verification {
    /// It was not asked for.
    #[default]
    Off,
    /// There were too few rows that the search could do without; so the result is what the search has found.
    TooFewRows {
        /// How many there were.
        rows: usize,
    },
    /// The search has found nothing that differs from the program as it was given.
    NothingFound,
    /// The budget was used up before all had run on a block of rows; so the result is what the search has found.
    OutOfBudget,
    /// A candidate was not worse than the program as it was given, and is the result.
    Passed(Verified),
    /// The program as it was given was better than all candidates, and is the result.
    Failed(Verified),
}

/// The scores on rows that the search has never seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verified {
    /// How many rows all have run on.
    pub rows: usize,
    /// The place in [`Report::trials`](crate::Report::trials) of the best candidate on these rows.
    pub trial: usize,
    /// Its mean score on these rows.
    pub score: f64,
    /// The half width of the 95 % confidence interval of that score.
    pub margin: f64,
    /// The mean score of the program as it was given on these rows.
    pub baseline: f64,
    /// The mean score of the candidate in the search. What it is above `score` was probably luck.
    pub search_score: Option<f64>,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verification::Off => f.write_str("not verified"),
            Verification::TooFewRows { rows } => {
                write!(f, "not verified: {rows} rows are too few to set aside")
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
