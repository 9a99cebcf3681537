//! What calls cost and may cost.

pub(crate) mod budget;
pub(crate) mod price;
pub(crate) mod usage;
