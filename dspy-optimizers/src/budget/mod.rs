//! Budgets: hard limits of what a run may spend.

mod experience;
mod layer;
mod ledger;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::experience::Experience;
pub(crate) use self::layer::{BudgetLayer, is_nested};
pub(crate) use self::ledger::{Closed, Ledger};

/// What a run may spend, all its attempts together. Without a limit it may spend what it needs.
///
/// A call is only made if it fits, and what it may cost is set aside before. The number of calls is kept exactly.
/// Tokens and dollars of a call are only known afterwards: until then it counts with the length of its prompt and
/// with `max_tokens`, or the longest reply so far where that is not set. A call that gets no answer counts nothing, one
/// from a cache neither.
///
/// ```
/// use std::time::Duration;
/// use dspy_optimizers::Budget;
/// let budget = Budget::calls(2_000).usd(1.50).wall(Duration::from_secs(3600));
/// assert_eq!(budget.to_string(), "2000 calls, $1.5, 3600s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Budget {
    pub(crate) calls: Option<u64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) usd: Option<f64>,
    pub(crate) wall: Option<Duration>,
}

impl Budget {
    /// No limits.
    pub const UNLIMITED: Budget = Budget { calls: None, tokens: None, usd: None, wall: None };

    /// At most this many calls of a model.
    pub const fn calls(calls: u64) -> Self {
        Budget { calls: Some(calls), ..Self::UNLIMITED }
    }

    /// At most this many tokens, sent and generated.
    #[must_use]
    pub const fn tokens(mut self, tokens: u64) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// At most this many US dollars. Needs a model that reports what its answers cost: with one that does not, the
    /// other limits hold and the report says that this one does not; if there is no other, the run ends with
    /// [`UnknownPrice`](crate::OptimizeError::UnknownPrice).
    #[must_use]
    pub const fn usd(mut self, dollars: f64) -> Self {
        self.usd = Some(dollars);
        self
    }

    /// No call is made after this time. The time of attempts that were killed counts.
    #[must_use]
    pub const fn wall(mut self, time: Duration) -> Self {
        self.wall = Some(time);
        self
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            self.calls.map(|calls| format!("{calls} calls")),
            self.tokens.map(|tokens| format!("{tokens} tokens")),
            self.usd.map(|usd| format!("${usd}")),
            self.wall.map(|wall| format!("{wall:?}")),
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
    Wall,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::Calls => "calls",
            Limit::Tokens => "tokens",
            Limit::Usd => "US dollars",
            Limit::Wall => "time",
        })
    }
}
