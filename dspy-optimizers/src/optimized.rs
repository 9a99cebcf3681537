//! The result of an optimization.

use std::ops::Deref;
use std::path::Path;

use dspy_base::digest::Digest;
use dspy_core::Result;
use dspy_core::lm::Lm;
use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, HasShape, Module, ProgramShape, Visitor, VisitorMut};
use dspy_core::signature::IntoInput;
use dspy_core::signature::shape::Depth;
use dspy_core::state::{ProgramState, StateError};

use crate::OptimizeError;
use crate::identity::model_identity;
use crate::report::{Parameters, Report, Trial};

/// An optimized program with the report of its optimization. Dereferences to the program, and implements
/// [`Module`] if the program does, so it can be called, evaluated and optimized again.
///
/// A part of a program can be an optimized one: `#[module]` structs hold it as any other module, under the same
/// paths.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::{HasPredictors, Module};
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::LabeledFewShot;
/// # struct Row(&'static str, &'static str);
/// # impl Row { fn values(text: &str) -> Values { Values::from_iter([("text".to_owned(), text.into())]) } }
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Row::values(self.0)) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), self.0.into()), ("mood".to_owned(), self.1.into())]))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let trainset = [Row("I love it", "good"), Row("Again this rain", "bad")];
/// let optimized = LabeledFewShot::builder().build().compile(program, &trainset).await?;
/// let answers = optimized.batch([Row::values("Love"), Row::values("Rain")]).collect().await;
/// assert_eq!(answers[1].as_ref().unwrap()["mood"], "bad");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Optimized<P> {
    program: P,
    report: Report,
    /// The digest of the program that the report is about.
    reported: String,
    /// The models of the predictors of each trial, if they are known.
    models: Vec<Vec<Option<Lm>>>,
    /// The models of the result.
    chosen: Vec<Option<Lm>>,
}

impl<P: HasPredictors> Optimized<P> {
    /// Creates the result of an optimization from a program and a report, for custom optimizers.
    pub fn new(program: P, report: Report) -> Self {
        let (reported, chosen) = (digest(&program), bound_models(&program));
        Optimized { program, report, reported, models: Vec::new(), chosen }
    }

    /// Sets the models of the predictors of each trial.
    pub(crate) fn with_models(mut self, models: Vec<Vec<Option<Lm>>>) -> Self {
        self.models = models;
        self
    }

    /// Returns the program of a trial of the report: its parameters, and the models that it was scored with. Where these
    /// are the ones of the result, it has those that the program has now.
    ///
    /// # Errors
    /// If there is no such trial, it does not fit the program, or its models are not known.
    pub fn candidate(&self, trial: usize) -> Result<P, OptimizeError>
    where
        P: Clone,
    {
        let Some(Trial { parameters, .. }) = self.report.trials.get(trial) else {
            let (value, expected) = (trial.to_string(), "the index of a trial of the report");
            return Err(OptimizeError::Option { option: "trial", value, expected });
        };
        let mut program = self.program.clone();
        match self.models.get(trial) {
            Some(models) => {
                let mut models = models.iter().zip(&self.chosen);
                program.for_each_predictor(|_, predictor| {
                    if let Some((own, chosen)) = models.next()
                        && own.as_ref().map(model_identity) != chosen.as_ref().map(model_identity)
                    {
                        predictor.set_lm(own.clone());
                    }
                });
            }
            None => {
                let best = self.report.best_trial().map(|best| &best.parameters);
                let of = |parameters: &Parameters, path: &str| {
                    parameters.get(path).and_then(|state| state.lm.clone())
                };
                let differs = |path: &str| best.is_some_and(|best| of(best, path) != of(parameters, path));
                if let Some((path, _)) = parameters.iter().find(|(path, _)| differs(path)) {
                    let message = format!("the model that `{path}` had in trial {trial} is not known");
                    return Err(OptimizeError::other(message));
                }
            }
        }
        let state = self.report.trials[trial].state();
        state.apply(&mut program).map_err(OptimizeError::other)?;
        Ok(program)
    }

    /// Saves the state of the program to a file. [`HasPredictors::load`] applies it to a new program.
    ///
    /// The metadata names the optimizer, its seed and the score, unless the program was changed since. Equal runs
    /// write equal files.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        self.state().write(path)
    }

    /// Returns the state that [`save`](Self::save) writes.
    pub fn state(&self) -> ProgramState {
        let mut state = ProgramState::of(&self.program);
        if self.reported != digest(&self.program) {
            return state;
        }
        let Report { optimizer, seed, .. } = &self.report;
        state.metadata.insert("optimizer".into(), optimizer.as_str().into());
        state.metadata.insert("seed".into(), (*seed).into());
        if let Some(score) = self.report.score() {
            state.metadata.insert("score".into(), score.into());
        }
        state
    }
}

/// Returns the models that the predictors of a program are bound to, in their order.
pub(crate) fn bound_models(program: &impl HasPredictors) -> Vec<Option<Lm>> {
    program.named_predictors().iter().map(|(_, predictor)| predictor.lm().cloned()).collect()
}

/// Returns the digest of everything that is saved of a program, except its models.
fn digest(program: &impl HasPredictors) -> String {
    let mut predictors = ProgramState::of(program).predictors;
    predictors.values_mut().for_each(|predictor| predictor.lm = None);
    // Strings, numbers and lists under string keys always have a JSON form.
    Digest::new().add_value(&serde_json::to_value(predictors).unwrap_or_default()).short()
}

impl<P> Optimized<P> {
    /// Returns the program without the report.
    pub fn into_program(self) -> P {
        self.program
    }

    /// Returns the report of the optimization.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl<P> Deref for Optimized<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.program
    }
}

impl<P: HasPredictors> HasPredictors for Optimized<P> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.program.visit(visitor);
    }

    /// Visits the predictors of the program. Changes to them do not change the report, which a changed program is no
    /// longer saved with.
    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.program.visit_mut(visitor);
    }
}

#[doc(hidden)]
impl<N: Depth, P: HasShape<N>> HasShape<N> for Optimized<P> {
    const SHAPE: &'static ProgramShape = P::SHAPE;
}

impl<P: Module> Module for Optimized<P> {
    type Input = P::Input;
    type Output = P::Output;

    async fn forward(&self, input: P::Input) -> Result<Prediction<P::Output>> {
        self.program.forward(input).await
    }

    fn call(
        &self,
        input: impl IntoInput<P::Input>,
    ) -> impl Future<Output = Result<Prediction<P::Output>>> + Send {
        self.program.call(input)
    }
}
