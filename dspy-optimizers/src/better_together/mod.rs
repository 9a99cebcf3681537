//! `BetterTogether`: several optimizers one after the other.

mod search;

use std::fmt;

use dspy_core::Seed;
use dspy_core::program::Module;
use serde_json::json;

use crate::builder::{HasMetric, NoMetric, estimate};
use crate::data::{Data, IntoData};
use crate::engine::{ExampleFor, Program, Splits, Study, guarded, inherit};
use crate::estimate::{Cost, Estimate, Sizes, Span};
use crate::headroom::ENOUGH;
use crate::options::{Options, option_setters};
use crate::strategy;
use crate::strategy::StrategyError;
use crate::{BoxOptimizer, OptimizeError, Optimized, Optimizer};
use dspy_core::evaluate::SharedMetric;

/// An optimizer that runs others in the order of a strategy such as `p -> w -> p`: each step begins with the
/// program of the step before. The program is scored on the valset before the first step and after each; the
/// best one is the result, the earliest in case of a tie.
///
/// Optimizers of prompts and of weights help each other: better prompts make better training rows, and a tuned
/// model wants other prompts. Any optimizers can be combined, under any names.
///
/// - Without a [valset](crate::Data::valset), a part of the trainset is held out as one. If there are too few
///   rows for it, the optimization ends with [`OptimizeError::Split`] before anything is called.
/// - The trainset of each step is in another order, unless [`shuffle`](Self::shuffle) is off.
/// - A step that fails ends the sequence; the result is the best program so far, and
///   [`Report::warnings`](crate::Report::warnings) has the error. An outage is an error of the optimization, and so are
///   settings or data with which the first step cannot begin.
/// - The steps share its journal and its budget, and cannot have a `run_dir`.
///
/// Cost: the cost of each step, and (steps + 1) × the size of the valset in runs of the program.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{BetterTogether, BootstrapFewShot, Data, LabeledFewShot, Optimizer};
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
/// # let val = [Row("A lovely day", "good")];
/// let right = |row: &Row, output: &Values| output["mood"] == row.1;
/// let optimizer = BetterTogether::builder()
///     .optimizer("label", LabeledFewShot::builder().k(2).boxed())
///     .optimizer("bootstrap", BootstrapFewShot::builder().metric(right).build().boxed())
///     .strategy("label -> bootstrap")
///     .metric(right)
/// #   .best_score(None)
///     .build()?;
/// let optimized = optimizer.compile(program, Data::new(&train[..]).valset(&val[..])).await?;
/// println!("{}", optimized.report());
/// # assert_eq!(optimized.report().trials.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// Source: Soylu, Potts and Khattab, "Fine-Tuning and Prompt Optimization: Two Great Steps that Work Better
/// Together" (2024).
pub struct BetterTogether<P, E, M = NoMetric> {
    optimizers: Vec<(String, BoxOptimizer<P, E>)>,
    metric: M,
    options: Options,
    strategy: String,
    valset_ratio: f64,
    shuffle: bool,
}

impl<P, E> BetterTogether<P, E> {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        BetterTogether {
            optimizers: Vec::new(),
            metric: NoMetric,
            options: Options::default(),
            strategy: "p -> w -> p".into(),
            valset_ratio: 0.1,
            shuffle: true,
        }
    }
}

impl<P, E, M> BetterTogether<P, E, M> {
    /// Adds an optimizer with the name that it has in the strategy.
    #[must_use]
    pub fn optimizer(mut self, name: impl Into<String>, optimizer: BoxOptimizer<P, E>) -> Self {
        self.optimizers.push((name.into().trim().to_owned(), optimizer));
        self
    }

    /// Sets the metric by which the programs are scored. Required. Usually it is that of the optimizers.
    #[must_use]
    pub fn metric<K: 'static>(
        self,
        metric: impl dspy_core::evaluate::Metric<E, P::Output, K> + 'static,
    ) -> BetterTogether<P, E, SharedMetric<E, P::Output>>
    where
        P: Module<Output: 'static>,
        E: 'static,
    {
        let Self { optimizers, options, strategy, valset_ratio, shuffle, .. } = self;
        let metric = SharedMetric::new(metric);
        BetterTogether { optimizers, metric, options, strategy, valset_ratio, shuffle }
    }

    /// Sets the sequence of the optimizers: their names with `->` between them, `p -> w -> p` by default.
    #[must_use]
    pub fn strategy(mut self, strategy: impl Into<String>) -> Self {
        self.strategy = strategy.into();
        self
    }

    /// Sets the part of the trainset that is held out as the valset if the data has none, 0.1 by default. The
    /// rows are drawn at random.
    #[must_use]
    pub fn valset_ratio(mut self, ratio: f64) -> Self {
        self.valset_ratio = ratio;
        self
    }

    /// Sets whether each step gets the trainset in another order, drawn by the seed. On by default.
    #[doc(alias = "shuffle_trainset_between_steps")]
    #[must_use]
    pub fn shuffle(mut self, on: bool) -> Self {
        self.shuffle = on;
        self
    }

    option_setters!(self, self.options);

    /// Checks the strategy and returns the optimizer. A metric must be set before.
    ///
    /// # Errors
    /// If the strategy has an empty step or a name of no optimizer, or two optimizers have the same name.
    pub fn build(self) -> Result<Self, StrategyError>
    where
        M: HasMetric,
    {
        self.steps().map(|_| self)
    }

    /// Returns the index of the optimizer of each step.
    fn steps(&self) -> Result<Vec<usize>, StrategyError> {
        let names: Vec<_> = self.optimizers.iter().map(|(name, _)| name.as_str()).collect();
        strategy::parse(&self.strategy, &names)
    }
}

impl<P: Program, E: ExampleFor<P>> BetterTogether<P, E, SharedMetric<E, P::Output>> {
    /// Optimizes the program on rows or [`Data`](crate::Data). [`Optimizer::compile`](crate::Optimizer::compile) says
    /// which settings and budgets apply.
    ///
    /// # Errors
    /// See [`OptimizeError`]. With a `run_dir`, the same call resumes the optimization.
    pub fn compile<D>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send + use<P, E, D>
    where
        D: IntoData<P, E>,
    {
        let this = self.clone();
        let data = data.into_data();
        let run_dir = this.options.run_dir.clone();
        inherit(guarded(run_dir, async move {
            let (steps, ratio) = (this.checked_steps()?, this.valset_ratio);
            let names: Vec<_> = steps.iter().map(|at| &this.optimizers[*at].0).collect();
            let settings = json!({"strategy": names, "valset_ratio": ratio, "shuffle": this.shuffle});
            let mut study = Study::builder("BetterTogether", program, &data)
                .settings(&settings)
                .options(&this.options)
                .start(&this.metric)?;
            if let (false, Ok((_, val))) = (study.has_valset(), this.split(study.train(), study.seed())) {
                study.runs_first_on(val.len());
            }
            let searched = this.search(&study, &steps, data.val.is_some()).await;
            study.finish(searched).await
        }))
    }

    /// Estimates the calls, tokens and US dollars of [`compile`](Self::compile) with the same arguments, without a
    /// call: the scores after each step, and the estimates of the steps, each for the original program.
    ///
    /// # Errors
    /// As `compile`, if the data or the options cannot be used.
    pub fn estimate<D>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<P, E>,
    {
        let (steps, data) = (self.checked_steps()?, data.into_data());
        let splits = Splits::<E>::of(program, &data, &self.options)?;
        let search = splits.search_budget(program, self.options.budget);
        let Splits { train, val, given_val, .. } = splits;
        let seed = Seed::new(self.options.seed);
        let all_rows = train.clone();
        let (train, val) = if given_val { (train, val) } else { self.split(&train, seed)? };
        let rows = val.len() as u64;
        // If the original program is perfect on a few rows, all of them are used.
        let few = !given_val && val.len() < ENOUGH && self.options.best_score.is_some();
        let val = if few { all_rows } else { val };
        // A step that changes nothing is not scored again.
        let scores = Span::between(rows, (val.len() as u64).saturating_mul(steps.len() as u64 + 1));
        let cost = |_: &Sizes| Ok(Cost { baseline: Some(rows), ..Cost::of_rollouts(scores) });
        let mut all = estimate::<P, E, _>(program, &data, &self.options, cost)?;
        let sure = all.program_calls.least;
        for at in steps {
            let teacher = data.teacher.clone();
            let data = Data { train: train.clone(), val: Some(val.clone()), holdout: None, teacher };
            let mut step = self.optimizers[at].1.estimate(program, data)?;
            if self.options.best_score.is_some() {
                step = step.or_nothing();
            }
            all = all.then(step);
        }
        Ok(all.ended_by(self.options.budget, search.calls, sure))
    }

    /// Returns the index of the optimizer of each step, after a check of the options.
    fn checked_steps(&self) -> Result<Vec<usize>, OptimizeError> {
        let steps = self.steps()?;
        let ratio = self.valset_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            let (option, value) = ("valset_ratio", ratio.to_string());
            return Err(OptimizeError::Option { option, value, expected: "a share from 0 to 1" });
        }
        Ok(steps)
    }
}

impl<P: Program, E: ExampleFor<P>> Optimizer<P, E> for BetterTogether<P, E, SharedMetric<E, P::Output>> {
    fn compile<D>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send
    where
        D: IntoData<P, E>,
    {
        self.compile(program, data)
    }

    fn estimate<D>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<P, E>,
    {
        self.estimate(program, data)
    }
}

impl<P, E, M: Clone> Clone for BetterTogether<P, E, M> {
    fn clone(&self) -> Self {
        let Self { optimizers, metric, options, strategy, valset_ratio, shuffle } = self;
        BetterTogether {
            optimizers: optimizers.clone(),
            metric: metric.clone(),
            options: options.clone(),
            strategy: strategy.clone(),
            valset_ratio: *valset_ratio,
            shuffle: *shuffle,
        }
    }
}

impl<P, E, M> fmt::Debug for BetterTogether<P, E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.optimizers.iter().map(|(name, _)| name).collect();
        f.debug_struct("BetterTogether")
            .field("optimizers", &names)
            .field("strategy", &self.strategy)
            .field("valset_ratio", &self.valset_ratio)
            .field("shuffle", &self.shuffle)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
