//! Retries of failed requests.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures_util::future::Either;
use tokio::time::Instant;

use crate::LmError;
use crate::network::rate_limit::FOREVER;
use crate::observe;

/// The retry policy of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The time limit of one attempt.
    pub(super) timeout: Duration,
    /// The time limit of all attempts and waits together.
    pub(super) deadline: Duration,
    /// The maximum number of attempts after the first.
    pub(super) retries: u32,
    /// The first and the longest wait.
    pub(super) backoff: (Duration, Duration),
}

impl Patience {
    /// Returns the time limit of an attempt that starts `now`, if all must end at `end`.
    pub(super) fn attempt(&self, now: Instant, end: Instant) -> Duration {
        self.timeout.min(end.saturating_duration_since(now))
    }
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Box<LmError>,
    /// Whether further attempts are certain to fail, although errors of this kind are usually transient.
    pub(super) hopeless: bool,
}

impl Failed {
    /// Returns whether another attempt may succeed.
    fn may_pass(&self) -> bool {
        self.error.is_retryable() && !self.hopeless
    }
}

/// Runs `attempt` until it succeeds, fails permanently, or the retry policy is exhausted. `attempt` receives the time
/// at which all must end. The error of an attempt counts the requests that it sent; the returned error counts those
/// of all attempts, and has the total time.
pub(super) async fn retry<T, F>(
    patience: Patience,
    mut attempt: impl FnMut(Instant) -> F,
) -> Result<T, LmError>
where
    F: Future<Output = Result<T, Failed>>,
{
    let start = Instant::now();
    let end = start + patience.deadline.min(FOREVER);
    let result = match attempt(end).await {
        Ok(done) => Ok(done),
        Err(failed) if !failed.may_pass() => Err(*failed.error),
        // Boxed because few requests need it; the future of the others stays small.
        Err(failed) => Box::pin(again(patience, end, failed, attempt)).await,
    };
    result.map_err(|mut error| {
        error.elapsed = (error.attempts > 0).then(|| start.elapsed());
        error
    })
}

/// Continues after the first attempt has `failed`.
async fn again<T, F>(
    patience: Patience,
    end: Instant,
    failed: Failed,
    mut attempt: impl FnMut(Instant) -> F,
) -> Result<T, LmError>
where
    F: Future<Output = Result<T, Failed>>,
{
    // The requests of all attempts that were retried.
    let mut sent = 0;
    let mut first = Some(failed);
    let waits = ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(patience.backoff.0.min(FOREVER))
        .with_max_delay(patience.backoff.1.min(FOREVER))
        .with_max_times(patience.retries as usize);
    let next = || match first.take() {
        Some(failed) => Either::Left(std::future::ready(Err(failed))),
        None => Either::Right(attempt(end)),
    };
    let outcome = next
        .retry(waits)
        .when(Failed::may_pass)
        .adjust(|failed: &Failed, planned| {
            let planned = planned?;
            let wait = failed.error.retry_after.map_or(planned, |asked| spread(asked, planned));
            // A wait beyond the deadline is not started.
            (wait < end.saturating_duration_since(Instant::now())).then_some(wait)
        })
        .notify(|failed: &Failed, wait: Duration| {
            sent += failed.error.attempts;
            observe::retried(&failed.error, wait);
        })
        .await;
    outcome.map_err(|mut failed| {
        failed.error.attempts += sent;
        *failed.error
    })
}

/// Returns a wait of at least the time that the server requested and up to a quarter more, so that clients that were
/// refused together do not return together. The jittered `planned` wait is the source of randomness.
fn spread(asked: Duration, planned: Duration) -> Duration {
    let room = asked / 4;
    let share = f64::from(planned.subsec_nanos() % 100_000) / 100_000.0;
    asked.saturating_add(room.mul_f64(share))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::LmErrorKind;

    const PATIENCE: Patience = Patience {
        timeout: Duration::from_mins(1),
        deadline: Duration::from_mins(10),
        retries: 4,
        backoff: (Duration::from_millis(500), Duration::from_secs(30)),
    };

    /// Makes attempts that always fail with this error, and returns their number and the time taken.
    async fn failing(patience: Patience, kind: LmErrorKind, retry_after: Option<u64>) -> (u32, Duration) {
        let (attempts, start) = (Cell::new(0), Instant::now());
        let error = retry(patience, |_| async {
            attempts.set(attempts.get() + 1);
            let mut error = LmError::new(kind, "m", "no");
            error.retry_after = retry_after.map(Duration::from_secs);
            error.attempts = 1;
            Err::<(), _>(Failed { error: error.into(), hopeless: false })
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!((error.attempts, error.elapsed), (attempts.get(), Some(start.elapsed())));
        (attempts.get(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_with_jitter() {
        let (attempts, took) = failing(PATIENCE, LmErrorKind::Server, None).await;
        assert_eq!(attempts, 5);
        // 0.5 + 1 + 2 + 4 seconds, each up to doubled.
        assert!((Duration::from_millis(7_500)..Duration::from_millis(15_100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_wish_replaces_the_planned_wait() {
        let (attempts, took) = failing(PATIENCE, LmErrorKind::RateLimit, Some(20)).await;
        assert_eq!(attempts, 5);
        assert!((Duration::from_secs(80)..Duration::from_millis(100_100)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_outlasts_the_deadline() {
        let (attempts, took) = failing(PATIENCE, LmErrorKind::RateLimit, Some(3_600)).await;
        assert_eq!((attempts, took), (1, Duration::ZERO));
        let short = Patience { deadline: Duration::from_secs(2), retries: 100, ..PATIENCE };
        let (_, took) = failing(short, LmErrorKind::Server, None).await;
        assert!(took <= Duration::from_secs(2), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn endless_times_are_no_trouble() {
        let patience = Patience { timeout: Duration::MAX, deadline: Duration::MAX, ..PATIENCE };
        assert_eq!(failing(patience, LmErrorKind::Server, Some(u64::MAX)).await, (1, Duration::ZERO));
        let patience = Patience { backoff: (Duration::MAX, Duration::MAX), ..patience };
        assert_eq!(failing(patience, LmErrorKind::Server, None).await, (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_pass_is_not_repeated() {
        for kind in
            [LmErrorKind::Auth, LmErrorKind::Billing, LmErrorKind::InvalidRequest, LmErrorKind::Decode]
        {
            assert_eq!(failing(PATIENCE, kind, None).await, (1, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_gets_no_more_time_than_is_left() {
        let patience = Patience { deadline: Duration::from_secs(70), retries: 1, ..PATIENCE };
        let given = Cell::new(Vec::new());
        let _ = retry(patience, |end| {
            let time = patience.attempt(Instant::now(), end);
            given.set([given.take(), vec![time]].concat());
            async move {
                tokio::time::sleep(time).await;
                Err::<(), _>(Failed {
                    error: LmError::new(LmErrorKind::Timeout, "m", "late").into(),
                    hopeless: false,
                })
            }
        })
        .await;
        let given = given.take();
        assert_eq!(given[0], Duration::from_mins(1));
        assert!(given[1] <= Duration::from_millis(9_500), "{given:?}");
    }
}
