//! A histogram of durations, with buckets whose width grows with the duration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The number of buckets per doubling: the relative error is at most 1/30.
const STEPS: u64 = 16;
/// The number of buckets: from microseconds to half a day.
const BUCKETS: usize = 36 * STEPS as usize;

/// A histogram of durations.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    sum: Duration,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BUCKETS]), count: 0, sum: Duration::ZERO, longest: Duration::ZERO }
    }
}

/// A summary of measured durations.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Times {
    /// The number of durations.
    pub count: u64,
    /// The sum of all durations.
    pub sum: Duration,
    /// The median, to within 3 %.
    pub p50: Duration,
    /// The 95th percentile, to within 3 %.
    pub p95: Duration,
    /// The 99th percentile, to within 3 %.
    pub p99: Duration,
    /// The longest duration.
    pub longest: Duration,
}

impl Histogram {
    pub(super) fn record(&mut self, time: Duration) {
        self.counts[bucket(time)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        self.longest = self.longest.max(time);
    }

    pub(super) fn times(&self) -> Times {
        let quantile = |share: f64| {
            let rank = ((self.count as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let found = self.counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            found.map_or(Duration::ZERO, |index| middle(index).min(self.longest))
        };
        let (p50, p95, p99) = (quantile(0.5), quantile(0.95), quantile(0.99));
        Times { count: self.count, sum: self.sum, p50, p95, p99, longest: self.longest }
    }

    /// Returns the number of durations up to `time`; the bucket that contains `time` counts in full.
    pub(super) fn up_to(&self, time: Duration) -> u64 {
        self.counts[..=bucket(time)].iter().sum()
    }
}

/// Returns the index of the bucket of `time`. The first [`STEPS`] buckets are one microsecond wide; each
/// doubling after them has as many buckets.
fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let doubling = u64::from(micros.ilog2());
    let scaled = if doubling < 4 { micros << (4 - doubling) } else { micros >> (doubling - 4) };
    ((doubling * STEPS + scaled - STEPS) as usize).min(BUCKETS - 1)
}

/// Returns the middle of a bucket.
fn middle(index: usize) -> Duration {
    let (doubling, step) = (index as u64 / STEPS, index as u64 % STEPS);
    let low = ((1u128 << doubling) * u128::from(STEPS + step)) as f64 / STEPS as f64;
    let width = (1u128 << doubling) as f64 / STEPS as f64;
    Duration::from_nanos(((low + width / 2.0) * 1e3) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_percent() {
        let mut histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let times = histogram.times();
        for (found, millis) in [(times.p50, 500.0), (times.p95, 950.0), (times.p99, 990.0)] {
            let off = (found.as_secs_f64() * 1e3 / millis - 1.0).abs();
            assert!(off < 0.04, "{found:?} instead of {millis} ms");
        }
        assert_eq!((times.count, times.longest), (1000, Duration::from_secs(1)));
        let half = histogram.up_to(Duration::from_millis(500));
        assert!((480..=520).contains(&half), "{half}");
    }

    #[test]
    fn any_time_has_a_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.times(), Times::default());
        for time in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(15), Duration::MAX] {
            histogram.record(time);
        }
        assert_eq!((histogram.times().count, histogram.times().longest), (4, Duration::MAX));
        let buckets: Vec<_> = (1..100_000).map(|micros| bucket(Duration::from_micros(micros))).collect();
        assert!(buckets.is_sorted());
    }
}
