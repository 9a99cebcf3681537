//! `BootstrapFewShotWithRandomSearch`: many bootstrapped programs, the best of them.

use dspy_core::evaluate::Metric;
use dspy_core::lm::Lm;
use dspy_core::program::Module;
use dspy_core::signature::{Demo, Example};
use dspy_core::state::ProgramState;

use crate::bootstrap::{Bootstrap, Options};
use crate::engine::{Common, Engine, Stop, mean, values_of};
use crate::labeled::label;
use crate::options::{MetricMissing, WithMetric, bootstrap_setters, common_setters};
use crate::report::{Candidate, StopReason};
use crate::{OptimizeError, Optimized, Report};

#[derive(Debug, Clone)]
struct SearchOptions {
    num_candidate_programs: usize,
    stop_at_score: Option<f64>,
}

/// Bootstraps many programs, each from another order of the training set and with another number of demonstrations,
/// and keeps the one with the best score on the whole validation set.
///
/// The candidates are the program without demonstrations, with labelled examples, bootstrapped from the training set
/// in its order, and `num_candidate_programs` more, each from a shuffled training set with 1 to
/// `max_bootstrapped_demos` demonstrations. Of equals the earliest wins.
///
/// ```
/// use dspy_optimizers::BootstrapFewShotWithRandomSearch;
/// # use dspy_core::signature::Values;
/// let optimizer = BootstrapFewShotWithRandomSearch::builder()
///     .metric(|example: &Values, output: &Values| example["answer"] == output["answer"])
///     .num_candidate_programs(16)
///     .run_dir("runs/qa")
///     .build();
/// // let optimized = optimizer.compile(program, &trainset).await?;
/// ```
///
/// Source: Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving Pipelines" (2023).
#[derive(Debug, Clone)]
pub struct BootstrapFewShotWithRandomSearch<M> {
    metric: M,
    options: Options,
    search: SearchOptions,
    teacher_lm: Option<Lm>,
    common: Common,
}

/// The options of a [`BootstrapFewShotWithRandomSearch`].
#[derive(Debug, Clone)]
pub struct RandomSearchBuilder<M> {
    metric: M,
    options: Options,
    search: SearchOptions,
    teacher_lm: Option<Lm>,
    common: Common,
}

impl BootstrapFewShotWithRandomSearch<MetricMissing> {
    /// The default options; a metric has to be added.
    pub fn builder() -> RandomSearchBuilder<MetricMissing> {
        RandomSearchBuilder {
            metric: MetricMissing,
            options: Options::default(),
            search: SearchOptions { num_candidate_programs: 16, stop_at_score: None },
            teacher_lm: None,
            common: Common::default(),
        }
    }
}

impl<M> RandomSearchBuilder<M> {
    common_setters!();
    bootstrap_setters!();

    /// How many programs are bootstrapped from shuffled training sets, 16 by default.
    #[must_use]
    pub fn num_candidate_programs(mut self, programs: usize) -> Self {
        self.search.num_candidate_programs = programs;
        self
    }

    /// The score at which the search may end, from 0 to 1.
    #[must_use]
    pub fn stop_at_score(mut self, score: f64) -> Self {
        self.search.stop_at_score = Some(score);
        self
    }

    /// The measure of a run: a closure of example and output, or a [`Metric`].
    #[must_use]
    pub fn metric<N>(self, metric: N) -> RandomSearchBuilder<WithMetric<N>> {
        let RandomSearchBuilder { options, search, teacher_lm, common, .. } = self;
        RandomSearchBuilder { metric: WithMetric(metric), options, search, teacher_lm, common }
    }
}

impl<M> RandomSearchBuilder<WithMetric<M>> {
    /// The optimizer.
    pub fn build(self) -> BootstrapFewShotWithRandomSearch<M> {
        let RandomSearchBuilder { metric: WithMetric(metric), options, search, teacher_lm, common } = self;
        BootstrapFewShotWithRandomSearch { metric, options, search, teacher_lm, common }
    }
}

/// How a candidate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recipe {
    ZeroShot,
    Labelled,
    InOrder,
    Shuffled(usize),
}

impl Recipe {
    fn label(self) -> String {
        match self {
            Recipe::ZeroShot => "no demonstrations".into(),
            Recipe::Labelled => "labelled examples".into(),
            Recipe::InOrder => "bootstrapped in order".into(),
            Recipe::Shuffled(number) => format!("bootstrapped, shuffled {number}"),
        }
    }

    fn scope(self) -> String {
        match self {
            Recipe::ZeroShot => "candidate-zero-shot".into(),
            Recipe::Labelled => "candidate-labelled".into(),
            Recipe::InOrder => "candidate-in-order".into(),
            Recipe::Shuffled(number) => format!("candidate-shuffled-{number}"),
        }
    }
}

impl<M> BootstrapFewShotWithRandomSearch<M> {
    /// The best candidate by its score on the training set.
    ///
    /// # Errors
    /// If the training set is empty, the model cannot be reached, the metric fails too often, or the run directory
    /// cannot be used. A spent budget is an error only if no candidate was scored before.
    pub async fn compile<P, E>(&self, program: P, trainset: &[E]) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        self.compile_with(program, None, trainset, trainset).await
    }

    /// The best candidate by its score on a validation set of its own. With a teacher, that program makes the
    /// demonstrations; it must have the same predictors.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub async fn compile_with<P, E>(
        &self,
        program: P,
        teacher: Option<P>,
        trainset: &[E],
        valset: &[E],
    ) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        if trainset.is_empty() {
            return Err(OptimizeError::Empty("training set"));
        }
        if valset.is_empty() {
            return Err(OptimizeError::Empty("validation set"));
        }
        let before = ProgramState::of(&program).predictors;
        let name = "BootstrapFewShotWithRandomSearch";
        let options = (&self.options, &self.search);
        let engine =
            Engine::start(&self.metric, &self.common, name, &options, &program, &[trainset, valset])?;
        let bootstrap = Bootstrap {
            engine: &engine,
            options: &self.options,
            teacher,
            teacher_lm: self.teacher_lm.as_ref(),
            rows: values_of(trainset)?,
            trainset,
        };
        let mut tried: Vec<(Candidate, P)> = Vec::new();
        let mut stopped = StopReason::Finished;
        for recipe in self.recipes() {
            let best = tried.iter().map(|(candidate, _)| candidate.score).fold(f64::NAN, f64::max);
            let best = if best.is_nan() { String::new() } else { format!("best {:.1} %", best * 100.0) };
            engine.phase(&recipe.label(), valset.len(), best);
            match self.candidate(&engine, &bootstrap, &program, recipe, valset).await {
                Ok(candidate) => tried.push(candidate),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Budget(limit)) => {
                    stopped = StopReason::Budget(limit);
                    break;
                }
            }
            let score = tried.last().map(|(candidate, _)| candidate.score);
            if self.search.stop_at_score.is_some_and(|wanted| score.is_some_and(|score| score >= wanted)) {
                stopped = StopReason::ScoreReached;
                break;
            }
        }
        engine.finish();
        // A stable sort: of equals the earlier stays first.
        tried.sort_by(|a, b| b.0.score.total_cmp(&a.0.score));
        let mut tried = tried.into_iter();
        let Some((first, program)) = tried.next() else { return Err(OptimizeError::Budget) };
        let report = Report {
            optimizer: name.into(),
            seed: self.common.seed,
            candidates: std::iter::once(first).chain(tried.map(|(candidate, _)| candidate)).collect(),
            usage: engine.usage(),
            stopped,
            before,
            after: ProgramState::of(&program).predictors,
        };
        Ok(Optimized::new(program, report))
    }

    fn recipes(&self) -> impl Iterator<Item = Recipe> {
        let labelled = (self.options.max_labeled_demos > 0).then_some(Recipe::Labelled);
        let bootstrapped = (self.options.max_bootstrapped_demos > 0).then_some(Recipe::InOrder);
        let shuffled = if bootstrapped.is_some() { self.search.num_candidate_programs } else { 0 };
        std::iter::once(Recipe::ZeroShot)
            .chain(labelled)
            .chain(bootstrapped)
            .chain((0..shuffled).map(Recipe::Shuffled))
    }

    async fn candidate<P, E>(
        &self,
        engine: &Engine<'_, M>,
        bootstrap: &Bootstrap<'_, P, E, M>,
        program: &P,
        recipe: Recipe,
        valset: &[E],
    ) -> Result<(Candidate, P), Stop>
    where
        P: Module<Output: Sync> + Clone,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        let scope = recipe.scope();
        let seed = engine.seed().branch(&scope);
        let mut order: Vec<usize> = (0..bootstrap.rows.len()).collect();
        let made = match recipe {
            Recipe::ZeroShot => {
                let mut bare = program.clone();
                bare.for_each_predictor(|_, predictor| predictor.set_demos(Vec::<Demo>::new()));
                (bare, None)
            }
            Recipe::Labelled => {
                let mut labelled = program.clone();
                label(&mut labelled, &bootstrap.rows, self.options.max_labeled_demos, true, seed);
                (labelled, None)
            }
            Recipe::InOrder => {
                let demos = self.options.max_bootstrapped_demos;
                bootstrap.run(program, &order, demos, &format!("{scope}/bootstrap"), seed).await?
            }
            Recipe::Shuffled(_) => {
                seed.branch("order").rng().shuffle(&mut order);
                let demos = seed.branch("size").rng().between(1, self.options.max_bootstrapped_demos);
                bootstrap.run(program, &order, demos, &format!("{scope}/bootstrap"), seed).await?
            }
        };
        let (program, limit) = made;
        if let Some(limit) = limit {
            return Err(Stop::Budget(limit));
        }
        let rollouts = engine.evaluate(&program, &format!("{scope}/evaluate"), valset).await?;
        let candidate = Candidate {
            label: recipe.label(),
            score: mean(&rollouts),
            scores: rollouts.iter().map(|rollout| rollout.score).collect(),
            state: ProgramState::of(&program).predictors,
        };
        Ok((candidate, program))
    }
}
