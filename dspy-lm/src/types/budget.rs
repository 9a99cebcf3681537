//! Budgets as data: limits, and the reasons why a budget refuses or cancels a call.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{LmError, LmErrorKind, Usage};

/// Limits for calls, tokens, dollars and time. A limit that is not set does not apply.
///
/// A call starts only if its worst-case cost fits the remaining budget. That amount is reserved up front; the
/// difference is released when the call ends. Calls that do not fit only because of calls in flight wait for
/// them, in order of arrival. Calls that no longer fit fail with
/// [`LmErrorKind::Budget`](crate::LmErrorKind::Budget), and the error holds the [reason](OverBudget).
///
/// - **Calls** count as one each, however many requests the transport sends for them. Answers from a cache or
///   a journal are free, and so are calls without an answer.
/// - **Tokens** of a prompt are not known in advance; the bound is its length in bytes, and 50,000 for an
///   image. Those of a reply are at most `max_tokens`. If that is not set, the budget sets it to what still
///   fits (the caches and journals above do not see that); a reply truncated by it is retried with more room.
/// - **Dollars** need the model's [price](crate::Price). If the price is unknown, the first call of the model
///   runs alone. If its answer reports a cost, later calls are assumed to cost up to twice what that
///   suggests. If it does not, only the other limits apply and a warning is logged; without other limits,
///   calls are refused, because nothing would limit them.
/// - **Time** is measured from [`start`](Self::start) or [`scope`](Self::scope). When it is over, calls in
///   flight are cancelled.
///
/// ```
/// use std::time::Duration;
/// use dspy_lm::Budget;
/// let budget = Budget::calls(2_000).usd(1.50).time(Duration::from_secs(3600));
/// assert_eq!(budget.to_string(), "2000 calls, $1.5, 3600s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Budget {
    /// The number of calls of a model.
    pub calls: Option<u64>,
    /// The number of tokens, input and output.
    pub tokens: Option<u64>,
    /// The cost in US dollars.
    pub usd: Option<f64>,
    /// The time from the start.
    pub time: Option<Duration>,
}

impl Budget {
    /// A budget without limits.
    pub const UNLIMITED: Budget = Budget { calls: None, tokens: None, usd: None, time: None };

    /// Creates a budget of at most this many calls of a model.
    pub const fn calls(calls: u64) -> Self {
        Budget { calls: Some(calls), ..Self::UNLIMITED }
    }

    /// Limits the number of tokens, input and output.
    #[must_use]
    pub const fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Limits the cost, in US dollars. With a limit that is negative or not a number, every call fails and says so.
    #[must_use]
    pub const fn usd(mut self, dollars: f64) -> Self {
        self.usd = Some(dollars);
        self
    }

    /// Limits the time. When it is over, calls in flight are cancelled and no call starts. Needs a Tokio
    /// runtime with its timer enabled.
    #[must_use]
    pub const fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Limits the time, as [`time`](Self::time) does.
    #[must_use]
    #[deprecated(since = "0.1.0", note = "renamed to `time`")]
    pub const fn wall(self, time: Duration) -> Self {
        self.time(time)
    }

    /// Returns whether the limit in US dollars is negative or not a number.
    pub(crate) fn has_invalid_usd(&self) -> bool {
        self.usd.is_some_and(|usd| usd.is_nan() || usd < 0.0)
    }

    /// Returns whether the budget depends on the number of tokens of a call.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.tokens.is_some() || self.usd.is_some()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            self.calls.map(|calls| format!("{calls} calls")),
            self.tokens.map(|tokens| format!("{tokens} tokens")),
            self.usd.map(|usd| format!("${usd}")),
            self.time.map(|wall| format!("{wall:?}")),
        ];
        let limits: Vec<_> = limits.into_iter().flatten().collect();
        f.write_str(if limits.is_empty() { "unlimited" } else { "" })?;
        f.write_str(&limits.join(", "))
    }
}

/// A limit of a [`Budget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// The number of calls.
    Calls,
    /// The number of tokens.
    Tokens,
    /// The cost in US dollars.
    Usd,
    /// The time.
    #[serde(alias = "wall")]
    Time,
}

impl Limit {
    /// An alias of [`Time`](Self::Time).
    #[expect(non_upper_case_globals, reason = "it was a variant")]
    #[deprecated(since = "0.1.0", note = "renamed to `Time`")]
    pub const Wall: Limit = Limit::Time;
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Calls => "calls",
            Limit::Tokens => "tokens",
            Limit::Usd => "US dollars",
            Limit::Time => "time",
        })
    }
}

/// The reason why a budget refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetRefusal {
    /// The call does not fit, whatever the calls in flight will cost, or the time is over.
    Limit(Limit),
    /// Only dollars are limited, and the price of this model is known neither before nor after the call.
    UnknownPrice,
    /// The account was [closed](crate::BudgetScope::close) or [aborted](crate::BudgetScope::abort).
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
                "the reply was truncated after {cut} tokens, and the budget ({budget}) has no room for a longer one"
            );
        }
        if let (BudgetRefusal::Limit(Limit::Usd), Some(usd)) =
            (why, budget.usd.filter(|_| budget.has_invalid_usd()))
        {
            return format!(
                "the limit of the budget in US dollars, {usd}, is invalid; set a number of at least 0"
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
            BudgetRefusal::Closed => format!(
                "the budget ({budget}) was closed with `BudgetScope::close` or `abort`, or its run has ended, so no further \
                 call starts; open another one with `Budget::start`"
            ),
        }
    }

    pub(crate) fn into_error(self: Box<Self>, model: &str) -> LmError {
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
