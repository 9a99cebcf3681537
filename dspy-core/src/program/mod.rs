//! Programs: modules that hold predictors, the settings they run under and the traces they leave.

mod batch;
mod events;
mod module;
mod paths;
mod running;
mod settings;
mod trace;
mod walk;

pub use batch::{Batch, BatchResults, Written};
pub use events::{Event, EventKind, EventStream, status};
pub(crate) use events::{EventScope, watch_tool, watched};
pub(crate) use module::named;
pub use module::{BoxModule, Module};
pub(crate) use paths::{Find, Paths};
pub(crate) use settings::Context;
pub use settings::{Recovery, Settings, configure, current_lm, inherit, spawn};
pub(crate) use trace::TraceScope;
pub use trace::{Trace, TraceStep, trace};
pub use walk::{HasPredictors, Visitor, VisitorMut};
