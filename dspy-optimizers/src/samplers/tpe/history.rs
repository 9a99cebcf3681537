//! The observations of a search: every trial, and what is known of each configuration.

use std::collections::HashMap;

use dspy_core::Rng;

use crate::samplers::random::normal;

#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// The index of the configuration and the score of each trial, oldest first.
    pub(super) trials: Vec<(usize, f64)>,
    /// The configurations that were observed, in the order of their first trial.
    pub(super) configurations: Vec<Observed>,
    index: HashMap<Vec<usize>, usize>,
    rows: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Observed {
    pub(super) choices: Vec<usize>,
    trials: usize,
    rows: f64,
    mean: f64,
    /// The sum over trials of rows × squared deviation from the mean.
    scatter: f64,
}

/// An estimate of the noise in scores.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noise {
    /// The mean and the standard deviation of the scores of configurations.
    mean: f64,
    deviation: f64,
    /// The rows of a configuration at which its noise equals the difference between configurations.
    prior_rows: f64,
    /// Whether all repeated trials had the score of the first one.
    pub(super) absent: bool,
}

/// The number of repeated trials with equal scores after which scores count as free of noise.
const EQUAL_REPEATS: usize = 2;

impl Observed {
    /// Returns the expected score: the mean of the trials, shrunk to the mean of all configurations the more noise
    /// there is and the fewer rows.
    pub(super) fn expected(&self, noise: &Noise) -> f64 {
        if noise.prior_rows == 0.0 {
            return self.mean;
        }
        noise.mean + (self.mean - noise.mean) * (self.rows / (self.rows + noise.prior_rows))
    }
}

impl History {
    pub(super) fn add(&mut self, choices: &[usize], score: f64, rows: f64) {
        let new = self.configurations.len();
        let at = *self.index.entry(choices.to_vec()).or_insert(new);
        if at == new {
            let choices = choices.to_vec();
            self.configurations.push(Observed { choices, trials: 0, rows: 0.0, mean: 0.0, scatter: 0.0 });
        }
        let known = &mut self.configurations[at];
        known.trials += 1;
        known.rows += rows;
        let difference = score - known.mean;
        known.mean += difference * (rows / known.rows);
        known.scatter += rows * difference * (score - known.mean);
        self.rows += rows;
        self.trials.push((at, score));
    }

    pub(super) fn contains(&self, choices: &[usize]) -> bool {
        self.index.contains_key(choices)
    }

    pub(super) fn noise(&self) -> Noise {
        let count = self.configurations.len().max(1) as f64;
        let repeats = self.trials.len() - self.configurations.len();
        let mean = self.configurations.iter().map(|known| known.mean / count).sum::<f64>();
        let squares: f64 = self.configurations.iter().map(|known| (known.mean - mean).powi(2)).sum();
        let variance = squares / (count - 1.0).max(1.0);
        let scatter: f64 = self.configurations.iter().map(|known| known.scatter).sum();
        let rows_of_trial = self.rows / self.trials.len().max(1) as f64;
        let equal = scatter <= 1e-12 * variance * rows_of_trial;
        let absent = repeats >= EQUAL_REPEATS && equal;
        let prior_rows = if repeats == 0 || absent {
            0.0
        } else {
            // One more trial is assumed, with half the variance of configurations as its noise: the estimate from
            // one or two repeats would be erratic.
            let of_row = (scatter + 0.5 * variance * rows_of_trial) / (repeats + 1) as f64;
            let inverse = self.configurations.iter().map(|known| 1.0 / known.rows).sum::<f64>() / count;
            of_row / (variance - of_row * inverse).max(0.1 * variance)
        };
        // Scores near the largest float, or all equal: nothing is known of their noise.
        let prior_rows = if prior_rows.is_finite() { prior_rows } else { 0.0 };
        Noise { mean, deviation: variance.sqrt(), prior_rows, absent }
    }

    /// Returns the configuration with the highest expected score, the first one of equals.
    pub(super) fn best(&self, noise: &Noise) -> Option<&Observed> {
        self.highest(|known| known.expected(noise))
    }

    /// Returns a configuration to score again: one of those that may be the best, the less certain the likelier.
    pub(super) fn repeat(&self, noise: &Noise, rng: &mut Rng) -> Option<&Observed> {
        let rows_of_trial = self.rows / self.trials.len().max(1) as f64;
        let spread = if noise.absent { 0.0 } else { 0.5 * noise.deviation };
        self.highest(|known| {
            known.expected(noise) + spread * normal(rng) / (known.rows / rows_of_trial).sqrt()
        })
    }

    fn highest(&self, mut value: impl FnMut(&Observed) -> f64) -> Option<&Observed> {
        let mut best: Option<(f64, &Observed)> = None;
        for known in &self.configurations {
            let value = value(known);
            if best.is_none_or(|(most, _)| value > most) {
                best = Some((value, known));
            }
        }
        best.map(|(_, known)| known)
    }
}
