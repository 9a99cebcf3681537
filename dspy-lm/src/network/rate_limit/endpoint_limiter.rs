//! The rate limiter of one endpoint: the configured limits, and the circuit breaker.

use std::time::Duration;

use tokio::time::Instant;

use super::bucket::Bucket;
use super::circuit::{Breaker, Circuit};
use super::fifo_queue::{Admission, FifoQueue};
use super::{AttemptOutcome, Estimate, Limits, NotAdmitted};

/// The estimate of completion tokens before the first reply.
const FIRST_MEAN: f64 = 256.0;
/// The weight of the newest reply in the moving average.
const NEWEST: f64 = 0.05;
/// The maximum of one reply in the average, in multiples of it, so that one report cannot distort the estimates.
const OUTLIER: f64 = 4.0;

/// The longest pause of a model because of one report.
const MINUTE: Duration = Duration::from_mins(1);

/// The limits of one endpoint and their state.
#[derive(Debug, Default)]
pub(super) struct EndpointLimiter(FifoQueue<State>);

#[derive(Debug)]
struct State {
    limits: Limits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    in_flight: u32,
    mean_completion: f64,
    breaker: Breaker,
}

impl Default for State {
    fn default() -> Self {
        State {
            limits: Limits::new(),
            requests: None,
            tokens: None,
            in_flight: 0,
            mean_completion: FIRST_MEAN,
            breaker: Breaker::default(),
        }
    }
}

/// The permit of one request in flight; dropping it ends the request.
#[derive(Debug)]
pub(super) struct EndpointPermit<'a> {
    limiter: &'a EndpointLimiter,
    probe: bool,
    /// The tokens charged for the request.
    charged: f64,
    /// The time of admission.
    pub(super) admitted: Instant,
}

impl EndpointLimiter {
    /// Applies the limits that are set, and `defaults` for those that were never set. The others are unchanged.
    pub(super) fn set(&self, limits: &Limits, defaults: &Limits) {
        let now = Instant::now();
        let mut state = self.0.state();
        let old = state.limits;
        state.limits = limits.or(&old).or(defaults);
        // Setting an unchanged limit again keeps its usage.
        if state.limits.requests_per_minute != old.requests_per_minute {
            state.requests = state.limits.requests_per_minute.map(|amount| Bucket::per_minute(amount, now));
        }
        if state.limits.tokens_per_minute != old.tokens_per_minute {
            state.tokens = state.limits.tokens_per_minute.map(|amount| Bucket::per_minute(amount, now));
        }
        state.breaker.circuit = state.limits.circuit.unwrap_or(Circuit::OFF);
        drop(state);
        self.0.wake();
    }

    /// Returns an error if a request would not be admitted even after a wait.
    pub(super) fn check(&self) -> Result<(), NotAdmitted> {
        let state = self.0.state();
        // Most requests need no clock.
        if state.breaker.is_closed() { Ok(()) } else { state.breaker.check(Instant::now()).map(drop) }
    }

    pub(super) async fn enter(
        &self,
        estimate: Estimate,
        end: Instant,
    ) -> Result<EndpointPermit<'_>, NotAdmitted> {
        let mut admitted = end;
        let admit = |state: &mut State, now| {
            admitted = now;
            state.admit(estimate, now)
        };
        let (probe, charged) = self.0.pass(end, admit).await?;
        Ok(EndpointPermit { limiter: self, probe, charged, admitted })
    }

    /// Returns whether there is no state to keep.
    #[cfg(any(feature = "http", test))]
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let state = &mut *self.0.state();
        let full = |bucket: &mut Option<Bucket>| bucket.as_mut().is_none_or(|bucket| bucket.is_full(now));
        state.in_flight == 0
            && state.breaker.is_idle()
            && full(&mut state.requests)
            && full(&mut state.tokens)
    }
}

impl State {
    /// Takes everything that a request needs, or nothing: a request that waits for one limit takes nothing from the
    /// other.
    fn admit(&mut self, estimate: Estimate, now: Instant) -> Admission<(bool, f64)> {
        let probe = match self.breaker.check(now) {
            Ok(probe) => probe,
            Err(refusal) => return Admission::No(refusal),
        };
        if self.limits.max_concurrent.is_some_and(|most| self.in_flight >= most.max(1)) {
            return Admission::Later;
        }
        let completion = estimate.completion.map_or(self.mean_completion, |tokens| tokens as f64);
        let charge = estimate.prompt as f64 + completion;
        let wait = |bucket: &mut Option<Bucket>, amount| bucket.as_mut()?.wait(amount, now);
        if let Some(when) = wait(&mut self.requests, 1.0).max(wait(&mut self.tokens, charge)) {
            return Admission::At(when);
        }
        if let Some(requests) = &mut self.requests {
            requests.take(1.0);
        }
        if let Some(tokens) = &mut self.tokens {
            tokens.take(charge);
        }
        self.in_flight += 1;
        if probe {
            self.breaker.begin_probe();
        }
        Admission::Go((probe, charge))
    }
}

impl EndpointPermit<'_> {
    /// Records the outcome of the request. Returns how long its model should pause if the endpoint reports more
    /// tokens than were left.
    ///
    /// A report can use up the rest of the limit but never puts other requests into debt, because reports can be
    /// wrong by any amount.
    pub(super) fn settle(&mut self, begun: Instant, outcome: &AttemptOutcome) -> Option<Duration> {
        let mut state = self.limiter.0.state();
        match outcome {
            AttemptOutcome::Down(error) => state.breaker.down(begun, self.probe, error, Instant::now()),
            _ => state.breaker.alive(),
        }
        let AttemptOutcome::Answered(Some(usage)) = outcome else { return None };
        let mean = state.mean_completion;
        let newest = (usage.completion_tokens as f64).min(OUTLIER * mean.max(FIRST_MEAN));
        state.mean_completion += (newest - mean) * NEWEST;
        let more = usage.total_tokens() as f64 - self.charged;
        let lacking = state.tokens.as_mut()?.settle(more, Instant::now());
        let amount = f64::from(state.limits.tokens_per_minute?.max(1));
        (lacking > 0.0).then(|| MINUTE.mul_f64((lacking / amount).min(1.0)))
    }
}

impl Drop for EndpointPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.limiter.0.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.probe {
            state.breaker.end_probe();
        }
        drop(state);
        self.limiter.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::network::rate_limit::fifo_queue::{after, far};
    use crate::{LmError, LmErrorKind};

    const NOTHING: Estimate = Estimate { prompt: 0, completion: Some(0) };

    fn limited(limits: Limits) -> EndpointLimiter {
        let limiter = EndpointLimiter::default();
        limiter.set(&limits, &Limits::new());
        limiter
    }

    /// Runs all tasks until each waits.
    async fn settled() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_the_minute_in_the_order_of_arrival() {
        let limiter = limited(Limits::new().requests_per_minute(60));
        let (start, order) = (Instant::now(), std::sync::Mutex::new(Vec::new()));
        futures_util::future::join_all((0..10).map(async |number| {
            drop(limiter.enter(NOTHING, far()).await.unwrap());
            order.lock().unwrap().push((number, start.elapsed().as_secs()));
        }))
        .await;
        let times = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(order.into_inner().unwrap(), (0..10).zip(times).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_in_flight_than_may_be() {
        let limiter = Arc::new(limited(Limits::new().max_concurrent(2)));
        let done = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..5)
            .map(|number| {
                let (limiter, done) = (limiter.clone(), done.clone());
                tokio::spawn(async move {
                    let _permit = limiter.enter(NOTHING, far()).await.unwrap();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    done.lock().unwrap().push(number);
                })
            })
            .collect();
        settled().await;
        // A waiting request that is dropped leaves the queue; one in flight that is dropped frees its place.
        tasks[3].abort();
        tasks[0].abort();
        let start = Instant::now();
        for task in tasks {
            let _ = task.await;
        }
        assert_eq!(*done.lock().unwrap(), [1, 2, 4]);
        assert!(start.elapsed() < Duration::from_millis(2_100), "{:?}", start.elapsed());
        assert!(limiter.is_idle(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_rate_holds_no_place() {
        let limiter = limited(Limits::new().max_concurrent(1).requests_per_minute(1));
        drop(limiter.enter(NOTHING, far()).await.unwrap());
        let waiting = limiter.enter(NOTHING, far());
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(limiter.0.state().in_flight, 0);
        limiter.set(&Limits::new().requests_per_minute(1_000), &Limits::new());
        let start = Instant::now();
        drop(waiting.await.unwrap());
        assert_eq!(start.elapsed(), Duration::ZERO, "a new limit holds at once");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_reserved_and_settled() {
        let limiter = limited(Limits::new().tokens_per_minute(60_000));
        let estimate = Estimate { prompt: 1_000, completion: Some(4_000) };
        let start = Instant::now();
        let mut permit = limiter.enter(estimate, far()).await.unwrap();
        permit.settle(start, &AttemptOutcome::Answered(Some(crate::Usage::tokens(900, 100))));
        drop(permit);
        let mut permit = limiter.enter(estimate, far()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 1, "only what was used counts");
        permit.settle(start, &AttemptOutcome::Answered(None));
        drop(permit);
        drop(limiter.enter(Estimate { prompt: 1, completion: None }, far()).await.unwrap());
        assert_eq!(start.elapsed().as_secs(), 4, "a request that tells nothing counts as estimated");
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_beyond_measure_holds_nobody_back_for_long() {
        let limiter = limited(Limits::new().tokens_per_minute(60_000));
        let estimate = Estimate { prompt: 100, completion: None };
        for claimed in [1_000_000_000_000, u64::MAX] {
            let start = Instant::now();
            for _ in 0..3 {
                let mut permit = limiter.enter(estimate, far()).await.unwrap();
                let usage = crate::Usage::tokens(claimed, claimed);
                let pause = permit.settle(start, &AttemptOutcome::Answered(Some(usage)));
                assert_eq!(pause, Some(MINUTE), "its own model");
            }
            drop(limiter.enter(estimate, far()).await.unwrap());
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        // The excess over the estimate is taken from the rest.
        tokio::time::advance(MINUTE).await;
        let mut permit = limiter.enter(Estimate { prompt: 100, completion: Some(0) }, far()).await.unwrap();
        assert_eq!(
            permit.settle(Instant::now(), &AttemptOutcome::Answered(Some(crate::Usage::tokens(600, 0)))),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_outlasts_the_deadline() {
        let limiter = limited(Limits::new().max_concurrent(1));
        let soon = after(Instant::now(), Duration::from_secs(3));
        let permit = limiter.enter(NOTHING, far()).await.unwrap();
        let (first, second) = tokio::join!(limiter.enter(NOTHING, soon), limiter.enter(NOTHING, soon));
        assert_eq!(first.unwrap_err(), NotAdmitted::TooLate(None));
        assert_eq!(second.unwrap_err(), NotAdmitted::TooLate(None));
        drop(permit);
        assert!(limiter.enter(NOTHING, far()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_leave_when_the_circuit_opens() {
        let limiter = limited(Limits::new().max_concurrent(1).circuit(Circuit::after(1)));
        let mut permit = limiter.enter(NOTHING, far()).await.unwrap();
        let (start, broken) = (Instant::now(), LmError::new(LmErrorKind::Transport, "m", "gone"));
        let fail = async {
            permit.settle(start, &AttemptOutcome::Down(broken.into()));
            drop(permit);
        };
        let waiting = futures_util::future::join_all((0..100).map(|_| limiter.enter(NOTHING, far())));
        let (refused, ()) = tokio::join!(waiting, fail);
        assert!(refused.iter().all(|refused| matches!(refused, Err(NotAdmitted::Closed { .. }))));
        assert_eq!(start.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(30)).await;
        // After a dropped probe, another request may probe.
        for _ in 0..2 {
            let probe = limiter.enter(NOTHING, far()).await.unwrap();
            assert!(limiter.check().is_err());
            drop(probe);
        }
        let mut probe = limiter.enter(NOTHING, far()).await.unwrap();
        probe.settle(start, &AttemptOutcome::Refused);
        assert!(limiter.check().is_ok());
    }
}
