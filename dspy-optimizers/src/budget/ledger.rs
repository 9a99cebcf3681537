//! The account of a study, and why it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dspy_core::lm::{Budget, BudgetRefusal, BudgetScope, Limit, LmError, LmScope};

use crate::journal::{AccountLog, Journal};

/// Pays the calls of a study or of a phase of it. The first that does not fit ends it: what comes after would depend on
/// what came before, and so on how many were made at a time.
pub(crate) struct Ledger {
    account: BudgetScope,
    /// Whose calls they are, too.
    outer: Option<Arc<Ledger>>,
    closed: Mutex<Option<Closed>>,
}

/// Why no further call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The budget is used up.
    Limit(Limit),
    /// Nothing would limit the study.
    UnknownPrice(String),
    /// The study ends because of an error.
    Aborted,
}

impl Ledger {
    /// The ledger of a whole study, those of killed processes included.
    pub(crate) fn new(budget: Budget, journal: &Arc<Journal>) -> Arc<Self> {
        let log = Arc::new(AccountLog { journal: journal.clone(), account: String::new() });
        let account = budget.resume_logged(journal.spent_before(""), journal.elapsed(), log);
        Self::with(account, None, journal)
    }

    /// A ledger with limits of its own, which pays from this one, too. `name` is that of its account in the journal; so
    /// much of its time is over.
    pub(crate) fn below(
        self: &Arc<Self>,
        budget: Budget,
        name: &str,
        elapsed: Duration,
        journal: &Arc<Journal>,
    ) -> Arc<Self> {
        let log = Arc::new(AccountLog { journal: journal.clone(), account: name.to_owned() });
        let account = budget.resume_logged(journal.spent_before(name), elapsed, log);
        Self::with(account, Some(self.clone()), journal)
    }

    fn with(account: BudgetScope, outer: Option<Arc<Ledger>>, journal: &Journal) -> Arc<Self> {
        journal.teach(&account);
        Arc::new(Ledger { account, outer, closed: Mutex::default() })
    }

    /// The scope with calls that are paid from here.
    pub(crate) fn paying(&self, scope: LmScope) -> LmScope {
        let scope = match &self.outer {
            Some(outer) => outer.paying(scope),
            None => scope,
        };
        scope.within(&self.account)
    }

    /// What is left of each limit: the least of this ledger and those that it pays from.
    pub(crate) fn remaining(&self) -> Budget {
        let own = self.account.remaining();
        self.outer.as_ref().map_or(own, |outer| tighter(own, outer.remaining()))
    }

    /// Why no further call is made, once that is so.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.state().clone()
    }

    /// Lets no further call through.
    pub(crate) fn abort(&self) {
        self.close(Closed::Aborted);
    }

    /// Takes note of a call that a budget did not let through: this one, or one that holds around it.
    pub(crate) fn refused(&self, error: &LmError) {
        let closed = match error.budget.as_deref().map(|over| over.why) {
            Some(BudgetRefusal::Limit(limit)) => Closed::Limit(limit),
            Some(BudgetRefusal::UnknownPrice) => Closed::UnknownPrice(error.model.clone()),
            _ => Closed::Aborted,
        };
        self.close(closed);
    }

    /// A model whose answers carry no price although dollars are limited.
    pub(crate) fn unpriced(&self) -> Option<String> {
        self.account.unpriced().or_else(|| self.outer.as_ref()?.unpriced())
    }

    fn close(&self, why: Closed) {
        self.state().get_or_insert(why);
        self.account.close();
    }

    fn state(&self) -> MutexGuard<'_, Option<Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits that hold if both budgets hold.
pub(crate) fn tighter(a: Budget, b: Budget) -> Budget {
    let mut both = a;
    both.calls = [a.calls, b.calls].into_iter().flatten().min();
    both.tokens = [a.tokens, b.tokens].into_iter().flatten().min();
    both.usd = [a.usd, b.usd].into_iter().flatten().min_by(f64::total_cmp);
    both.time = [a.time, b.time].into_iter().flatten().min();
    both
}

/// The limits without the `share` of each that is kept for later.
pub(crate) fn without_share(budget: Budget, share: f64) -> Budget {
    let rest = 1.0 - share.clamp(0.0, 1.0);
    let mut part = budget;
    part.calls = budget.calls.map(|calls| (calls as f64 * rest).ceil() as u64);
    part.tokens = budget.tokens.map(|tokens| (tokens as f64 * rest).ceil() as u64);
    part.usd = budget.usd.map(|usd| usd * rest);
    part.time = budget.time.map(|time| time.mul_f64(rest));
    part
}
