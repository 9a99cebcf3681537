//! Programs: modules that contain predictors, their settings and their traces.

mod batch;
mod embedded;
mod events;
mod module;
mod running;
mod state;
mod tool;
mod walk;

pub use crate::observe::{
    Event, EventKind, HeldTrace, RunningTrace, Trace, TraceStep, hold_trace, status, trace,
};
#[doc(hidden)]
pub use crate::observe::{part, with_part};
pub use crate::recovery::Recovery;
#[doc(hidden)]
pub use crate::settings::inherit_unless_given;
pub use crate::settings::{Settings, configure, current_lm, inherit, spawn};
pub use batch::{Batch, BatchResults, Written};
pub use embedded::Embedded;
#[doc(hidden)]
pub use embedded::{
    HasShape, ProgramProbe, ProgramShape, SavedField, SavedPredictor, SavedProgram, UnknownProgram,
};
pub use events::EventStream;
pub(crate) use events::watched;
pub(crate) use module::named;
pub use module::{BoxModule, Module};
pub use walk::{HasPredictors, Visitor, VisitorMut};
#[doc(hidden)]
pub use walk::{module_settings, register_copy, selecting_predictors};
