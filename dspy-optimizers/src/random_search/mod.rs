//! `BootstrapFewShotWithRandomSearch`: several sets of demonstrations, the best one wins.

mod search;

use std::sync::Arc;

use dspy_core::Seed;
use dspy_core::evaluate::Metric;
use dspy_core::program::{Module, inherit};
use dspy_core::signature::Example;
use serde_json::json;

use self::search::{Found, Job};
use crate::bootstrap_few_shot::{Settings, Teaching, bootstrap_setters};
use crate::data::Rows;
use crate::engine::Run;
use crate::journal::program_identity;
use crate::metric::{HasMetric, NoMetric, Shared, WithMetric};
use crate::options::{Options, option_setters};
use crate::report::{Report, parameters};
use crate::{Data, IntoData, OptimizeError, Optimized, Optimizer};

/// Makes candidates by [`LabeledFewShot`](crate::LabeledFewShot) and [`BootstrapFewShot`](crate::BootstrapFewShot),
/// scores each on the whole valset, and takes the best.
///
/// The candidates, in order: the program without demonstrations; with labelled ones; bootstrapped from the trainset as
/// it stands, with full sizes; then `num_candidate_programs` times bootstrapped from the trainset in random order, with
/// a random number of bootstrapped demonstrations between 1 and `max_bootstrapped_demos`. Of equal scores the earlier
/// candidate wins. Without a [valset](Data::valset) the trainset is used, which favours candidates that have the right
/// rows in their prompt: give one if there are rows enough.
///
/// Runs of the program: (`num_candidate_programs` + 3) × the size of the valset, and the bootstraps.
///
/// Source: `BootstrapFewShotWithRandomSearch` in Khattab et al., "DSPy: Compiling Declarative Language Model Calls into
/// Self-Improving Pipelines" (2023).
///
/// ```
/// use dspy_core::signature::Values;
/// use dspy_optimizers::{BootstrapFewShotWithRandomSearch, Budget};
/// let optimizer = BootstrapFewShotWithRandomSearch::builder()
///     .metric(|example: &Values, output: &Values| example["answer"] == output["answer"])
///     .num_candidate_programs(8)
///     .stop_at_score(0.95)
///     .budget(Budget::calls(2_000).usd(1.50))
///     .run_dir("runs/qa")
///     .build();
/// // let optimized = optimizer.compile(program, &trainset).await?;
/// ```
#[derive(Debug)]
pub struct BootstrapFewShotWithRandomSearch<M> {
    metric: Arc<M>,
    search: Search,
    options: Options,
}

/// What decides over the result.
#[derive(Debug, Clone)]
struct Search {
    settings: Settings,
    num_candidate_programs: usize,
    stop_at_score: Option<f64>,
}

/// Sets a [`BootstrapFewShotWithRandomSearch`] up. Only a metric is required.
#[derive(Debug, Clone)]
pub struct BootstrapFewShotWithRandomSearchBuilder<M> {
    metric: M,
    settings: Settings,
    num_candidate_programs: usize,
    stop_at_score: Option<f64>,
    options: Options,
}

impl BootstrapFewShotWithRandomSearch<()> {
    /// Starts with the defaults.
    pub fn builder() -> BootstrapFewShotWithRandomSearchBuilder<NoMetric> {
        BootstrapFewShotWithRandomSearchBuilder {
            metric: NoMetric,
            settings: Settings::default(),
            num_candidate_programs: 16,
            stop_at_score: None,
            options: Options::default(),
        }
    }
}

impl<M> BootstrapFewShotWithRandomSearchBuilder<M> {
    /// What the optimizer maximises.
    #[must_use]
    pub fn metric<N>(self, metric: N) -> BootstrapFewShotWithRandomSearchBuilder<WithMetric<N>> {
        let Self { settings, num_candidate_programs, stop_at_score, options, .. } = self;
        BootstrapFewShotWithRandomSearchBuilder {
            metric: WithMetric(Arc::new(metric)),
            settings,
            num_candidate_programs,
            stop_at_score,
            options,
        }
    }

    /// How many candidates there are besides the first three, 16 by default.
    #[must_use]
    pub fn num_candidate_programs(mut self, count: usize) -> Self {
        self.num_candidate_programs = count;
        self
    }

    /// Ends the search with the first candidate that scores as much, in the unit of the metric: usually 1 is perfect.
    #[must_use]
    pub fn stop_at_score(mut self, score: f64) -> Self {
        self.stop_at_score = Some(score);
        self
    }

    bootstrap_setters!();
    option_setters!();

    /// The optimizer.
    pub fn build<N>(self) -> BootstrapFewShotWithRandomSearch<N>
    where
        // Not `M::Metric` in the return type: rustc would say that there is no such method, not that the metric is missing.
        M: HasMetric<Metric = N>,
    {
        let Self { metric, settings, num_candidate_programs, stop_at_score, options } = self;
        let search = Search { settings, num_candidate_programs, stop_at_score };
        BootstrapFewShotWithRandomSearch { metric: metric.into_metric(), search, options }
    }
}

impl<M> Clone for BootstrapFewShotWithRandomSearch<M> {
    fn clone(&self) -> Self {
        let Self { metric, search, options } = self;
        Self { metric: metric.clone(), search: search.clone(), options: options.clone() }
    }
}

impl<M: Send + Sync + 'static> BootstrapFewShotWithRandomSearch<M> {
    /// Optimizes the program on rows, or on [`Data`]. Data may have a valset and a teacher. What is set for
    /// the current task (model, adapter) holds for it, even if the future is spawned.
    ///
    /// # Errors
    /// See [`OptimizeError`]. With a `run_dir`, the same call goes on where it was.
    pub fn compile<P, E, D, K>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send + use<P, E, D, M, K>
    where
        P: Module<Output: Sync> + Clone + Send + Sync + 'static,
        E: Example<Input: Into<P::Input>>,
        D: IntoData<P, E>,
        M: Metric<E, P::Output, K>,
        K: 'static,
    {
        let this = self.of_form::<K>();
        let data = data.into_data();
        inherit(async move {
            let Data { train, val, teacher } = data;
            this.run(program, train.as_ref(), val.as_ref().map(AsRef::as_ref), teacher).await
        })
    }

    fn of_form<K>(&self) -> BootstrapFewShotWithRandomSearch<Shared<M, K>> {
        let Self { metric, search, options } = self;
        BootstrapFewShotWithRandomSearch {
            metric: Shared::new(metric),
            search: search.clone(),
            options: options.clone(),
        }
    }
}

impl<M: Send + Sync + 'static> BootstrapFewShotWithRandomSearch<M> {
    async fn run<P, E>(
        self,
        program: P,
        trainset: &[E],
        valset: Option<&[E]>,
        teacher: Option<P>,
    ) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone + Send + Sync + 'static,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        let Self { metric, search, options } = self;
        search.settings.check()?;
        if let Some(value) = search.stop_at_score.filter(|score| score.is_nan()) {
            return Err(OptimizeError::Option { option: "stop_at_score", value: value.to_string() });
        }
        let rows = Rows::check("trainset", trainset)?;
        let val = valset.map(|valset| Rows::check("valset", valset)).transpose()?;
        let teaching = Teaching::new(&program, teacher)?;
        let identity = json!({
            "settings": search.settings.identity(),
            "num_candidate_programs": search.num_candidate_programs,
            "stop_at_score": search.stop_at_score,
            "trainset": rows.identity(),
            "valset": val.as_ref().map(Rows::identity),
            "program": program_identity(&program),
            "teacher": teaching.given().map(program_identity),
        });
        let root = Seed::new(options.seed);
        let run = Run::start(options, metric, NAME, identity)?;
        let valset = valset.unwrap_or(trainset);
        let job = Job { search: &search, run: &run, teaching, rows, valset, root };
        let Found { best, trials, stopped } = job.search().await?;
        let initial = parameters(&program);
        // Without demonstrations of its own, the program was the first candidate.
        let plain = initial.values().all(|predictor| predictor.demos.is_empty());
        let report = Report {
            optimizer: NAME.into(),
            seed: root.value(),
            baseline: trials.first().filter(|_| plain).and_then(|trial| trial.score),
            trials,
            best: best.as_ref().map_or(0, |(place, _)| *place),
            initial,
            usage: run.spent().usage(),
            stopped,
            warnings: run.warnings(),
        };
        run.progress.finish();
        Ok(Optimized::new(best.map_or(program, |(_, best)| best), report))
    }
}

const NAME: &str = "BootstrapFewShotWithRandomSearch";

impl<P, E, M, K> Optimizer<P, E, K> for BootstrapFewShotWithRandomSearch<M>
where
    P: Module<Output: Sync> + Clone + Send + Sync + 'static,
    E: Example<Input: Into<P::Input>>,
    M: Metric<E, P::Output, K> + 'static,
    K: 'static,
{
    fn compile<D>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send
    where
        D: IntoData<P, E> + Send,
    {
        self.compile(program, data)
    }
}
