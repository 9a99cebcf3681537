//! Assertions: constraints over the state of a program, and `Backtrack`, which retries what they refuse.

mod backtrack;
mod constraint;

pub use self::backtrack::Backtrack;
pub(crate) use self::backtrack::on_its_own;
pub use self::constraint::{Assert, ConstraintFailed, Suggest};
