//! `Ensemble`: several programs as one.

mod optimizer;
mod reducer;

use std::fmt;
use std::panic::AssertUnwindSafe;

use dspy_base::digest::Digest;
use dspy_core::lm::BoxFuture;
use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, HasShape, Module, ProgramShape, Visitor, VisitorMut};
use dspy_core::signature::shape::Depth;
use dspy_core::{Error, Result, Seed};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::Serialize;

pub use self::optimizer::EnsembleOptimizer;
pub use self::reducer::Reducer;
use crate::error::OptimizeError;
use crate::optimized::Optimized;
use crate::report::Trial;

/// A program of several programs, whose answers a [`Reducer`] makes one of: by default, the majority vote.
///
/// The members are programs of one type; those of several types are
/// [boxed](dspy_core::program::Module::boxed). They usually are the best candidates of an optimization, see
/// [`of_best`](Self::of_best). An ensemble saves and loads as any program; its predictors have the paths
/// `programs[0].…`. It can be optimized as a whole, or member by member with an [`EnsembleOptimizer`].
///
/// The members run concurrently. An outage of one is an error of the ensemble, as is an error of the
/// configuration. A member that fails otherwise, for example because its reply cannot be read, is left out if
/// another one has answered, and a warning is logged.
///
/// Cost: one call of each member, or of [`size`](Self::size) of them.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::{HasPredictors, Module};
/// # use dspy_core::signature::Values;
/// use dspy_optimizers::{Ensemble, Reducer};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let member = |reply: &str| -> dspy_core::Result<DynPredict> {
/// #     let mut member = DynPredict::new("text -> mood".parse()?);
/// #     member.set_lm(Lm::scripted([format!("[[ ## mood ## ]]\n{reply}")]));
/// #     Ok(member)
/// # };
/// let ensemble = Ensemble::new([member("good")?, member("bad")?, member("Bad")?])
///     .reduce(Reducer::majority_by(|output: &Values| output["mood"].as_str().map(str::to_lowercase)));
/// let answer = ensemble.call(Values::from_iter([("text".to_owned(), "Rain.".into())])).await?;
/// assert_eq!(answer["mood"], "bad");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// Source: `Ensemble` in Khattab et al., "DSPy: Compiling Declarative Language Model Calls into
/// Self-Improving Pipelines" (2023).
#[doc(alias = "reduce_fn")]
pub struct Ensemble<P: Module> {
    programs: Vec<P>,
    reducer: Reducer<P::Output>,
    size: Option<usize>,
    seed: u64,
    concurrency: usize,
}

impl<P: Module> Ensemble<P> {
    /// Creates an ensemble that decides by majority.
    pub fn new(programs: impl IntoIterator<Item = P>) -> Self
    where
        P::Output: Serialize + 'static,
    {
        let programs = programs.into_iter().collect();
        Ensemble { programs, reducer: Reducer::majority(), size: None, seed: 0, concurrency: 8 }
    }

    /// Creates an ensemble of the chosen candidate of an optimization and the next best ones, `k` in total;
    /// of fewer if fewer candidates with different parameters have a score. A member has the models that its candidate
    /// was scored with, such as the former ones of a tuned program; see [`Optimized::candidate`].
    ///
    /// # Errors
    /// If `k` is 0, a candidate does not fit the program, or its models are not known.
    pub fn of_best(optimized: &Optimized<P>, k: usize) -> Result<Self, OptimizeError>
    where
        P: Clone,
        P::Output: Serialize + 'static,
    {
        if k == 0 {
            let value = k.to_string();
            return Err(OptimizeError::Option { option: "k", value, expected: "at least 1" });
        }
        let report = optimized.report();
        let ranked = report.ranking().into_iter().filter(|trial| trial.score.is_some());
        let mut best: Vec<&Trial> = Vec::new();
        for trial in report.best_trial().into_iter().chain(ranked) {
            if best.len() < k && best.iter().all(|other| other.parameters != trial.parameters) {
                best.push(trial);
            }
        }
        let member = |trial: &Trial| {
            let index = report.trials.iter().position(|other| std::ptr::eq(other, trial));
            optimized.candidate(index.unwrap_or(report.best))
        };
        let programs = best.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
        Ok(Ensemble::new(if programs.is_empty() { vec![(**optimized).clone()] } else { programs }))
    }

    /// Sets how the answers become one.
    #[must_use]
    pub fn reduce(mut self, reducer: Reducer<P::Output>) -> Self {
        self.reducer = reducer;
        self
    }

    /// Sets the number of members that answer each call, at least 1. They are drawn by the seed and the input,
    /// so the same input always has the same members. By default, all members answer.
    #[must_use]
    pub fn size(mut self, members: usize) -> Self {
        self.size = Some(members.max(1));
        self
    }

    /// Sets the seed from which members are drawn, 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the largest number of members that run at the same time, 8 by default and at least 1.
    #[must_use]
    pub fn concurrency(mut self, members: usize) -> Self {
        self.concurrency = members.max(1);
        self
    }

    /// Returns the members.
    pub fn programs(&self) -> &[P] {
        &self.programs
    }

    /// Returns an ensemble with the same settings of other members.
    pub(crate) fn with_programs(&self, programs: Vec<P>) -> Self {
        Ensemble { programs, reducer: self.reducer.clone(), ..*self }
    }

    /// Returns the members that answer this input, in their order.
    fn members(&self, input: &P::Input) -> Result<Vec<&P>>
    where
        P::Input: Serialize,
    {
        let Some(size) = self.size.filter(|size| *size < self.programs.len()) else {
            return Ok(self.programs.iter().collect());
        };
        let input = serde_json::to_value(input)
            .map_err(|error| Error::other(format!("the input has no JSON form: {error}")))?;
        let mut rng =
            Seed::new(self.seed).branch("members").branch(&Digest::new().add_value(&input).short()).rng();
        let mut drawn = rng.sample(self.programs.len(), size);
        drawn.sort_unstable();
        Ok(drawn.into_iter().map(|at| &self.programs[at]).collect())
    }
}

#[doc(hidden)]
impl<N: Depth, P: Module + HasShape<N>> HasShape<N> for Ensemble<P> {
    const SHAPE: &'static ProgramShape =
        &ProgramShape::Fields(&[("programs", &ProgramShape::Items(None, P::SHAPE))]);
}

impl<P: Module> HasPredictors for Ensemble<P> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        let settings =
            [("size", self.size.into()), ("seed", self.seed.into()), ("reducer", self.reducer.name().into())];
        visitor.settings("Ensemble", settings);
        visitor.field("programs", &self.programs);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.field("programs", &mut self.programs);
    }
}

impl<P> Module for Ensemble<P>
where
    P: Module<Input: Clone + Serialize + Sync>,
{
    type Input = P::Input;
    type Output = P::Output;

    async fn forward(&self, input: P::Input) -> Result<Prediction<P::Output>> {
        let members = self.members(&input)?;
        if members.is_empty() {
            return Err(OptimizeError::Empty { set: "ensemble" }.into());
        }
        let calls: Vec<_> = members.into_iter().map(|program| guarded(program, input.clone())).collect();
        // All calls end before their results are looked at, so no paid call is dropped.
        let answers: Vec<_> = stream::iter(calls).buffered(self.concurrency).collect().await;
        self.reducer.reduce(usable(answers)?)
    }
}

/// Calls a member; a panic becomes an error.
fn guarded<P: Module>(program: &P, input: P::Input) -> BoxFuture<'_, Result<Prediction<P::Output>>> {
    let call = AssertUnwindSafe(program.call(input)).catch_unwind();
    Box::pin(call.map(|answer| {
        answer.unwrap_or_else(|panic| {
            let message = dspy_base::panics::message(&*panic).unwrap_or("without a message");
            Err(Error::other(format!("a member of the ensemble panicked: {message}")))
        })
    }))
}

/// Returns the predictions without failures.
///
/// # Errors
/// The first outage or error of the configuration; the first failure if there are no predictions.
fn usable<O>(answers: Vec<Result<Prediction<O>>>) -> Result<Vec<Prediction<O>>> {
    let (mut predictions, mut failures) = (Vec::with_capacity(answers.len()), Vec::new());
    for answer in answers {
        match answer {
            Ok(prediction) => predictions.push(prediction),
            Err(error) if error.is_outage() || error.is_configuration() => return Err(error),
            Err(error) => failures.push(error),
        }
    }
    if predictions.is_empty() {
        return Err(failures
            .into_iter()
            .next()
            .unwrap_or_else(|| OptimizeError::Empty { set: "ensemble" }.into()));
    }
    for error in failures {
        tracing::warn!(%error, "a member of an ensemble failed and was left out");
    }
    Ok(predictions)
}

impl<P: Module + Clone> Clone for Ensemble<P> {
    fn clone(&self) -> Self {
        self.with_programs(self.programs.clone())
    }
}

impl<P: Module> fmt::Debug for Ensemble<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.named_predictors().into_iter().map(|(path, _)| path).collect();
        f.debug_struct("Ensemble")
            .field("predictors", &paths)
            .field("reducer", &self.reducer)
            .field("size", &self.size)
            .field("seed", &self.seed)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
