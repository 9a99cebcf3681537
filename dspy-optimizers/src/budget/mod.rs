//! Budget enforcement for a run.

mod experience;
mod ledger;

pub(crate) use self::experience::Experience;
pub(crate) use self::ledger::{Closed, History, Ledger, tighter, without_share};
