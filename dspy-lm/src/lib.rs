//! Language models: requests, responses, and handles to the models that answer them.
//!
//! [`LanguageModel`] is the object-safe trait that every model implements. [`Lm`] is the handle that programs use: a
//! model and its default sampling parameters, cheap to clone.
//!
//! [`Lm::new`] selects a model by name (`"openai/gpt-4o-mini"`), [`Lm::from_env`] by the environment, and
//! [`Endpoint`] describes a custom server. With the feature `http` they support OpenAI's chat completions and
//! responses, Anthropic's messages and Gemini's `generateContent`; see [`Protocol`].
//!
//! This crate does not depend on signatures, adapters or programs. In `dspy` it is `dspy::lm`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builtin;
mod call;
mod combine;
mod embed;
mod endpoint;
mod environment;
#[cfg(feature = "http")]
mod json;
mod model_name;
mod money;
mod network;
#[doc(hidden)]
pub mod observe;
mod price_table;
mod protocols;
mod providers;
mod reuse;
mod scripted;
mod secret;
mod types;

pub use builtin::BuiltinLm;
pub use call::handle::Lm;
pub use call::layer::{Layer, Next};
pub use call::scope::{LmScope, current_scope, with_layer};
pub use combine::{Fallback, RoundRobin};
pub use embed::{Embedder, EmbeddingModel, Embeddings};
pub use endpoint::Endpoint;
#[doc(hidden)]
pub use money::budget::BudgetLog;
pub use money::budget::BudgetScope;
#[doc(hidden)]
pub use money::tally::Tally;
pub use money::usage::{CachedUsage, ModelUsage, UsageReport, track_usage};
pub use network::live::{deny_live_requests, without_live_requests};
pub use network::rate_limit::{Circuit, Limits};
pub use observe::LmCall;
pub use price_table::{PriceTable, PriceTableError};
pub use protocols::protocol::Protocol;
pub use reuse::cache::{Cache, CacheBuilder, CacheMode, CacheStats};
pub use reuse::cassette::{Cassette, CassetteError, Matching};
pub use scripted::{Reply, ScriptedLm};
pub use secret::Secret;
#[expect(deprecated, reason = "the old name goes on working")]
pub use types::budget::Refusal;
pub use types::budget::{Budget, BudgetRefusal, Limit, OverBudget};
pub use types::digest::RequestDigest;
pub use types::error::{LmError, LmErrorKind};
pub use types::extensions::Extensions;
pub use types::media::{Detail, Media, MediaKind};
pub use types::message::{Content, Message, Part, Role};
pub use types::model::{BoxFuture, Capabilities, LanguageModel, LmFuture};
pub use types::params::{Params, PromptCache, ReasoningEffort};
pub use types::price::Price;
pub use types::request::{Request, ResponseFormat};
pub use types::response::{Completion, FinishReason, Response, TokenLogprob};
pub use types::stream::{Delta, DeltaSink, LmStream};
pub use types::tool::{ToolCall, ToolChoice, ToolSpec};
pub use types::usage::Usage;

/// Parts that `dspy-core` uses. Not covered by semantic versioning.
#[doc(hidden)]
pub mod internal {
    pub use crate::call::observer::layer_call;
    #[cfg(feature = "http")]
    pub use crate::endpoint::api::{Api, Payload};
    pub use crate::money::usage::UsageScope;
    #[cfg(feature = "http")]
    pub use crate::network::transport::{client_for, is_unsent};
    #[cfg(feature = "http")]
    pub use crate::protocols::openai::{message_value, tool_value};
    pub use crate::secret::{hide_live, public_url};
    pub use crate::types::driven::Driven;
    pub use crate::types::request::SignatureName;
}

/// A test that the README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
