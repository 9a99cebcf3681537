//! Why a search goes no further.

use dspy_core::lm::Limit;

use crate::OptimizeError;

/// Why a search goes no further. Hand it on with `?`: [`Study::finish`](super::Study::finish) makes the result of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stop {
    /// The budget is used up: the best so far is the result.
    Budget(Limit),
    /// The optimization fails.
    Error(Box<OptimizeError>),
}

impl<E: Into<OptimizeError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Error(Box::new(error.into()))
    }
}
