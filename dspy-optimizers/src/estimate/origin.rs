//! The parts of an estimate, from which it is made again for another number of calls in a run.

use dspy_core::lm::Budget;
use serde::{Deserialize, Serialize};

use super::Estimate;

/// The parts of an estimate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) enum Origin {
    /// It has none.
    #[default]
    Whole,
    /// It is the sum of two.
    Sum(Box<(Estimate, Estimate)>),
    /// It is another one with a budget, which may end the run after `sure` calls of the program.
    Limited { whole: Box<Estimate>, limits: Limits, sure: Option<u64> },
    /// It is another one whose work may not be done.
    Optional(Box<Estimate>),
}

/// The largest size of one call, for the upper ends of a run that a limit on calls ends.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Dearest {
    pub(super) tokens: f64,
    pub(super) usd: f64,
}

/// The limits of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) calls: Option<u64>,
    pub(super) tokens: Option<u64>,
    pub(super) usd: Option<f64>,
    pub(super) time: bool,
    /// The part of the calls that is not reserved for a verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) search: Option<u64>,
}

impl From<Budget> for Limits {
    fn from(budget: Budget) -> Self {
        let Budget { calls, tokens, usd, time, .. } = budget;
        Limits { calls, tokens, usd, time: time.is_some(), search: None }
    }
}

impl Origin {
    /// Returns whether the estimate has no parts.
    pub(super) fn is_whole(&self) -> bool {
        *self == Origin::Whole
    }
}
