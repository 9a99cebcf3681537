//! The core of `dspy`.

pub mod adapter;
pub mod decode;
mod error;
pub mod lm;
pub mod predict;
pub mod program;
pub mod signature;
pub mod state;
pub mod types;

pub use error::{BoxError, Error, Result};

/// What the code that our macros generate calls. Not covered by semantic versioning.
#[doc(hidden)]
pub mod __private;
