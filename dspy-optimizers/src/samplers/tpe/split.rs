//! The split of what was observed into good and bad configurations, with their weights.

use super::history::{History, Noise};

type Points<'a> = Vec<(&'a [usize], f64)>;

/// At most this number is good.
const MOST_GOOD: usize = 25;
/// The number of latest trials with full weight in the published algorithm.
const RECENT: usize = 25;

/// Splits configurations by expected score: the best fifth is good. If equal scores are on both sides, their
/// configurations are in both groups, with a part of their weight in each.
pub(super) fn by_mean<'a>(history: &'a History, noise: &Noise) -> (Points<'a>, Points<'a>) {
    let mut points: Vec<(f64, &[usize])> =
        history.configurations.iter().map(|known| (known.expected(noise), &known.choices[..])).collect();
    points.sort_by(|one, other| other.0.total_cmp(&one.0));
    let count = points.len().div_ceil(5).min(MOST_GOOD);
    let Some(&(threshold, _)) = count.checked_sub(1).and_then(|last| points.get(last)) else {
        return (Vec::new(), Vec::new());
    };
    let above = points.partition_point(|point| point.0 > threshold);
    let equal = points[above..].partition_point(|point| point.0 >= threshold);
    let share = (count - above) as f64 / equal.max(1) as f64;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (rank, &(_, choices)) in points.iter().enumerate() {
        let share = if rank < above {
            1.0
        } else if rank < above + equal {
            share
        } else {
            0.0
        };
        if share > 0.0 {
            good.push((choices, share));
        }
        if share < 1.0 {
            bad.push((choices, 1.0 - share));
        }
    }
    (good, bad)
}

/// Splits trials as published: the best tenth is good, earlier trials first among equals.
pub(super) fn published(history: &History) -> (Points<'_>, Points<'_>) {
    let trials = &history.trials;
    let mut order: Vec<usize> = (0..trials.len()).collect();
    order.sort_by(|&one, &other| trials[other].1.total_cmp(&trials[one].1));
    let (good, bad) = order.split_at_mut(trials.len().div_ceil(10).min(MOST_GOOD));
    (by_age(history, good), by_age(history, bad))
}

/// Returns the trials, oldest first: the latest with weight 1, those before on a line that starts at `1 / count`.
fn by_age<'a>(history: &'a History, trials: &mut [usize]) -> Points<'a> {
    trials.sort_unstable();
    let count = trials.len();
    let older = count.saturating_sub(RECENT);
    let least = 1.0 / count.max(1) as f64;
    let weight = |age: usize| {
        if age < older { least + (1.0 - least) * age as f64 / (older - 1).max(1) as f64 } else { 1.0 }
    };
    trials
        .iter()
        .enumerate()
        .map(|(age, &trial)| (&history.configurations[history.trials[trial].0].choices[..], weight(age)))
        .collect()
}
