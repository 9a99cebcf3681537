//! Reasons why a budget refuses or cancels a call.

use std::fmt;

use thiserror::Error;

use super::{Budget, Limit};
use crate::{LmError, LmErrorKind, Usage};

/// The reason why a budget refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetRefusal {
    /// The call does not fit, whatever the calls in flight will cost, or the time is over.
    Limit(Limit),
    /// Only dollars are limited, and the price of this model is known neither before nor after the call.
    UnknownPrice,
    /// The account was [closed](super::BudgetScope::close) or [aborted](super::BudgetScope::abort).
    Closed,
}

/// An alias of [`BudgetRefusal`].
#[deprecated(since = "0.1.0", note = "renamed to `BudgetRefusal`")]
pub type Refusal = BudgetRefusal;

/// A budget that refused a call, found in [`LmError::budget`](field@crate::LmError::budget).
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{}", self.sentence())]
#[non_exhaustive]
pub struct OverBudget {
    /// The reason for the refusal.
    pub why: BudgetRefusal,
    /// The limits of the budget.
    pub budget: Budget,
    /// The usage that the budget had paid for already.
    pub spent: Usage,
    /// The worst-case usage of the call. Only the quantities that the budget limits are estimated.
    pub asked: Usage,
    /// The number of tokens at which the budget truncated the reply; if set, the call was made and charged.
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
