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

mod event;
mod history;
mod inspect;
mod metrics;
mod observer;
mod operation;
#[cfg(feature = "otel")]
pub mod otel;
mod paths;
mod scope;
pub(crate) mod spans;
mod trace;
mod watch;

pub use dspy_lm::observe::LmCall;
pub use event::{Event, EventKind};
pub use history::{LmHistory, LmRecord, inspect_history};
pub use inspect::Inspection;
pub use metrics::{Metrics, MetricsSnapshot, ModelMetrics, Times};
pub use observer::Observer;
pub(crate) use observer::bridged;
pub(crate) use operation::{Failure, ModuleCall, Operation, module, predictor, tool};
pub(crate) use paths::{Named, PredictorRef};
pub(crate) use scope::leaf;
pub(crate) use trace::TraceScope;
pub use trace::{Trace, TraceStep, trace};
pub use watch::status;
pub(crate) use watch::{EventScope, Watched};
