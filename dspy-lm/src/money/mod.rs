//! Usage and budgets of calls.

pub(crate) mod budget;
pub(crate) mod tally;
pub(crate) mod usage;
