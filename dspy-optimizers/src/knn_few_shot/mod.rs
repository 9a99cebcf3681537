//! `KnnFewShot`: demonstrations that are chosen for each input.

mod embedder;
mod index;
mod nearest;
mod teach;

use dspy_core::evaluate::Metric;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Example;
use serde::Serialize;

pub use self::nearest::NearestDemos;
use self::teach::{label, teach};
use crate::bootstrap_few_shot::{Settings, teacher_setters};
use crate::builder::{NoMetric, estimate};
use crate::data::{IntoData, RowSet as _};
use crate::engine::{ExampleFor, Program, Study, guarded, inherit};
use crate::estimate::{Cost, Estimate};
use crate::options::{Options, option_setters};
use crate::report::{Report, Trial};
use crate::{OptimizeError, Optimized, Optimizer};
use dspy_core::evaluate::SharedMetric;

/// An optimizer that makes every row of the trainset a candidate demonstration of a [`NearestDemos`] program,
/// which shows the nearest ones to each input.
///
/// Without a metric, the demonstrations are the labelled rows and no model is called. With a
/// [`metric`](Self::metric), a teacher runs once on each row, with the demonstrations nearest to it except the
/// row itself: where the metric accepts its answer, the calls of its predictors become demonstrations, so that
/// steps without labels have some, too. Rows on which it fails stay labelled demonstrations. No model is called
/// for demonstrations afterwards.
///
/// The teacher is the program itself, unless another one is [set](crate::Data::teacher); it gets the labelled
/// rows if it has no demonstrations.
///
/// Cost: nothing; with a metric, one run of the teacher for each row, and for each further round of rows that
/// have failed.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::{HasPredictors, Module};
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{KnnFewShot, NearestDemos};
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
/// let train = [Row("A fine lamp", "good"), Row("Rain all week", "bad"), Row("More rain", "bad")];
/// let program = NearestDemos::new(program).k(2);
/// let optimized = KnnFewShot::builder().build().compile(program, &train).await?;
/// let answer = optimized.call(Row("It will rain", "").input()?).await?;
/// assert_eq!(answer["mood"], "bad");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// Source: `KNNFewShot` in DSPy, after Liu et al., "What Makes Good In-Context Examples for GPT-3?" (2022).
#[doc(alias = "KNNFewShot")]
#[derive(Debug, Clone)]
pub struct KnnFewShot<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
}

impl KnnFewShot {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        KnnFewShot { metric: NoMetric, options: Options::default(), settings: Settings::default() }
    }
}

impl<M> KnnFewShot<M> {
    /// Sets the metric that accepts the answers of the teacher. By default, no teacher runs.
    #[must_use]
    pub fn metric<E, O, K>(self, metric: impl Metric<E, O, K> + 'static) -> KnnFewShot<SharedMetric<E, O>>
    where
        E: 'static,
        O: 'static,
        K: 'static,
    {
        KnnFewShot { metric: SharedMetric::new(metric), options: self.options, settings: self.settings }
    }

    teacher_setters!();
    option_setters!(self, self.options);

    /// Returns the optimizer.
    #[must_use]
    pub fn build(self) -> Self {
        self
    }
}

impl KnnFewShot<NoMetric> {
    /// Sets the labelled rows of the trainset as demonstrations.
    ///
    /// Only the trainset of the data is used.
    ///
    /// # Errors
    /// If the trainset is empty, a row cannot be used, the program has no predictors, or the result is to be verified,
    /// which needs a metric.
    pub fn compile<P, E, D>(
        &self,
        program: NearestDemos<P>,
        data: D,
    ) -> impl Future<Output = Result<Optimized<NearestDemos<P>>, OptimizeError>> + Send + use<P, E, D>
    where
        P: Program<Input: Serialize + Sync>,
        E: ExampleFor<P>,
        D: IntoData<NearestDemos<P>, E>,
    {
        let (options, data) = (self.options.clone(), data.into_data());
        async move {
            let mut program = program;
            let unscored = [("verify", options.verify.is_some()), ("holdout", data.holdout.is_some())];
            if let Some((option, _)) = unscored.into_iter().find(|(_, set)| *set) {
                let (value, expected) = ("set".into(), "none, or a `metric` that scores the result");
                return Err(OptimizeError::Option { option, value, expected });
            }
            let rows = data.train.rows("trainset")?;
            let mut report = Report { seed: options.seed, ..Report::new("KnnFewShot", &program) };
            if report.initial.is_empty() {
                return Err(OptimizeError::NoPredictors);
            }
            let notes = label(&mut program, &rows, &[])?;
            report.trials.push(Trial { notes, ..Trial::new("labelled demonstrations", &program) });
            Ok(Optimized::new(program, report))
        }
    }
}

impl KnnFewShot<NoMetric> {
    /// Returns the estimate of [`compile`](Self::compile): no call.
    ///
    /// # Errors
    /// As `compile`.
    pub fn estimate<P, E, D>(&self, program: &NearestDemos<P>, data: D) -> Result<Estimate, OptimizeError>
    where
        P: Program,
        E: ExampleFor<P>,
        D: IntoData<NearestDemos<P>, E>,
    {
        data.into_data().train.rows("trainset")?;
        if program.named_predictors().is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        Ok(Estimate::nothing())
    }
}

impl<E: Example, O: Send + Sync + 'static> KnnFewShot<SharedMetric<E, O>> {
    /// Estimates the calls, tokens and US dollars of [`compile`](Self::compile) with the same arguments, without a
    /// call.
    ///
    /// # Errors
    /// As `compile`, if the data or the options cannot be used.
    pub fn estimate<P, D>(&self, program: &NearestDemos<P>, data: D) -> Result<Estimate, OptimizeError>
    where
        P: Program<Input: Serialize + Sync, Output = O>,
        E: ExampleFor<P>,
        D: IntoData<NearestDemos<P>, E>,
    {
        self.settings.check()?;
        estimate::<_, E, _>(program, &data.into_data(), &self.options, |sizes| {
            let cost = self.settings.cost_of_every_row(sizes.train);
            Ok(Cost { demos: program.shown().max(cost.demos), ..cost })
        })
    }

    /// Makes demonstrations of the rows of the trainset. The future does not borrow the optimizer.
    /// [`Optimizer::compile`](crate::Optimizer::compile) says which settings and budgets apply.
    ///
    /// # Errors
    /// See [`OptimizeError`]. With a `run_dir`, the same call resumes the optimization.
    pub fn compile<P, D>(
        &self,
        program: NearestDemos<P>,
        data: D,
    ) -> impl Future<Output = Result<Optimized<NearestDemos<P>>, OptimizeError>> + Send + use<P, D, E, O>
    where
        P: Program<Input: Serialize + Sync, Output = O>,
        E: ExampleFor<P>,
        D: IntoData<NearestDemos<P>, E>,
    {
        let this = self.clone();
        let data = data.into_data();
        let run_dir = this.options.run_dir.clone();
        inherit(guarded(run_dir, async move {
            this.settings.check()?;
            let study = Study::builder("KnnFewShot", program, &data)
                .settings(&this.settings.identity())
                .options(&this.options)
                .start(&this.metric)?;
            let searched = teach(&study, &this.settings).await;
            study.finish(searched).await
        }))
    }
}

impl<P, E> Optimizer<NearestDemos<P>, E> for KnnFewShot<NoMetric>
where
    P: Program<Input: Serialize + Sync>,
    E: ExampleFor<P>,
{
    fn compile<D>(
        &self,
        program: NearestDemos<P>,
        data: D,
    ) -> impl Future<Output = Result<Optimized<NearestDemos<P>>, OptimizeError>> + Send
    where
        D: IntoData<NearestDemos<P>, E>,
    {
        self.compile(program, data)
    }

    fn estimate<D>(&self, program: &NearestDemos<P>, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<NearestDemos<P>, E>,
    {
        self.estimate(program, data)
    }
}

impl<P, E> Optimizer<NearestDemos<P>, E> for KnnFewShot<SharedMetric<E, P::Output>>
where
    P: Program<Input: Serialize + Sync>,
    E: ExampleFor<P>,
{
    fn compile<D>(
        &self,
        program: NearestDemos<P>,
        data: D,
    ) -> impl Future<Output = Result<Optimized<NearestDemos<P>>, OptimizeError>> + Send
    where
        D: IntoData<NearestDemos<P>, E>,
    {
        self.compile(program, data)
    }

    fn estimate<D>(&self, program: &NearestDemos<P>, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<NearestDemos<P>, E>,
    {
        self.estimate(program, data)
    }
}
