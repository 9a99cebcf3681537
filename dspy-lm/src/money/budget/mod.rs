//! Budgets: hard limits for the calls of a task.

mod account;
mod ask;
mod learned;
mod log;
mod pay;
mod refusal;
mod scope;
mod verdict;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Usage;
use account::Account;
pub use log::BudgetLog;
#[expect(deprecated, reason = "the old name goes on working")]
pub use refusal::Refusal;
pub use refusal::{BudgetRefusal, OverBudget};
pub(crate) use scope::BudgetNode;
pub use scope::BudgetScope;

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

    /// Limits the cost, in US dollars.
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

    /// Opens an account of this budget, which tasks can share and which reports what is left.
    pub fn start(self) -> BudgetScope {
        self.resume(Usage::default(), Duration::ZERO)
    }

    /// Opens an account of which `spent` and `elapsed` are used already, for example by an earlier process.
    pub fn resume(self, spent: Usage, elapsed: Duration) -> BudgetScope {
        BudgetScope::new(Account::new(self, &spent, elapsed))
    }

    /// Opens an account as [`resume`](Self::resume) does, with a log of its calls.
    #[doc(hidden)]
    pub fn resume_logged(
        self,
        spent: Usage,
        elapsed: Duration,
        log: std::sync::Arc<dyn BudgetLog>,
    ) -> BudgetScope {
        let mut account = Account::new(self, &spent, elapsed);
        account.log = Some(log);
        BudgetScope::new(account)
    }

    /// Runs `future` and pays for all its calls from this budget, including those of tasks started in it with
    /// `dspy::spawn`. Enclosing budgets continue to apply.
    ///
    /// ```
    /// use dspy_lm::{Budget, Limit, Lm, LmErrorKind, BudgetRefusal};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::scripted(["Paris", "Rome"]);
    /// Budget::calls(1)
    ///     .scope(async {
    ///         assert!(lm.ask("Capital of France?").await.is_ok());
    ///         let error = lm.ask("Capital of Italy?").await.unwrap_err();
    ///         assert_eq!(error.kind, LmErrorKind::Budget);
    ///         assert_eq!(error.budget.unwrap().why, BudgetRefusal::Limit(Limit::Calls));
    ///     })
    ///     .await;
    /// # });
    /// ```
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        self.start().enter(future)
    }

    /// Returns whether the budget depends on the number of tokens of a call.
    fn counts_tokens(&self) -> bool {
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
