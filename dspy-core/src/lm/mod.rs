//! Language models: what is sent, what comes back, who answers.
//!
//! This room knows nothing of signatures, adapters or programs. [`LanguageModel`] is the object-safe trait that
//! every model implements, [`Lm`] the cheap handle that the rest of the library passes around: a model plus the
//! sampling parameters to use with it.
//!
//! [`Lm::new`] finds a model by name (`"openai/gpt-4o-mini"`), [`Lm::from_env`] finds what the user has, and
//! [`Endpoint`] describes a server of one's own. With the feature `http` they speak OpenAI's chat completions and
//! responses, Anthropic's messages and Gemini's contents; see [`Protocol`].

#[cfg(feature = "http")]
mod anthropic;
#[cfg(feature = "http")]
mod api;
mod budget;
mod builtin;
mod cache;
mod cassette;
mod catalog;
mod choose;
mod combine;
mod delta_log;
#[cfg_attr(not(any(feature = "http", test)), expect(dead_code, reason = "the transport asks for it"))]
mod dialect;
mod door;
mod driven;
mod embed;
mod endpoint;
mod error;
mod extensions;
mod form;
mod gate;
#[cfg(feature = "http")]
mod gemini;
mod handle;
mod layer;
mod live;
mod media;
mod message;
mod model;
pub mod observe;
#[cfg(feature = "http")]
mod openai;
mod price;
mod protocol;
mod request;
mod response;
#[cfg(feature = "http")]
mod responses;
mod scope;
mod scripted;
mod secret;
mod stream;
mod tool;
#[cfg(feature = "http")]
mod transport;
#[cfg(feature = "otel")]
pub(crate) use transport::client_for;
mod usage;
#[cfg(feature = "http")]
mod wire;

#[cfg(feature = "http")]
pub(crate) use api::{Api, Payload};
#[doc(hidden)]
pub use budget::BudgetLog;
pub use budget::{Budget, BudgetScope, Limit, OverBudget, Refusal};
pub use builtin::BuiltinLm;
pub use cache::{Cache, CacheBuilder, CacheMode, CacheStats};
pub use cassette::{Cassette, CassetteError, Matching};
use choose::{Lookup, environment, variable};
pub use combine::{Fallback, RoundRobin};
pub use driven::Driven;
pub use embed::{Embedder, EmbeddingModel, Embeddings};
pub use endpoint::Endpoint;
#[cfg(feature = "otel")]
pub(crate) use endpoint::public_url;
pub use error::{LmError, LmErrorKind};
pub use extensions::Extensions;
pub use gate::{Circuit, Limits};
pub use handle::Lm;
pub use layer::{Layer, Next};
pub use live::{deny_live_requests, without_live_requests};
pub use media::{Detail, Media, MediaKind};
pub use message::{Content, Message, Part, Role};
pub use model::{BoxFuture, Capabilities, LanguageModel};
#[cfg(feature = "http")]
pub(crate) use openai::{message_value, tool_value};
pub use price::{Price, PriceTable, PriceTableError};
pub use protocol::Protocol;
#[doc(hidden)]
pub use request::SignatureName;
pub use request::{Params, PromptCache, ReasoningEffort, Request, RequestDigest, ResponseFormat};
pub use response::{Completion, FinishReason, Response, TokenLogprob};
use scope::with_scope;
pub use scope::{LmScope, current_scope, with_layer};
pub use scripted::{Reply, ScriptedLm};
pub use secret::Secret;
pub(crate) use secret::hide_live;
pub use stream::{Delta, DeltaSink, LmStream};
pub use tool::{ToolCall, ToolChoice, ToolSpec};
#[doc(hidden)]
pub use usage::Tally;
pub(crate) use usage::UsageScope;
pub use usage::{CachedUsage, ModelUsage, Usage, UsageReport, track_usage};
