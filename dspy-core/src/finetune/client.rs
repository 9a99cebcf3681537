//! The client of the fine-tuning API.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::error::FineTuneError;
use super::job::{Job, JobEvent, Page, UploadedFile};
use super::multipart;
use crate::lm::{Endpoint, Lm};
use dspy_lm::internal::{Api, Payload};

/// The fine-tuning API of an endpoint.
///
/// [`run`](Self::run) does all steps and survives a restart. The other methods are the single steps.
#[derive(Debug, Clone)]
pub struct FineTuning {
    pub(super) api: Api,
    /// The first and the longest interval between two status requests.
    pub(super) polling: (Duration, Duration),
    /// The maximum time to wait for a job.
    pub(super) deadline: Duration,
}

impl FineTuning {
    /// Creates a client of this endpoint, with its key, headers and retry policy.
    pub fn new(endpoint: Endpoint) -> Self {
        FineTuning {
            api: Api::new(endpoint, "fine-tuning"),
            polling: (Duration::from_secs(5), Duration::from_mins(1)),
            deadline: Duration::from_hours(24),
        }
    }

    /// Sets the first and the longest interval between two status requests. The defaults are 5 seconds and 60
    /// seconds.
    #[must_use]
    pub fn polling(mut self, first: Duration, longest: Duration) -> Self {
        self.polling = (first, longest);
        self
    }

    /// Sets the maximum time to wait for a job; one day by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the name at this endpoint of the model of a handle, without the name of the provider; `None` if
    /// it is no model of this endpoint's provider.
    ///
    /// ```
    /// use dspy_core::finetune::FineTuning;
    /// use dspy_core::lm::Endpoint;
    /// let endpoint = Endpoint::new("http://localhost:8000/v1");
    /// let lm = endpoint.model("org/small")?;
    /// assert_eq!(FineTuning::new(endpoint).name_of(&lm).as_deref(), Some("org/small"));
    /// # Ok::<(), dspy_core::lm::LmError>(())
    /// ```
    pub fn name_of(&self, lm: &Lm) -> Option<String> {
        let id = lm.id();
        let names = [Some(id), id.split_once('/').map(|(_, name)| name)];
        let same = |name: &&str| self.api.model(name).is_ok_and(|model| model.id() == id);
        names.into_iter().flatten().find(same).map(str::to_owned)
    }

    /// Uploads a file of training rows. The upload is retried only if the endpoint refused it for too many
    /// requests.
    ///
    /// # Errors
    /// The errors of the endpoint. After a lost connection the file may exist nevertheless: see
    /// [`files`](Self::files).
    pub async fn upload(
        &self,
        name: &str,
        content: impl Into<Arc<[u8]>>,
    ) -> Result<UploadedFile, FineTuneError> {
        let content = content.into();
        Ok(self.api.post("/files", &|| multipart::form("fine-tune", name, &content)).await?)
    }

    /// Returns the files for fine-tuning, latest first: up to 1,000, starting after the file with the id
    /// `after`.
    ///
    /// # Errors
    /// The errors of the endpoint.
    pub async fn files(&self, after: Option<&str>) -> Result<Page<UploadedFile>, FineTuneError> {
        let mut query = vec![("purpose", "fine-tune"), ("limit", "1000"), ("order", "desc")];
        query.extend(after.map(|after| ("after", after)));
        Ok(self.api.get("/files", &query).await?)
    }

    /// Deletes a file.
    ///
    /// # Errors
    /// The errors of the endpoint.
    pub async fn delete_file(&self, id: &str) -> Result<(), FineTuneError> {
        let _: Value = self.api.delete(&format!("/files/{}", segment(id)?)).await?;
        Ok(())
    }

    /// Creates a job; the members of `request` are those of the API: `model`, `training_file`, …. The request
    /// is retried only if the endpoint refused it for too many requests.
    ///
    /// # Errors
    /// The errors of the endpoint. After a lost connection the job may exist nevertheless: see
    /// [`jobs`](Self::jobs).
    pub async fn create(&self, request: &Map<String, Value>) -> Result<Job, FineTuneError> {
        let body = Value::Object(request.clone()).to_string();
        Ok(self.api.post("/fine_tuning/jobs", &|| json(&body)).await?)
    }

    /// Returns the current state of a job.
    ///
    /// # Errors
    /// The errors of the endpoint.
    pub async fn job(&self, id: &str) -> Result<Job, FineTuneError> {
        Ok(self.api.get(&format!("/fine_tuning/jobs/{}", segment(id)?), &[]).await?)
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// The errors of the endpoint.
    pub async fn cancel(&self, id: &str) -> Result<Job, FineTuneError> {
        let path = format!("/fine_tuning/jobs/{}/cancel", segment(id)?);
        Ok(self.api.post(&path, &|| json("{}")).await?)
    }

    /// Returns the jobs, latest first: up to 100, starting after the job with the id `after`.
    ///
    /// # Errors
    /// The errors of the endpoint.
    pub async fn jobs(&self, after: Option<&str>) -> Result<Page<Job>, FineTuneError> {
        let mut query = vec![("limit", "100")];
        query.extend(after.map(|after| ("after", after)));
        Ok(self.api.get("/fine_tuning/jobs", &query).await?)
    }

    /// Returns the events of a job, latest first: up to 100, starting after the event with the id `after`.
    ///
    /// # Errors
    /// The errors of the endpoint.
    pub async fn events(&self, job: &str, after: Option<&str>) -> Result<Page<JobEvent>, FineTuneError> {
        let mut query = vec![("limit", "100")];
        query.extend(after.map(|after| ("after", after)));
        Ok(self.api.get(&format!("/fine_tuning/jobs/{}/events", segment(job)?), &query).await?)
    }
}

fn json(body: &str) -> Payload {
    Payload {
        content_type: "application/json".into(),
        length: body.len() as u64,
        body: body.to_owned().into(),
    }
}

/// Returns an id as a single path segment. Characters that could change the path are encoded.
pub(super) fn segment(id: &str) -> Result<Cow<'_, str>, FineTuneError> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b':' | b'.');
    if id.is_empty() || id.starts_with('.') || id.chars().any(char::is_control) {
        return Err(FineTuneError::Answer { message: format!("`{}` is not an id", id.escape_debug()) });
    }
    if id.bytes().all(plain) {
        return Ok(id.into());
    }
    let encode = |c: u8| if plain(c) { char::from(c).to_string() } else { format!("%{c:02X}") };
    Ok(id.bytes().map(encode).collect::<String>().into())
}
