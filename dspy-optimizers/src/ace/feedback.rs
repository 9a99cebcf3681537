//! Feedback on finished runs, and what it has led to.

use std::collections::BTreeMap;

use dspy_core::evaluate::Score;
use dspy_core::lm::Limit;
use dspy_core::signature::{Playbook, Values};

/// A state of the playbooks that was adopted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its number, from 0 for the playbooks that the program was given with.
    pub version: u64,
    /// The playbooks by the path of the predictor.
    pub playbooks: BTreeMap<String, Playbook>,
    /// Its origin in words.
    pub note: String,
}

/// Feedback on a finished run.
///
/// ```
/// use dspy_optimizers::ace::Feedback;
/// let feedback = Feedback::new("The customer wanted a refund.").score(0.0);
/// let praise = Feedback::from("Well answered.").score(1.0);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Feedback {
    /// The feedback in words.
    pub text: Option<String>,
    /// The score, usually from 0 to 1. A run without one is treated as one that went wrong.
    pub score: Option<f64>,
    /// The right outputs by field name, where they are known.
    pub expected: Values,
    /// Feedback in words for a predictor, by path, in place of `text`.
    pub predictors: BTreeMap<String, String>,
}

impl Feedback {
    /// Creates feedback in words, without a score.
    pub fn new(text: impl Into<String>) -> Self {
        Feedback { text: Some(text.into()), ..Feedback::default() }
    }

    /// Sets the score.
    #[must_use]
    pub fn score(mut self, score: f64) -> Self {
        self.score = Some(score);
        self
    }

    /// Sets the right outputs by field name.
    #[must_use]
    pub fn expected(mut self, values: Values) -> Self {
        self.expected = values;
        self
    }
}

impl From<&str> for Feedback {
    fn from(text: &str) -> Self {
        Feedback::new(text)
    }
}

impl From<String> for Feedback {
    fn from(text: String) -> Self {
        Feedback::new(text)
    }
}

/// The score of a metric with its feedback.
impl From<Score> for Feedback {
    fn from(score: Score) -> Self {
        let Score { value, feedback, predictors, .. } = score;
        Feedback { text: feedback, score: Some(value), predictors, ..Feedback::default() }
    }
}

/// The effect of a finished run on the playbooks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Learned {
    /// The run waits with others until there is a batch.
    Waiting {
        /// The number of runs that wait.
        runs: usize,
    },
    /// The batch has led to no change but counters.
    Unchanged {
        /// Changes that were dropped, and problems of the proposer.
        notes: Vec<String>,
    },
    /// The playbooks were changed.
    Adopted {
        /// The version of the new snapshot.
        version: u64,
        /// The scores before and after, and changes that were dropped.
        notes: Vec<String>,
    },
    /// The program with the changed playbooks was worse on the rows, so nothing was changed but counters.
    Rejected {
        /// The scores before and after, and changes that were dropped.
        notes: Vec<String>,
    },
    /// The playbooks were [rolled back](super::OnlineAce::roll_back) during the update, so its result does not apply. The runs
    /// wait.
    Overtaken,
    /// The budget was exhausted, so nothing was changed. The runs wait.
    OutOfBudget(Limit),
}
