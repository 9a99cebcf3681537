//! The density of a set of configurations: a Parzen estimator over categorical variables.

use dspy_core::Rng;

use crate::samplers::random::weighted;

/// A mixture with one kernel per configuration and a uniform one, the prior.
///
/// A kernel is a product over variables: the configuration's choice has the probability `(1 + e) / (1 + c·e)`,
/// each of the other `c - 1` choices `e / (1 + c·e)`. The ratio of the two is the same for all variables, so the
/// density of a kernel depends only on the number of equal choices.
pub(super) struct Density<'a> {
    choices: &'a [usize],
    /// The choices of one point after the other. Small numbers, so that more are compared at once.
    points: Vec<u32>,
    /// Of the points, then of the prior.
    weights: Vec<f64>,
    total: f64,
    spread: f64,
    /// The probability of each choice of each variable, of all points together.
    marginals: Vec<Vec<f64>>,
}

impl<'a> Density<'a> {
    pub(super) fn new(choices: &'a [usize], points: Vec<(&'a [usize], f64)>) -> Self {
        let mut weights: Vec<f64> = points.iter().map(|&(_, weight)| weight).collect();
        weights.push(1.0);
        let total = weights.iter().sum();
        let marginal = |(variable, &choices): (usize, &usize)| {
            let mut shares = vec![1.0 / choices as f64 / total; choices];
            for (point, weight) in &points {
                shares[point[variable]] += weight / total;
            }
            shares
        };
        let marginals = choices.iter().enumerate().map(marginal).collect();
        let spread = 1.0 / weights.len() as f64;
        let points = points.iter().flat_map(|(point, _)| small(point)).collect();
        Density { choices, points, weights, total, spread, marginals }
    }

    /// Draws a configuration from the mixture.
    pub(super) fn joint(&self, rng: &mut Rng) -> Vec<usize> {
        let start = weighted(&self.weights, rng) * self.choices.len();
        let point = self.points.get(start..start + self.choices.len());
        let draw = |(variable, &choices): (usize, &usize)| match point {
            Some(point) if rng.unit() < 1.0 / (1.0 + choices as f64 * self.spread) => {
                point[variable] as usize
            }
            _ => rng.below(choices),
        };
        self.choices.iter().enumerate().map(draw).collect()
    }

    /// Draws each variable from its marginal.
    pub(super) fn independent(&self, rng: &mut Rng) -> Vec<usize> {
        self.marginals.iter().map(|shares| weighted(shares, rng)).collect()
    }

    /// Returns the logarithm of the mixture's density at each of the configurations.
    pub(super) fn ln_joint(&self, configurations: &[Vec<usize>]) -> Vec<f64> {
        // Points in the outer loop: there may be many, while the configurations fit a cache.
        let mut by_equal = vec![vec![0.0; self.choices.len() + 1]; configurations.len()];
        let candidates: Vec<Vec<u32>> = configurations.iter().map(|one| small(one).collect()).collect();
        for (point, weight) in self.points.chunks_exact(self.choices.len().max(1)).zip(&self.weights) {
            for (candidate, by_equal) in candidates.iter().zip(&mut by_equal) {
                let equal =
                    point.iter().zip(candidate).map(|(one, other)| u32::from(one == other)).sum::<u32>();
                by_equal[equal as usize] += weight;
            }
        }
        let kernel = |&choices: &usize| (self.spread / (1.0 + choices as f64 * self.spread)).ln();
        let unequal: f64 = self.choices.iter().map(kernel).sum();
        let uniform: f64 = self.choices.iter().map(|&choices| -(choices as f64).ln()).sum();
        let gain = (1.0 + 1.0 / self.spread).ln();
        let density = |by_equal: Vec<f64>| {
            let parts = by_equal
                .iter()
                .enumerate()
                .filter(|(_, weight)| **weight > 0.0)
                .map(|(equal, weight)| weight.ln() + unequal + equal as f64 * gain)
                .chain([uniform]);
            // Summed relative to the largest part: densities over many variables are too small for a float.
            let largest = parts.clone().fold(f64::NEG_INFINITY, f64::max);
            largest + parts.map(|part| (part - largest).exp()).sum::<f64>().ln() - self.total.ln()
        };
        by_equal.into_iter().map(density).collect()
    }

    /// Returns the logarithm of the product of the marginals.
    pub(super) fn ln_independent(&self, configuration: &[usize]) -> f64 {
        configuration.iter().zip(&self.marginals).map(|(&choice, shares)| shares[choice].ln()).sum()
    }
}

/// A variable has at most [`MOST_CHOICES`](super::MOST_CHOICES) choices, so nothing is lost.
fn small(configuration: &[usize]) -> impl Iterator<Item = u32> {
    configuration.iter().map(|&choice| choice as u32)
}
