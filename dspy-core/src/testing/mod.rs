//! Models that make up their replies, for tests without a network.
//!
//! [`FakeLm`] answers any signature with values that satisfy its types, in good and in bad form. For replies that are
//! written down beforehand or computed by a function see [`ScriptedLm`](crate::lm::ScriptedLm), for a model that
//! learns a little from its prompt [`BuiltinLm`](crate::lm::BuiltinLm).

mod calls;
mod fake;
mod log;
mod malformed;
mod shape;
mod sloppy;
mod values;

pub use fake::FakeLm;
pub use log::{FakeReply, Style};
