//! The gate before an endpoint: how fast and how much at a time requests go through, and when none do.
//!
//! A request passes two places, each with a queue of its own in the order of arrival. The [`Pacer`] of the model slows
//! down when the endpoint says that it is asked too much. The [`Gate`] of the endpoint keeps the limits that the user
//! set and turns requests away while the endpoint is out of service. Every attempt passes anew, and who waits holds
//! nothing.

mod bucket;
mod circuit;
mod entry;
mod estimate;
mod layer;
mod limits;
mod pacer;
#[cfg(feature = "http")]
mod registry;
mod turnstile;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::{LmError, LmErrorKind, Response, Usage};
pub use circuit::Circuit;
use entry::Gate;
pub(crate) use estimate::Estimate;
pub use limits::Limits;
use pacer::Pacer;
#[cfg(feature = "http")]
pub(crate) use registry::passage;

/// Longer times than this year are cut to it: sums of times must not overflow.
pub(crate) const FOREVER: Duration = Duration::from_hours(365 * 24);

/// The way of one model's requests through its gates. Clones lead through the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Passage {
    pacer: Arc<Pacer>,
    gate: Arc<Gate>,
}

/// What an attempt that went through has come to.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It was answered, with this usage where that is known.
    Answered(Option<Usage>),
    /// It was turned down, by an endpoint that is in service.
    Refused,
    /// It was one too many; the endpoint may have said how long to wait.
    TooMany(Option<Duration>),
    /// The endpoint is in no state to answer.
    Down(Box<LmError>),
}

impl Outcome {
    pub(crate) fn of_result(result: &Result<Response, LmError>) -> Self {
        match result {
            Ok(response) => Outcome::Answered((response.usage.total_tokens() > 0).then_some(response.usage)),
            Err(error) => Outcome::of(error),
        }
    }

    pub(crate) fn of(error: &LmError) -> Self {
        match error.kind {
            LmErrorKind::RateLimit => Outcome::TooMany(error.retry_after),
            // A conflict is about this request only.
            LmErrorKind::Server if matches!(error.status, Some(409 | 425)) => Outcome::Refused,
            LmErrorKind::Server | LmErrorKind::Timeout | LmErrorKind::Transport => {
                Outcome::Down(Box::new(error.clone()))
            }
            _ => Outcome::Refused,
        }
    }
}

/// Why a request is not let through.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// Its turn would come in so long, or not in time at all.
    TooLate(Option<Duration>),
    /// The endpoint is out of service.
    Closed {
        /// Until it is tried again; nothing while it is being tried.
        remaining: Option<Duration>,
        /// Failures in a row.
        failures: u32,
        /// What the last of them was.
        last: String,
    },
}

impl Refusal {
    pub(crate) fn error(self, model: &str) -> LmError {
        match self {
            Refusal::TooLate(wait) => {
                let when =
                    wait.map_or_else(String::new, |wait| format!(", free in {} s", wait.as_secs() + 1));
                let message = format!("no turn before the deadline under the limits of this endpoint{when}");
                LmError { retry_after: wait, ..LmError::new(LmErrorKind::RateLimit, model, message) }
            }
            Refusal::Closed { remaining, failures, last } => {
                let until = remaining.map_or_else(
                    || "one request is trying whether it is back".to_owned(),
                    |left| format!("it is tried again in {} s", left.as_secs() + 1),
                );
                let message = format!(
                    "nothing was sent after {failures} failures in a row, {until}; the last failure: {last}"
                );
                LmError { retry_after: remaining, ..LmError::new(LmErrorKind::CircuitOpen, model, message) }
            }
        }
    }
}

/// Leave to make one attempt. What it has come to should be [told](Self::settle); it is dropped when that is over.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pacer: &'a Pacer,
    stay: entry::Stay<'a>,
}

impl Passage {
    /// A way through gates that nobody else shares.
    pub(crate) fn private(limits: &Limits) -> Self {
        let gate = Gate::default();
        gate.set(limits, &Limits::new());
        Passage { pacer: Arc::default(), gate: Arc::new(gate) }
    }

    /// Waits until a request of this size may go, if that is before `end`.
    pub(crate) async fn enter(&self, estimate: Estimate, end: Instant) -> Result<Pass<'_>, Refusal> {
        // No queue is worth standing in for an endpoint that is out of service.
        self.gate.check()?;
        self.pacer.enter(end).await?;
        let stay = self.gate.enter(estimate, end).await?;
        Ok(Pass { pacer: &self.pacer, stay })
    }
}

impl Pass<'_> {
    /// When the attempt was let through.
    #[cfg(feature = "http")]
    pub(crate) fn admitted(&self) -> Instant {
        self.stay.admitted
    }

    /// Tells what the attempt has come to, so that those who come after fare better.
    pub(crate) fn settle(mut self, outcome: &Outcome) {
        let admitted = self.stay.admitted;
        if let Outcome::TooMany(wait) = outcome {
            self.pacer.slow_down(admitted, *wait);
        }
        if let Some(pause) = self.stay.settle(admitted, outcome) {
            tracing::warn!(
                ?pause,
                "the endpoint reports more tokens than the limit has left: the model pauses"
            );
            self.pacer.pause(pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_queues_for_an_endpoint_that_is_out_of_service() {
        let passage = Passage::private(&Limits::new().circuit(Circuit::after(1)));
        let end = turnstile::far();
        let pass = passage.enter(Estimate::default(), end).await.unwrap();
        pass.settle(&Outcome::Down(Box::new(LmError::new(LmErrorKind::Transport, "m", "cannot connect"))));
        passage.pacer.pause(Duration::from_secs(20));
        let start = Instant::now();
        let refused = passage.enter(Estimate::default(), end).await;
        assert!(matches!(refused, Err(Refusal::Closed { failures: 1, .. })), "{refused:?}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
