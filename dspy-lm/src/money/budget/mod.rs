//! Budgets: hard limits for the calls of a task.
//!
//! | file | concept |
//! |---|---|
//! | `scope` | the public handle to an account |
//! | `pay` | one call and the accounts that pay for it: reserve, send, settle |
//! | `account` | the amounts spent and reserved, the queue of waiting calls |
//! | `ask`, `bill` | upper bounds of a call from its request: tokens, cost |
//! | `learned` | estimates from earlier calls of a model |
//! | `verdict` | whether a call fits, and the amount to reserve |
//! | `reservation` | the reserved amount of one call |
//! | `log` | the log from which an account is restored |

mod account;
mod ask;
mod bill;
mod learned;
mod log;
mod pay;
mod reservation;
mod scope;
mod verdict;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::{Budget, Usage};
use account::Account;
pub use log::BudgetLog;
pub use scope::BudgetScope;

impl Budget {
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
    pub fn resume_logged(self, spent: Usage, elapsed: Duration, log: Arc<dyn BudgetLog>) -> BudgetScope {
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
}
