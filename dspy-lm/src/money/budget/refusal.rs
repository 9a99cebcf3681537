//! Why a call was not made, or was given up.

use std::fmt;

use thiserror::Error;

use super::{Budget, Limit};
use crate::{LmError, LmErrorKind, Usage};

/// What a budget has against a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetRefusal {
    /// It does not fit, whatever the calls under way will cost; or the time is over.
    Limit(Limit),
    /// Only dollars are limited, and what this model costs is known neither before nor after.
    UnknownPrice,
    /// The account was [closed](super::BudgetScope::close) or [aborted](super::BudgetScope::abort).
    Closed,
}

/// See [`BudgetRefusal`].
#[deprecated(since = "0.1.0", note = "renamed to `BudgetRefusal`")]
pub type Refusal = BudgetRefusal;

/// A budget that stood against a call; found in [`LmError::budget`](field@crate::LmError::budget).
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{}", self.sentence())]
#[non_exhaustive]
pub struct OverBudget {
    /// What it has against the call.
    pub why: BudgetRefusal,
    /// The budget.
    pub budget: Budget,
    /// What was spent of it.
    pub spent: Usage,
    /// What the call might have cost at most. Only what the budget limits is estimated.
    pub asked: Usage,
    /// At how many tokens the budget had the reply cut off; then the call was made, and paid for.
    pub cut: Option<u32>,
}

impl OverBudget {
    fn sentence(&self) -> String {
        let OverBudget { why, budget, spent, asked, cut } = self;
        if let Some(cut) = cut {
            return format!(
                "the reply was cut off after {cut} tokens, and there is no room for a longer one in the budget ({budget})"
            );
        }
        let of = |limit: &Limit| match limit {
            Limit::Calls => match spent.requests {
                0 => "none can be made".into(),
                1 => "1 was made".into(),
                calls => format!("{calls} were made"),
            },
            Limit::Tokens => {
                format!("{} were spent and the call may take {}", spent.total_tokens(), asked.total_tokens())
            }
            Limit::Usd => {
                let usd = |usage: &Usage| usage.cost_usd.unwrap_or_default();
                format!("${:.6} were spent and the call may cost ${:.6}", usd(spent), usd(asked))
            }
            Limit::Time => "it is over".into(),
        };
        match why {
            BudgetRefusal::Limit(limit) => {
                format!("the limit of {limit} is reached ({budget}): {}", of(limit))
            }
            BudgetRefusal::UnknownPrice => {
                format!("what it costs is not known, and nothing else is limited ({budget})")
            }
            BudgetRefusal::Closed => format!("the budget ({budget}) was closed"),
        }
    }

    pub(super) fn into_error(self: Box<Self>, model: &str) -> LmError {
        let mut error = LmError::new(LmErrorKind::Budget, model, self.to_string());
        error.budget = Some(self);
        error
    }
}

impl fmt::Display for BudgetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BudgetRefusal::Limit(limit) => write!(f, "limit of {limit}"),
            BudgetRefusal::UnknownPrice => f.write_str("unknown price"),
            BudgetRefusal::Closed => f.write_str("closed"),
        }
    }
}
