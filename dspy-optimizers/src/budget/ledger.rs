//! The ledger of a study: the account that pays its calls, and the reason why no further call is made.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{
    Budget, BudgetLog, BudgetRefusal, BudgetScope, Limit, LmError, LmScope, OverBudget, Usage,
};

use super::Experience;

/// The history of an account, with which a ledger is opened.
pub(crate) struct History {
    /// The amount that earlier processes spent from it.
    pub(crate) spent: Usage,
    /// The time that counts against its time limit already.
    pub(crate) elapsed: Duration,
    /// The usage of calls of earlier processes, for cost estimates.
    pub(crate) experience: Experience,
    /// The log of its further calls.
    pub(crate) log: Arc<dyn BudgetLog>,
}

/// An account for the calls of a study or of one of its phases. The first call that does not fit closes it;
/// otherwise, whether a later, cheaper call fits would depend on the concurrency.
pub(crate) struct Ledger {
    account: BudgetScope,
    /// The enclosing ledger, which pays the calls as well.
    outer: Option<Arc<Ledger>>,
    closed: Mutex<Option<Closed>>,
    /// The limit that work was not begun for, as it would have exceeded it.
    short: Mutex<Option<Limit>>,
}

/// The reason why no further call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The budget is exhausted.
    Limit(Limit),
    /// The only limit is in US dollars and the price of this model is unknown, so the study would be
    /// unlimited.
    UnknownPrice(String),
    /// The study ends with an error.
    Aborted,
}

impl Ledger {
    /// Opens the ledger of a whole study.
    pub(crate) fn open(budget: Budget, history: History) -> Arc<Self> {
        Self::with(budget, history, None)
    }

    /// Opens a ledger with additional limits, whose calls are charged to this one as well.
    pub(crate) fn below(self: &Arc<Self>, budget: Budget, history: History) -> Arc<Self> {
        Self::with(budget, history, Some(self.clone()))
    }

    fn with(budget: Budget, history: History, outer: Option<Arc<Ledger>>) -> Arc<Self> {
        let History { spent, elapsed, experience, log } = history;
        let account = budget.resume_logged(spent, elapsed, log);
        experience.tell(&account);
        Arc::new(Ledger { account, outer, closed: Mutex::default(), short: Mutex::default() })
    }

    /// Returns `scope` with its calls charged to this ledger.
    pub(crate) fn paying(&self, scope: LmScope) -> LmScope {
        let scope = match &self.outer {
            Some(outer) => outer.paying(scope),
            None => scope,
        };
        scope.within(&self.account)
    }

    /// Returns the remainder of each limit: the minimum over this ledger and the enclosing ones.
    pub(crate) fn remaining(&self) -> Budget {
        let own = self.account.remaining();
        self.outer.as_ref().map_or(own, |outer| tighter(own, outer.remaining()))
    }

    /// Returns the reason why the ledger is closed, or `None` if it is open.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.closed.lock_any().clone()
    }

    /// Returns the reason why this ledger, or else an enclosing one, is closed.
    fn ended(&self) -> Option<Closed> {
        self.closed().or_else(|| self.outer.as_ref()?.ended())
    }

    /// Closes the ledger, so that no further call is made.
    pub(crate) fn abort(&self) {
        self.close(Closed::Aborted);
    }

    /// Closes the ledger because a budget, this one or an enclosing one, has refused a call. If it was an enclosing
    /// one, that is closed, too.
    pub(crate) fn refused(&self, error: &LmError) {
        let over = error.budget.as_deref();
        let closed = match over.map(|over| over.why) {
            Some(BudgetRefusal::Limit(limit)) => Closed::Limit(limit),
            Some(BudgetRefusal::UnknownPrice) => Closed::UnknownPrice(error.model.clone()),
            // An enclosing ledger was closed before.
            _ => self.outer.as_ref().and_then(|outer| outer.ended()).unwrap_or(Closed::Aborted),
        };
        self.close(closed.clone());
        if let (Some(outer), Some(over)) = (&self.outer, over)
            && closed != Closed::Aborted
            && (over.budget != self.account.budget() || outer.is_like(over))
        {
            outer.refused(error);
        }
    }

    /// Returns whether the account has these limits and has spent this amount.
    fn is_like(&self, over: &OverBudget) -> bool {
        over.budget == self.account.budget() && over.spent == self.account.spent()
    }

    /// Returns the limit that work would exceed, according to `exceeds` or because no time is left, of this ledger or an
    /// enclosing one.
    pub(crate) fn lacks(&self, exceeds: &dyn Fn(Budget) -> Option<Limit>) -> Option<Limit> {
        let outer = self.outer.as_ref().and_then(|outer| outer.lacks(exceeds));
        let left = self.account.remaining();
        let own = exceeds(left).or_else(|| left.time.filter(Duration::is_zero).map(|_| Limit::Time));
        if own.is_some() {
            *self.short.lock_any() = own;
        }
        own.or(outer)
    }

    /// Returns the limit that has ended the work on this ledger, including that of ledgers below it, if one has.
    pub(crate) fn exhausted(&self) -> Option<Limit> {
        match self.closed() {
            Some(Closed::Limit(limit)) => Some(limit),
            _ => *self.short.lock_any(),
        }
    }

    /// Returns a model whose calls have no price although there is a limit in US dollars.
    pub(crate) fn unpriced(&self) -> Option<String> {
        self.account.unpriced().or_else(|| self.outer.as_ref()?.unpriced())
    }

    fn close(&self, why: Closed) {
        self.closed.lock_any().get_or_insert(why);
        self.account.close();
    }
}

/// Returns the smaller of each limit of two budgets.
pub(crate) fn tighter(a: Budget, b: Budget) -> Budget {
    let mut both = a;
    both.calls = [a.calls, b.calls].into_iter().flatten().min();
    both.tokens = [a.tokens, b.tokens].into_iter().flatten().min();
    both.usd = [a.usd, b.usd].into_iter().flatten().min_by(f64::total_cmp);
    both.time = [a.time, b.time].into_iter().flatten().min();
    both
}

/// Returns the limits reduced by `share`, the part of each that is reserved for later.
pub(crate) fn without_share(budget: Budget, share: f64) -> Budget {
    let rest = 1.0 - share.clamp(0.0, 1.0);
    let mut part = budget;
    part.calls = budget.calls.map(|calls| (calls as f64 * rest).ceil() as u64);
    part.tokens = budget.tokens.map(|tokens| (tokens as f64 * rest).ceil() as u64);
    part.usd = budget.usd.map(|usd| usd * rest);
    part.time = budget.time.map(|time| time.mul_f64(rest));
    part
}
