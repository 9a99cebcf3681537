//! The public handle to an account, and its place in nested scopes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::account::Account;
use crate::{Budget, LmScope, Usage, current_scope};

/// An open account of a [`Budget`]. Clones share it, so that several tasks can be paid from one budget.
///
/// ```
/// use dspy_lm::{Budget, Lm};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let account = Budget::calls(3).start();
/// let lm = Lm::scripted(["one", "two", "three"]);
/// account.enter(lm.ask("first?")).await?;
/// assert_eq!((account.spent().requests, account.remaining().calls), (1, Some(2)));
/// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
/// ```
///
/// Accounts can be nested: a call starts if it fits all of them, and is paid from each.
#[derive(Clone)]
pub struct BudgetScope(Arc<Account>);

/// An account and the accounts that enclose it.
pub(super) struct BudgetNode {
    pub(super) account: Arc<Account>,
    pub(super) outer: Option<Arc<BudgetNode>>,
}

impl BudgetNode {
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::successors(Some(self), |node| node.outer.as_deref()).map(|node| &*node.account)
    }
}

impl LmScope {
    /// Adds a budget that calls are charged to, beside the existing ones.
    #[must_use]
    pub fn within(self, budget: &BudgetScope) -> Self {
        // Budgets are the only payers, so that none is lost here.
        let outer = self.payer();
        self.paid_by(Arc::new(BudgetNode { account: budget.0.clone(), outer }))
    }
}

impl BudgetScope {
    pub(super) fn new(account: Account) -> Self {
        BudgetScope(Arc::new(account))
    }

    /// Runs `future` and pays for all its calls from this account.
    pub fn enter<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let account = self.clone();
        // Evaluated when the future runs, so that enclosing accounts apply too.
        async move { current_scope().within(&account).enter(future).await }
    }

    /// Returns the limits with which the account was opened.
    pub fn budget(&self) -> Budget {
        self.0.budget
    }

    /// Returns the usage of the calls that have ended. Calls that may have been charged although no answer
    /// came, because the time ran out or the answer could not be read, count with their worst-case cost.
    pub fn spent(&self) -> Usage {
        self.0.spent()
    }

    /// Returns the amounts left for further calls: neither spent nor reserved for calls in flight.
    pub fn remaining(&self) -> Budget {
        self.0.remaining()
    }

    /// Returns the first model whose answers reported no cost although dollars are limited. The dollar limit
    /// does not apply to such models.
    pub fn unpriced(&self) -> Option<String> {
        self.0.unpriced()
    }

    /// Closes the account: no further call starts, and calls in flight may finish. Waiting and later calls
    /// fail with [`BudgetRefusal::Closed`](crate::BudgetRefusal::Closed).
    pub fn close(&self) {
        self.0.close();
    }

    /// Closes the account as [`close`](Self::close) does, and cancels calls in flight.
    pub fn abort(&self) {
        self.0.close();
        self.0.aborted.notify_waiters();
    }

    /// Adds an earlier answer of a model, for example from a journal, to the estimates for later
    /// reservations. Does not count as spent.
    pub fn learn(&self, model: &str, usage: &Usage) {
        self.0.learn(model, usage);
    }
}

impl fmt::Debug for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetScope").field("budget", &self.0.budget).field("spent", &self.spent()).finish()
    }
}
