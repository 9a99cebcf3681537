//! Programs: modules that hold predictors, the settings they run under and the traces they leave.

mod walk;

pub use walk::{HasPredictors, Visitor, VisitorMut};
