//! A fine-tuning from rows to model, which goes on where it was when it is started again.

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

/// How many parts of a list are looked through for what an earlier run left.
const PAGES: usize = 20;
/// How often an upload or a job is tried again after failures that leave open what came of it.
const TRIES: u32 = 3;
/// The member of a job's metadata that says which run made it.
const MARK: &str = "dspy_run";

/// A model that was tuned.
#[derive(Debug, Clone)]
pub struct TunedModel {
    name: String,
    job: Job,
    api: Api,
}

impl TunedModel {
    /// The name of the model at its endpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The job that made it.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// A handle to it.
    ///
    /// # Errors
    /// As [`Endpoint::model`](crate::lm::Endpoint::model).
    pub fn lm(&self) -> Result<Lm, LmError> {
        self.api.model(&self.name)
    }
}

/// What is to be uploaded.
struct Files {
    training: Arc<[u8]>,
    validation: Option<Arc<[u8]>>,
    key: String,
}

impl FineTuning {
    /// Uploads the rows, creates the job, waits for its end and gives the tuned model.
    ///
    /// `state` is a small file that holds the ids. It is written before each step counts: started again after a crash,
    /// this goes on with the file and the job that are there. Where a crash, or a broken connection, leaves open whether
    /// a file or a job came to be, the endpoint's lists are looked through before anything is sent again. Dropping the
    /// future stops the waiting, not the job; see [`cancel`](Self::cancel). One run at a time may use a state file.
    ///
    /// # Errors
    /// If the rows cannot be used, the endpoint cannot be reached, the job fails or is cancelled, or is not done within
    /// the [deadline](Self::deadline). After a failed job the file has to be deleted to try again.
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

    /// The first part of [`run`](Self::run): uploads the rows and creates the job, or finds the one that there is.
    ///
    /// # Errors
    /// As [`run`](Self::run).
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

    /// The rows as files, if they can be used, and the digest of all that the result depends on.
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

    /// The id of the file, uploaded now or by an earlier run.
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

    /// The job, created now or by an earlier run.
    async fn created(
        &self,
        request: &Map<String, Value>,
        training: &str,
        key: &str,
    ) -> Result<Job, FineTuneError> {
        let mut tries = 0;
        // Some servers take no notes; then the file tells whose job it is.
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
                // The name of the file holds the digest of the run, so nobody else's job has it.
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

    /// Waits before another try, if there is hope in one.
    async fn again(&self, error: FineTuneError, tries: &mut u32) -> Result<(), FineTuneError> {
        let open = match &error {
            FineTuneError::Endpoint(error) => {
                // What was answered wrongly may have been done rightly.
                error.is_retryable() || error.kind == LmErrorKind::Decode
            }
            _ => false,
        };
        if !open || *tries >= TRIES {
            return Err(error);
        }
        *tries += 1;
        tracing::debug!(%error, "a step of a fine-tuning failed, will be looked for and tried again");
        sleep(self.polling.0.min(self.polling.1)).await;
        Ok(())
    }

    /// Waits for the end of a job. Failures to ask for it are no failures of the job: it is asked for again until the
    /// deadline.
    ///
    /// # Errors
    /// If the job fails or is cancelled, is not done in time, or the endpoint refuses to tell.
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
                    tracing::warn!(job = id, %error, "a fine-tuning job could not be asked for");
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

/// Half as long again, up to the longest.
fn longer(pause: Duration, longest: Duration) -> Duration {
    (pause + pause / 2).min(longest.max(pause))
}

/// The body of the request for the job.
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

/// A list; nothing where the server has no such list.
fn known<T>(outcome: Result<T, FineTuneError>) -> Result<Option<T>, FineTuneError> {
    match outcome {
        Ok(list) => Ok(Some(list)),
        Err(FineTuneError::Endpoint(error)) if error.kind == LmErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a request was refused for a member.
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
