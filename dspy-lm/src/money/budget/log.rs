//! A log of an account, from which a budget continues after the process has died.

use crate::Usage;

/// A log of every call of an account, before it starts and when it has ended. Calls without a logged end may
/// have been charged when the process died. Used by the optimizers' journal.
#[doc(hidden)]
pub trait BudgetLog: Send + Sync {
    /// Records that a call with at most this cost is about to start. Returns the number under which its end
    /// is recorded.
    ///
    /// # Errors
    /// If the call cannot be recorded; it is then not made.
    fn reserved(&self, worst: &Usage) -> Result<u64, String>;

    /// Records that a call has ended; the `requests` of `cost` are the calls that it counts as.
    fn settled(&self, call: u64, cost: &Usage);
}
