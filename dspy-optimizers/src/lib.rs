//! Optimizers: they find the instructions and demonstrations that maximise a metric.
//!
//! Use them through the facade crate, as `dspy::optimizers`. All work the same way: a builder takes the metric, a
//! budget and a run directory, `compile` takes a program and data and gives an [`Optimized`] program with a
//! [`Report`]. They share the engine that runs candidates concurrently, the journal from which a killed run goes on,
//! and the seed tree that makes runs repeatable.
//!
//! | optimizer | changes | needs |
//! |---|---|---|
//! | [`LabeledFewShot`] | demonstrations, from labels | nothing: calls no model |
//! | [`BootstrapFewShot`] | demonstrations, from successful runs | a metric, about 10 examples |
//! | [`BootstrapFewShotWithRandomSearch`] | the same, the best of many | a metric, about 50 examples |

mod bootstrap;
mod budget;
mod engine;
mod error;
mod journal;
mod labeled;
mod options;
mod random_search;
mod report;

pub use bootstrap::{BootstrapFewShot, BootstrapFewShotBuilder};
pub use budget::Budget;
pub use error::OptimizeError;
pub use labeled::LabeledFewShot;
pub use options::{MetricMissing, WithMetric};
pub use random_search::{BootstrapFewShotWithRandomSearch, RandomSearchBuilder};
pub use report::{Candidate, Optimized, Report, StopReason};
