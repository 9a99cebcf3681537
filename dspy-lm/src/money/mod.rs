//! Usage, prices and budgets of calls.

pub(crate) mod budget;
pub(crate) mod price;
pub(crate) mod usage;
