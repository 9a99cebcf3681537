//! The result of a verification on held-out rows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::percent;
use crate::counts::counted;

/// The smallest number of rows to hold out; a result on fewer would not be meaningful.
pub(crate) const FEWEST_ROWS: usize = 10;

/// The result of a [verification](crate::Verify).
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

impl Verification {
    /// Returns whether programs have run on held-out rows.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Verification::Passed(_) | Verification::Failed(_))
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verification::Off => f.write_str(
                "not verified: the scores are those on rows of the search; set `Data::holdout`, or `verify`",
            ),
            Verification::TooFewRows { rows } => write!(
                f,
                "not verified: {} could be held out, at least {FEWEST_ROWS} are needed; add rows, or set \
                 `Data::holdout`",
                counted(*rows, "row")
            ),
            Verification::NothingFound => {
                f.write_str("not verified: no candidate has a higher score than the original program")
            }
            Verification::OutOfBudget => f.write_str(
                "not verified: the budget was exhausted; increase it, or the share of it that `Verify::reserve` sets",
            ),
            Verification::Passed(verified) => verified.fmt(f),
            Verification::Failed(verified) => {
                write!(f, "{verified}; the result is the original program, as no candidate is better")
            }
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verified { rows, score, margin, baseline, search_score, .. } = self;
        let rows = counted(*rows, "held-out row");
        let (score, margin, baseline) = (percent(*score), margin * 100.0, percent(*baseline));
        write!(f, "verified on {rows}: {score} (± {margin:.1}), original program {baseline}")?;
        search_score.map_or(Ok(()), |seen| write!(f, "; score in the search {}", percent(seen)))
    }
}
