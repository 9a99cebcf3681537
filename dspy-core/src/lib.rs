//! The core of `dspy`.

pub mod adapter;
pub mod lm;
pub mod predict;
pub mod program;
pub mod signature;
pub mod types;

/// What the code that our macros generate calls. Not covered by semantic versioning.
#[doc(hidden)]
pub mod __private;
