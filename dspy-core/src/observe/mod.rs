//! What programs do, for people and machines that watch them: events, spans, a history of model calls, metrics.
//!
//! Nothing is recorded unless it is asked for, and then by what is already common:
//!
//! - **Spans** go to the [`tracing`](https://docs.rs/tracing) subscriber of the application, named by OpenTelemetry's
//!   conventions for generative AI. The feature `otel` brings what sends them to a collector.
//! - **Events** go to [`Observer`]s: functions of an [`Event`](crate::program::Event).
//! - [`LmHistory`] keeps the latest calls of models for [`inspect_history`].
//! - [`Metrics`] counts calls, tokens, cost and time.
//!
//! All other rooms tell this one; it changes nothing of what they do.

mod content;
mod gen_ai;
mod history;
mod inspect;
mod lm_call;
mod metrics;
mod observer;
mod operation;
#[cfg(feature = "otel")]
pub mod otel;
mod scope;
pub(crate) mod spans;

pub use history::{LmHistory, LmRecord, inspect_history};
pub use inspect::Inspection;
pub use lm_call::LmCall;
#[cfg(feature = "http")]
pub(crate) use lm_call::retried;
pub(crate) use lm_call::{lm_call, lm_part};
pub use metrics::{Metrics, MetricsSnapshot, ModelMetrics, Times};
pub use observer::Observer;
pub(crate) use operation::{CallId, ModuleCall, Operation, module, predictor, status, tool};
pub(crate) use scope::{NamedScope, Observation, configure, inherit, leaf, observing};
