//! The comparison of two programs on the rows that both have run on.

use std::f64::consts::PI;

/// Returns the p-value of a one-sided paired t-test: the probability that two equally good programs differ
/// in favour of the first by at least as much as these do; 1 if the first is not better.
pub(crate) fn p_value(rival: &[Option<f64>], other: &[Option<f64>]) -> f64 {
    let differences: Vec<f64> = rival.iter().zip(other).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
    let count = differences.len();
    let mean = differences.iter().sum::<f64>() / count.max(1) as f64;
    if count < 2 || mean <= 0.0 {
        return 1.0;
    }
    let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
    let error = (squares / (count - 1) as f64 / count as f64).sqrt();
    // If all differences are equal, `t` is infinite. On a few rows that happens by chance, at least as often as all
    // signs are equal.
    upper_tail(mean / error, count - 1).max((-(count as f64)).exp2())
}

/// The number, the sum and the sum of the squares of scores.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl Sums {
    pub(crate) fn add(&mut self, score: f64) {
        self.count += 1.0;
        self.sum += score;
        self.squares += score * score;
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// Returns the variance of the mean.
    fn of_mean(&self) -> f64 {
        ((self.squares - self.sum * self.mean()) / (self.count - 1.0) / self.count).max(0.0)
    }
}

/// Returns the p-value of a one-sided t-test of scores on different rows (Welch's, with the degrees of freedom of the
/// smaller number); 1 if the first are not better.
pub(crate) fn unpaired_p_value(rival: &Sums, other: &Sums) -> f64 {
    let (count, gain) = (rival.count.min(other.count), rival.mean() - other.mean());
    if count < 2.0 || gain <= 0.0 {
        return 1.0;
    }
    let error = (rival.of_mean() + other.of_mean()).sqrt();
    upper_tail(gain / error, count as usize - 1).max((-count).exp2())
}

/// Formats a p-value, such as `p = 0.031` and `p < 0.001`.
pub(crate) fn shown(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

/// Returns the probability that Student's t with this many degrees of freedom exceeds `t`, which must not be
/// negative. It uses the finite series for integer degrees (Abramowitz and Stegun, 26.7.3 and 26.7.4).
fn upper_tail(t: f64, degrees: usize) -> f64 {
    let angle = (t / (degrees as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = if degrees == 1 { 0.0 } else { term };
    let first = if odd { 3 } else { 2 };
    for step in (first..degrees.saturating_sub(1)).step_by(2) {
        term *= cosine * cosine * (step - 1) as f64 / step as f64;
        sum += term;
    }
    let within = if odd { 2.0 / PI * (angle + sine * sum) } else { sine * sum };
    ((1.0 - within) / 2.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_tables() {
        // One-sided quantiles of Student's t.
        for (t, degrees, tail) in [
            (6.314, 1, 0.05),
            (2.920, 2, 0.05),
            (2.353, 3, 0.05),
            (2.132, 4, 0.05),
            (1.729, 19, 0.05),
            (2.539, 19, 0.01),
            (0.861, 19, 0.2),
            (1.660, 99, 0.05),
            (3.390, 100, 0.0005),
        ] {
            assert!((upper_tail(t, degrees) - tail).abs() < tail * 0.01, "{t} {degrees}");
        }
        assert_eq!(upper_tail(0.0, 7), 0.5);
        assert!(upper_tail(f64::INFINITY, 7) < 1e-12);
    }

    #[test]
    fn scores_on_different_rows_are_compared_by_their_spread() {
        let sums = |right: usize, count: usize| {
            let mut sums = Sums::default();
            (0..count).for_each(|row| sums.add(f64::from(u8::from(row < right))));
            sums
        };
        assert!(unpaired_p_value(&sums(6, 10), &sums(5, 10)) > 0.2);
        assert!(unpaired_p_value(&sums(60, 100), &sums(40, 100)) < 0.01);
        assert_eq!(unpaired_p_value(&sums(3, 3), &sums(0, 3)), 0.125, "few equal scores say little");
        assert_eq!(unpaired_p_value(&sums(1, 2), &sums(1, 2)), 1.0);
        assert_eq!(unpaired_p_value(&sums(1, 1), &sums(0, 9)), 1.0);
    }

    #[test]
    fn no_p_value_is_shown_as_0() {
        assert_eq!(
            [0.0, 0.000_9, 0.001, 0.05, 1.0].map(shown),
            ["p < 0.001", "p < 0.001", "p = 0.001", "p = 0.050", "p = 1.000"]
        );
    }

    #[test]
    fn only_rows_that_both_have_count() {
        let rival = [Some(1.0), Some(1.0), None, Some(1.0), Some(0.0)];
        let other = [Some(0.0), Some(0.0), Some(1.0), None, Some(0.0)];
        let (beats, loses) = (p_value(&rival, &other), p_value(&other, &rival));
        assert!(beats > 0.05 && beats < 0.2, "{beats}");
        assert_eq!(loses, 1.0);
        assert_eq!(p_value(&[Some(1.0); 5], &[Some(0.5); 5]), 1.0 / 32.0, "always by the same");
        assert_eq!(p_value(&[Some(1.0); 5], &[Some(1.0); 5]), 1.0);
        assert_eq!(p_value(&[Some(1.0)], &[Some(0.0)]), 1.0, "one row says nothing");
    }
}
