//! Sessions of the sandbox: variables, tools, limits, hostile programs.
//!
//! Skipped where the interpreter cannot be prepared, with a line that says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod behaviour;
mod common;
mod hostile;
