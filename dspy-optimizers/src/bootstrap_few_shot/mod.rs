//! `BootstrapFewShot`: the program's own successes as demonstrations.

mod algorithm;
mod choose;

use std::sync::Arc;

use dspy_core::Seed;
use dspy_core::evaluate::Metric;
use dspy_core::lm::Lm;
use dspy_core::program::{Module, inherit};
use dspy_core::signature::Example;
use serde_json::{Value, json};

pub(crate) use self::algorithm::{Bootstrap, Bootstrapped, Teaching};
use crate::data::Rows;
use crate::engine::{Halt, Run};
use crate::journal::{model_identity, program_identity};
use crate::metric::{HasMetric, NoMetric, Shared, WithMetric};
use crate::options::{Options, option_setters};
use crate::report::{Report, Stopped, Trial, parameters};
use crate::{IntoData, OptimizeError, Optimized, Optimizer};

/// Runs a teacher on the rows of the trainset and keeps what it did where the metric approves: each predictor gets its
/// own calls in successful runs as demonstrations, and labelled rows on top.
///
/// The teacher is the program itself with labelled demonstrations, unless one is [given](crate::Data::teacher). Rows are tried
/// in order until `max_bootstrapped_demos` have succeeded, at most as many at a time as are still missing: exactly the
/// rows are tried that would be tried one by one, whatever the concurrency. The row itself is never among the
/// demonstrations that its teacher sees.
///
/// Calls: one run of the teacher for each row that is tried (and for each further round).
///
/// Source: `BootstrapFewShot` in Khattab et al., "DSPy: Compiling Declarative Language Model Calls into
/// Self-Improving Pipelines" (2023).
///
/// ```
/// # use dspy_core::signature::Values;
/// use dspy_optimizers::{BootstrapFewShot, Budget};
/// let optimizer = BootstrapFewShot::builder()
///     .metric(|example: &Values, output: &Values| example["answer"] == output["answer"])
///     .max_bootstrapped_demos(4)
///     .max_labeled_demos(16)
///     .budget(Budget::calls(200))
///     .build();
/// // let optimized = optimizer.compile(program, &trainset).await?;
/// ```
#[derive(Debug)]
pub struct BootstrapFewShot<M> {
    metric: Arc<M>,
    settings: Settings,
    options: Options,
}

/// What decides over the result.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) metric_threshold: Option<f64>,
    pub(crate) max_bootstrapped_demos: usize,
    pub(crate) max_labeled_demos: usize,
    pub(crate) max_rounds: usize,
    pub(crate) teacher_lm: Option<Lm>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            metric_threshold: None,
            max_bootstrapped_demos: 4,
            max_labeled_demos: 16,
            max_rounds: 1,
            teacher_lm: None,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), OptimizeError> {
        match self.metric_threshold {
            Some(value) if value.is_nan() => {
                Err(OptimizeError::Option { option: "metric_threshold", value: value.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// As the header of a journal knows them.
    pub(crate) fn identity(&self) -> Value {
        json!({
            "metric_threshold": self.metric_threshold,
            "max_bootstrapped_demos": self.max_bootstrapped_demos,
            "max_labeled_demos": self.max_labeled_demos,
            "max_rounds": self.max_rounds,
            "teacher_lm": self.teacher_lm.as_ref().map(model_identity),
        })
    }
}

/// The setters of [`Settings`], for a builder with a field `settings`.
macro_rules! bootstrap_setters {
    () => {
        /// The score from which on a run of the teacher is a success, which may be 0. Without it every score above 0
        /// is one.
        #[must_use]
        pub fn metric_threshold(mut self, score: f64) -> Self {
            self.settings.metric_threshold = Some(score);
            self
        }

        /// How many bootstrapped demonstrations a predictor gets at most, 4 by default. With 0 no model is called for
        /// them.
        #[must_use]
        pub fn max_bootstrapped_demos(mut self, count: usize) -> Self {
            self.settings.max_bootstrapped_demos = count;
            self
        }

        /// How many demonstrations, bootstrapped ones included, labelled rows fill up to, 16 by default. The teacher
        /// gets as many.
        #[must_use]
        pub fn max_labeled_demos(mut self, count: usize) -> Self {
            self.settings.max_labeled_demos = count;
            self
        }

        /// How often the teacher may try a row, 1 by default and at least. From the second round on it samples afresh,
        /// at temperature 1.
        #[must_use]
        pub fn max_rounds(mut self, rounds: usize) -> Self {
            self.settings.max_rounds = rounds.max(1);
            self
        }

        /// The model that the teacher runs on, in place of those of the program.
        #[must_use]
        pub fn teacher_lm(mut self, lm: dspy_core::lm::Lm) -> Self {
            self.settings.teacher_lm = Some(lm);
            self
        }
    };
}
pub(crate) use bootstrap_setters;

/// Sets a [`BootstrapFewShot`] up. Only a metric is required.
#[derive(Debug, Clone)]
pub struct BootstrapFewShotBuilder<M> {
    metric: M,
    settings: Settings,
    options: Options,
}

impl BootstrapFewShot<()> {
    /// Starts with the defaults.
    pub fn builder() -> BootstrapFewShotBuilder<NoMetric> {
        BootstrapFewShotBuilder {
            metric: NoMetric,
            settings: Settings::default(),
            options: Options::default(),
        }
    }
}

impl<M> BootstrapFewShotBuilder<M> {
    /// What decides whether a run of the teacher is a success.
    #[must_use]
    pub fn metric<N>(self, metric: N) -> BootstrapFewShotBuilder<WithMetric<N>> {
        let BootstrapFewShotBuilder { settings, options, .. } = self;
        BootstrapFewShotBuilder { metric: WithMetric(Arc::new(metric)), settings, options }
    }

    bootstrap_setters!();
    option_setters!();

    /// The optimizer.
    pub fn build<N>(self) -> BootstrapFewShot<N>
    where
        // Not `M::Metric` in the return type: rustc would say that there is no such method, not that the metric is missing.
        M: HasMetric<Metric = N>,
    {
        let BootstrapFewShotBuilder { metric, settings, options } = self;
        BootstrapFewShot { metric: metric.into_metric(), settings, options }
    }
}

impl<M> Clone for BootstrapFewShot<M> {
    fn clone(&self) -> Self {
        let BootstrapFewShot { metric, settings, options } = self;
        BootstrapFewShot { metric: metric.clone(), settings: settings.clone(), options: options.clone() }
    }
}

impl<M: Send + Sync + 'static> BootstrapFewShot<M> {
    /// Optimizes the program on rows, or on [`Data`](crate::Data). Data may have a teacher; a valset has no use here. What is set for
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
        inherit(async move { this.run(program, data.train.as_ref(), data.teacher).await })
    }

    fn of_form<K>(&self) -> BootstrapFewShot<Shared<M, K>> {
        let BootstrapFewShot { metric, settings, options } = self;
        BootstrapFewShot { metric: Shared::new(metric), settings: settings.clone(), options: options.clone() }
    }
}

impl<M: Send + Sync + 'static> BootstrapFewShot<M> {
    async fn run<P, E>(
        self,
        program: P,
        trainset: &[E],
        teacher: Option<P>,
    ) -> Result<Optimized<P>, OptimizeError>
    where
        P: Module<Output: Sync> + Clone + Send + Sync + 'static,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        let BootstrapFewShot { metric, settings, options } = self;
        settings.check()?;
        let rows = Rows::check("trainset", trainset)?;
        let initial = parameters(&program);
        let teaching = Teaching::new(&program, teacher)?;
        let identity = json!({
            "settings": settings.identity(),
            "trainset": rows.identity(),
            "program": program_identity(&program),
            "teacher": teaching.given().map(program_identity),
        });
        let seed = Seed::new(options.seed);
        let run = Run::start(options, metric, "BootstrapFewShot", identity)?;
        let order: Vec<usize> = (0..trainset.len()).collect();
        let bootstrap = Bootstrap { scope: "bootstrap", order: &order, settings: &settings, seed };
        let (program, trials, stopped) = match bootstrap.run(&run, &teaching, &rows).await {
            // Not one row was tried: the program stays as it was.
            Ok(Bootstrapped { halted: Some(limit), items, .. }) if items.is_empty() => {
                (program, Vec::new(), Stopped::Budget(limit))
            }
            Err(Halt::Budget(limit)) => (program, Vec::new(), Stopped::Budget(limit)),
            Err(Halt::Error(error)) => return Err(*error),
            Ok(made) => {
                let trial = Trial {
                    label: "bootstrapped demonstrations".into(),
                    score: None,
                    usage: made.usage(),
                    items: made.items,
                    parameters: parameters(&made.program),
                    notes: made.notes,
                };
                (made.program, vec![trial], made.halted.map_or(Stopped::Finished, Stopped::Budget))
            }
        };
        run.progress.finish();
        let report = Report {
            optimizer: "BootstrapFewShot".into(),
            seed: seed.value(),
            trials,
            best: 0,
            baseline: None,
            initial,
            usage: run.spent().usage(),
            stopped,
            warnings: run.warnings(),
        };
        Ok(Optimized::new(program, report))
    }
}

impl<P, E, M, K> Optimizer<P, E, K> for BootstrapFewShot<M>
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
