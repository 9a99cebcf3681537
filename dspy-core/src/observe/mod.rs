//! Observability of programs: events, spans, a history of model calls, metrics.
//!
//! Nothing is recorded by default. There are these ways:
//!
//! - **Spans** go to the [`tracing`](https://docs.rs/tracing) subscriber of the application, named by
//!   OpenTelemetry's conventions for generative AI. The feature `otel` exports them to a collector.
//! - **Events** go to [`Observer`]s: functions of an [`Event`].
//! - [`LmHistory`] keeps the latest model calls for [`inspect_history`].
//! - [`Metrics`] counts calls, tokens, cost and time.
//!
//! The other modules report to this one; it does not affect their results.

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
pub(crate) use dspy_lm::observe::may_be_observed;
pub use event::{Event, EventKind};
pub use history::{LmHistory, LmRecord, inspect_history};
pub use inspect::Inspection;
pub use metrics::{Metrics, MetricsSnapshot, ModelMetrics, Times};
pub use observer::Observer;
pub(crate) use observer::bridged;
pub(crate) use operation::{Failure, ModuleCall, Operation, module, predictor, tool};
pub(crate) use paths::{Named, PredictorRef};
pub(crate) use scope::{NamedScope, leaf, register_copies};
pub(crate) use trace::TraceScope;
pub use trace::{HeldTrace, RunningTrace, Trace, TraceStep, hold_trace, trace};
pub(crate) use watch::{EventScope, Watched};
pub use watch::{part, status, with_part};
