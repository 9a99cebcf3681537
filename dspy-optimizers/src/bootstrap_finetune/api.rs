//! The trainer of the fine-tuning API.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use dspy_core::error::BoxError;
use dspy_core::finetune::{FineTune, FineTuneError, FineTuning, Limits};
use dspy_core::lm::{BoxFuture, Lm};

use super::trainer::{Trainer, TrainingJob};

const NO_RUN_DIR: &str = "the fine-tuning API needs a `run_dir`, so that no job is lost or paid twice";

type Configure = dyn Fn(FineTune, &TrainingJob) -> FineTune + Send + Sync;

/// A trainer that uses the OpenAI-compatible fine-tuning API. It needs a `run_dir`, for the ids of its files
/// and jobs: a run that was interrupted goes on with them.
///
/// ```no_run
/// use dspy_core::finetune::FineTuning;
/// use dspy_core::lm::Endpoint;
/// use dspy_optimizers::ApiTrainer;
/// # fn main() -> Result<(), dspy_core::lm::LmError> {
/// let client = FineTuning::new(Endpoint::provider("openai")?);
/// let epochs = serde_json::json!({"n_epochs": 3});
/// let trainer = ApiTrainer::new(client)
///     .configure(move |tune, job| tune.suffix("triage").seed(job.seed).hyperparameters(epochs.clone()));
/// # let _ = trainer;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ApiTrainer {
    client: FineTuning,
    model: Option<String>,
    limits: Limits,
    configure: Arc<Configure>,
}

impl ApiTrainer {
    /// Creates a trainer that uses this client.
    pub fn new(client: FineTuning) -> Self {
        let configure = Arc::new(|tune, _: &TrainingJob| tune);
        ApiTrainer { client, model: None, limits: Limits::default(), configure }
    }

    /// Sets the name at the endpoint of the model to begin with, for all jobs. By default, it is the model of
    /// the predictors, which must be one of this endpoint.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Sets the limits that the rows are checked against before anything is sent.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets a function that adds settings to each fine-tuning, such as hyperparameters.
    #[doc(alias = "train_kwargs")]
    #[must_use]
    pub fn configure(
        mut self,
        configure: impl Fn(FineTune, &TrainingJob) -> FineTune + Send + Sync + 'static,
    ) -> Self {
        self.configure = Arc::new(configure);
        self
    }

    fn base(&self, model: &Lm) -> Result<String, BoxError> {
        let known = self.model.clone().or_else(|| self.client.name_of(model));
        known.ok_or_else(|| {
            let model = model.id();
            format!(
                "`{model}` is no model of the endpoint; name the one to begin with by `ApiTrainer::model`"
            )
            .into()
        })
    }
}

impl Trainer for ApiTrainer {
    fn identity(&self) -> String {
        format!("fine-tuning API, model {}", self.model.as_deref().unwrap_or("of the predictors"))
    }

    fn check_model(&self, model: &Lm, run_dir: Option<&Path>) -> Result<(), BoxError> {
        self.base(model)?;
        if run_dir.is_none() {
            return Err(NO_RUN_DIR.into());
        }
        Ok(())
    }

    fn check(&self, job: &TrainingJob) -> Result<(), BoxError> {
        self.base(&job.model)?;
        job.rows.check(&self.limits)?;
        Ok(())
    }

    fn train<'a>(&'a self, job: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        Box::pin(async move {
            self.check(job)?;
            let tune = FineTune::new(self.base(&job.model)?, job.rows.clone()).limits(self.limits);
            let tune = (self.configure)(tune, job);
            let state = job.state.as_ref().ok_or(NO_RUN_DIR)?;
            let base = self.base(&job.model)?;
            let tuned = self.client.run(&tune, state).await?;
            if tuned.name() == base {
                return Err(format!(
                    "job {} has succeeded with the name of the model to begin with, `{base}`, so the \
                    tuned model cannot be told from it",
                    tuned.job().id
                )
                .into());
            }
            Ok(tuned.lm()?)
        })
    }
}

/// Returns whether a fine-tuning has failed for external reasons.
pub(super) fn is_outage(error: &FineTuneError) -> bool {
    match error {
        FineTuneError::Endpoint(error) => error.is_outage(),
        FineTuneError::Deadline { .. } => true,
        _ => false,
    }
}

/// Returns whether it is unknown if the job was created, which the error says together with the remedies.
pub(super) fn is_unknown(error: &FineTuneError) -> bool {
    matches!(error, FineTuneError::Unknown { .. })
}

impl fmt::Debug for ApiTrainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiTrainer")
            .field("model", &self.model)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
