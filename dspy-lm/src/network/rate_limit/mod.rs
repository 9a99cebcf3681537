//! Rate limiting: how many requests an endpoint gets at a time and per minute, and its circuit breaker.
//!
//! An attempt needs two permits, each from a first-come, first-served queue. The [`ModelPacing`] of the model slows
//! down when the endpoint reports too many requests. The [`EndpointLimiter`] enforces the configured limits and
//! refuses requests while the circuit breaker of the endpoint is open. A retry needs both permits again, and a
//! waiting request holds neither.
//!
//! | file | concept |
//! |---|---|
//! | `limits` | the limits that a user configures |
//! | `layer` | limits of a single handle |
//! | `registry` | the limiters of the process, by endpoint and key |
//! | `endpoint_limiter` | concurrency, requests and tokens per minute of one endpoint |
//! | `model_pacing` | additive increase, multiplicative decrease of one model's rate |
//! | `circuit` | the circuit breaker |
//! | `fifo_queue`, `bucket`, `estimate` | the queue, token buckets, the estimated tokens of a request |

mod bucket;
mod circuit;
mod endpoint_limiter;
mod estimate;
mod fifo_queue;
mod layer;
mod limits;
mod model_pacing;
#[cfg(feature = "http")]
mod registry;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::{LmError, LmErrorKind, Response, Usage};
pub use circuit::Circuit;
use endpoint_limiter::EndpointLimiter;
pub(crate) use estimate::Estimate;
pub use limits::Limits;
use model_pacing::ModelPacing;
#[cfg(feature = "http")]
pub(crate) use registry::rate_limiter;

/// The longest duration; longer ones are shortened to this year, so that sums of times do not overflow.
pub(crate) const FOREVER: Duration = Duration::from_hours(365 * 24);

/// The rate limiter of one model at one endpoint. Clones share their state.
#[derive(Debug, Clone)]
pub(crate) struct RateLimiter {
    model: Arc<ModelPacing>,
    endpoint: Arc<EndpointLimiter>,
}

/// The result of an attempt, for the limiter.
#[derive(Debug, Clone)]
pub(crate) enum AttemptOutcome {
    /// A successful reply, with its usage if known.
    Answered(Option<Usage>),
    /// A refusal of this request, by an endpoint that works.
    Refused,
    /// A refusal for too many requests, with the wait that the endpoint requests, if any.
    TooMany(Option<Duration>),
    /// A failure of the endpoint.
    Down(Box<LmError>),
}

impl AttemptOutcome {
    pub(crate) fn of_result(result: &Result<Response, LmError>) -> Self {
        match result {
            Ok(response) => {
                AttemptOutcome::Answered((response.usage.total_tokens() > 0).then_some(response.usage))
            }
            Err(error) => AttemptOutcome::of(error),
        }
    }

    pub(crate) fn of(error: &LmError) -> Self {
        match error.kind {
            LmErrorKind::RateLimit => AttemptOutcome::TooMany(error.retry_after),
            // A conflict concerns this request only.
            LmErrorKind::Server if matches!(error.status, Some(409 | 425)) => AttemptOutcome::Refused,
            LmErrorKind::Server | LmErrorKind::Timeout | LmErrorKind::Transport => {
                AttemptOutcome::Down(Box::new(error.clone()))
            }
            _ => AttemptOutcome::Refused,
        }
    }
}

/// The reason to not admit an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NotAdmitted {
    /// The deadline would pass first. The wait until admission, if known.
    TooLate(Option<Duration>),
    /// The circuit breaker of the endpoint is open.
    Closed {
        /// The time until the next probe; `None` while one is in flight.
        remaining: Option<Duration>,
        /// The number of consecutive failures.
        failures: u32,
        /// The message of the last failure.
        last: String,
    },
}

impl NotAdmitted {
    pub(crate) fn error(self, model: &str) -> LmError {
        match self {
            NotAdmitted::TooLate(wait) => {
                let when =
                    wait.map_or_else(String::new, |wait| format!(", free in {} s", wait.as_secs() + 1));
                let message = format!("no turn before the deadline under the limits of this endpoint{when}");
                LmError { retry_after: wait, ..LmError::new(LmErrorKind::RateLimit, model, message) }
            }
            NotAdmitted::Closed { remaining, failures, last } => {
                let until = remaining.map_or_else(
                    || "one request is trying whether it is back".to_owned(),
                    |left| format!("the next attempt is in {} s", left.as_secs() + 1),
                );
                let message = format!(
                    "nothing was sent after {failures} failures in a row, {until}; the last failure: {last}"
                );
                LmError { retry_after: remaining, ..LmError::new(LmErrorKind::CircuitOpen, model, message) }
            }
        }
    }
}

/// The permit of one attempt. Its result should be [reported](Self::settle); dropping it ends the attempt.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    model: &'a ModelPacing,
    endpoint: endpoint_limiter::EndpointPermit<'a>,
}

impl RateLimiter {
    /// Creates a limiter that only its clones share.
    pub(crate) fn private(limits: &Limits) -> Self {
        let endpoint = EndpointLimiter::default();
        endpoint.set(limits, &Limits::new());
        RateLimiter { model: Arc::default(), endpoint: Arc::new(endpoint) }
    }

    /// Waits for a permit for a request of this size; fails if it cannot be had before `end`.
    pub(crate) async fn enter(&self, estimate: Estimate, end: Instant) -> Result<Permit<'_>, NotAdmitted> {
        // Checked first, so that no request queues for an endpoint whose circuit breaker is open.
        self.endpoint.check()?;
        self.model.enter(end).await?;
        let endpoint = self.endpoint.enter(estimate, end).await?;
        Ok(Permit { model: &self.model, endpoint })
    }
}

impl Permit<'_> {
    /// Returns the time at which the attempt was admitted.
    #[cfg(feature = "http")]
    pub(crate) fn admitted(&self) -> Instant {
        self.endpoint.admitted
    }

    /// Reports the result of the attempt, which adjusts the limits of later attempts.
    pub(crate) fn settle(mut self, outcome: &AttemptOutcome) {
        let admitted = self.endpoint.admitted;
        if let AttemptOutcome::TooMany(wait) = outcome {
            self.model.slow_down(admitted, *wait);
        }
        if let Some(pause) = self.endpoint.settle(admitted, outcome) {
            tracing::warn!(
                ?pause,
                "the endpoint reports more tokens than the limit has left: the model pauses"
            );
            self.model.pause(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_queues_for_an_endpoint_that_is_out_of_service() {
        let rate_limiter = RateLimiter::private(&Limits::new().circuit(Circuit::after(1)));
        let end = fifo_queue::far();
        let pass = rate_limiter.enter(Estimate::default(), end).await.unwrap();
        pass.settle(&AttemptOutcome::Down(Box::new(LmError::new(
            LmErrorKind::Transport,
            "m",
            "cannot connect",
        ))));
        rate_limiter.model.pause(Duration::from_secs(20));
        let start = Instant::now();
        let refused = rate_limiter.enter(Estimate::default(), end).await;
        assert!(matches!(refused, Err(NotAdmitted::Closed { failures: 1, .. })), "{refused:?}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
