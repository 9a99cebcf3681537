//! The runs of a minibatch by row, those first from which there is the most to learn.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::engine::Rollout;

/// The runs on one row.
#[derive(Debug)]
pub(super) struct Bucket {
    /// The index of the row in the minibatch.
    pub(super) row: usize,
    /// The runs with a score, the best first; at least one.
    runs: Vec<(f64, Rollout)>,
}

impl Bucket {
    /// Creates a bucket; `None` if the metric failed on every run.
    fn of(row: usize, runs: impl Iterator<Item = Rollout>) -> Option<Self> {
        let mut runs: Vec<_> = runs.filter_map(|run| Some((run.outcome.score()?, run))).collect();
        runs.sort_by(|a, b| b.0.total_cmp(&a.0));
        (!runs.is_empty()).then_some(Bucket { row, runs })
    }

    /// Returns the best run and its score.
    pub(super) fn best(&self) -> &(f64, Rollout) {
        &self.runs[0]
    }

    /// Returns the worst run and its score.
    pub(super) fn worst(&self) -> &(f64, Rollout) {
        &self.runs[self.runs.len() - 1]
    }

    /// Returns the best run, and the worst one if it is worse.
    pub(super) fn extremes(&self) -> impl Iterator<Item = &Rollout> {
        let (best, worst) = (self.best(), self.worst());
        std::iter::once(best).chain((worst.0 < best.0).then_some(worst)).map(|(_, run)| run)
    }

    /// Returns the spread of the scores: the gap between the best and the worst, the best, and how far it is above
    /// the mean.
    fn spread(&self) -> [f64; 3] {
        let (best, worst) = (self.best().0, self.worst().0);
        let mean = self.runs.iter().map(|(score, _)| score).sum::<f64>() / self.runs.len() as f64;
        [best - worst, best, best - mean]
    }
}

/// The buckets of a minibatch.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Those with the largest spread first.
    pub(super) list: Vec<Bucket>,
    /// The 10th percentile of all scores.
    pub(super) low: f64,
    /// The 90th percentile of all scores.
    pub(super) high: f64,
}

impl Buckets {
    /// Sorts runs with the indices of their rows.
    pub(super) fn of(runs: impl IntoIterator<Item = (usize, Rollout)>) -> Self {
        let mut by_row: BTreeMap<usize, Vec<Rollout>> = BTreeMap::new();
        for (row, run) in runs {
            by_row.entry(row).or_default().push(run);
        }
        let by_row = by_row.into_iter();
        let mut list: Vec<Bucket> =
            by_row.filter_map(|(row, runs)| Bucket::of(row, runs.into_iter())).collect();
        let mut scores: Vec<f64> =
            list.iter().flat_map(|bucket| bucket.runs.iter().map(|(score, _)| *score)).collect();
        scores.sort_by(f64::total_cmp);
        list.sort_by(|a, b| descending(&a.spread(), &b.spread()));
        Buckets { list, low: percentile(&scores, 0.1), high: percentile(&scores, 0.9) }
    }
}

fn descending(a: &[f64; 3], b: &[f64; 3]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| b.total_cmp(a)).find(|order| order.is_ne());
    unequal.unwrap_or(Ordering::Equal)
}

/// Returns a percentile of sorted values, interpolated between the two nearest; 0 if there are none.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = share * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(score: f64) -> Rollout {
        let outcome = json!({"scored": {"value": score}});
        serde_json::from_value(json!({"outcome": outcome, "usage": dspy_core::lm::Usage::default()})).unwrap()
    }

    #[test]
    fn the_largest_spread_is_first() {
        // Three runs on each of four rows.
        let scores = [[1.0, 0.5, 0.0, 0.5], [1.0, 0.5, 1.0, 0.5], [1.0, 0.5, 1.0, 0.0]];
        let buckets = Buckets::of((0..4).cycle().zip(scores.concat().into_iter().map(run)));
        let order: Vec<_> = buckets.list.iter().map(|bucket| bucket.row).collect();
        assert_eq!(order, [2, 3, 0, 1], "the gap, then the best");
        assert_eq!((buckets.list[1].best().0, buckets.list[1].worst().0), (0.5, 0.0));
    }

    #[test]
    fn percentiles_are_interpolated() {
        let sorted: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0.1), 1.0);
        assert_eq!(percentile(&[0.0, 1.0], 0.9), 0.9);
        assert_eq!(percentile(&[3.0], 0.1), 3.0);
        assert_eq!(percentile(&[], 0.1), 0.0);
    }
}
