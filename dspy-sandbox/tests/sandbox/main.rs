//! Sessions of the sandbox: variables, tools, limits, hostile programs.
//!
//! Skipped where the interpreter cannot be prepared, with a line that says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod behaviour;
mod common;
mod folder;
mod hostile;
mod load;
mod nested;
mod recovery;
mod recursion;
mod strict;

/// The sources of two private modules, whose laws are tested by themselves.
#[path = "../../src/folder.rs"]
#[allow(dead_code, clippy::pedantic)]
mod folder_source;
#[path = "../../src/strict.rs"]
#[allow(dead_code, clippy::pedantic)]
mod strict_source;
