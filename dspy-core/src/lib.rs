//! The core of `dspy`: signatures, adapters, decoding, language models, programs and their evaluation.
//!
//! Users depend on the facade crate `dspy`, which re-exports all of this together with the macros and the
//! optimizers. Arrows between the rooms go one way: [`lm`] knows nothing of signatures, [`decode`] nothing of
//! models, [`adapter`] joins the two, [`predict`] uses adapters, [`program`] walks what [`predict`] offers,
//! [`evaluate`] runs programs and [`state`] saves them; [`tools`] are what models may call, and [`testing`] has a model
//! that makes up replies.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
pub mod data;
pub mod error;
pub mod evaluate;
#[cfg(feature = "http")]
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
/// Text to values by JSON Schema; the crate `dspy-decode`.
pub use dspy_decode as decode;
/// Language models; the crate `dspy-lm`.
pub use dspy_lm as lm;
pub use error::{Error, Result};

/// What the code that our macros generate calls. Not covered by semantic versioning.
#[doc(hidden)]
pub mod __private;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
