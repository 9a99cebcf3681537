//! The account of a run, and why it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dspy_core::lm::{Budget, BudgetRefusal, BudgetScope, Limit, LmError};

use crate::journal::Journal;

/// Pays the calls of a run. The first that does not fit ends it: what comes after would depend on what came before, and
/// so on how many were made at a time.
pub(crate) struct Ledger {
    account: BudgetScope,
    closed: Mutex<Option<Closed>>,
}

/// Why no further call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The budget is used up.
    Limit(Limit),
    /// Nothing would limit the run.
    UnknownPrice(String),
    /// The run ends because of an error.
    Aborted,
}

impl Ledger {
    pub(crate) fn new(budget: Budget, journal: &Arc<Journal>) -> Self {
        let account = budget.resume_logged(journal.spent_before(), journal.elapsed(), journal.clone());
        journal.take_experience().tell(&account);
        Ledger { account, closed: Mutex::default() }
    }

    /// What calls are paid from.
    pub(crate) fn account(&self) -> &BudgetScope {
        &self.account
    }

    /// Why no further call is made, once that is so.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.state().clone()
    }

    /// Lets no further call through.
    pub(crate) fn abort(&self) {
        self.close(Closed::Aborted);
    }

    /// Takes note of a call that a budget did not let through: this one, or one that the user has set for the run.
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
        self.account.unpriced()
    }

    fn close(&self, why: Closed) {
        self.state().get_or_insert(why);
        self.account.close();
    }

    fn state(&self) -> MutexGuard<'_, Option<Closed>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
