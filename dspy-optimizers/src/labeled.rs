//! `LabeledFewShot`: labelled examples as demonstrations.

use dspy_core::Seed;
use dspy_core::lm::Usage;
use dspy_core::predict::Predictor;
use dspy_core::program::HasPredictors;
use dspy_core::signature::{Demo, Example, Values};
use dspy_core::state::ProgramState;

use crate::engine::values_of;
use crate::report::StopReason;
use crate::{OptimizeError, Optimized, Report};

/// Shows every predictor the same number of labelled examples, chosen at random. Calls no model.
///
/// An example serves a predictor if it has at least one of its inputs and one of its outputs.
///
/// ```
/// use dspy_optimizers::LabeledFewShot;
/// let optimizer = LabeledFewShot::builder().k(8).seed(1).build();
/// // let optimized = optimizer.compile(program, &trainset)?;
/// ```
///
/// Source: Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines" (2023).
#[derive(Debug, Clone, Copy)]
pub struct LabeledFewShot {
    k: usize,
    sample: bool,
    seed: u64,
}

impl LabeledFewShot {
    /// Options: 16 examples, sampled.
    pub fn builder() -> Self {
        LabeledFewShot { k: 16, sample: true, seed: 0 }
    }

    /// How many examples each predictor is shown.
    #[must_use]
    pub fn k(mut self, examples: usize) -> Self {
        self.k = examples;
        self
    }

    /// Whether to choose at random, as by default, or take the first.
    #[must_use]
    pub fn sample(mut self, on: bool) -> Self {
        self.sample = on;
        self
    }

    /// The seed of the choice, 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The optimizer.
    #[must_use]
    pub fn build(self) -> Self {
        self
    }

    /// A copy of `program` with labelled examples as demonstrations.
    ///
    /// # Errors
    /// If the training set is empty or a value has no JSON form.
    pub fn compile<P: HasPredictors, E: Example>(
        &self,
        mut program: P,
        trainset: &[E],
    ) -> Result<Optimized<P>, OptimizeError> {
        if trainset.is_empty() {
            return Err(OptimizeError::Empty("training set"));
        }
        let before = ProgramState::of(&program).predictors;
        label(&mut program, &values_of(trainset)?, self.k, self.sample, Seed::new(self.seed));
        let report = Report {
            optimizer: "LabeledFewShot".into(),
            seed: self.seed,
            candidates: Vec::new(),
            usage: Usage::default(),
            stopped: StopReason::Finished,
            before,
            after: ProgramState::of(&program).predictors,
        };
        Ok(Optimized::new(program, report))
    }
}

/// Gives every predictor up to `k` of the rows that serve it.
pub(crate) fn label<P: HasPredictors>(program: &mut P, rows: &[Values], k: usize, sample: bool, seed: Seed) {
    program.for_each_predictor(|path, predictor| {
        let usable: Vec<Demo> = rows.iter().filter_map(|row| labelled_demo(predictor, row)).collect();
        let chosen = if sample {
            seed.branch(path).rng().sample(usable.len(), k)
        } else {
            (0..usable.len().min(k)).collect()
        };
        let demos: Vec<Demo> = chosen.into_iter().map(|index| usable[index].clone()).collect();
        predictor.set_demos(demos);
    });
}

/// A row as a demonstration for a predictor: the fields that it knows.
pub(crate) fn labelled_demo(predictor: &Predictor, row: &Values) -> Option<Demo> {
    let spec = predictor.spec();
    let known = |name: &str| row.get(name).filter(|value| !value.is_null());
    let has_input =
        spec.inputs().next().is_none() || spec.inputs().any(|field| known(field.name()).is_some());
    let has_output = spec.outputs().any(|field| known(field.name()).is_some());
    (has_input && has_output).then(|| {
        let fields = spec.inputs().chain(spec.outputs());
        let values =
            fields.filter_map(|field| Some((field.name().to_owned(), row.get(field.name())?.clone())));
        Demo::new(values.collect())
    })
}
