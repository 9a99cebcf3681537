//! A sandbox for the Python that models write: CPython 3.14 in WebAssembly, in this process, with limits on time, memory,
//! output and calls of tools.
//!
//! [`Sandbox`] is an [`Interpreter`](dspy_strategies::Interpreter) for the strategies that write code: `ProgramOfThought`,
//! `CodeAct` and `Rlm`.

mod archive;
mod bindings;
mod folder;
mod gate;
mod host;
mod limits;
mod output;
mod pending;
mod prepare;
mod runtime;
mod sandbox;
mod session;
mod strict;
mod timed;
mod tools;

pub use sandbox::{Sandbox, SandboxBuilder};
