//! The string form of signatures, `"question, context: list[str] -> answer: float"`.
//!
//! `dspy` reads such strings in two places: `sig!` and its like when a program is compiled, and `str::parse` when it
//! runs. Both read them here, so that they take the same strings and refuse others in the same words. The tables of
//! names ([`Number`], [`Own`], [`reserved`]) are here too; only what a type means in Rust and as a JSON Schema is for
//! the two to say.
//!
//! This crate is a part of `dspy` and of no use without it; its interface may change with every version.
//!
//! ```
//! use dspy_grammar::{Type, parse};
//! let read = parse("question, hints: list[str] -> answer: flaot");
//! assert_eq!(read.inputs[1].name, "hints");
//! assert!(matches!(read.inputs[1].ty, Some(Type::Known { .. })));
//! assert_eq!(read.problems[0].message, "unknown type `flaot`; did you mean `float`?");
//! assert_eq!(read.problems[0].at, 38);
//! ```
//!
//! ```text
//! signature = fields "->" fields
//! fields    = field { "," field } [ "," ]
//! field     = name [ ":" type ]
//! type      = single { "|" single }
//! single    = name [ arguments ] | path [ arguments ] | "(" types ")" | "[" type ";" length "]"
//!           | "Literal" "[" choice { "," choice } [ "," ] "]" | "None"
//! arguments = "[" types "]" | "<" types ">"
//! path      = [ "::" ] name { "::" name } | ("dspy" | "typing" | "datetime") "." name
//! choice    = a quoted string, an integer, True or False
//! ```

mod fields;
mod names;
mod scan;
mod suggest;
mod types;

pub use fields::{Field, Parsed, parse};
pub use names::{Number, Own, reserved};
pub use suggest::{nearest, remedy};
pub use types::{Choice, ChoiceValue, KnownType, Path, Temporal, Type};

/// What is wrong with a string, and the byte where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The offset in bytes.
    pub at: usize,
    /// The problem, and what to write instead.
    pub message: String,
}

impl Problem {
    /// A problem at an offset.
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Problem { at, message: message.into() }
    }
}
