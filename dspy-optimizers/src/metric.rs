//! The metric of an optimizer.

pub use dspy_core::evaluate::SharedMetric;
