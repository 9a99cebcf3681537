//! A circuit breaker for endpoints that stop responding.

use std::time::Duration;

use tokio::time::Instant;

use super::NotAdmitted;
use super::fifo_queue::after;
use crate::LmError;

/// The settings of a circuit breaker, which refuses requests to an endpoint that fails repeatedly.
///
/// After a number of failed attempts in a row, the circuit opens: requests fail immediately with the error
/// [`CircuitOpen`](crate::LmErrorKind::CircuitOpen) instead of waiting and being retried. After the cool-down it is
/// half-open: a single request probes the endpoint, and its success closes the circuit for all others.
///
/// Only failures of the endpoint count: no connection, no answer in time, HTTP 5xx. Any other answer, including a
/// refused key or a rate limit, shows that the endpoint works.
///
/// ```
/// use std::time::Duration;
/// use dspy_lm::{Circuit, Endpoint};
/// let patient = Endpoint::new("http://localhost:8000/v1")
///     .circuit(Circuit::after(20).lasting(Duration::from_mins(1)).cool_down(Duration::from_secs(10)));
/// let never = Endpoint::new("http://localhost:8000/v1").circuit(Circuit::OFF);
/// # let _ = (patient, never);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    failures: u32,
    lasting: Duration,
    cool_down: Duration,
}

impl Circuit {
    /// A disabled circuit breaker: every request is sent.
    pub const OFF: Circuit = Circuit { failures: u32::MAX, ..Circuit::after(1) };

    /// The default settings.
    pub(super) const USUAL: Circuit = Circuit::after(10).lasting(Duration::from_secs(30));

    /// Opens the circuit after this many failed attempts in a row, at least 1, for half a minute.
    pub const fn after(failures: u32) -> Self {
        Circuit {
            failures: if failures == 0 { 1 } else { failures },
            lasting: Duration::ZERO,
            cool_down: Duration::from_secs(30),
        }
    }

    /// Requires that the failures also last this long. A busy endpoint may fail many requests at once and still
    /// answer their retries; this keeps such a short failure from opening the circuit.
    #[must_use]
    pub const fn lasting(mut self, time: Duration) -> Self {
        self.lasting = time;
        self
    }

    /// Sets the time after which the endpoint is probed.
    #[must_use]
    pub const fn cool_down(mut self, time: Duration) -> Self {
        self.cool_down = time;
        self
    }
}

impl Default for Circuit {
    /// Returns the default: open after ten failed attempts in a row over at least half a minute, for half a minute.
    fn default() -> Self {
        Circuit::USUAL
    }
}

/// The maximum length of the stored failure message, in bytes.
const EXCERPT: usize = 300;

/// The state of one circuit breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    pub(super) circuit: Circuit,
    /// The number of consecutive failures.
    failures: u32,
    /// The start of the earliest of them.
    since: Option<Instant>,
    last: String,
    open_until: Option<Instant>,
    probing: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        let (circuit, last) = (Circuit::OFF, String::new());
        Breaker { circuit, failures: 0, since: None, last, open_until: None, probing: false }
    }
}

impl Breaker {
    /// Returns whether the circuit is closed, so that requests pass at any time.
    pub(super) fn is_closed(&self) -> bool {
        self.open_until.is_none()
    }

    /// Returns an error while the circuit is open; otherwise whether the request is the probe.
    pub(super) fn check(&self, now: Instant) -> Result<bool, NotAdmitted> {
        let Some(until) = self.open_until else { return Ok(false) };
        let remaining = (now < until).then(|| until.saturating_duration_since(now));
        if remaining.is_none() && !self.probing {
            return Ok(true);
        }
        Err(NotAdmitted::Closed { remaining, failures: self.failures, last: self.last.clone() })
    }

    pub(super) fn begin_probe(&mut self) {
        self.probing = true;
    }

    /// Ends a probe without a result; another request may probe.
    pub(super) fn end_probe(&mut self) {
        self.probing = false;
    }

    pub(super) fn alive(&mut self) {
        if self.open_until.take().is_some() {
            tracing::info!(failures = self.failures, "the endpoint is back in service");
        }
        (self.failures, self.since, self.probing) = (0, None, false);
    }

    /// Records the failure of an attempt that started at `begun`.
    pub(super) fn down(&mut self, begun: Instant, probe: bool, error: &LmError, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let since = self.since.map_or(begun, |since| since.min(begun));
        self.since = Some(since);
        let dead = self.open_until.is_none()
            && self.failures >= self.circuit.failures
            && self.circuit != Circuit::OFF
            && now.saturating_duration_since(since) >= self.circuit.lasting;
        if probe || dead {
            let status = error.status.map(|status| format!("HTTP {status}: ")).unwrap_or_default();
            self.last = status + &error.message[..error.message.floor_char_boundary(EXCERPT)];
            self.open_until = Some(after(now, self.circuit.cool_down));
            let (failures, last) = (self.failures, self.last.as_str());
            tracing::warn!(failures, last, cool_down = ?self.circuit.cool_down, "the endpoint is out of service");
        }
    }

    /// Returns whether there is no state to keep.
    #[cfg(any(feature = "http", test))]
    pub(super) fn is_idle(&self) -> bool {
        self.failures == 0 && self.open_until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LmErrorKind;

    fn broken() -> LmError {
        LmError::new(LmErrorKind::Transport, "m", "cannot connect")
    }

    fn breaker(circuit: Circuit) -> Breaker {
        Breaker { circuit, ..Breaker::default() }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_lets_one_try() {
        let now = Instant::now();
        let mut breaker = breaker(Circuit::after(3));
        for _ in 0..2 {
            breaker.down(now, false, &broken(), now);
        }
        breaker.alive();
        for _ in 0..2 {
            breaker.down(now, false, &broken(), now);
            assert_eq!(breaker.check(now), Ok(false));
        }
        breaker.down(now, false, &broken(), now);
        let Err(NotAdmitted::Closed { remaining, failures, last }) = breaker.check(now + seconds(10)) else {
            unreachable!("it is open")
        };
        assert_eq!((remaining, failures, last.as_str()), (Some(seconds(20)), 3, "cannot connect"));
        let later = now + seconds(30);
        assert_eq!(breaker.check(later), Ok(true));
        breaker.begin_probe();
        assert!(matches!(breaker.check(later), Err(NotAdmitted::Closed { remaining: None, .. })));
        breaker.end_probe();
        assert_eq!(breaker.check(later), Ok(true));
        breaker.begin_probe();
        breaker.down(later, true, &broken(), later + seconds(5));
        breaker.end_probe();
        assert!(breaker.check(later + seconds(34)).is_err(), "a failed try is waited for again");
        assert_eq!(breaker.check(later + seconds(35)), Ok(true));
        breaker.alive();
        assert_eq!(breaker.check(later), Ok(false));
        assert!(breaker.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hiccup_is_no_outage() {
        let now = Instant::now();
        let mut breaker = breaker(Circuit::default());
        for _ in 0..1_000 {
            breaker.down(now, false, &broken(), now + seconds(1));
        }
        assert_eq!(breaker.check(now + seconds(1)), Ok(false));
        // An attempt that hung since its start shows how long the failure lasted.
        breaker.down(now, false, &broken(), now + seconds(30));
        assert!(breaker.check(now + seconds(31)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn off_is_off() {
        let now = Instant::now();
        let mut breaker = breaker(Circuit::OFF);
        breaker.failures = u32::MAX - 1;
        for _ in 0..3 {
            breaker.down(now, false, &broken(), now + seconds(9_999));
        }
        assert_eq!(breaker.check(now), Ok(false));
    }
}
