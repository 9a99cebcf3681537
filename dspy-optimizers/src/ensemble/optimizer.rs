//! The optimizer of an ensemble: each member by an optimizer with another seed.

use std::fmt;
use std::sync::Arc;

use dspy_core::Seed;
use dspy_core::program::Module;
use dspy_core::signature::Example;
use serde::Serialize;

use super::Ensemble;
use crate::builder::{HasMetric, NoMetric, estimate};
use crate::counts::counted;
use crate::data::{Data, IntoData};
use crate::engine::{ExampleFor, Needs, Program, Splits, Stop, Study, guarded, inherit};
use crate::estimate::{Cost, Estimate, Sizes, Span, tokens_of_prompts};
use crate::options::{Options, option_setters};
use crate::report::{ORIGINAL, Stopped, Trial, percent};
use crate::{BoxOptimizer, OptimizeError, Optimized, Optimizer};
use dspy_core::error::BoxError;
use dspy_core::evaluate::{Judged, Metric, Score, SharedMetric};

/// An optimizer of an [`Ensemble`] that optimizes its members one after the other, each with another seed and
/// the trainset in another order, so that members which are equal at the start become different.
///
/// The ensemble is scored on the valset before and after; the better one is the result, the former in case of
/// a tie. Without a valset that is the trainset, and the inner optimizers have no valset either. A
/// [teacher](Data::teacher) must have as many members as the ensemble.
///
/// Of the calls, tokens and US dollars of a [budget](Self::budget), each member may spend an equal part of what is
/// left, after the second score is reserved: at the cost of the first one, or more if the members that are optimized
/// already have longer prompts. If the optimized members have no score all the same, the result has the members that
/// were given.
///
/// Cost: the cost of the inner optimizer for each member, and twice the size of the valset in runs of the
/// ensemble.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{Ensemble, EnsembleOptimizer, LabeledFewShot, Optimizer};
/// # #[derive(Clone)]
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), self.0.into()), ("mood".to_owned(), self.1.into())]))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let train = [Row("I love it", "good"), Row("Again this rain", "bad"), Row("Lovely", "good")];
/// let optimizer = EnsembleOptimizer::builder(|seed| LabeledFewShot::builder().k(2).seed(seed).boxed())
///     .metric(|row: &Row, output: &Values| output["mood"] == row.1)
///     .build();
/// let ensemble = Ensemble::new(vec![program; 3]);
/// let optimized = optimizer.compile(ensemble, &train).await?;
/// assert_eq!(optimized.programs().len(), 3);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// Source: after Breiman, "Bagging Predictors" (1996); the rows are not resampled but reordered.
#[doc(alias = "Bagging")]
pub struct EnsembleOptimizer<P, E, M = NoMetric> {
    inner: Arc<dyn Fn(u64) -> BoxOptimizer<P, E> + Send + Sync>,
    metric: M,
    options: Options,
}

/// A metric without its feedback for single predictors, whose paths are those in a member.
struct WithoutPredictors<E, O>(SharedMetric<E, O>);

impl<E: Sync, O: Sync> Metric<E, O> for WithoutPredictors<E, O> {
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        let mut score = self.0.score(judged).await?;
        score.predictors.clear();
        Ok(score)
    }
}

impl<P, E> EnsembleOptimizer<P, E> {
    /// Creates a builder. `inner` creates the optimizer of a member with this seed; it must not have a
    /// `run_dir`.
    pub fn builder(inner: impl Fn(u64) -> BoxOptimizer<P, E> + Send + Sync + 'static) -> Self {
        EnsembleOptimizer { inner: Arc::new(inner), metric: NoMetric, options: Options::default() }
    }
}

impl<P, E, M> EnsembleOptimizer<P, E, M> {
    /// Sets the metric by which the ensemble is scored. Required. Usually it is that of the inner optimizer: feedback for
    /// single predictors, which has their paths in a member, does not matter here.
    #[must_use]
    pub fn metric<K: 'static>(
        self,
        metric: impl dspy_core::evaluate::Metric<E, P::Output, K> + 'static,
    ) -> EnsembleOptimizer<P, E, SharedMetric<E, P::Output>>
    where
        P: Module<Output: Sync + 'static>,
        E: Sync + 'static,
    {
        let metric = SharedMetric::new(WithoutPredictors(SharedMetric::new(metric)));
        EnsembleOptimizer { inner: self.inner, metric, options: self.options }
    }

    option_setters!(self, self.options);

    /// Returns the optimizer. A metric must be set before; everything else is optional.
    #[must_use]
    pub fn build(self) -> Self
    where
        M: HasMetric,
    {
        self
    }
}

impl<P, E> EnsembleOptimizer<P, E, SharedMetric<E, P::Output>>
where
    P: Program<Input: Clone + Serialize + Sync>,
    E: ExampleFor<P>,
{
    /// Optimizes the ensemble on rows or [`Data`]. [`Optimizer::compile`](crate::Optimizer::compile) says
    /// which settings and budgets apply.
    ///
    /// # Errors
    /// See [`OptimizeError`]. With a `run_dir`, the same call resumes the optimization.
    pub fn compile<D>(
        &self,
        program: Ensemble<P>,
        data: D,
    ) -> impl Future<Output = Result<Optimized<Ensemble<P>>, OptimizeError>> + Send + use<P, E, D>
    where
        D: IntoData<Ensemble<P>, E>,
    {
        let this = self.clone();
        let data = data.into_data();
        let run_dir = this.options.run_dir.clone();
        inherit(guarded(run_dir, async move {
            if let Some(teacher) = &data.teacher
                && teacher.programs.len() != program.programs.len()
            {
                let (found, wanted) = (teacher.programs.len(), program.programs.len());
                let problem = format!("it has {}, the ensemble has {wanted}", counted(found, "member"));
                return Err(OptimizeError::Teacher(vec![problem]));
            }
            let study = Study::builder("EnsembleOptimizer", program, &data)
                .options(&this.options)
                .start(&this.metric)?;
            let searched = this.search(&study).await;
            study.finish(searched).await
        }))
    }

    /// Estimates the calls, tokens and US dollars of [`compile`](Self::compile) with the same arguments, without a
    /// call: two scores of the ensemble, and the estimates of its members.
    ///
    /// # Errors
    /// As `compile`, if the data or the options cannot be used.
    pub fn estimate<D>(&self, program: &Ensemble<P>, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<Ensemble<P>, E>,
    {
        let data = data.into_data();
        let splits = Splits::<E>::of(program, &data, &self.options)?;
        let search = splits.search_budget(program, self.options.budget);
        let Splits { train, val, .. } = splits;
        let rows = val.len() as u64;
        let scores = Span::between(rows, rows.saturating_mul(2));
        let cost = |_: &Sizes| Ok(Cost { baseline: Some(rows), ..Cost::of_rollouts(scores) });
        let mut all = estimate::<_, E, _>(program, &data, &self.options, cost)?;
        if let Some(size) = program.size {
            // A run asks a random part of the members.
            let counts = program.programs.iter().map(|member| member.named_predictors().len() as u64);
            let mut counts: Vec<u64> = counts.collect();
            counts.sort_unstable();
            let fewest: u64 = counts.iter().take(size).sum();
            let ratio = fewest as f64 / counts.iter().sum::<u64>().max(1) as f64;
            all.program_calls.least = (all.program_calls.least as f64 * ratio).floor() as u64;
        }
        let sure = all.program_calls.least;
        for (index, member) in program.programs.iter().enumerate() {
            let seed = Seed::new(self.options.seed).branch("member").index(index as u64);
            let teacher = data.teacher.as_ref().and_then(|teacher| teacher.programs.get(index).cloned());
            let data = Data { train: train.clone(), val: Some(val.clone()), holdout: None, teacher };
            let mut of_member = (self.inner)(seed.value()).estimate(member, data)?;
            if self.options.best_score.is_some() {
                of_member = of_member.or_nothing();
            }
            all = all.then(of_member);
        }
        Ok(all.ended_by(self.options.budget, search.calls, sure))
    }

    async fn search(&self, study: &Study<'_, Ensemble<P>, E>) -> Result<Stopped, Stop> {
        let given = study.program();
        study.phase(ORIGINAL, study.val().len());
        let scores = study.evaluate(&study.scope_of(given), given, study.val()).await?;
        study.record(Trial::new(ORIGINAL, given).scored(&scores), given.clone());
        study.check_headroom(&scores)?;
        let (mut members, mut notes, mut short) = (Vec::new(), Vec::new(), None);
        let mut longest = 1.0;
        for (index, member) in given.programs.iter().enumerate() {
            let seed = study.seed().branch("member").index(index as u64);
            let data = Data {
                train: study.train().shuffled(seed.branch("order")),
                // Without a valset, the inner optimizer decides which rows it selects by.
                val: study.has_valset().then(|| study.val().clone()),
                holdout: None,
                teacher: study.teacher().map(|teacher| teacher.programs[index].clone()),
            };
            let optimizer = (self.inner)(seed.value());
            let work = optimizer.compile(member.clone(), data);
            // The members are worth nothing without the score of the ensemble after them.
            let (name, rows) = (format!("member-{index}"), study.val().len());
            study.check_affordable(&name, Needs { calls: 0, runs: rows }, rows)?;
            let part = study.share(&name, rows, given.programs.len() - index)?;
            let (made, limit) = study.nested_within(&name, part, work).await;
            let made = made?;
            short = short.or(limit);
            let score =
                made.report().score().map_or_else(String::new, |score| format!(": {}", percent(score)));
            let stopped = made.report().stopped;
            let ended = match stopped {
                Stopped::Budget(_) => format!(", {stopped}"),
                _ => String::new(),
            };
            notes.push(format!("member {index}{score}{ended}"));
            for warning in &made.report().warnings {
                study.warn(format!("member {index}: {warning}"));
            }
            if stopped == Stopped::ConstantMetric {
                return Err(Stop::ConstantMetric);
            }
            let made = made.into_program();
            // The last score is reserved at the prompts of the optimized members; those to come are taken to be as long.
            let ratio =
                tokens_of_prompts(&made, study.val()) / tokens_of_prompts(member, study.val()).max(1.0);
            if ratio > longest {
                study.expect_longer_runs(ratio / longest);
                longest = ratio;
            }
            members.push(made);
        }
        let ensemble = given.with_programs(members);
        study.phase("the optimized members", study.val().len());
        match study.evaluate(&study.scope_of(&ensemble), &ensemble, study.val()).await {
            Ok(scores) => {
                let trial = Trial { notes, ..Trial::new("optimized members", &ensemble) };
                study.record(trial.scored(&scores), ensemble);
            }
            Err(stop) => {
                if let Stop::Budget(_) = stop {
                    study.warn(
                        "the budget ended before the optimized members had a score, so the result has the members \
                         that were given; raise it",
                    );
                }
                return Err(stop);
            }
        }
        // A member that its own budget has ended says so in its note.
        Ok(study.exhausted().or(short).map_or(Stopped::Finished, Stopped::Budget))
    }
}

impl<P, E> Optimizer<Ensemble<P>, E> for EnsembleOptimizer<P, E, SharedMetric<E, P::Output>>
where
    P: Program<Input: Clone + Serialize + Sync>,
    E: ExampleFor<P> + Example,
{
    fn compile<D>(
        &self,
        program: Ensemble<P>,
        data: D,
    ) -> impl Future<Output = Result<Optimized<Ensemble<P>>, OptimizeError>> + Send
    where
        D: IntoData<Ensemble<P>, E>,
    {
        self.compile(program, data)
    }

    fn estimate<D>(&self, program: &Ensemble<P>, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<Ensemble<P>, E>,
    {
        self.estimate(program, data)
    }
}

impl<P, E, M: Clone> Clone for EnsembleOptimizer<P, E, M> {
    fn clone(&self) -> Self {
        EnsembleOptimizer {
            inner: self.inner.clone(),
            metric: self.metric.clone(),
            options: self.options.clone(),
        }
    }
}

impl<P, E, M> fmt::Debug for EnsembleOptimizer<P, E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnsembleOptimizer").field("options", &self.options).finish_non_exhaustive()
    }
}
