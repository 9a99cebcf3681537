//! Foundations that the crates of `dspy` share.
//!
//! Depend on the facade crate `dspy` instead: this one is not covered by semantic versioning.
//!
//! | module | content |
//! |---|---|
//! | [`digest`] | digests of text and JSON that are stable across processes |
//! | [`error`] | the boxed error, the text of error chains, shortened messages |
//! | [`files`] | reading and writing of files: regular ones only, replaced as a whole, private |
//! | [`fold`] | forms of names and words in which spellings are equal |
//! | [`keyword`] | the keywords that `dspy` adds to JSON Schema |
//! | [`locks`] | locks that ignore poisoning |
//! | [`panics`] | the messages of caught panics |
//! | [`prompt_format`] | words of prompts that adapters write and the built-in model reads |
//! | [`seed`] | reproducible randomness |
//! | [`shown`] | text of models as people see it, without what a terminal would obey |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod digest;
pub mod error;
pub mod files;
pub mod fold;
pub mod keyword;
pub mod locks;
pub mod panics;
pub mod prompt_format;
pub mod seed;
pub mod shown;

pub use error::BoxError;
pub use seed::{Rng, Seed};
