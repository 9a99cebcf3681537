//! Trainers: ways to train a model on rows.

use std::path::{Path, PathBuf};

use dspy_core::error::BoxError;
use dspy_core::finetune::TrainingSet;
use dspy_core::lm::{BoxFuture, Lm, LmError};

/// A way to train models. Object-safe. With the feature `http` there is [`ApiTrainer`](crate::ApiTrainer), for the
/// OpenAI-compatible fine-tuning API.
///
/// A trainer must be resumable: [`train`](Self::train) with a job whose [state](TrainingJob::state) it has
/// written before goes on with it, and starts nothing twice. It trains on the
/// [reply](dspy_core::finetune::TrainingRow::reply) of each row only, not on the replies of demonstrations before
/// it.
///
/// ```
/// use dspy_core::error::BoxError;
/// use dspy_core::lm::{BoxFuture, Lm};
/// use dspy_optimizers::{Trainer, TrainingJob};
///
/// /// Returns a given model instead of training one.
/// struct Prepared(Lm);
///
/// impl Trainer for Prepared {
///     fn identity(&self) -> String {
///         format!("prepared {}", self.0.id())
///     }
///
///     fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
///         Box::pin(async move {
///             println!("{}: {} rows", job.name, job.rows.rows().len());
///             Ok(self.0.clone())
///         })
///     }
/// }
/// ```
pub trait Trainer: Send + Sync + 'static {
    /// Returns a string that identifies the trainer with its settings. A journal cannot be resumed with another
    /// one.
    fn identity(&self) -> String;

    /// Checks that a model can be trained, before any call is paid: once for each job of the program. `run_dir` is
    /// the folder of the optimization, if it has one.
    ///
    /// # Errors
    /// If no job of this model could start, for example because the trainer does not have it.
    fn check_model(&self, model: &Lm, run_dir: Option<&Path>) -> Result<(), BoxError> {
        let _ = (model, run_dir);
        Ok(())
    }

    /// Checks a job with its rows. All jobs are checked before the first one is started.
    ///
    /// # Errors
    /// If the job would be refused, for example because it has too few rows.
    fn check(&self, job: &TrainingJob) -> Result<(), BoxError> {
        let _ = job;
        Ok(())
    }

    /// Returns a handle to the model that [`train`](Self::train) has returned for this job in an earlier run, by its
    /// [id](Lm::id), without a request; the folder of the run has the ids. A finished run then returns its result without
    /// a call of the trainer. By default `None`, so that `train` is called again.
    fn tuned(&self, job: &TrainingJob, id: &str) -> Option<Lm> {
        let _ = (job, id);
        None
    }

    /// Trains the model of the job on its rows and returns the tuned one. Called again with the same job, it
    /// resumes; for a job that has finished, it returns the model that its [state](TrainingJob::state) names. Several
    /// jobs run concurrently.
    ///
    /// The tuned model must have another [name](Lm::id) or [endpoint](Lm::endpoint) than the former one, as journals and
    /// saved programs refer to models by these. Another one is an error of the job.
    ///
    /// # Errors
    /// If the job fails. An [`LmError`] or a [`dspy_core::Error`] that is an
    /// [outage](dspy_core::Error::is_outage) ends the optimization as one.
    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>>;
}

/// The training of one model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrainingJob {
    /// A name for messages: the model, with the path of the predictor if it is for one predictor only.
    pub name: String,
    /// The model to begin with.
    pub model: Lm,
    /// The paths of the predictors that will use the tuned model.
    pub predictors: Vec<String>,
    /// The rows to train on, in random order.
    pub rows: TrainingSet,
    /// A file for what the trainer needs to resume, in the `run_dir`; it does not exist before the first run.
    /// `None` without a `run_dir`.
    pub state: Option<PathBuf>,
    /// A seed for the random decisions of the training.
    pub seed: u64,
}

/// Returns whether a trainer has failed for external reasons.
pub(super) fn is_outage(error: &BoxError) -> bool {
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref() {
        return super::api::is_outage(error);
    }
    match error.downcast_ref::<dspy_core::Error>() {
        Some(error) => error.is_outage(),
        None => error.downcast_ref::<LmError>().is_some_and(LmError::is_outage),
    }
}

/// Returns whether it is unknown if the job was created, which the error says together with the remedies.
#[cfg(feature = "http")]
pub(super) fn is_unknown(error: &BoxError) -> bool {
    let first: &(dyn std::error::Error + 'static) = &**error;
    let mut errors = std::iter::successors(Some(first), |error| error.source());
    errors.any(|error| error.downcast_ref().is_some_and(super::api::is_unknown))
}

/// Returns whether it is unknown if the job was created, which trainers of the user do not say.
#[cfg(not(feature = "http"))]
pub(super) fn is_unknown(_: &BoxError) -> bool {
    false
}
