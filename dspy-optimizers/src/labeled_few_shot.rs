//! `LabeledFewShot`: rows of the trainset as demonstrations.

use dspy_core::Seed;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Example;

use crate::data::{IntoData, RowSet as _, Rows};
use crate::demos;
use crate::error::OptimizeError;
use crate::estimate::Estimate;
use crate::optimized::Optimized;
use crate::optimizer::Optimizer;
use crate::report::{Report, Trial};

/// An optimizer that sets up to `k` rows of the trainset as demonstrations of every predictor. It calls no
/// model and needs no metric.
///
/// A demonstration has the fields of the row that are in the signature of the predictor. A row with none of
/// its inputs or none of its outputs is not used; a row that lacks only some of them is shown as incomplete.
/// Existing demonstrations of the program are replaced.
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
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let program = DynPredict::new("text -> mood".parse()?);
/// let optimizer = LabeledFewShot::builder().k(8).seed(1).build();
/// let optimized = optimizer.compile(program, [Row, Row, Row]).await?;
/// assert_eq!(optimized.predictor().demos().len(), 3);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// Source: the few-shot prompts of Brown et al., "Language Models are Few-Shot Learners" (2020), as
/// `LabeledFewShot` in DSPy.
#[derive(Debug, Clone, Copy)]
pub struct LabeledFewShot {
    k: usize,
    sample: bool,
    seed: u64,
}

impl LabeledFewShot {
    /// Creates a builder with the defaults.
    pub const fn builder() -> Self {
        LabeledFewShot { k: 16, sample: true, seed: 0 }
    }

    /// Sets the largest number of demonstrations per predictor, 16 by default. With 0, existing ones are
    /// removed.
    #[must_use]
    pub const fn k(mut self, demos: usize) -> Self {
        self.k = demos;
        self
    }

    /// Sets whether to draw rows at random (the default) or to take the first ones.
    #[must_use]
    pub const fn sample(mut self, on: bool) -> Self {
        self.sample = on;
        self
    }

    /// Sets the seed of the random decisions, 0 by default.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the optimizer.
    #[must_use]
    pub const fn build(self) -> Self {
        self
    }

    /// Optimizes the program on rows or [`Data`](crate::Data), of which only the trainset is used.
    ///
    /// # Errors
    /// If the trainset is empty, a row cannot be read, or the program has no predictors.
    pub fn compile<P, E, D>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send + use<P, E, D>
    where
        P: HasPredictors + Send + Sync,
        E: Example,
        D: IntoData<P, E>,
    {
        let (this, data) = (*self, data.into_data());
        async move { this.run(program, &data.train.rows("trainset")?) }
    }

    /// Returns the estimate of [`compile`](Self::compile): no call.
    ///
    /// # Errors
    /// As `compile`.
    pub fn estimate<P, E, D>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError>
    where
        P: HasPredictors,
        E: Example,
        D: IntoData<P, E>,
    {
        data.into_data().train.rows("trainset")?;
        if program.named_predictors().is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        Ok(Estimate::nothing())
    }

    fn run<P: HasPredictors, E: Example>(
        &self,
        mut program: P,
        rows: &Rows<'_, E>,
    ) -> Result<Optimized<P>, OptimizeError> {
        let mut report = Report { seed: self.seed, ..Report::new("LabeledFewShot", &program) };
        if report.initial.is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        let places: Vec<usize> = (0..rows.len()).collect();
        let sample = self.sample.then(|| sampling(Seed::new(self.seed)));
        demos::attach(&mut program, rows, &places, self.k, sample);
        report.trials.push(Trial::new("labelled demonstrations", &program));
        Ok(Optimized::new(program, report))
    }
}

impl<P: HasPredictors + Send + Sync, E: Example> Optimizer<P, E> for LabeledFewShot {
    fn compile<D: IntoData<P, E>>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send {
        self.compile(program, data)
    }

    fn estimate<D: IntoData<P, E>>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError> {
        self.estimate(program, data)
    }
}

/// Returns the branch of a seed from which labelled demonstrations are drawn.
pub(crate) fn sampling(seed: Seed) -> Seed {
    seed.branch("labelled")
}
