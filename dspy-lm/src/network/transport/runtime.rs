//! Checks of the async runtime that the transport runs on.

use std::any::Any;
use std::panic::catch_unwind;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Failure;
use crate::{LmError, LmErrorKind};

const NEEDS: &str = "a model over HTTP needs a Tokio runtime with timers and I/O: use `#[tokio::main]`, or build the \
                     runtime with `enable_all()`";

/// Returns an error without a runtime, or in one without timers: both would cause a panic in a dependency.
pub(super) fn check(model: &str) -> Result<(), LmError> {
    // The only way to detect timers is to create one, which panics if they are disabled.
    let able =
        Handle::try_current().is_ok() && catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok();
    if able { Ok(()) } else { Err(LmError::new(LmErrorKind::Configuration, model, NEEDS)) }
}

/// Converts a panic of the HTTP client to a failure.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    match dspy_base::panics::message(panic) {
        Some(said) if said.contains("runtime") => Failure::new(LmErrorKind::Configuration, NEEDS),
        said => Failure::new(
            LmErrorKind::Other,
            format!("the HTTP client panicked: {}", said.unwrap_or("no reason given")),
        ),
    }
}
