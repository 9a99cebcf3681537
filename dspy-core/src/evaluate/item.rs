//! The result of one item.

use std::time::Duration;

use thiserror::Error;

use super::Score;
use crate::error::{BoxError, Error};
use crate::lm::Usage;
use crate::predictor::Prediction;
use crate::program::Trace;
use crate::signature::FieldError;

/// The reason why an item has no score.
#[derive(Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The program failed.
    #[error("the program failed: {0}")]
    Program(#[source] Error),
    /// The metric failed.
    #[error("the metric failed: {0}")]
    Metric(#[source] BoxError),
    /// The program took longer than allowed.
    #[error("not done within {0:?}")]
    Deadline(Duration),
    /// The program panicked.
    #[error("it panicked: {0}")]
    Panic(String),
    /// The program finished, but the metric did not within the time of the item.
    #[error("the metric was not done within {0:?}")]
    MetricDeadline(Duration),
    /// The program finished, but the metric panicked.
    #[error("the metric panicked: {0}")]
    MetricPanic(String),
    /// The example has no valid input.
    #[error("the example cannot be used: {0}")]
    Example(#[source] FieldError),
}

crate::error::readable_debug!(ItemError);

impl ItemError {
    /// Returns whether the cause is outside the program: an unreachable model, a spent budget. Such an item
    /// says nothing about the program; it is excluded from the score and may be tried again.
    pub fn is_outage(&self) -> bool {
        match self {
            ItemError::Program(error) => error.is_outage(),
            ItemError::Metric(error) => error.downcast_ref::<Error>().is_some_and(Error::is_outage),
            _ => false,
        }
    }

    /// Returns whether the failure is the program's fault, so that it counts with the failure score.
    pub(super) fn is_programs_fault(&self) -> bool {
        match self {
            ItemError::Program(error) => !error.is_outage(),
            ItemError::Deadline(_) | ItemError::Panic(_) => true,
            ItemError::Metric(_)
            | ItemError::MetricDeadline(_)
            | ItemError::MetricPanic(_)
            | ItemError::Example(_) => false,
        }
    }

    /// Returns whether every item would fail until something is configured differently: the model of the
    /// program or of the metric, or the data.
    pub(super) fn is_configuration(&self) -> bool {
        match self {
            ItemError::Program(error) => error.is_configuration(),
            ItemError::Metric(error) => error.downcast_ref::<Error>().is_some_and(Error::is_configuration),
            ItemError::Example(_) => true,
            _ => false,
        }
    }
}

/// The result of one item.
#[derive(Debug)]
#[non_exhaustive]
pub struct Item<O> {
    /// The index of the example in the data set, from 0.
    pub index: usize,
    /// The prediction of the program, if it returned one.
    pub prediction: Option<Prediction<O>>,
    /// The score, or the reason why there is none.
    pub score: Result<Score, ItemError>,
    /// The trace of the program, if it was traced.
    pub trace: Option<Trace>,
    /// The usage of the item, including calls by the metric.
    pub usage: Usage,
    /// The duration of the item.
    pub elapsed: Duration,
}
