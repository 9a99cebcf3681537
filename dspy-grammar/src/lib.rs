//! The string form of signatures, `"question, context: list[str] -> answer: float"`.
//!
//! `dspy` parses such strings in two places: `sig!` and the like at compile time, and `str::parse` at run time. Both use
//! this crate, so that they accept the same strings and report the same errors. The tables of names ([`Number`],
//! [`Own`], [`reserved`]) are here, too; the callers map its types to Rust types and to JSON Schema.
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

#![cfg_attr(docsrs, feature(doc_cfg))]

mod fields;
mod names;
mod scan;
pub mod shape;
mod suggest;
mod types;

pub use fields::{Field, Parsed, parse};
pub use names::{Number, Own, reserved};
pub use suggest::{nearest, remedy};
pub use types::{Choice, ChoiceValue, KnownType, Path, Temporal, Type};

/// A problem in a string, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The offset in bytes.
    pub at: usize,
    /// The problem, and what to write instead.
    pub message: String,
}

impl Problem {
    /// Creates a problem at an offset.
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Problem { at, message: message.into() }
    }
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
