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
    /// The largest call of the program, with all that the optimizer may add to it.
    pub(super) tokens: f64,
    pub(super) usd: f64,
    /// The largest call of the proposer.
    #[serde(default)]
    pub(super) proposal: Size,
    /// The largest call of the original program.
    #[serde(default)]
    pub(super) original: Size,
    /// The number of calls of the original program that come before all others.
    #[serde(default)]
    pub(super) first: u64,
}

/// The size of a call.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Size {
    pub(super) tokens: f64,
    pub(super) usd: f64,
}

impl Size {
    fn max(self, other: Self) -> Self {
        Size { tokens: self.tokens.max(other.tokens), usd: self.usd.max(other.usd) }
    }
}

impl Dearest {
    /// The sizes of calls that cost nothing, or are not known.
    pub(super) const NONE: Dearest = Dearest {
        tokens: 0.0,
        usd: 0.0,
        proposal: Size { tokens: 0.0, usd: 0.0 },
        original: Size { tokens: 0.0, usd: 0.0 },
        first: 0,
    };

    /// Returns the sizes for one run after the other.
    pub(super) fn then(self, next: Self) -> Self {
        Dearest {
            tokens: self.tokens.max(next.tokens),
            usd: self.usd.max(next.usd),
            proposal: self.proposal.max(next.proposal),
            original: self.original.max(next.original),
            first: self.first,
        }
    }

    /// Returns the largest cost of this many calls, of which at most `proposals` are of the proposer.
    pub(super) fn of(&self, calls: u64, proposals: Option<u64>) -> Size {
        let first = self.first.min(calls);
        let rest = calls - first;
        let proposals = proposals.unwrap_or(u64::MAX).min(rest);
        let sum = |original: f64, program: f64, proposal: f64| {
            let others = program.max(proposal) * proposals as f64 + program * (rest - proposals) as f64;
            original.min(program) * first as f64 + others
        };
        Size {
            tokens: sum(self.original.tokens, self.tokens, self.proposal.tokens),
            usd: sum(self.original.usd, self.usd, self.proposal.usd),
        }
    }
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
