//! What the transport needs of the runtime that polls it.

use std::any::Any;
use std::panic::catch_unwind;
use std::time::Duration;

use tokio::runtime::Handle;

use super::Failure;
use crate::{LmError, LmErrorKind};

const NEEDS: &str = "a model over HTTP needs a Tokio runtime with timers and I/O: use `#[tokio::main]`, or build the \
                     runtime with `enable_all()`";

/// Refuses to send where there is no runtime, or one without timers: both would panic in a dependency.
pub(super) fn check(model: &str) -> Result<(), LmError> {
    // There is no way to ask a runtime for its timers but to make one; that panics where there are none.
    let able =
        Handle::try_current().is_ok() && catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok();
    if able { Ok(()) } else { Err(LmError::new(LmErrorKind::Configuration, model, NEEDS)) }
}

/// The failure that a panic of the HTTP client stands for.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    match dspy_base::panics::message(panic) {
        Some(said) if said.contains("runtime") => Failure::new(LmErrorKind::Configuration, NEEDS),
        said => Failure::new(
            LmErrorKind::Other,
            format!("the HTTP client panicked: {}", said.unwrap_or("no reason given")),
        ),
    }
}
