//! `Portfolio`: the optimizers that suit a program and its data, by successive halving.

mod arm;
mod feedback;
mod finals;
mod plan;
mod search;
mod suit;
mod turns;

use dspy_core::lm::Budget;
use serde_json::{Value, json};

use self::search::Search;
use crate::OptimizeError;
use crate::auto::Auto;
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span, Taught};
use crate::headroom::ENOUGH;
use crate::options::Options;
use crate::report::Stopped;
use crate::verify::Verify;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that chooses among the others: it runs those that suit the program and the data on one budget, gives
/// more of it to the better ones, and combines them.
///
/// 1. The original program is scored. If it leaves no [headroom](crate::Headroom), that is all.
/// 2. The optimizers that suit are found from the rows, the program and these scores; the report says why each other
///    one is left out. If the budget does not pay for one round of each of them, the last ones are left out.
///    [`Gepa`](crate::Gepa) and [`Simba`](crate::Simba) come first if the metric gives feedback that says more than the
///    rows do, as in "expected Paris; answer in upper case".
/// 3. They run in rungs by successive halving: every rung has an equal part of what is left of the budget, and the
///    better half of its optimizers goes on, each with a larger share, on its own best program.
///    [`LabeledFewShot`](crate::LabeledFewShot), which makes no runs, has no share.
/// 4. The best three that have gained something, and those that were left out for lack of budget, take turns on the best
///    program of all, so that instructions of one and demonstrations of another come together, until the budget or the
///    headroom ends.
/// 5. The best programs that the valset does not tell apart are compared on the rows to learn from, too; the better one
///    on both is the result. It is [verified](crate::Verify) on rows that no optimizer has seen, a fifth of the rows and
///    at most 100 by default: it is returned only if it is not worse than the original one.
///
/// [`Report::decisions`](crate::Report::decisions) has the reasons: which optimizers ran, which did not, and what was
/// dropped on which evidence. Programs are compared on the same rows, with the p-value of a paired t-test. The
/// optimizers select on these rows, too, so only the verified score is unbiased.
///
/// | optimizer | suits |
/// |---|---|
/// | [`LabeledFewShot`](crate::LabeledFewShot) | rows with labels |
/// | [`InferRules`](crate::InferRules) | labels of a closed set, such as an enum |
/// | [`Copro`](crate::Copro) | one predictor |
/// | [`ModuleOpro`](crate::ModuleOpro) | several predictors |
/// | [`BootstrapFewShotWithRandomSearch`](crate::BootstrapFewShotWithRandomSearch) | 10 rows or more to learn from, some of which the program gets right, or labels |
/// | [`Gepa`](crate::Gepa) | a metric that gives feedback |
/// | [`Capo`](crate::Capo) | 60 rows or more to learn from and to score on |
/// | [`MiproV2`](crate::MiproV2) | 60 rows or more to learn from and to score on |
/// | [`Simba`](crate::Simba) | 16 rows or more to learn from, and scores that differ |
///
/// [`KnnFewShot`](crate::KnnFewShot), [`EnsembleOptimizer`](crate::EnsembleOptimizer) and
/// [`BootstrapFinetune`](crate::BootstrapFinetune) return another type of program or train models, and are not tried.
///
/// Without a [valset](crate::Data::valset), half of the trainset that is left after the verification rows were held
/// out is used as one. At most 100 rows of a valset are used.
///
/// Cost: the budget. 90 % of the part that is not reserved for the verification is for the optimizers, the rest is for
/// the comparison of the best programs. An optimizer gets a size that its share typically pays for, and may spend up to twice as much. With
/// [`Budget::UNLIMITED`], the share of all optimizers is three times the runs of [`Auto`].
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{Budget, Portfolio};
/// # #[derive(Clone)]
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), self.0.into()), ("mood".to_owned(), self.1.into())]))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # dspy_core::program::configure(Lm::builtin());
/// # let trainset = [Row("I love it", "good"), Row("Rain", "bad"), Row("My love", "good"), Row("More rain", "bad")];
/// let optimizer = Portfolio::builder(Budget::calls(300))
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// println!("{}", optimized.report());
/// assert!(optimized.report().score() >= optimized.report().baseline);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization" (2016), for
/// successive halving.
#[doc(alias("AutoOptimizer", "successive halving"))]
#[derive(Debug, Clone)]
pub struct Portfolio<M = NoMetric> {
    metric: M,
    options: Options,
    auto: Auto,
}

impl Portfolio {
    /// Creates a builder with the defaults. The budget is that of the whole run, verification included.
    pub fn builder(budget: Budget) -> Self {
        let verify = Verify::rows(100).at_most(0.2);
        let options = Options::default().budget(budget).verify(verify);
        Portfolio { metric: NoMetric, options, auto: Auto::Light }
    }
}

impl<M> Portfolio<M> {
    /// Sets the size of the search if the budget has no limit on calls, tokens or US dollars, [`Auto::Light`] by
    /// default.
    #[must_use]
    pub fn auto(mut self, auto: Auto) -> Self {
        self.auto = auto;
        self
    }
}

optimizer!(Portfolio { auto });

impl<E, O> Portfolio<SharedMetric<E, O>> {
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn check(&self) -> Result<(), OptimizeError> {
        Ok(())
    }

    fn settings(&self) -> Value {
        // The budget decides on the sizes of the optimizers.
        let Budget { calls, tokens, usd, .. } = self.options.budget;
        json!({"auto": format!("{:?}", self.auto), "budget": json!([calls, tokens, usd])})
    }

    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let val = plan::split(sizes)?.1;
        // If the original program is perfect on a few rows, all of them are used.
        let largest = if !sizes.given_val && val < ENOUGH { sizes.train } else { val };
        let runs = plan::unlimited(self.auto, sizes.predictors, largest);
        // Otherwise the budget is the only limit.
        let most = (!plan::is_limited(self.options.budget)).then(|| plan::most(runs, largest));
        let val = val as u64;
        Ok(Cost {
            baseline: Some(val),
            proposals: Span { least: 0, most },
            demos: 16,
            shown: 10,
            taught: Taught::Some,
            ..Cost::of_rollouts(Span { least: val, most })
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
        O: Send + Sync + 'static,
    {
        Search::start(study, &self.metric, self.auto).await?.run().await
    }
}
