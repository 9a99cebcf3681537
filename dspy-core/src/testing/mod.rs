//! Models with generated replies, for tests without a network.
//!
//! [`FakeLm`] answers any signature with values that satisfy its types, well-formed or not. For replies that
//! are scripted or computed by a function see [`ScriptedLm`](crate::lm::ScriptedLm), for a model that learns
//! from the examples in its prompt [`BuiltinLm`](crate::lm::BuiltinLm).

mod calls;
mod fake;
mod log;
mod malformed;
mod shape;
mod sloppy;
mod values;

pub use fake::FakeLm;
pub use log::{FakeReply, Style};
