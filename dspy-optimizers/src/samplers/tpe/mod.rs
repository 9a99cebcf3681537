//! The tree-structured Parzen estimator over categorical variables.

mod density;
mod history;
mod split;

use dspy_core::Rng;

use self::density::Density;
use self::history::{History, Noise};
use super::error::SamplerError;

/// The densities hold a number for each choice.
const MOST_CHOICES: usize = 1 << 20;
/// Scores beyond count as this, so that no sum of squares overflows.
const LARGEST_SCORE: f64 = 1e100;

/// A tree-structured Parzen estimator over categorical variables: a sequential search for the configuration with
/// the highest score.
///
/// The observed configurations are split into good and bad ones by score. Each group has a density, and the
/// next suggestion is the candidate with the largest ratio of the good density to the bad one. Two densities are
/// combined in equal parts: the joint one, in which combinations of choices count, and the independent one, in
/// which each choice counts by itself.
///
/// - The first six suggestions take the choices that were observed least.
/// - A configuration is not suggested again, except to measure it better. A fifth of the suggestions after the
///   first six are such repeats, of the best configurations; there are none after two repeats whose scores did
///   not differ.
/// - The scores of a configuration are averaged by rows. If repeats show noise, means of few rows are shrunk to
///   the mean of all configurations.
/// - When all configurations were observed ([`is_exhausted`](Self::is_exhausted)), the suggestions are repeats.
///
/// Equal observations in equal order and an equal generator result in equal suggestions. A suggestion depends on
/// observations only, so several suggestions without an observation between them may be equal. Its time is
/// linear in the number of observations.
///
/// ```
/// use dspy_core::Seed;
/// use dspy_optimizers::samplers::Tpe;
///
/// // Three instructions, four sets of demonstrations, two formats.
/// let mut tpe = Tpe::new([3, 4, 2])?;
/// let mut rng = Seed::new(7).rng();
/// for _ in 0..20 {
///     let choice = tpe.suggest(&mut rng);
///     let score = [0.1, 0.4, 0.2][choice[0]] + [0.0, 0.3, 0.1, 0.2][choice[1]];
///     tpe.observe(&choice, score)?;
/// }
/// let best = tpe.best().unwrap_or_default();
/// assert_eq!(best[..2], [1, 1]);
/// # Ok::<(), dspy_optimizers::samplers::SamplerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tpe {
    choices: Vec<usize>,
    /// The number of configurations; `None` if it is too large to be ever exhausted.
    size: Option<usize>,
    startup: usize,
    candidates: usize,
    repeats: f64,
    published: bool,
    history: History,
}

impl Tpe {
    /// Creates a sampler for variables with these numbers of choices. Without variables, the only configuration is
    /// the empty one.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Choices`] if a variable has none, or more than 1,048,576.
    pub fn new(choices: impl IntoIterator<Item = usize>) -> Result<Self, SamplerError> {
        let choices: Vec<usize> = choices.into_iter().collect();
        for (variable, &choices) in choices.iter().enumerate() {
            if !(1..=MOST_CHOICES).contains(&choices) {
                return Err(SamplerError::Choices { variable, choices });
            }
        }
        let size = choices.iter().try_fold(1_usize, |size, &choices| size.checked_mul(choices));
        let history = History::default();
        Ok(Tpe { choices, size, startup: 6, candidates: 64, repeats: 0.2, published: false, history })
    }

    /// Sets the published algorithm, with the numbers of Optuna's `TPESampler(multivariate=True)`, to which
    /// results can be compared: 10 random trials; the best tenth of all trials, at most 25, are good; 24
    /// candidates from the joint density; every trial counts, and those before the last 25 count less the older
    /// they are. Repeats happen by chance only, and rows matter only to [`best`](Self::best).
    #[must_use]
    pub fn published(self) -> Self {
        Tpe { startup: 10, candidates: 24, repeats: 0.0, published: true, ..self }
    }

    /// Sets the number of trials before the estimator is used. Default: 6.
    #[must_use]
    pub fn startup(self, trials: usize) -> Self {
        Tpe { startup: trials, ..self }
    }

    /// Sets the number of candidates for one suggestion. Default: 64; 0 counts as 1.
    #[must_use]
    pub fn candidates(self, candidates: usize) -> Self {
        Tpe { candidates: candidates.max(1), ..self }
    }

    /// Sets the share of suggestions that repeat a configuration as long as scores may be noisy. Default: 0.2.
    /// With 0, there are no repeats until all configurations were observed.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Setting`] if it is not from 0 to 1.
    pub fn repeats(self, share: f64) -> Result<Self, SamplerError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(SamplerError::Setting { setting: "repeats", value: share });
        }
        Ok(Tpe { repeats: share, ..self })
    }

    /// Adds a trial: a configuration, suggested or not, with its score. Higher scores are better; those
    /// beyond ±10¹⁰⁰ count as that.
    ///
    /// # Errors
    ///
    /// [`SamplerError::Length`] and [`SamplerError::Choice`] if the configuration is not in the space,
    /// [`SamplerError::Score`] if the score is NaN or infinite.
    pub fn observe(&mut self, configuration: &[usize], score: f64) -> Result<(), SamplerError> {
        self.observe_rows(configuration, score, 1)
    }

    /// Adds a trial whose score is the mean of several rows. The scores of a configuration are averaged by rows.
    ///
    /// # Errors
    ///
    /// Those of [`observe`](Self::observe), and [`SamplerError::NoRows`] if `rows` is 0.
    pub fn observe_rows(
        &mut self,
        configuration: &[usize],
        score: f64,
        rows: usize,
    ) -> Result<(), SamplerError> {
        let (expected, found) = (self.choices.len(), configuration.len());
        if expected != found {
            return Err(SamplerError::Length { expected, found });
        }
        for (variable, (&choice, &choices)) in configuration.iter().zip(&self.choices).enumerate() {
            if choice >= choices {
                return Err(SamplerError::Choice { variable, choice, choices });
            }
        }
        if !score.is_finite() {
            return Err(SamplerError::Score { score, expected: "finite" });
        }
        if rows == 0 {
            return Err(SamplerError::NoRows);
        }
        self.history.add(configuration, score.clamp(-LARGEST_SCORE, LARGEST_SCORE), rows as f64);
        Ok(())
    }

    /// Returns the configuration to score next.
    pub fn suggest(&self, rng: &mut Rng) -> Vec<usize> {
        if self.published {
            return if self.history.trials.len() < self.startup {
                self.random(rng)
            } else {
                self.largest_ratio(&self.noise(), rng).unwrap_or_else(|| self.random(rng))
            };
        }
        let noise = self.noise();
        let starting = self.history.trials.len() < self.startup;
        let repeat = !starting && !noise.absent && rng.unit() < self.repeats;
        if (repeat || self.is_exhausted())
            && let Some(known) = self.history.repeat(&noise, rng)
        {
            return known.choices.clone();
        }
        let suggestion = if starting { None } else { self.largest_ratio(&noise, rng) };
        suggestion.unwrap_or_else(|| self.unobserved(self.least_observed(rng)))
    }

    /// Returns the configuration with the highest expected score, the first one of equals; `None` before the first
    /// observation.
    pub fn best(&self) -> Option<&[usize]> {
        self.history.best(&self.noise()).map(|known| &known.choices[..])
    }

    /// Returns whether every configuration was observed.
    pub fn is_exhausted(&self) -> bool {
        self.size == Some(self.history.configurations.len())
    }

    /// The published algorithm knows of no noise.
    fn noise(&self) -> Noise {
        if self.published { Noise::default() } else { self.history.noise() }
    }

    fn random(&self, rng: &mut Rng) -> Vec<usize> {
        self.choices.iter().map(|&choices| rng.below(choices)).collect()
    }

    /// Returns the candidate with the largest ratio of the densities; `None` if all were observed.
    fn largest_ratio(&self, noise: &Noise, rng: &mut Rng) -> Option<Vec<usize>> {
        let (good, bad) = if self.published {
            split::published(&self.history)
        } else {
            split::by_mean(&self.history, noise)
        };
        let (good, bad) = (Density::new(&self.choices, good), Density::new(&self.choices, bad));
        let candidates: Vec<Vec<usize>> = (0..self.candidates)
            .map(|_| if self.published || rng.unit() < 0.5 { good.joint(rng) } else { good.independent(rng) })
            .filter(|candidate| self.published || !self.history.contains(candidate))
            .collect();
        let mut best: Option<(f64, Vec<usize>)> = None;
        let (in_good, in_bad) = (good.ln_joint(&candidates), bad.ln_joint(&candidates));
        for ((candidate, in_good), in_bad) in candidates.into_iter().zip(in_good).zip(in_bad) {
            let mut ratio = in_good - in_bad;
            if !self.published {
                ratio += good.ln_independent(&candidate) - bad.ln_independent(&candidate);
            }
            if best.as_ref().is_none_or(|(most, _)| ratio > *most) {
                best = Some((ratio, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// Returns a random configuration of those choices of each variable that were observed least.
    fn least_observed(&self, rng: &mut Rng) -> Vec<usize> {
        let draw = |(variable, &choices): (usize, &usize)| {
            let mut counts = vec![0_usize; choices];
            for known in &self.history.configurations {
                counts[known.choices[variable]] += 1;
            }
            let least = counts.iter().min().copied().unwrap_or_default();
            let rare: Vec<usize> = (0..choices).filter(|&choice| counts[choice] == least).collect();
            rare[rng.below(rare.len())]
        };
        self.choices.iter().enumerate().map(draw).collect()
    }

    /// Returns the first configuration that was not observed, counting up from this one.
    fn unobserved(&self, mut configuration: Vec<usize>) -> Vec<usize> {
        for _ in 0..self.history.configurations.len() {
            if !self.history.contains(&configuration) {
                break;
            }
            for (choice, &choices) in configuration.iter_mut().zip(&self.choices) {
                *choice = (*choice + 1) % choices;
                if *choice > 0 {
                    break;
                }
            }
        }
        configuration
    }
}
