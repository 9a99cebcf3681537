//! `LabeledFewShot`: rows of the trainset as demonstrations.

use dspy_core::Seed;
use dspy_core::lm::Usage;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Example;

use crate::data::Rows;
use crate::report::{Report, Stopped, Trial, parameters};
use crate::{OptimizeError, Optimized, demos};

/// Gives every predictor up to `k` rows of the trainset as demonstrations. Calls no model and needs no metric.
///
/// A predictor gets the fields of a row that its signature knows. A row that has none of its inputs or none of its
/// outputs is not used for it; one that lacks only some of them is shown as incomplete. Demonstrations that the
/// program had are replaced.
///
/// ```
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// # use dspy_optimizers::LabeledFewShot;
/// # struct Row;
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), "a".into()), ("mood".to_owned(), "b".into())]))
/// #     }
/// # }
/// let program = DynPredict::new("text -> mood".parse()?);
/// let optimized = LabeledFewShot::builder().k(8).seed(1).build().compile(program, [Row, Row, Row])?;
/// assert_eq!(optimized.predictor().demos().len(), 3);
/// # Ok::<(), dspy_core::Error>(())
/// ```
///
/// Source: the few-shot prompts of Brown et al., "Language Models are Few-Shot Learners" (2020), as `LabeledFewShot`
/// in DSPy.
#[derive(Debug, Clone, Copy)]
pub struct LabeledFewShot {
    k: usize,
    sample: bool,
    seed: u64,
}

impl LabeledFewShot {
    /// Starts with the defaults. It needs nothing more: this builder is the optimizer itself.
    pub const fn builder() -> Self {
        LabeledFewShot { k: 16, sample: true, seed: 0 }
    }

    /// How many demonstrations a predictor gets at most, 16 by default. With 0 they are only taken away.
    #[must_use]
    pub const fn k(mut self, demos: usize) -> Self {
        self.k = demos;
        self
    }

    /// Whether to draw rows at random, as by default, or to take the first ones.
    #[must_use]
    pub const fn sample(mut self, on: bool) -> Self {
        self.sample = on;
        self
    }

    /// The root of the random decisions, 0 by default.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The optimizer.
    #[must_use]
    pub const fn build(self) -> Self {
        self
    }

    /// Optimizes the program. Nothing has to be awaited, as no model is called.
    ///
    /// # Errors
    /// If the trainset is empty, a row cannot be read, or the program has no predictors.
    pub fn compile<P, E, T>(&self, program: P, trainset: T) -> Result<Optimized<P>, OptimizeError>
    where
        P: HasPredictors,
        E: Example,
        T: AsRef<[E]>,
    {
        self.run(program, trainset.as_ref())
    }

    fn run<P: HasPredictors, E: Example>(
        &self,
        mut program: P,
        trainset: &[E],
    ) -> Result<Optimized<P>, OptimizeError> {
        let rows = Rows::check("trainset", trainset)?;
        let initial = parameters(&program);
        if initial.is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        let places: Vec<usize> = (0..trainset.len()).collect();
        let sample = self.sample.then(|| sampling(Seed::new(self.seed)));
        demos::attach(&mut program, &rows.values, &places, self.k, sample);
        let trial = Trial {
            label: "labelled demonstrations".into(),
            score: None,
            items: Vec::new(),
            parameters: parameters(&program),
            notes: Vec::new(),
            usage: Usage::default(),
        };
        let report = Report {
            optimizer: "LabeledFewShot".into(),
            seed: self.seed,
            trials: vec![trial],
            best: 0,
            baseline: None,
            initial,
            usage: Usage::default(),
            stopped: Stopped::Finished,
            warnings: Vec::new(),
        };
        Ok(Optimized::new(program, report))
    }
}

/// The branch of a seed from which labelled demonstrations are drawn.
pub(crate) fn sampling(seed: Seed) -> Seed {
    seed.branch("labelled")
}
