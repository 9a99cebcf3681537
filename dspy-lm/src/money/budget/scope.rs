//! Accounts as users hold them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::Budget;
use super::account::Account;
use crate::{Usage, current_scope};

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
/// Accounts can be entered inside one another: a call is made when it fits all of them, and is paid from each.
#[derive(Clone)]
pub struct BudgetScope(Arc<Account>);

/// One account inside of others.
pub(crate) struct BudgetNode {
    pub(super) account: Arc<Account>,
    pub(super) outer: Option<Arc<BudgetNode>>,
}

impl BudgetNode {
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Account> {
        std::iter::successors(Some(self), |node| node.outer.as_deref()).map(|node| &*node.account)
    }
}

impl BudgetScope {
    pub(super) fn new(account: Account) -> Self {
        BudgetScope(Arc::new(account))
    }

    pub(crate) fn node(&self, outer: Option<Arc<BudgetNode>>) -> BudgetNode {
        BudgetNode { account: self.0.clone(), outer }
    }

    /// Runs `future` with all its calls paid from this account.
    pub fn enter<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let account = self.clone();
        // Only when it runs, so that what it is entered in holds too.
        async move { current_scope().within(&account).enter(future).await }
    }

    /// The budget that was given.
    pub fn budget(&self) -> Budget {
        self.0.budget
    }

    /// What the calls that have ended have cost. Those that may have been charged although no answer came, because time
    /// ran out or the answer could not be read, count with the most that they may have cost.
    pub fn spent(&self) -> Usage {
        self.0.spent()
    }

    /// What is left for further calls: neither spent nor set aside for those under way.
    pub fn remaining(&self) -> Budget {
        self.0.remaining()
    }

    /// The first model whose answers told no cost although dollars are limited. For such models that limit does not
    /// hold.
    pub fn unpriced(&self) -> Option<String> {
        self.0.unpriced()
    }

    /// Makes no further call; those under way may end. Calls that wait or come later fail with
    /// [`BudgetRefusal::Closed`](super::BudgetRefusal::Closed).
    pub fn close(&self) {
        self.0.close();
    }

    /// As [`close`](Self::close), and calls under way are given up too.
    pub fn abort(&self) {
        self.0.close();
        self.0.aborted.notify_waiters();
    }

    /// Tells what an answered call of a model was like, as a journal knows it, so that what is set aside for later ones
    /// need not be guessed anew. It is not counted as spent.
    pub fn learn(&self, model: &str, usage: &Usage) {
        self.0.learn(model, usage);
    }
}

impl fmt::Debug for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetScope").field("budget", &self.0.budget).field("spent", &self.spent()).finish()
    }
}
