//! Tolerant reading of JSON from servers.

mod parse;
mod values;

pub(crate) use parse::parse;
pub(crate) use values::{count, dollars, number, string};
