//! Thompson sampling over arms with rewards from 0 to 1.

use dspy_core::Rng;

use super::error::SamplerError;
use super::random::ln_gamma;

/// Thompson sampling over arms with rewards from 0 to 1.
///
/// Each arm has a Beta posterior of its mean reward. An arm is chosen with the probability that it is the best
/// one, given the observations: candidates that may be the best are scored again, others are not. A score
/// between 0 and 1 counts as that part of a success.
///
/// ```
/// use dspy_core::Seed;
/// use dspy_optimizers::samplers::Thompson;
///
/// let mut candidates = Thompson::new(3);
/// let mut rng = Seed::new(7).rng();
/// for _ in 0..200 {
///     let Some(arm) = candidates.choose(&mut rng) else { break };
///     let noisy = if rng.unit() < [0.2, 0.8, 0.5][arm] { 1.0 } else { 0.0 };
///     candidates.observe(arm, noisy)?;
/// }
/// assert_eq!(candidates.best(), Some(1));
/// assert!(candidates.rows(1) > candidates.rows(0) + candidates.rows(2));
/// # Ok::<(), dspy_optimizers::samplers::SamplerError>(())
/// ```
///
/// Source: W. R. Thompson, *On the likelihood that one unknown probability exceeds another in view of the
/// evidence of two samples*, Biometrika 25, 1933.
#[derive(Debug, Clone, PartialEq)]
pub struct Thompson {
    prior: (f64, f64),
    arms: Vec<Arm>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Arm {
    rows: f64,
    total: f64,
}

impl Thompson {
    /// Creates a sampler with that number of arms and the uniform prior, Beta(1, 1).
    pub fn new(arms: usize) -> Self {
        Thompson { prior: (1.0, 1.0), arms: vec![Arm::default(); arms] }
    }

    /// Sets the prior of every arm: the number of rows with score 1 and with score 0 that it starts with.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Setting`] if one of them is not positive or not finite.
    pub fn prior(mut self, successes: f64, failures: f64) -> Result<Self, SamplerError> {
        for value in [successes, failures] {
            if !(value.is_finite() && value > 0.0) {
                return Err(SamplerError::Setting { setting: "prior", value });
            }
        }
        self.prior = (successes, failures);
        Ok(self)
    }

    /// Adds an arm and returns its index.
    pub fn add_arm(&mut self) -> usize {
        self.arms.push(Arm::default());
        self.arms.len() - 1
    }

    /// Returns the number of arms.
    pub fn arms(&self) -> usize {
        self.arms.len()
    }

    /// Adds the score of one row.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Arm`] if there is no such arm, [`SamplerError::Score`] if the score is not from 0 to 1.
    pub fn observe(&mut self, arm: usize, score: f64) -> Result<(), SamplerError> {
        self.observe_rows(arm, score, 1)
    }

    /// Adds the mean score of several rows.
    ///
    /// # Errors
    ///
    /// Those of [`observe`](Self::observe), and [`SamplerError::NoRows`] if `rows` is 0.
    pub fn observe_rows(&mut self, arm: usize, score: f64, rows: usize) -> Result<(), SamplerError> {
        if !(0.0..=1.0).contains(&score) {
            return Err(SamplerError::Score { score, expected: "from 0 to 1" });
        }
        if rows == 0 {
            return Err(SamplerError::NoRows);
        }
        let arms = self.arms.len();
        let arm = self.arms.get_mut(arm).ok_or(SamplerError::Arm { arm, arms })?;
        arm.rows += rows as f64;
        arm.total += score * rows as f64;
        Ok(())
    }

    /// Returns the arm to score next; `None` if there are no arms.
    pub fn choose(&self, rng: &mut Rng) -> Option<usize> {
        let draws = self.arms.iter().map(|arm| {
            let (successes, failures) = self.posterior(arm);
            // The log-odds of a draw from Beta: they order draws as the draws themselves do, and never overflow.
            ln_gamma(successes, rng) - ln_gamma(failures, rng)
        });
        first_largest(draws)
    }

    /// Returns the arm with the largest posterior mean, the first one of equals; `None` if there are no arms.
    pub fn best(&self) -> Option<usize> {
        first_largest((0..self.arms.len()).map(|arm| self.mean(arm).unwrap_or_default()))
    }

    /// Returns the posterior mean of an arm; `None` if there is no such arm.
    pub fn mean(&self, arm: usize) -> Option<f64> {
        let (successes, failures) = self.posterior(self.arms.get(arm)?);
        // In halves, so that the largest priors do not overflow.
        Some((successes / 2.0) / (successes / 2.0 + failures / 2.0))
    }

    /// Returns the number of rows observed of an arm; 0 if there is no such arm.
    pub fn rows(&self, arm: usize) -> f64 {
        self.arms.get(arm).map_or(0.0, |arm| arm.rows)
    }

    fn posterior(&self, arm: &Arm) -> (f64, f64) {
        (self.prior.0 + arm.total, self.prior.1 + (arm.rows - arm.total).max(0.0))
    }
}

fn first_largest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let largest = |best: Option<(usize, f64)>, (index, value)| match best {
        Some((_, most)) if value <= most => best,
        _ => Some((index, value)),
    };
    values.enumerate().fold(None, largest).map(|(index, _)| index)
}
