//! The core of `dspy`: signatures, adapters, decoding, language models, programs and their evaluation.
//!
//! Users depend on the facade crate `dspy`, which re-exports this crate together with the macros and the
//! optimizers.
//!
//! The modules depend on each other in one direction:
//!
//! - [`lm`] does not depend on signatures, and [`decode`] not on models; [`adapter`] connects the two.
//! - [`state`] is the saved form of predictors, and [`program`] finds the predictors of modules.
//! - [`predict`] has the strategies, which are modules; [`evaluate`] runs programs.
//! - [`tools`] are functions that models may call; [`testing`] has a model that generates replies.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod finetune;
pub mod observe;
pub mod predict;
mod predictor;
pub mod program;
mod recovery;
pub mod retrieve;
mod settings;
pub mod signature;
pub mod state;
mod suggest;
pub mod testing;
pub mod tools;
pub mod types;

#[doc(hidden)]
pub use dspy_base::files;
pub use dspy_base::{Rng, Seed};
pub(crate) use dspy_base::{locks, panics};
/// Conversion of text to values by JSON Schema; the crate `dspy-decode`.
pub use dspy_decode as decode;
/// Language models; the crate `dspy-lm`.
pub use dspy_lm as lm;
pub use error::{Error, Result};

/// Functions and types for the code that the macros generate. Not covered by semantic versioning.
#[doc(hidden)]
pub mod __private;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
