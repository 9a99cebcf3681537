//! Token buckets.

use std::time::Duration;

use tokio::time::Instant;

use super::FOREVER;

/// The largest deficit that counts as none, so that rounding errors cause no waits.
const NOTHING: f64 = 1e-6;

/// The shortest wait; a shorter one might not advance the clock.
const SHORTEST: Duration = Duration::from_micros(1);

/// A token bucket. It may be overdrawn by amounts larger than its capacity or than estimated.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    level: f64,
    capacity: f64,
    /// The refill rate per second.
    rate: f64,
    at: Instant,
}

impl Bucket {
    /// Creates a bucket for `amount` per minute, of which two seconds' worth may be taken at once. The burst is
    /// subtracted from the refill, so that no minute exceeds `amount`.
    pub(super) fn per_minute(amount: u32, now: Instant) -> Self {
        let amount = f64::from(amount.max(1));
        let capacity = (amount / 30.0).max(1.0);
        Bucket { level: capacity, capacity, rate: (amount - capacity + 1.0) / 60.0, at: now }
    }

    /// Creates a bucket for `rate` per second, with a burst of half a second's worth but at least 4.
    pub(super) fn per_second(rate: f64, now: Instant) -> Self {
        let capacity = Self::capacity_at(rate);
        Bucket { level: capacity, capacity, rate, at: now }
    }

    fn capacity_at(rate: f64) -> f64 {
        (rate / 2.0).max(4.0)
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Changes the rate of a bucket created by [`per_second`](Self::per_second).
    pub(super) fn set_rate(&mut self, rate: f64, now: Instant) {
        self.refill(now);
        (self.rate, self.capacity) = (rate, Self::capacity_at(rate));
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.capacity);
        self.at = self.at.max(now);
    }

    /// Returns when `amount` will be available, or `None` if it is now. Amounts above the capacity wait for a full
    /// bucket.
    pub(super) fn wait(&mut self, amount: f64, now: Instant) -> Option<Instant> {
        self.refill(now);
        let lacking = amount.min(self.capacity) - self.level;
        (lacking > NOTHING).then(|| {
            let wait = Duration::try_from_secs_f64(lacking / self.rate).unwrap_or(FOREVER);
            now + wait.clamp(SHORTEST, FOREVER)
        })
    }

    pub(super) fn take(&mut self, amount: f64) {
        self.level -= amount;
    }

    /// Takes `more` in addition to the estimate, or returns the unused rest if `more` is negative. The result is the
    /// part that the bucket lacked.
    pub(super) fn settle(&mut self, more: f64, now: Instant) -> f64 {
        self.refill(now);
        let taken = more.min(self.level.max(0.0));
        self.level = (self.level - taken).min(self.capacity);
        more - taken
    }

    #[cfg(any(feature = "http", test))]
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.wait(self.capacity, now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_minute_sees_more_than_was_set() {
        for limit in [1, 2, 29, 60, 500, 10_000] {
            let start = Instant::now();
            let mut bucket = Bucket::per_minute(limit, start);
            let (mut now, mut times) = (start, Vec::new());
            while now < start + Duration::from_mins(3) {
                match bucket.wait(1.0, now) {
                    Some(when) => now = when,
                    None => {
                        bucket.take(1.0);
                        times.push(now);
                    }
                }
            }
            let limit = limit as usize;
            let most = times
                .iter()
                .enumerate()
                .map(|(index, from)| {
                    times.partition_point(|time| *time < *from + Duration::from_mins(1)) - index
                })
                .max();
            assert!(most <= Some(limit), "{most:?} of {limit}");
            assert!(times.len() > limit * 3 * 9 / 10, "{} of {limit}", times.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_bucket_is_paid_off_later() {
        let now = Instant::now();
        let mut bucket = Bucket::per_minute(6_000, now);
        assert_eq!(bucket.wait(5_000.0, now), None);
        bucket.take(5_000.0);
        let wait = bucket.wait(1.0, now).unwrap() - now;
        assert!((Duration::from_secs(48)..Duration::from_secs(52)).contains(&wait), "{wait:?}");
        assert_eq!(bucket.settle(-4_900.0, now), 0.0);
        assert_eq!(bucket.wait(1.0, now), None);
    }
}
