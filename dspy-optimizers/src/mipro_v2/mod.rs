//! `MiproV2`: a search over instructions and sets of demonstrations.

mod candidates;
mod plan;
mod prompts;
mod search;

use serde_json::Value;

use self::plan::{Minibatch, MiproSettings, Plan, Searched};
use self::search::Search;
use crate::OptimizeError;
use crate::auto::Auto;
use crate::bootstrap_few_shot::{Settings, teacher_setters};
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::proposer::{SharedProposer, TextProposer, grounding_calls};
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that searches over combinations of instructions and sets of demonstrations of all predictors.
///
/// 1. It makes sets of demonstrations, as
///    [`BootstrapFewShotWithRandomSearch`](crate::BootstrapFewShotWithRandomSearch) does: none, labelled rows, and
///    bootstraps of the trainset in its order and in random orders.
/// 2. A proposer writes instructions for each predictor, from a summary of the data, descriptions of the program and
///    of the predictor, bootstrapped demonstrations and a tip on style. Each of these can be switched off. The
///    original instruction is a candidate, too.
/// 3. A [`Tpe`](crate::samplers::Tpe) suggests one combination per trial, which runs on a random minibatch of the
///    valset. After every five trials, and at the end, the combination with the highest mean on minibatches runs on
///    the whole valset. The result is the best of those that did, among them the original program.
///
/// [`instructions_only`](Self::instructions_only) and [`demos_only`](Self::demos_only) search over one of the two.
/// Without a [valset](crate::Data::valset), the last 80 % of the trainset (at most 1,000 rows) are used as one.
///
/// Cost for `p` predictors with the [default](Self::auto) of `n` = 6: the bootstraps, up to 12 + `p` calls of the
/// proposer for the grounding and 2 × `p` for instructions, and runs of the program: `v` for the original, 35 for each
/// of max(4 × `p` × log₂ `n`, 1.5 × `n`) trials, and up to `v` after every fifth one, where `v` is the size of the
/// valset (at most 100 rows).
///
/// Source: Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs"
/// (2024), as `MIPROv2` in DSPy.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::proposer::TextRequest;
/// use dspy_optimizers::{Auto, Budget, MiproV2};
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> { self.input() }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let trainset = [Row("I love it", "good"), Row("Again this rain", "bad"), Row("My love", "good")];
/// let optimizer = MiproV2::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .auto(Auto::Light)
///     // By default a language model writes the instructions.
///     .proposer(async |request: TextRequest| {
///         Ok(vec![format!("{} Love is good, rain is bad.", request.current)])
///     })
///     .budget(Budget::calls(1_000))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// assert_eq!(optimized.report().score(), Some(1.0));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias("MIPROv2", "MIPRO", "BayesianBootstrap"))]
#[derive(Debug, Clone)]
pub struct MiproV2<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
    mipro: MiproSettings,
}

fn defaults() -> MiproSettings {
    MiproSettings {
        searched: Searched::Both,
        auto: Auto::Light,
        num_candidates: None,
        num_trials: None,
        minibatch: Minibatch::Default,
        full_eval_steps: 5,
        published: false,
        temperature: 1.0,
        dataset: true,
        program: true,
        demos: true,
        tips: true,
        batch: 10,
        source: None,
        proposer: SharedProposer::default(),
    }
}

impl MiproV2 {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        let settings = Settings { max_labeled_demos: 4, ..Settings::default() };
        MiproV2 { metric: NoMetric, options: Options::default(), settings, mipro: defaults() }
    }
}

impl<M> MiproV2<M> {
    /// Sets the size of the search, [`Auto::Light`] by default. It determines the number of candidates `n` (6, 12,
    /// 18), the number of trials, and the largest number of rows of the valset (100, 300, 1,000; a random sample of a
    /// larger one). There are `n` sets of demonstrations and `n` / 2 instructions per predictor, or `n` instructions
    /// without a search over demonstrations. Numbers that were set by [`num_candidates`](Self::num_candidates) and
    /// [`num_trials`](Self::num_trials) before are dropped.
    #[must_use]
    pub fn auto(mut self, auto: Auto) -> Self {
        (self.mipro.auto, self.mipro.num_candidates, self.mipro.num_trials) = (auto, None, None);
        self
    }

    /// Sets the number of instructions and of sets of demonstrations per predictor, instead of [`auto`](Self::auto);
    /// at least 2 and at most 10,000. The whole valset is used.
    #[must_use]
    pub fn num_candidates(mut self, count: usize) -> Self {
        self.mipro.num_candidates = Some(count.max(2));
        self
    }

    /// Sets the number of trials, instead of [`auto`](Self::auto). The whole valset is used.
    #[must_use]
    pub fn num_trials(mut self, trials: usize) -> Self {
        self.mipro.num_trials = Some(trials);
        self
    }

    /// Sets that demonstrations stay as they are. For the proposer, up to 3 are bootstrapped all the same.
    #[must_use]
    pub fn instructions_only(mut self) -> Self {
        self.mipro.searched = Searched::Instructions;
        self
    }

    /// Sets that instructions stay as they are; the proposer is not used. The paper calls it Bayesian Bootstrap.
    #[must_use]
    pub fn demos_only(mut self) -> Self {
        self.mipro.searched = Searched::Demos;
        self
    }

    /// Sets the number of rows of the valset in a trial, at least 1; more than the valset has are an error. By default
    /// 35 if the valset has more than 50 rows, and otherwise all.
    #[doc(alias = "minibatch_size")]
    #[must_use]
    pub fn minibatch(mut self, rows: usize) -> Self {
        self.mipro.minibatch = Minibatch::Rows(rows.max(1));
        self
    }

    /// Sets that every trial runs on the whole valset.
    #[must_use]
    pub fn no_minibatch(mut self) -> Self {
        self.mipro.minibatch = Minibatch::Off;
        self
    }

    /// Sets the number of trials on minibatches after which there is a run on the whole valset, 5 by default and at
    /// least 1.
    #[doc(alias = "minibatch_full_eval_steps")]
    #[must_use]
    pub fn full_eval_steps(mut self, trials: usize) -> Self {
        self.mipro.full_eval_steps = trials.max(1);
        self
    }

    /// Sets the published sampler, with ten random trials and no regard to noise; see
    /// [`Tpe::published`](crate::samplers::Tpe::published). Everything else is as published by default.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.mipro.published = true;
        self
    }

    /// Sets the largest number of bootstrapped demonstrations per predictor, 4 by default. If this and
    /// [`max_labeled_demos`](Self::max_labeled_demos) are 0, only instructions are searched.
    #[must_use]
    pub fn max_bootstrapped_demos(mut self, count: usize) -> Self {
        self.settings.max_bootstrapped_demos = count;
        self
    }

    /// Sets the number of demonstrations, including bootstrapped ones, up to which labelled rows are added, 4 by
    /// default. The teacher gets up to this many labelled rows.
    #[must_use]
    pub fn max_labeled_demos(mut self, count: usize) -> Self {
        self.settings.max_labeled_demos = count;
        self
    }

    teacher_setters!();

    /// Sets whether the proposer sees a summary of the trainset. On by default.
    #[doc(alias = "data_aware_proposer")]
    #[must_use]
    pub fn data_summary(mut self, on: bool) -> Self {
        self.mipro.dataset = on;
        self
    }

    /// Sets the number of rows in each of the up to ten prompts that the summary of the trainset is made with, 10 by
    /// default and at least 1.
    #[doc(alias = "view_data_batch_size")]
    #[must_use]
    pub fn data_batch(mut self, rows: usize) -> Self {
        self.mipro.batch = rows.max(1);
        self
    }

    /// Sets whether the proposer sees descriptions of the program and of the predictor. On by default.
    #[doc(alias = "program_aware_proposer")]
    #[must_use]
    pub fn program_summary(mut self, on: bool) -> Self {
        self.mipro.program = on;
        self
    }

    /// Sets the source code of the program, as by `include_str!`, which the descriptions of the program are made
    /// from. By default, they are made from the signatures of its predictors.
    #[must_use]
    pub fn source_code(mut self, source: impl Into<String>) -> Self {
        self.mipro.source = Some(source.into());
        self
    }

    /// Sets whether the proposer sees bootstrapped demonstrations. On by default.
    #[doc(alias = "fewshot_aware_proposer")]
    #[must_use]
    pub fn shown_demos(mut self, on: bool) -> Self {
        self.mipro.demos = on;
        self
    }

    /// Sets whether the proposer gets a random tip on style with most requests. On by default.
    #[doc(alias = "tip_aware_proposer")]
    #[must_use]
    pub fn tips(mut self, on: bool) -> Self {
        self.mipro.tips = on;
        self
    }

    /// Sets the temperature of the proposer, 1 by default.
    #[doc(alias = "init_temperature")]
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.mipro.temperature = temperature;
        self
    }

    /// Sets the proposer of the instructions and of the grounding. By default, it is a
    /// [`Proposer`](crate::proposer::Proposer) with the current model.
    #[doc(alias = "prompt_model")]
    #[must_use]
    pub fn proposer(mut self, proposer: impl TextProposer) -> Self {
        self.mipro.proposer = SharedProposer::new(proposer);
        self
    }
}

optimizer!(MiproV2 { settings, mipro });

impl<E, O> MiproV2<SharedMetric<E, O>> {
    fn makes_demos(&self) -> bool {
        self.settings.max_bootstrapped_demos > 0 || self.settings.max_labeled_demos > 0
    }

    /// Returns the parameters of the search; without demonstrations, only instructions are searched.
    fn searching(&self) -> MiproSettings {
        let mut mipro = self.mipro.clone();
        if !self.makes_demos() {
            mipro.searched = Searched::Instructions;
        }
        mipro
    }

    fn check(&self) -> Result<(), OptimizeError> {
        OptimizeError::check_temperature(self.mipro.temperature)?;
        OptimizeError::check_count("num_candidates", self.mipro.num_candidates.unwrap_or_default())?;
        if self.mipro.searched == Searched::Demos && !self.makes_demos() {
            let (option, value) = ("max_bootstrapped_demos", "0".to_owned());
            return Err(OptimizeError::Option {
                option,
                value,
                expected: "at least 1 for a search over demonstrations",
            });
        }
        self.settings.check()
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["search"] = self.mipro.identity();
        settings
    }

    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let mipro = self.searching();
        let plan = Plan::new(&mipro, sizes.predictors);
        let (learn, valset) = plan.sizes(sizes)?;
        let minibatch = mipro.minibatch.of(valset)?;
        let (val, trials) = (valset as u64, plan.trials as u64);
        let full = match minibatch {
            None => trials.saturating_mul(val),
            Some(rows) => {
                let evaluations = trials.div_ceil(mipro.full_eval_steps as u64);
                trials.saturating_mul(rows as u64).saturating_add(evaluations.saturating_mul(val))
            }
        };
        let bootstrap = mipro.bootstrap(&self.settings);
        let labelled = usize::from(bootstrap.max_labeled_demos > 0);
        let bootstraps = bootstrap.runs_of(plan.sets.saturating_sub(1 + labelled), learn);
        let mut proposals = Span::exactly(0);
        if plan.instructions > 1 {
            let texts = sizes.predictors.saturating_mul(plan.instructions - 1) as u64;
            let rows = if mipro.dataset { learn } else { 0 };
            let program = mipro.program.then_some(sizes.predictors);
            proposals = Span::exactly(texts) + grounding_calls(rows, mipro.batch, program);
        }
        Ok(Cost {
            baseline: Some(val),
            comparison: (trials > 0).then(|| (0, minibatch.map_or(val, |rows| rows as u64 + val))),
            proposals: mipro.proposer.calls(proposals),
            shown: if mipro.demos { plan::MOST_SHOWN } else { 0 },
            writer: mipro.proposer.writer(),
            ..bootstrap.cost(Span::between(val, val.saturating_add(full)) + bootstraps)
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let mipro = self.searching();
        Search::start(study, &mipro, &self.settings).await?.run().await
    }
}
