//! The core of `dspy`.

pub mod lm;
