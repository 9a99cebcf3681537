//! A library for *programming* language models instead of prompting them: declare the inputs and
//! outputs of each step, compose the steps in plain Rust, measure the result, and let an
//! optimizer find the instructions and examples that improve it.
//!
//! ```no_run
//! use dspy::prelude::*;
//!
//! /// Judge whether each claim is true.
//! #[signature]
//! struct FactCheck {
//!     /// Statements to verify, one sentence each.
//!     #[input]
//!     claims: Vec<String>,
//!     /// One verdict per claim, in the same order.
//!     #[output]
//!     verdicts: Vec<bool>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> dspy::Result<()> {
//!     // The model of your API key, or the built-in one.
//!     dspy::configure(Lm::from_env()?);
//!
//!     let check = ChainOfThought::<FactCheck>::new();
//!     let claims = vec!["Python was released in 1991.".to_string()];
//!     let answer = check.call(claims).await?;
//!     let verdicts: &Vec<bool> = &answer.verdicts;
//!     println!("{verdicts:?} because {:?}", answer.reasoning());
//!     Ok(())
//! }
//! ```
//!
//! - A [*signature*](macro@signature) declares the inputs and outputs of a step. Its doc comment is
//!   the instruction.
//! - A *strategy* ([`Predict`], [`ChainOfThought`], [your own](guide::strategies)) asks a model for
//!   the outputs.
//! - A [*module*](macro@module) composes strategies into a program.
//! - A [*metric*](evaluate::Metric) scores the program, and an [*optimizer*](optimizers) improves it.
//!
//! Without an API key, [`Lm::from_env`](lm::Lm::from_env) returns the [built-in model](lm::Lm::builtin),
//! a small deterministic learner for trying things out offline. The [guides](guide) cover one
//! subject each.
//!
//! # Constructs by task
//!
//! | I want to … | use |
//! |---|---|
//! | declare the inputs and outputs of a step | [`#[signature]`](macro@signature), or [`predict!`] for a one-liner |
//! | use a custom type in a field | [`#[field_type]`](macro@field_type) on it |
//! | pass images, recordings or files to a model | [`Image`](types::Image), [`Audio`](types::Audio), [`File`](types::File) |
//! | continue a conversation | [`History`](types::History) |
//! | have a model cite its sources | [`Document`](types::Document) and [`Citations`](types::Citations) |
//! | have a model write code, or large integers | [`Code`], [`BigInt`](types::BigInt) |
//! | call a model | [`Predict`](predict::Predict) |
//! | have the model reason first | [`ChainOfThought`](predict::ChainOfThought) |
//! | draw several samples, vote, compare, debate | [`strategies`], [the guide](guide::strategies) |
//! | retry with advice, state constraints | [`Refine`](strategies::Refine), [`Assert`](strategies::Assert) |
//! | let a model use tools until it knows | [`ReAct`](strategies::ReAct), [the guide](guide::agents) |
//! | let a person approve what an agent does | [`Outcome::Waiting`](strategies::Outcome), [the guide](guide::agents) |
//! | let a model compute by code | [`ProgramOfThought`](strategies::ProgramOfThought), [the guide](guide::code) |
//! | run that code in a sandbox | the feature `sandbox`, [the guide](guide::code) |
//! | use the tools of an MCP server, or serve tools | the feature `mcp`, [the guide](guide::agents) |
//! | write a custom strategy | [the guide](guide::strategies), [`Predict::over`](predict::Predict::over) |
//! | compose steps | [`#[module]`](macro@module) and [`Module`](program::Module) |
//! | choose a signature at run time | [`DynPredict`](predict::DynPredict) |
//! | choose a model | [`Lm`](lm::Lm) with [`configure`], [`Settings::scope`](program::Settings::scope) or `set_lm` |
//! | choose a provider, a protocol or a server | [the guide](guide::models) |
//! | embed texts as vectors | [`Embedder`](lm::Embedder), [`VectorIndex`](retrieve::VectorIndex) |
//! | let a model call functions | [`#[tool]`](macro@tool), [the guide](guide::tools) |
//! | let a reasoning model answer in prose | [`TwoStepAdapter`](adapter::TwoStepAdapter) |
//! | show outputs as they arrive | [`Predict::stream`](predict::Predict::stream), [`Module::events`](program::Module::events) |
//! | know which replies are accepted | [the guide](guide::typed_outputs) |
//! | retry, limit rates, or use several models | [the guide](guide::resilience), [`Endpoint`](lm::Endpoint), [`Lm::fallback`](lm::Lm::fallback) |
//! | keep tests off the network | [`deny_live_requests`](lm::deny_live_requests) |
//! | see the prompt | [`Predict::render`](predict::Predict::render) |
//! | see and limit the cost | [the guide](guide::budgets) |
//! | see the steps of a program | [`trace`](program::trace()) |
//! | see the last conversations with models | [`inspect_history`] |
//! | observe each call, count calls and cost | [`Settings::observe`](program::Settings::observe), [`Metrics`](observe::Metrics) |
//! | run a program on many inputs | [`Module::batch`](program::Module::batch) |
//! | measure a program | [`Evaluate`](evaluate::Evaluate) with a [`Metric`](evaluate::Metric), sync or async |
//! | load data | [`data`] |
//! | improve a program | [`optimizers`] |
//! | choose an optimizer | [`optimizers`], [the guides](guide::optimizers) |
//! | resume and follow the run of an optimizer | [the guide](guide::optimizers::runs) |
//! | write a custom optimizer | [`optimizers::engine`] |
//! | save a program, for Python too | [`save` and `load`](program::HasPredictors), [the guide](guide::saved_programs) |
//! | build a saved program into the binary | [`include_optimized!`] |
//! | cache replies | [`Cache`](lm::Cache), [the guide](guide::caching) |
//! | test without a model | [`Lm::scripted`](lm::Lm::scripted), [`FakeLm`](testing::FakeLm), [the guide](guide::testing_models) |
//! | replay recorded replies | [`Cassette`](lm::Cassette), [the guide](guide::testing) |
//! | fine-tune a model | [`FineTuning`](finetune::FineTuning), [the guide](guide::fine_tuning) |
//!
//! # Cargo features
//!
//! | feature | adds |
//! |---|---|
//! | `http` (default) | endpoints over HTTP; without it there are scripted, built-in and custom models |
//! | `chrono`, `jiff` | the dates, times and durations of these crates as field types |
//! | `decimal` | `rust_decimal::Decimal` as a field type |
//! | `otel` | spans and metrics sent to an OpenTelemetry collector by OTLP |
//! | `sandbox` | the module `sandbox`: Python that models write, in WebAssembly; needs a C compiler and Rust 1.92 |
//! | `mcp` | the module `mcp`: tools of MCP servers, and tools and programs served |
//! | `mcp-http-server` | the same, and tools and programs served over HTTP |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub use dspy_core::__private;
pub use dspy_core::observe::inspect_history;
pub use dspy_core::program::{configure, inherit, spawn};
#[doc(hidden)]
pub use dspy_core::{__literal_enum, __serde_by_fields};
pub use dspy_core::{
    Error, Result, Rng, Seed, adapter, data, decode, error, evaluate, finetune, lm, observe, predict,
    program, retrieve, signature, state, testing, tools, types,
};
pub use dspy_macros::{
    chain_of_thought, field_type, include_optimized, module, predict, sig, signature, tool,
};
#[cfg(feature = "mcp")]
pub use dspy_mcp as mcp;
pub use dspy_optimizers as optimizers;
#[cfg(feature = "sandbox")]
pub use dspy_sandbox as sandbox;
pub use dspy_strategies as strategies;
pub use schemars::JsonSchema;
pub use serde::{Deserialize, Serialize};

#[doc(no_inline)]
pub use crate::lm::Lm;
#[doc(no_inline)]
pub use crate::predict::{ChainOfThought, DynPredict, Predict, Prediction};
#[doc(no_inline)]
pub use crate::types::{Audio, BigInt, Citations, Code, Document, File, History, Image};

/// Guides, one per subject, with tested examples.
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

    #[doc = include_str!("../docs/tools.md")]
    pub mod tools {}

    #[doc = include_str!("../docs/agents.md")]
    pub mod agents {}

    #[doc = include_str!("../docs/code.md")]
    pub mod code {}

    #[cfg(feature = "sandbox")]
    #[doc = include_str!("../docs/sandbox.md")]
    pub mod sandbox {}

    #[cfg(feature = "mcp")]
    #[doc = include_str!("../docs/mcp.md")]
    pub mod mcp {}

    #[doc = include_str!("../docs/saved-programs.md")]
    pub mod saved_programs {}

    #[doc = include_str!("../docs/typed-outputs.md")]
    pub mod typed_outputs {}

    #[doc = include_str!("../docs/testing-models.md")]
    pub mod testing_models {}

    /// Optimizers, one guide each: when to use it, its settings, its cost.
    pub mod optimizers {
        #[doc = include_str!("../docs/optimizers/compared.md")]
        pub mod compared {}
        #[doc = include_str!("../docs/optimizers/runs.md")]
        pub mod runs {}

        #[doc = include_str!("../docs/optimizers/portfolio.md")]
        pub mod portfolio {}

        #[doc = include_str!("../docs/optimizers/better-together.md")]
        pub mod better_together {}

        #[cfg(feature = "http")]
        #[doc = include_str!("../docs/optimizers/bootstrap-finetune.md")]
        pub mod bootstrap_finetune {}

        #[doc = include_str!("../docs/optimizers/ensemble.md")]
        pub mod ensemble {}

        #[doc = include_str!("../docs/optimizers/few-shot.md")]
        pub mod few_shot {}

        #[doc = include_str!("../docs/optimizers/gepa.md")]
        pub mod gepa {}

        #[doc = include_str!("../docs/optimizers/knn-few-shot.md")]
        pub mod knn_few_shot {}

        #[doc = include_str!("../docs/optimizers/bootstrap-with-tpe.md")]
        pub mod bootstrap_with_tpe {}

        #[doc = include_str!("../docs/optimizers/capo.md")]
        pub mod capo {}

        #[doc = include_str!("../docs/optimizers/copro.md")]
        pub mod copro {}

        #[doc = include_str!("../docs/optimizers/infer-rules.md")]
        pub mod infer_rules {}

        #[doc = include_str!("../docs/optimizers/mipro-v2.md")]
        pub mod mipro_v2 {}

        #[doc = include_str!("../docs/optimizers/module-opro.md")]
        pub mod module_opro {}

        #[doc = include_str!("../docs/optimizers/ace.md")]
        pub mod ace {}

        #[doc = include_str!("../docs/optimizers/simba.md")]
        pub mod simba {}
    }

    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/fine-tuning.md")]
    pub mod fine_tuning {}

    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/resilience.md")]
    pub mod resilience {}

    #[cfg(feature = "http")]
    #[doc = include_str!("../docs/models.md")]
    pub mod models {}
}

/// The programs of the README, compiled as doctests.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
pub mod readme {}

/// The program of the optimizers' README, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../dspy-optimizers/README.md")]
pub mod optimizers_readme {}

/// The program of the strategies' README, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../dspy-strategies/README.md")]
pub mod strategies_readme {}

/// The names that most programs need: `use dspy::prelude::*;`.
pub mod prelude {
    pub use dspy_core::evaluate::{Evaluate, Judged, Metric, Score};
    pub use dspy_core::lm::Lm;
    pub use dspy_core::predict::{ChainOfThought, DynPredict, Predict, Prediction};
    pub use dspy_core::program::{BoxModule, HasPredictors, Module, Settings};
    pub use dspy_core::retrieve::{Bm25, Retriever};
    pub use dspy_core::signature::{Example, FieldState, Fields, Signature};
    pub use dspy_core::tools::{Tool, ToolCalls, ToolContext, ToolSpec};
    pub use dspy_core::types::{Audio, Citations, Code, Document, History, Image, Reasoning, language};
    pub use dspy_macros::{
        chain_of_thought, field_type, include_optimized, module, predict, sig, signature, tool,
    };
    pub use dspy_strategies::{BestOfN, MultiChainComparison, Outcome, ReAct, Refine, SelfConsistency};
}
