//! A fine-tuning run from rows to model, which resumes after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::client::FineTuning;
use super::error::FineTuneError;
use super::job::{FineTune, Job, JobStatus};
use super::state::RunState;
use crate::lm::{Lm, LmError, LmErrorKind};
use dspy_lm::internal::Api;

/// The maximum number of pages that are searched for files and jobs of an earlier run.
const PAGES: usize = 20;
/// The maximum number of retries of an upload or a job creation after failures that leave its outcome
/// unknown.
const TRIES: u32 = 3;
/// The member of a job's metadata that identifies the run.
const MARK: &str = "dspy_run";

/// A tuned model.
#[derive(Debug, Clone)]
pub struct TunedModel {
    name: String,
    job: Job,
    api: Api,
}

impl TunedModel {
    /// Returns the name of the model at its endpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the job that created the model.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Returns a handle to the model.
    ///
    /// # Errors
    /// The same as those of [`Endpoint::model`](crate::lm::Endpoint::model).
    pub fn lm(&self) -> Result<Lm, LmError> {
        self.api.model(&self.name)
    }
}

/// The files to upload.
struct Files {
    training: Arc<[u8]>,
    validation: Option<Arc<[u8]>>,
    key: String,
}

impl FineTuning {
    /// Uploads the rows, creates the job, waits until it finishes and returns the tuned model.
    ///
    /// `state` is the path of a small file that holds the ids. It is written before each step takes effect:
    /// restarted after a crash, the run continues with the existing file and job. If a crash or a lost
    /// connection leaves it unknown whether a file or a job was created, the endpoint's lists are searched
    /// before anything is sent again. Dropping the future stops the waiting, not the job; see
    /// [`cancel`](Self::cancel). A state file may be used by one run at a time.
    ///
    /// # Errors
    /// If the rows are invalid, the endpoint cannot be reached, the job fails or is cancelled, or does not
    /// finish within the [deadline](Self::deadline). To try again after a failed job, delete the state file.
    pub async fn run(&self, tune: &FineTune, state: impl AsRef<Path>) -> Result<TunedModel, FineTuneError> {
        let job = self.start(tune, state).await?;
        let job = self.wait(&job.id).await?;
        match job.fine_tuned_model.clone() {
            Some(name) => Ok(TunedModel { name, job, api: self.api.clone() }),
            None => Err(FineTuneError::Answer {
                message: format!("job {} has succeeded without the name of a model", job.id),
            }),
        }
    }

    /// Does the first part of [`run`](Self::run): uploads the rows and creates the job, or finds the existing
    /// one.
    ///
    /// # Errors
    /// The same as those of [`run`](Self::run).
    pub async fn start(&self, tune: &FineTune, state: impl AsRef<Path>) -> Result<Job, FineTuneError> {
        let path = state.as_ref();
        let files = self.files_of(tune)?;
        let mut state = RunState::open(path, &files.key)?;
        if let Some(job) = &state.job {
            return self.job(job).await;
        }
        let short = &files.key[..16];
        let training = match state.training_file.clone() {
            Some(id) => id,
            None => self.uploaded(&format!("dspy-{short}-training.jsonl"), &files.training).await?,
        };
        state.training_file = Some(training.clone());
        state.save(path)?;
        if let Some(content) = files.validation.as_ref().filter(|_| state.validation_file.is_none()) {
            let id = self.uploaded(&format!("dspy-{short}-validation.jsonl"), content).await?;
            state.validation_file = Some(id);
            state.save(path)?;
        }
        let request = request(tune, &state, &training);
        let job = self.created(&request, &training, &files.key).await?;
        state.job = Some(job.id.clone());
        state.save(path)?;
        Ok(job)
    }

    /// Checks the rows and returns them as files, with the digest of everything that the result depends on.
    fn files_of(&self, tune: &FineTune) -> Result<Files, FineTuneError> {
        tune.training.check(&tune.limits)?;
        if let Some(rows) = &tune.validation {
            rows.check(&tune.limits.rows(1))?;
        }
        let training: Arc<[u8]> = tune.training.to_jsonl()?.into_bytes().into();
        let validation = match &tune.validation {
            Some(rows) => Some(Arc::from(rows.to_jsonl()?.into_bytes())),
            None => None,
        };
        let hash = |content: &Arc<[u8]>| blake3::hash(content).to_hex().to_string();
        let all = json!([
            self.api.address(),
            tune.model,
            tune.body,
            hash(&training),
            validation.as_ref().map(hash)
        ]);
        let key = blake3::hash(all.to_string().as_bytes()).to_hex().to_string();
        Ok(Files { training, validation, key })
    }

    /// Returns the id of the file, uploaded now or by an earlier run.
    async fn uploaded(&self, name: &str, content: &Arc<[u8]>) -> Result<String, FineTuneError> {
        let mut tries = 0;
        loop {
            if let Some(id) = self.find_file(name, content.len() as u64).await? {
                return Ok(id);
            }
            match self.upload(name, content.clone()).await {
                Ok(file) => return Ok(file.id),
                Err(error) => self.again(error, &mut tries).await?,
            }
        }
    }

    async fn find_file(&self, name: &str, bytes: u64) -> Result<Option<String>, FineTuneError> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let Some(page) = known(self.files(after.as_deref()).await)? else { return Ok(None) };
            let gone = |status: &Option<String>| matches!(status.as_deref(), Some("error" | "deleted"));
            let found = page
                .data
                .iter()
                .find(|file| file.filename == name && file.bytes == bytes && !gone(&file.status));
            if let Some(file) = found {
                return Ok(Some(file.id.clone()));
            }
            after = page.data.last().map(|file| file.id.clone()).filter(|_| page.has_more);
            if after.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// Returns the job, created now or by an earlier run.
    async fn created(
        &self,
        request: &Map<String, Value>,
        training: &str,
        key: &str,
    ) -> Result<Job, FineTuneError> {
        let mut tries = 0;
        // Some servers do not accept metadata; then the job is identified by its file.
        let mut marked = request.clone();
        marked.entry("metadata").or_insert_with(|| json!({MARK: key[..32].to_owned()}));
        loop {
            if let Some(job) = self.find_job(training, key).await? {
                return Ok(job);
            }
            let error = match self.create(&marked).await {
                Ok(job) => return Ok(job),
                Err(error) => error,
            };
            if refuses(&error, "metadata") && marked.remove("metadata").is_some() {
                continue;
            }
            self.again(error, &mut tries).await?;
        }
    }

    async fn find_job(&self, training: &str, key: &str) -> Result<Option<Job>, FineTuneError> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let Some(page) = known(self.jobs(after.as_deref()).await)? else { return Ok(None) };
            after = page.data.last().map(|job| job.id.clone()).filter(|_| page.has_more);
            let ours = |job: &Job| {
                let mark = job.metadata.as_ref().and_then(|notes| notes.get(MARK)?.as_str());
                // The name of the file holds the digest of the run, so it belongs to no other run's job.
                mark == Some(&key[..32]) || (mark.is_none() && job.training_file.as_deref() == Some(training))
            };
            let over = |job: &Job| matches!(job.status, JobStatus::Failed | JobStatus::Cancelled);
            if let Some(job) = page.data.into_iter().find(|job| ours(job) && !over(job)) {
                return Ok(Some(job));
            }
            if after.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// Waits before the next attempt, or returns the error if another attempt cannot help.
    async fn again(&self, error: FineTuneError, tries: &mut u32) -> Result<(), FineTuneError> {
        let open = match &error {
            FineTuneError::Endpoint(error) => {
                // A reply that cannot be decoded does not mean that the request failed.
                error.is_retryable() || error.kind == LmErrorKind::Decode
            }
            _ => false,
        };
        if !open || *tries >= TRIES {
            return Err(error);
        }
        *tries += 1;
        tracing::debug!(%error, "a step of a fine-tuning job failed and will be retried");
        sleep(self.polling.0.min(self.polling.1)).await;
        Ok(())
    }

    /// Waits until a job finishes. Failed status requests are not failures of the job: they are repeated
    /// until the deadline.
    ///
    /// # Errors
    /// If the job fails or is cancelled, does not finish in time, or the endpoint refuses the status request.
    pub async fn wait(&self, id: &str) -> Result<Job, FineTuneError> {
        let start = Instant::now();
        let mut pause = self.polling.0;
        let mut before = None;
        loop {
            match self.job(id).await {
                Ok(job) => {
                    if before.as_ref() != Some(&job.status) {
                        tracing::info!(job = id, status = %job.status, "fine-tuning");
                        before = Some(job.status.clone());
                    }
                    match job.status {
                        JobStatus::Succeeded => return Ok(job),
                        JobStatus::Failed => {
                            let reason = job.error.unwrap_or_default();
                            return Err(FineTuneError::Failed { job: job.id, reason });
                        }
                        JobStatus::Cancelled => return Err(FineTuneError::Cancelled { job: job.id }),
                        _ => {}
                    }
                }
                Err(FineTuneError::Endpoint(error)) if error.is_retryable() => {
                    tracing::warn!(job = id, %error, "a fine-tuning job could not be created");
                }
                Err(error) => return Err(error),
            }
            let waited = start.elapsed();
            if waited + pause > self.deadline {
                return Err(FineTuneError::Deadline { job: id.to_owned(), waited });
            }
            sleep(pause).await;
            pause = longer(pause, self.polling.1);
        }
    }
}

/// Returns one and a half times the interval, up to the longest.
fn longer(pause: Duration, longest: Duration) -> Duration {
    (pause + pause / 2).min(longest.max(pause))
}

/// Returns the body of the request that creates the job.
fn request(tune: &FineTune, state: &RunState, training: &str) -> Map<String, Value> {
    let mut request = Map::new();
    request.insert("model".into(), tune.model.as_str().into());
    request.insert("training_file".into(), training.into());
    if let Some(file) = &state.validation_file {
        request.insert("validation_file".into(), file.as_str().into());
    }
    if tune.training.is_preference() {
        request.insert("method".into(), json!({"type": "dpo"}));
    }
    request.extend(tune.body.iter().map(|(name, value)| (name.clone(), value.clone())));
    request
}

/// Returns a list, or `None` if the server does not support it.
fn known<T>(outcome: Result<T, FineTuneError>) -> Result<Option<T>, FineTuneError> {
    match outcome {
        Ok(list) => Ok(Some(list)),
        Err(FineTuneError::Endpoint(error)) if error.kind == LmErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether a request was refused because of a member.
fn refuses(error: &FineTuneError, member: &str) -> bool {
    match error {
        FineTuneError::Endpoint(error) => {
            error.kind == LmErrorKind::InvalidRequest
                && (error.message.contains(member)
                    || error.body.as_deref().is_some_and(|body| body.contains(member)))
        }
        _ => false,
    }
}
