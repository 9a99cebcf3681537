//! Budget enforcement for a run.

mod experience;
mod ledger;

pub use dspy_core::lm::{Budget, Limit};

pub(crate) use self::experience::Experience;
pub(crate) use self::ledger::{Closed, Ledger, tighter, without_share};
