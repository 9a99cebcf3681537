//! Reasons for a search to stop.

use dspy_core::lm::Limit;

use crate::error::OptimizeError;

/// The reason why a search has to stop. Return it with `?` and pass it to
/// [`Study::finish`](super::Study::finish).
#[derive(Debug)]
#[non_exhaustive]
pub enum Stop {
    /// The budget is exhausted. The result is the best trial so far.
    Budget(Limit),
    /// The original program leaves nothing to gain; see [`Headroom`](crate::Headroom).
    NoHeadroom,
    /// The metric gives every answer the same score; see [`Stopped::ConstantMetric`](crate::Stopped::ConstantMetric).
    ConstantMetric,
    /// The optimization fails with this error.
    Error(Box<OptimizeError>),
}

impl<E: Into<OptimizeError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Error(Box::new(error.into()))
    }
}
