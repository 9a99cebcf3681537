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
mod combine;
mod dispatch;
mod embed;
mod endpoint;
mod environment;
mod handle;
mod layer;
mod model_name;
mod money;
mod network;
#[doc(hidden)]
pub mod observe;
mod protocols;
mod providers;
mod reuse;
mod scope;
mod scripted;
mod types;

pub use builtin::BuiltinLm;
pub use combine::{Fallback, RoundRobin};
pub use embed::{Embedder, EmbeddingModel, Embeddings};
pub use endpoint::Endpoint;
use environment::{Lookup, environment, variable};
pub use handle::Lm;
pub use layer::{Layer, Next};
#[doc(hidden)]
pub use money::budget::BudgetLog;
#[expect(deprecated, reason = "the old name goes on working")]
pub use money::budget::Refusal;
pub use money::budget::{Budget, BudgetRefusal, BudgetScope, Limit, OverBudget};
pub use money::price::{Price, PriceTable, PriceTableError};
#[doc(hidden)]
pub use money::usage::Tally;
use money::usage::UsageScope;
pub use money::usage::{CachedUsage, ModelUsage, Usage, UsageReport, track_usage};
pub use network::live::{deny_live_requests, without_live_requests};
pub use network::rate_limit::{Circuit, Limits};
pub use network::secret::Secret;
use network::secret::hide_live;
pub use observe::LmCall;
pub use protocols::protocol::Protocol;
pub use reuse::cache::{Cache, CacheBuilder, CacheMode, CacheStats};
pub use reuse::cassette::{Cassette, CassetteError, Matching};
use scope::with_scope;
pub use scope::{LmScope, current_scope, with_layer};
pub use scripted::{Reply, ScriptedLm};
pub use types::error::{LmError, LmErrorKind};
pub use types::extensions::Extensions;
pub use types::media::{Detail, Media, MediaKind};
pub use types::message::{Content, Message, Part, Role};
pub use types::model::{BoxFuture, Capabilities, LanguageModel, LmFuture};
pub use types::request::{Params, PromptCache, ReasoningEffort, Request, RequestDigest, ResponseFormat};
pub use types::response::{Completion, FinishReason, Response, TokenLogprob};
pub use types::stream::{Delta, DeltaSink, LmStream};
pub use types::tool::{ToolCall, ToolChoice, ToolSpec};

/// Parts that `dspy-core` uses. Not covered by semantic versioning.
#[doc(hidden)]
pub mod internal {
    pub use crate::endpoint::public_url;
    pub use crate::money::usage::UsageScope;
    pub use crate::network::secret::hide_live;
    #[cfg(feature = "http")]
    pub use crate::network::transport::client_for;
    #[cfg(feature = "http")]
    pub use crate::protocols::api::{Api, Payload};
    #[cfg(feature = "http")]
    pub use crate::protocols::openai::{message_value, tool_value};
    pub use crate::types::driven::Driven;
    pub use crate::types::request::SignatureName;
}

/// A test that the README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
