#![doc = include_str!("../README.md")]
//!
//! # Which construct do I choose?
//!
//! | I want to … | use |
//! |---|---|
//! | declare what a step takes and gives | [`#[signature]`](macro@signature), or [`predict!`] for a one-liner |
//! | use my own type in a field | [`#[field_type]`](macro@field_type) on it |
//! | give it images, recordings or files | [`Image`](types::Image), [`Audio`](types::Audio), [`File`](types::File) |
//! | continue a conversation | [`History`](types::History) |
//! | have it cite what it read | [`Document`](types::Document) and [`Citations`](types::Citations) |
//! | have it write code, or large numbers | [`Code`], [`BigInt`](types::BigInt) |
//! | call the model for it | [`Predict`](predict::Predict) |
//! | have it reason first | [`ChainOfThought`](predict::ChainOfThought) |
//! | write a strategy of my own | [the guide](guide::strategies), [`Predict::over`](predict::Predict::over) |
//! | compose steps | [`#[module]`](macro@module) and [`Module`](program::Module) |
//! | decide on a signature at run time | [`DynPredict`](predict::DynPredict) |
//! | say which model | [`Lm`](lm::Lm) with [`configure`], [`Settings::scope`](program::Settings::scope) or `set_lm` |
//! | choose a provider, a protocol, a server | [the guide](guide::models) |
//! | turn texts into vectors | [`Embedder`](lm::Embedder), [`VectorIndex`](retrieve::VectorIndex) |
//! | let a model call functions | [`Tool`](tools::Tool) and [`ToolCalls`](tools::ToolCalls) |
//! | let a reasoning model answer in prose | [`TwoStepAdapter`](adapter::TwoStepAdapter) |
//! | show outputs while they arrive | [`Predict::stream`](predict::Predict::stream), [`Module::events`](program::Module::events) |
//! | know what replies are accepted | [the guide](guide::typed_outputs) |
//! | be patient, limited, or served by several models | [the guide](guide::resilience), [`Endpoint`](lm::Endpoint), [`Lm::fallback`](lm::Lm::fallback) |
//! | keep tests off the network | [`deny_live_requests`](lm::deny_live_requests) |
//! | see the prompt | [`Predict::render`](predict::Predict::render) |
//! | limit what it may spend, see what it costs | [the guide](guide::budgets) |
//! | see what a program did | [`trace`](program::trace()) |
//! | see what was said to models | [`inspect_history`] |
//! | be told of each call, count calls and cost | [`Settings::observe`](program::Settings::observe), [`Metrics`](observe::Metrics) |
//! | run a program on many inputs | [`Module::batch`](program::Module::batch) |
//! | measure a program | [`Evaluate`](evaluate::Evaluate) with a [`Metric`](evaluate::Metric), sync or async |
//! | load data | [`data`] |
//! | improve a program | [`optimizers`] |
//! | keep the result, for Python too | [`save` and `load`](program::HasPredictors), [the guide](guide::saved_programs) |
//! | pay for the same request once | [`Cache`](lm::Cache), [the guide](guide::caching) |
//! | test without a model | [`Lm::scripted`](lm::Lm::scripted), [`FakeLm`](testing::FakeLm), [the guide](guide::testing_models) |
//! | replay what a model once said | [`Cassette`](lm::Cassette), [the guide](guide::testing) |
//! | fine-tune a model | [`FineTuning`](finetune::FineTuning), [the guide](guide::fine_tuning) |

#[doc(hidden)]
pub use dspy_core::__private;
#[cfg(feature = "http")]
pub use dspy_core::finetune;
pub use dspy_core::observe::inspect_history;
pub use dspy_core::program::{configure, inherit, spawn};
#[doc(hidden)]
pub use dspy_core::{__literal_enum, __serde_by_fields};
pub use dspy_core::{
    Error, Result, Rng, Seed, adapter, data, decode, error, evaluate, lm, observe, predict, program,
    retrieve, signature, state, testing, tools, types,
};
pub use dspy_macros::{chain_of_thought, field_type, module, predict, sig, signature};
pub use dspy_optimizers as optimizers;
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

#[doc(no_inline)]
pub use crate::lm::Lm;
#[doc(no_inline)]
pub use crate::predict::{ChainOfThought, DynPredict, Predict, Prediction};
#[doc(no_inline)]
pub use crate::types::{Audio, BigInt, Citations, Code, Document, File, History, Image};

/// Guides: one subject each, with examples that run.
pub mod guide {
    #[doc = include_str!("../docs/budgets.md")]
    pub mod budgets {}

    #[doc = include_str!("../docs/observability.md")]
    pub mod observability {}

    #[doc = include_str!("../docs/caching.md")]
    pub mod caching {}

    #[doc = include_str!("../docs/testing.md")]
    pub mod testing {}

    #[doc = include_str!("../docs/strategies.md")]
    pub mod strategies {}

    #[doc = include_str!("../docs/saved-programs.md")]
    pub mod saved_programs {}

    #[doc = include_str!("../docs/typed-outputs.md")]
    pub mod typed_outputs {}

    #[doc = include_str!("../docs/testing-models.md")]
    pub mod testing_models {}

    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/fine-tuning.md")]
    pub mod fine_tuning {}

    #[doc = include_str!("../docs/resilience.md")]
    pub mod resilience {}

    #[doc = include_str!("../docs/models.md")]
    pub mod models {}
}

/// Everything that a program usually needs: `use dspy::prelude::*;`.
pub mod prelude {
    pub use dspy_core::evaluate::{Evaluate, Judged, Metric, Score};
    pub use dspy_core::lm::Lm;
    pub use dspy_core::predict::{ChainOfThought, DynPredict, Predict, Prediction};
    pub use dspy_core::program::{BoxModule, HasPredictors, Module, Settings};
    pub use dspy_core::retrieve::{Bm25, Retriever};
    pub use dspy_core::signature::{Example, FieldState, Fields, Signature};
    pub use dspy_core::tools::{Tool, ToolCalls, ToolSpec};
    pub use dspy_core::types::{Audio, Citations, Code, Document, History, Image, Reasoning, language};
    pub use dspy_macros::{chain_of_thought, field_type, module, predict, sig, signature};
}
