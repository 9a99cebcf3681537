//! `BootstrapFinetune`: weights learnt from successful runs of the program.

#[cfg(feature = "http")]
mod api;
mod jobs;
mod record;
mod trainer;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dspy_base::panics;
use dspy_core::error::BoxError;
use dspy_core::lm::Lm;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Value, json};

#[cfg(feature = "http")]
pub use self::api::ApiTrainer;
use self::jobs::{Plan, check_selection, groups};
use self::record::{record, recorded};
pub use self::trainer::{Trainer, TrainingJob};
use self::trainer::{is_outage, is_unknown};
use crate::bootstrap_few_shot::{EveryRow, Settings, notes, teacher_setters};
use crate::builder::{NoMetric, optimizer};
use crate::counts::counted;
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::error::of_others;
use crate::estimate::{Cost, Sizes};
use crate::options::Options;
use crate::report::{ItemReport, Stopped, Trial};
use crate::{OptimizeError, demos};
use dspy_core::evaluate::SharedMetric;

/// An optimizer that trains the models of a program on its own successful runs.
///
/// A teacher runs on every row of the trainset. Each call of a predictor in the runs that the metric accepts
/// is a training row: the prompt of the predictor in the program, and the outputs of the teacher. By default,
/// the rows of all predictors with the same model train one model; with [`multitask`](Self::multitask) off,
/// each predictor gets its own. Rows belong to predictors by path, and only the last turn of a row is learnt:
/// demonstrations are context.
///
/// The teacher is the program itself, unless another one is [set](crate::Data::teacher); with
/// [`teacher_lm`](Self::teacher_lm) a strong model teaches a small one. The result is the program with the
/// tuned models; they keep the parameters of the former handles, such as the temperature. Predictors that were
/// called in no accepted run keep their models if they have no rows in common with others, and
/// [`Report::warnings`](crate::Report::warnings) names them.
///
/// If the trainer cannot train a model of the program, that is an error before any call. If no run is accepted, or a
/// job has too few rows, the optimization ends with an error before any job is started, and if the budget is exhausted
/// before, with the original program. The budget does not limit
/// the cost of the training. If a job fails or the process is killed, run again with the same `run_dir`:
/// finished jobs are not repeated.
///
/// Cost: one run of the teacher for each row, and for each further round of rows that have failed; the jobs.
///
/// ```
/// # use dspy_core::error::BoxError;
/// # use dspy_core::lm::{BoxFuture, Lm};
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// # use dspy_optimizers::{Trainer, TrainingJob};
/// use dspy_optimizers::BootstrapFinetune;
/// # struct Prepared;
/// # impl Trainer for Prepared {
/// #     fn identity(&self) -> String { "prepared".into() }
/// #     fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
/// #         Box::pin(async move { Ok(Lm::scripted(vec![job.name.clone()])) })
/// #     }
/// # }
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> { self.input() }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let trainer = Prepared;
/// # let train = [Row("A good day", "good"), Row("A bad day", "bad")];
/// // In practice: `ApiTrainer::new(FineTuning::new(Endpoint::provider("openai")?))`.
/// let optimizer = BootstrapFinetune::builder(trainer)
///     .metric(|row: &Row, output: &Values| output["mood"] == row.1)
///     .build();
/// let optimized = optimizer.compile(program, &train).await?;
/// println!("{}", optimized.report()); // with the rows of each job
/// # assert!(optimized.report().trials[0].notes[1].contains("2 rows"));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// Source: `BootstrapFinetune` in Khattab et al., "DSPy: Compiling Declarative Language Model Calls into
/// Self-Improving Pipelines" (2023).
#[derive(Clone)]
pub struct BootstrapFinetune<M = NoMetric> {
    trainer: Arc<dyn Trainer>,
    metric: M,
    options: Options,
    settings: Settings,
    multitask: bool,
    exclude_demos: bool,
}

impl BootstrapFinetune {
    /// Creates a builder with the defaults.
    pub fn builder(trainer: impl Trainer) -> Self {
        BootstrapFinetune {
            trainer: Arc::new(trainer),
            metric: NoMetric,
            options: Options::default(),
            settings: Settings::default(),
            multitask: true,
            exclude_demos: false,
        }
    }
}

impl<M> BootstrapFinetune<M> {
    /// Sets whether all predictors with the same model share one tuned model, which is the default, or each
    /// predictor gets its own.
    #[must_use]
    pub fn multitask(mut self, on: bool) -> Self {
        self.multitask = on;
        self
    }

    /// Sets whether the demonstrations are removed from the rows and from the result, which makes prompts
    /// shorter. Off by default.
    #[must_use]
    pub fn exclude_demos(mut self, on: bool) -> Self {
        self.exclude_demos = on;
        self
    }

    teacher_setters!();
}

optimizer!(BootstrapFinetune { trainer, settings, multitask, exclude_demos });

impl<E, O> BootstrapFinetune<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        self.settings.check()
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["trainer"] = self.trainer.identity().into();
        settings["multitask"] = self.multitask.into();
        settings["exclude_demos"] = self.exclude_demos.into();
        settings
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        // A training needs the runs on all rows.
        let required = Some(sizes.train as u64);
        Ok(Cost { required, ..self.settings.cost_of_every_row(sizes.train) })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let mut program = study.program().clone();
        if self.exclude_demos {
            demos::clear(&mut program);
        }
        // Mistakes that no run of the teacher can repair are errors before the first one is paid.
        let groups = groups(&program, self.multitask)?;
        for group in &groups {
            let checked = self.trainer.check_model(&group.lm, study.run_dir());
            checked.map_err(|source| OptimizeError::Trainer { model: group.name.clone(), source })?;
        }
        let mut teacher = study.teacher().unwrap_or(study.program()).clone();
        check_selection(&program, &teacher)?;
        if let Some(lm) = &self.settings.teacher_lm {
            teacher.set_lm(lm.clone());
        }
        let EveryRow { rows, stopped } =
            EveryRow::run(study, &self.settings, "teacher", &teacher, false).await?;
        study.sync()?;
        if let Some(limit) = stopped {
            // A job costs more than what is left, and more rows would have been better.
            if study.too_small().is_none() {
                study.warn(
                    "the budget ended before the teacher had run on every row, so nothing was trained, and the result is \
                     the original program; raise it",
                );
            }
            return Err(Stop::Budget(limit));
        }
        let plan = Plan { seed: study.seed(), folder: study.run_dir(), study: study.effect_name("") };
        let of_rows = study.train().iter().zip(&rows);
        let successes = of_rows.filter_map(|(row, runs)| Some((row.values, runs.success.as_deref()?)));
        let successes: Vec<_> = successes.collect();
        let (jobs, without) = plan.jobs(&program, groups, &successes)?;
        let items: Vec<ItemReport> = rows.iter().map(|row| row.item.clone()).collect();
        let accepted = successes.len();
        if jobs.is_empty() {
            let failure = items.iter().find_map(|item| item.error.clone());
            return Err(OptimizeError::NoTrainingRows { tried: items.len(), accepted, failure }.into());
        }
        let models = self.train(study, &jobs).await?;
        let mut notes = notes(&items, accepted);
        for (job, lm) in jobs.iter().zip(&models) {
            notes.push(format!(
                "{}: {}, tuned as {}",
                job.name,
                counted(job.rows.rows().len(), "row"),
                lm.id()
            ));
            bind(&mut program, job, lm);
        }
        for path in without {
            study.warn(format!("`{path}` was called in no accepted run, so no row is of it"));
        }
        let mut trial = Trial { notes, ..Trial::new("tuned models", &program) };
        items.iter().for_each(|item| trial.usage += item.usage);
        trial.items = items;
        let trial = study.record(trial, program);
        study.choose(trial);
        Ok(Stopped::Finished)
    }

    /// Checks all jobs, then runs them.
    async fn train<P>(&self, study: &Study<'_, P, E>, jobs: &[TrainingJob]) -> Result<Vec<Lm>, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        for job in jobs {
            self.trainer.check(job).map_err(|source| failed(&job.name, source))?;
        }
        study.phase("training", jobs.len());
        let runs: Vec<_> = jobs
            .iter()
            .map(|job| async move {
                let result = self.tuned(job).await;
                study.advance(1);
                result
            })
            .collect();
        // All jobs end before errors are looked at, so that none is left without its state.
        let results: Vec<_> = stream::iter(runs).buffered(study.concurrency()).collect().await;
        let (mut models, mut finished, mut failure) = (Vec::new(), Vec::new(), None);
        for (job, result) in jobs.iter().zip(results) {
            match result {
                Ok(lm) => {
                    finished.push((job.name.clone(), lm.id().to_owned()));
                    models.push(lm);
                }
                Err(source) => failure = failure.or(Some((job, source))),
            }
        }
        match failure {
            None => Ok(models),
            Some((job, source)) => Err(stopped(study, job, source, finished)),
        }
    }

    /// Runs a job, or returns the model of an earlier run. A panic of the trainer is an error, so that the other jobs end
    /// as usual.
    async fn tuned(&self, job: &TrainingJob) -> Result<Lm, BoxError> {
        let work = async {
            let known = recorded(job).and_then(|id| self.trainer.tuned(job, &id));
            match known {
                Some(lm) => renamed(job, lm),
                None => renamed(job, self.trainer.train(job).await?),
            }
        };
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => {
                result.iter().for_each(|lm| record(job, lm));
                result
            }
            Err(panic) => {
                let message = panics::message(&*panic).unwrap_or("without a message");
                Err(format!("the trainer panicked: {message}").into())
            }
        }
    }
}

fn failed(job: &str, source: BoxError) -> OptimizeError {
    OptimizeError::Training { job: job.to_owned(), source, finished: Vec::new(), advice: String::new() }
}

/// Returns a tuned model, unless it cannot be told from the former one: results of that one would count as its own.
fn renamed(job: &TrainingJob, lm: Lm) -> Result<Lm, BoxError> {
    if (lm.id(), lm.deployment()) != (job.model.id(), job.model.deployment()) {
        return Ok(lm);
    }
    let message = format!(
        "the tuned model has the name and the address of the former one, `{}`, so results and saved programs cannot \
         tell them apart; the trainer must return it with another name or endpoint",
        lm.id()
    );
    Err(message.into())
}

/// Returns the error of a job that was started, with the models of the other jobs, which are paid.
fn stopped<P: Program, E: ExampleFor<P>>(
    study: &Study<'_, P, E>,
    job: &TrainingJob,
    source: BoxError,
    finished: Vec<(String, String)>,
) -> Stop {
    if is_outage(&source) {
        let is_lost = study.run_dir().is_none() && !finished.is_empty();
        let source = if is_lost { format!("{source}{}", of_others(&finished)).into() } else { source };
        return study.outage(source);
    }
    let advice = match &job.state {
        // The error itself names the state file.
        Some(_) if is_unknown(&source) => {
            "; run again with the same `run_dir` to look for it once more".to_owned()
        }
        Some(state) if state.exists() => format!(
            "; run again with the same `run_dir` to continue; to start this job anew, delete `{}` before",
            state.display()
        ),
        Some(_) => "; run again with the same `run_dir` to continue".to_owned(),
        None => "; set a `run_dir` to be able to continue such a run".to_owned(),
    };
    OptimizeError::Training { job: job.name.clone(), source, finished, advice }.into()
}

/// Binds the tuned model of a job to its predictors.
fn bind(program: &mut impl dspy_core::program::HasPredictors, job: &TrainingJob, tuned: &Lm) {
    program.for_each_predictor(|path, predictor| {
        if job.predictors.iter().any(|of_job| of_job == path) {
            let params = predictor.lm().unwrap_or(&job.model).params().clone();
            predictor.set_lm(tuned.clone().with_params(params));
        }
    });
}

impl<M> fmt::Debug for BootstrapFinetune<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapFinetune")
            .field("trainer", &self.trainer.identity())
            .field("settings", &json!([self.multitask, self.exclude_demos]))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
