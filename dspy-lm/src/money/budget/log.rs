//! What an account writes down so that its budget holds over the death of the process.

use crate::Usage;

/// Is told of every call of an account, before it is made and when it has ended. Calls of which no end was told when
/// the process died may have been charged. For the optimizers' journal.
#[doc(hidden)]
pub trait BudgetLog: Send + Sync {
    /// A call is about to be made that may cost this much. Returns the number by which its end is told.
    ///
    /// # Errors
    /// If it cannot be written down; the call is then not made.
    fn reserved(&self, worst: &Usage) -> Result<u64, String>;

    /// A call has ended; its `requests` are the calls that it counts as.
    fn settled(&self, call: u64, cost: &Usage);
}
