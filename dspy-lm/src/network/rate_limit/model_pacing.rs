//! Slowing down for an endpoint that says that it is asked too much, whatever the user has set.

use std::time::Duration;

use tokio::time::Instant;

use super::NotAdmitted;
use super::bucket::Bucket;
use super::fifo_queue::{Admission, FifoQueue, after};

/// Over how many seconds the present rate is measured.
const WINDOW: f64 = 2.0;
/// No rate is cut below this, per second: who asks so seldom is hardly the one who asks too much.
const FLOOR: f64 = 1.0;
/// What a refusal leaves of the rate.
const CUT: f64 = 0.5;
/// How many seconds it takes to win back the rate at which the refusal came.
const RECOVERY: f64 = 30.0;
/// At how many times that rate the endpoint is trusted again.
const TRUST: f64 = 2.0;

/// No refusal holds others back for longer: endpoints may ask for any time, and one that means it says so again.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The pace at which one model is asked: as fast as callers like until it refuses, then half as fast as that, then
/// steadily faster until it refuses again (additive increase, multiplicative decrease).
#[derive(Debug, Default)]
pub(super) struct ModelPacing(FifoQueue<Pace>);

#[derive(Debug, Default)]
struct Pace {
    paused_until: Option<Instant>,
    learned: Option<Learned>,
    meter: Meter,
    cut_at: Option<Instant>,
}

/// A rate that the endpoint has shown not to bear for long.
#[derive(Debug)]
struct Learned {
    bucket: Bucket,
    /// The rate at which the last refusal came.
    refused: f64,
    since: Instant,
}

/// The present rate of requests, as an average that fades.
#[derive(Debug, Default)]
struct Meter {
    count: f64,
    at: Option<Instant>,
}

impl Meter {
    fn fade(&mut self, now: Instant) {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        // Most requests come close upon each other; then nothing has faded yet.
        if passed > 0.01 || self.at.is_none() {
            self.count *= (-passed / WINDOW).exp();
            self.at = Some(now);
        }
    }

    fn add(&mut self, now: Instant) {
        self.fade(now);
        self.count += 1.0;
    }

    fn per_second(&mut self, now: Instant) -> f64 {
        self.fade(now);
        self.count / WINDOW
    }
}

impl ModelPacing {
    /// Waits for the turn.
    pub(super) async fn enter(&self, end: Instant) -> Result<(), NotAdmitted> {
        self.0.pass(end, Pace::admit).await
    }

    /// A request that was let through at `admitted` was one too many.
    pub(super) fn slow_down(&self, admitted: Instant, wait: Option<Duration>) {
        let now = Instant::now();
        let pace = &mut *self.0.state();
        if let Some(wait) = wait {
            pace.pause(now, wait);
        }
        // Those that were under way together are refused together, and are one sign, not many.
        if pace.cut_at.is_some_and(|cut| admitted <= cut) {
            return;
        }
        let refused = match &pace.learned {
            Some(learned) => learned.bucket.rate(),
            None => pace.meter.per_second(now),
        };
        let rate = (refused * CUT).max(FLOOR);
        pace.learned = Some(Learned { bucket: Bucket::per_second(rate, now), refused, since: now });
        pace.cut_at = Some(now);
        tracing::debug!(rate, ?wait, "rate limited, slowing down");
    }

    /// Lets nobody through for so long.
    pub(super) fn pause(&self, wait: Duration) {
        self.0.state().pause(Instant::now(), wait);
    }

    /// Whether it has nothing to remember.
    #[cfg(feature = "http")]
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let pace = &mut *self.0.state();
        pace.recover(now);
        pace.learned.is_none() && pace.paused_until.is_none_or(|until| until <= now)
    }
}

impl Pace {
    fn pause(&mut self, now: Instant, wait: Duration) {
        self.paused_until = self.paused_until.max(Some(after(now, wait.min(LONGEST_PAUSE))));
    }

    fn admit(&mut self, now: Instant) -> Admission<()> {
        if let Some(until) = self.paused_until {
            if now < until {
                return Admission::At(until);
            }
            self.paused_until = None;
        }
        self.recover(now);
        if let Some(Learned { bucket, .. }) = &mut self.learned {
            if let Some(when) = bucket.wait(1.0, now) {
                return Admission::At(when);
            }
            bucket.take(1.0);
        }
        self.meter.add(now);
        Admission::Go(())
    }

    /// Wins back some of the rate.
    fn recover(&mut self, now: Instant) {
        let Some(learned) = &mut self.learned else { return };
        let refused = learned.refused.max(FLOOR);
        let gained =
            now.saturating_duration_since(learned.since).as_secs_f64() * refused * (1.0 - CUT) / RECOVERY;
        let rate = learned.bucket.rate() + gained;
        learned.since = learned.since.max(now);
        if rate >= refused * TRUST {
            self.learned = None;
        } else {
            learned.bucket.set_rate(rate, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rate_limit::fifo_queue::far;

    /// How many requests go in so long.
    async fn count(pacer: &ModelPacing, time: Duration) -> u32 {
        let (end, mut count) = (Instant::now() + time, 0);
        while Instant::now() < end && pacer.enter(end).await.is_ok() {
            count += 1;
            // Callers that are not held back come at a hundred a second.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep_until(end).await;
        count
    }

    #[tokio::test(start_paused = true)]
    async fn all_pause_for_as_long_as_the_endpoint_asks() {
        let pacer = ModelPacing::default();
        pacer.enter(far()).await.unwrap();
        let start = Instant::now();
        pacer.slow_down(start, Some(Duration::from_secs(7)));
        pacer.slow_down(start, Some(Duration::from_secs(3)));
        futures_util::future::join_all((0..4).map(|_| pacer.enter(far()))).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_deadline_is_no_wait() {
        let pacer = ModelPacing::default();
        pacer.slow_down(Instant::now(), Some(Duration::from_hours(1)));
        let refused = pacer.enter(Instant::now() + Duration::from_mins(1)).await;
        assert_eq!(refused, Err(NotAdmitted::TooLate(Some(Duration::from_hours(1)))));
    }

    #[tokio::test(start_paused = true)]
    async fn no_pause_is_for_ever() {
        let pacer = ModelPacing::default();
        let start = Instant::now();
        pacer.slow_down(start, Some(Duration::MAX));
        pacer.enter(far()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 3_600);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_halved_and_won_back() {
        let pacer = ModelPacing::default();
        let second = Duration::from_secs(1);
        let free = count(&pacer, 40 * second).await;
        assert!((3_900..=4_000).contains(&free), "{free}");
        let before = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        pacer.slow_down(Instant::now(), None);
        // The others that were under way say nothing new.
        (0..50).for_each(|_| pacer.slow_down(before, None));
        let halved = count(&pacer, 2 * second).await;
        assert!((85..=135).contains(&halved), "{halved}");
        tokio::time::sleep(Duration::from_secs(28)).await;
        let won_back = count(&pacer, second).await;
        assert!((90..=101).contains(&won_back), "{won_back}");
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert!(pacer.is_idle(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_again_and_again_leave_a_trickle() {
        let pacer = ModelPacing::default();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            pacer.slow_down(Instant::now(), None);
        }
        let trickle = count(&pacer, Duration::from_secs(10)).await;
        assert!((10..=16).contains(&trickle), "{trickle}");
    }
}
