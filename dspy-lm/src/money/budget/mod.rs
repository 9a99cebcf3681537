//! Budgets: hard limits of what the calls of a task may spend.

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

/// What may be spent. Without a limit that is as much as is needed.
///
/// A call is only made if it fits whatever it will cost: what it may cost at most is set aside before, what it has cost is
/// settled after. Calls that only those under way stand in the way of wait for them, in the order in which they came.
/// Calls that do not fit any more fail with [`LmErrorKind::Budget`](crate::LmErrorKind::Budget) and say
/// [why](OverBudget).
///
/// - **Calls** count one each, however many requests the transport made of it. Answers from a cache or a journal cost
///   nothing, and neither do calls that got no answer.
/// - **Tokens** of a prompt are not known before; it is taken to have at most as many as it has bytes, and an image
///   50,000. Those of a reply are at most `max_tokens`. Where that is not set the budget sets it, to what it has room for
///   (the caches and journals above do not see that); a reply that is cut off by it is asked for again with more room.
/// - **Dollars** need the model's [price](crate::Price). Of a model whose price is not known the first call goes alone. If
///   its answer tells a cost, later calls are taken to cost up to twice what that suggests. If it does not, the other
///   limits hold and a warning is logged; if there is no other, calls are refused, because nothing would limit them.
/// - **Time** is measured from [`start`](Self::start) or [`scope`](Self::scope). When it is over, calls under way are given
///   up.
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
    /// Calls of a model.
    pub calls: Option<u64>,
    /// Tokens, sent and generated.
    pub tokens: Option<u64>,
    /// US dollars.
    pub usd: Option<f64>,
    /// Time from the start.
    pub time: Option<Duration>,
}

impl Budget {
    /// No limits.
    pub const UNLIMITED: Budget = Budget { calls: None, tokens: None, usd: None, time: None };

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

    /// At most this many US dollars.
    #[must_use]
    pub const fn usd(mut self, dollars: f64) -> Self {
        self.usd = Some(dollars);
        self
    }

    /// No call is made after this time, and none goes on. Needs a Tokio runtime with its timer enabled.
    #[must_use]
    pub const fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// See [`time`](Self::time).
    #[must_use]
    #[deprecated(since = "0.1.0", note = "renamed to `time`")]
    pub const fn wall(self, time: Duration) -> Self {
        self.time(time)
    }

    /// Opens an account of this budget, which tasks can share and which can be asked what is left.
    pub fn start(self) -> BudgetScope {
        self.resume(Usage::default(), Duration::ZERO)
    }

    /// Opens an account from which so much was spent already, in so much time: by an earlier process, for example.
    pub fn resume(self, spent: Usage, elapsed: Duration) -> BudgetScope {
        BudgetScope::new(Account::new(self, &spent, elapsed))
    }

    /// [`resume`](Self::resume) with an account that writes its calls down.
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

    /// Runs `future` with all its calls paid from this budget, those of tasks that are
    /// `dspy::spawn`ed in it included. Budgets that hold already go on holding.
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

    /// Whether it matters how many tokens a call has.
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
    /// See [`Time`](Self::Time).
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
