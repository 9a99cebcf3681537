//! A fine-tuning run from rows to model, which resumes after a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::client::{FineTuning, segment};
use super::error::FineTuneError;
use super::job::{FineTune, Job, JobStatus};
use super::state::RunState;
use crate::lm::{Lm, LmError, LmErrorKind};
use dspy_lm::internal::{Api, is_unsent};

/// The maximum number of pages that are searched for files and jobs of an earlier run.
const PAGES: usize = 20;
/// The maximum number of retries of an upload or a job creation after failures that leave its outcome
/// unknown.
const TRIES: u32 = 3;
/// The number of times that a job whose creation has an unknown outcome is looked for in the list, after the first.
const LOOKS: u32 = 5;
/// The member of a job's metadata that identifies the run.
const MARK: &str = "dspy_run";
/// The number of status queries in a row after which a job that the endpoint does not find counts as missing.
const MISSES: u32 = 5;

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

/// The result of a search for a job of an earlier run.
enum Search {
    /// The id of the job.
    Found(String),
    Absent,
    /// The endpoint has no list of jobs.
    NoList,
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
    /// restarted after a crash, the run continues with the existing file and job, and once the job has succeeded, the
    /// model is returned without a request. If a crash or a lost connection leaves it unknown whether a file or a job was
    /// created, the endpoint's lists are searched before anything is sent again. A job that is not in the list may appear
    /// later, so it is looked for five more times, at the intervals of [`polling`](Self::polling): for about a minute by
    /// default. If it does not appear, or the endpoint has no list of jobs, that is an error, and no second job is created.
    /// Dropping the future stops the waiting, not the job; see [`cancel`](Self::cancel). A state file may be used by one
    /// run at a time.
    ///
    /// # Errors
    /// If the rows are invalid, the endpoint cannot be reached, the job fails or is cancelled, or does not
    /// finish within the [deadline](Self::deadline). To try again after a failed job, delete the state file.
    /// [`FineTuneError::Unknown`] if a job may exist whose id is not known; see [`adopt`](Self::adopt).
    pub async fn run(&self, tune: &FineTune, state: impl AsRef<Path>) -> Result<TunedModel, FineTuneError> {
        let path = state.as_ref();
        let (id, mut state) = self.begun(tune, path).await?;
        let is_new = state.done.is_none();
        let job = match state.done.take() {
            Some(job) => job,
            None => self.wait(&id).await?,
        };
        let Some(name) = job.fine_tuned_model.clone().filter(|name| !name.trim().is_empty()) else {
            let message = format!("job {} has succeeded without the name of a model", job.id);
            return Err(FineTuneError::Answer { message });
        };
        if is_new {
            RunState { done: Some(job.clone()), ..state }.save(path)?;
        }
        Ok(TunedModel { name, job, api: self.api.clone() })
    }

    /// Does the first part of [`run`](Self::run): uploads the rows and creates the job, or finds the existing
    /// one.
    ///
    /// # Errors
    /// The same as those of [`run`](Self::run).
    pub async fn start(&self, tune: &FineTune, state: impl AsRef<Path>) -> Result<Job, FineTuneError> {
        let (id, _) = self.begun(tune, state.as_ref()).await?;
        self.job(&id).await
    }

    /// Records the id of an existing job in a state file, so that the next [`run`](Self::run) with this file waits
    /// for it. For a job whose creation had an [unknown outcome](FineTuneError::Unknown).
    ///
    /// # Errors
    /// If the endpoint does not know the job, it is of another training file, or the file is not the state of a run
    /// without a job.
    pub async fn adopt(&self, state: impl AsRef<Path>, id: &str) -> Result<Job, FineTuneError> {
        let path = state.as_ref();
        let mut state = RunState::read(path)?;
        let wrong = |message: String| FineTuneError::State { path: path.into(), message };
        if let Some(known) = state.job.as_deref().filter(|known| *known != id) {
            return Err(wrong(format!("it has the job {known} already")));
        }
        let job = self.job(id).await?;
        if let (Some(own), Some(file)) = (&state.training_file, &job.training_file)
            && own != file
        {
            return Err(wrong(format!("the job {id} is of the training file {file}, not of {own}")));
        }
        state.job = Some(id.to_owned());
        state.creating = false;
        state.save(path)?;
        Ok(job)
    }

    /// Returns the id of the job, created now or by an earlier run, and the state.
    async fn begun(&self, tune: &FineTune, path: &Path) -> Result<(String, RunState), FineTuneError> {
        let files = self.files_of(tune)?;
        let mut state = RunState::open(path, &files.key)?;
        if let Some(job) = state.job.clone() {
            return Ok((job, state));
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
        let id = self.created(&request, &training, &mut state, path).await?;
        state.job = Some(id.clone());
        state.creating = false;
        state.save(path)?;
        Ok((id, state))
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

    /// Returns the id of the job, created now or by an earlier run. The state says before each request to create it
    /// that its outcome is unknown, until it is known.
    async fn created(
        &self,
        request: &Map<String, Value>,
        training: &str,
        state: &mut RunState,
        path: &Path,
    ) -> Result<String, FineTuneError> {
        let mut tries = 0;
        let mut unknown = None;
        let key = state.key[..32].to_owned();
        // Some servers do not accept metadata; then the job is identified by its file.
        let mut marked = request.clone();
        marked.entry("metadata").or_insert_with(|| json!({MARK: key}));
        loop {
            let found = match self.find_job(training, &key).await? {
                Search::Absent if state.creating => self.appeared(training, &key).await?,
                found => found,
            };
            match found {
                Search::Found(id) => return Ok(id),
                Search::NoList if state.creating => {
                    return Err(FineTuneError::Unknown { path: path.into(), source: unknown, listed: false });
                }
                Search::Absent if state.creating && !unknown.as_deref().is_some_and(is_unavailable) => {
                    return Err(FineTuneError::Unknown { path: path.into(), source: unknown, listed: true });
                }
                Search::Absent | Search::NoList => {}
            }
            state.creating = true;
            state.save(path)?;
            let error = match self.create(&marked).await {
                Ok(job) => return usable(job),
                Err(error) => error,
            };
            if is_refusal(&error) {
                state.creating = false;
                state.save(path)?;
            }
            if refuses(&error, "metadata") && marked.remove("metadata").is_some() {
                continue;
            }
            if let FineTuneError::Endpoint(error) = &error {
                unknown = Some(Box::new(error.clone()));
            }
            self.again(error, &mut tries).await?;
        }
    }

    /// Looks for a job that is not in the list, but may appear there.
    async fn appeared(&self, training: &str, key: &str) -> Result<Search, FineTuneError> {
        let mut pause = self.polling.0.min(self.polling.1);
        for _ in 0..LOOKS {
            sleep(pause).await;
            match self.find_job(training, key).await? {
                Search::Absent => pause = longer(pause, self.polling.1),
                found => return Ok(found),
            }
        }
        Ok(Search::Absent)
    }

    async fn find_job(&self, training: &str, key: &str) -> Result<Search, FineTuneError> {
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let Some(page) = known(self.jobs(after.as_deref()).await)? else { return Ok(Search::NoList) };
            after = page.data.last().map(|job| job.id.clone()).filter(|_| page.has_more);
            let ours = |job: &Job| {
                let mark = job.metadata.as_ref().and_then(|notes| notes.get(MARK)?.as_str());
                // The name of the file holds the digest of the run, so it belongs to no other run's job.
                mark == Some(key) || (mark.is_none() && job.training_file.as_deref() == Some(training))
            };
            let over = |job: &Job| matches!(job.status, JobStatus::Failed | JobStatus::Cancelled);
            if let Some(job) = page.data.into_iter().find(|job| ours(job) && !over(job)) {
                return Ok(Search::Found(usable(job)?));
            }
            if after.is_none() {
                break;
            }
        }
        Ok(Search::Absent)
    }

    /// Waits before the next attempt, or returns the error if another attempt cannot help.
    async fn again(&self, error: FineTuneError, tries: &mut u32) -> Result<(), FineTuneError> {
        let open = matches!(&error, FineTuneError::Endpoint(error) if is_open(error));
        if !open || *tries >= TRIES {
            return Err(error);
        }
        *tries += 1;
        tracing::debug!(%error, "a step of a fine-tuning job failed and will be retried");
        sleep(self.polling.0.min(self.polling.1)).await;
        Ok(())
    }

    /// Waits until a job finishes. Failed status requests are not failures of the job: they are repeated
    /// until the deadline, also after a reply that cannot be read.
    ///
    /// # Errors
    /// If the job fails or is cancelled, does not finish in time, the endpoint refuses the status request, or it does
    /// not find the job several times in a row.
    pub async fn wait(&self, id: &str) -> Result<Job, FineTuneError> {
        let start = Instant::now();
        let mut pause = self.polling.0;
        let mut before = None;
        let mut misses = 0;
        loop {
            match self.job(id).await {
                Ok(job) => {
                    misses = 0;
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
                Err(FineTuneError::Endpoint(source)) if source.kind == LmErrorKind::NotFound => {
                    // A new job may not be found at once, and a proxy may not find its server.
                    misses += 1;
                    if misses >= MISSES {
                        return Err(FineTuneError::Missing { job: id.to_owned(), source: source.into() });
                    }
                    tracing::warn!(job = id, error = %source, "the status of a fine-tuning job is not known");
                }
                Err(FineTuneError::Endpoint(error)) if is_open(&error) => {
                    tracing::warn!(job = id, %error, "the status of a fine-tuning job is not known");
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

/// Returns the id of a job, if it can be queried.
fn usable(job: Job) -> Result<String, FineTuneError> {
    segment(&job.id)?;
    Ok(job.id)
}

/// Returns whether a failure may pass. A reply that cannot be decoded does not mean that the request failed.
fn is_open(error: &LmError) -> bool {
    error.is_retryable() || error.kind == LmErrorKind::Decode
}

/// Returns whether a failure means that nothing was done: the request was not sent, or the endpoint refused it.
fn is_refusal(error: &FineTuneError) -> bool {
    match error {
        FineTuneError::Endpoint(error) => match error.status {
            // A time-out, and a conflict, say nothing about the effect.
            Some(status) => (400..500).contains(&status) && !matches!(status, 408 | 409),
            None => is_unsent(error),
        },
        _ => false,
    }
}

/// Returns whether the endpoint was not ready to handle the request. If its list has no job after a while, there is none.
fn is_unavailable(error: &LmError) -> bool {
    error.status == Some(503)
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
