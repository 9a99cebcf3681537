//! Observability of model calls: spans, named by OpenTelemetry's conventions for generative AI, and events
//! for observers.
//!
//! The rest of the library reports whole programs with the same types: its calls are [`Frame`]s in the same
//! [`Scope`], and its observers are registered among these [`Observers`].

mod content;
mod event;
mod frame;
pub mod gen_ai;
mod observer;
mod operation;
mod scope;
pub mod size;
pub mod spans;

pub use content::{placeholder, value, values};
pub use event::{CallEvent, CallEventKind, LmCall};
pub use frame::{CallId, Frame};
pub use observer::{Added, CallObserver, Observers};
#[cfg(feature = "http")]
pub(crate) use operation::retried;
pub(crate) use operation::{lm_call, lm_layer, lm_part};
pub use scope::{
    Observation, Scope, configure, inherit, inherit_unless_given, may_be_observed, observe_for_good,
    observer_made, observing,
};
