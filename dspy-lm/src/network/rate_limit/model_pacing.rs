//! Adaptive pacing of a model whose endpoint reports too many requests, independent of the configured limits.

use std::time::Duration;

use tokio::time::Instant;

use super::NotAdmitted;
use super::bucket::Bucket;
use super::fifo_queue::{Admission, FifoQueue, after};

/// The averaging window of the measured rate, in seconds.
const WINDOW: f64 = 2.0;
/// The lowest reduced rate, in requests per second; slower callers are unlikely to cause the refusals.
const FLOOR: f64 = 1.0;
/// The factor that the rate is multiplied by after a refusal.
const CUT: f64 = 0.5;
/// The time to recover the rate at which the refusal occurred, in seconds.
const RECOVERY: f64 = 30.0;
/// The multiple of that rate at which pacing ends.
const TRUST: f64 = 2.0;

/// The longest pause after one refusal. Endpoints may request any wait; if a longer one is needed, the next refusal
/// repeats it.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The pacing of one model: unlimited until the first refusal, then at half the measured rate, then steadily faster
/// until the next refusal (additive increase, multiplicative decrease).
#[derive(Debug, Default)]
pub(super) struct ModelPacing(FifoQueue<Pace>);

#[derive(Debug, Default)]
struct Pace {
    paused_until: Option<Instant>,
    learned: Option<Learned>,
    meter: Meter,
    cut_at: Option<Instant>,
}

/// A rate that the endpoint refused.
#[derive(Debug)]
struct Learned {
    bucket: Bucket,
    /// The rate at the last refusal.
    refused: f64,
    since: Instant,
}

/// The current rate of requests, as an exponentially decaying average.
#[derive(Debug, Default)]
struct Meter {
    count: f64,
    at: Option<Instant>,
}

impl Meter {
    fn fade(&mut self, now: Instant) {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        // Most requests follow each other closely, and nothing decays in between.
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
    /// Waits for admission.
    pub(super) async fn enter(&self, end: Instant) -> Result<(), NotAdmitted> {
        self.0.pass(end, Pace::admit).await
    }

    /// Slows down after a request admitted at `admitted` was refused for too many requests.
    pub(super) fn slow_down(&self, admitted: Instant, wait: Option<Duration>) {
        let now = Instant::now();
        let pace = &mut *self.0.state();
        if let Some(wait) = wait {
            pace.pause(now, wait);
        }
        // Requests that were in flight together are refused together, and count once.
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

    /// Admits no requests for this time.
    pub(super) fn pause(&self, wait: Duration) {
        self.0.state().pause(Instant::now(), wait);
    }

    /// Returns whether there is no state to keep.
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

    /// Recovers a part of the rate.
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

    /// Returns how many requests are admitted in this time.
    async fn count(pacer: &ModelPacing, time: Duration) -> u32 {
        let (end, mut count) = (Instant::now() + time, 0);
        while Instant::now() < end && pacer.enter(end).await.is_ok() {
            count += 1;
            // Without pacing, callers make a hundred requests per second.
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
        // The other requests in flight are the same refusal.
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
