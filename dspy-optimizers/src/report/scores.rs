//! The scores of a program on rows.

use std::fmt;

use dspy_core::lm::Usage;
use serde::{Deserialize, Serialize};

use super::percent;
use crate::counts::counted;

/// The scores of a program on rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// The mean score. Rows on which the program failed count as 0; those on which the metric failed are
    /// excluded.
    pub mean: f64,
    /// The results by row, in the order of the rows.
    pub items: Vec<ItemReport>,
}

/// The result of a program on one example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ItemReport {
    /// The index of the example in the data set, from 0.
    pub index: usize,
    /// Its score; `None` if the metric failed.
    pub score: Option<f64>,
    /// The error message, if the program or the metric failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The cost of the run.
    pub usage: Usage,
}

/// The mean score of a program on a part of the rows, because the budget has ended the comparison, or because it was
/// decided and [`Race::to_the_end`](crate::Race::to_the_end) is off. It is not comparable with scores on all rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartialScore {
    /// The mean score on the rows on which it has run.
    pub score: f64,
    /// The number of these rows.
    pub rows: usize,
    /// The number of rows of the comparison.
    pub of: usize,
}

impl fmt::Display for PartialScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartialScore { score, rows, of } = self;
        write!(f, "{} on {rows} of {}", percent(*score), counted(*of, "row"))
    }
}

impl Scores {
    /// Returns the total cost of the rollouts.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.items.iter().for_each(|item| usage += item.usage);
        usage
    }
}

/// Returns the mean of the scores, without rows on which the metric failed; `None` if there are no others.
pub(crate) fn mean(items: &[ItemReport]) -> Option<f64> {
    let counted: Vec<f64> = items.iter().filter_map(|item| item.score).collect();
    (!counted.is_empty()).then(|| mean_of(&counted))
}

/// Returns the mean of finite numbers, which is finite although their sum may not be; 0 for none.
pub(crate) fn mean_of(numbers: &[f64]) -> f64 {
    let (sum, count) = (numbers.iter().sum::<f64>(), numbers.len().max(1) as f64);
    if sum.is_finite() { sum / count } else { numbers.iter().map(|number| number / count).sum() }
}
