//! Jobs, files and events of the API.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::rows::TrainingSet;

/// The description of a fine-tuning: model, training data and settings.
#[derive(Debug, Clone)]
pub struct FineTune {
    pub(super) model: String,
    pub(super) training: TrainingSet,
    pub(super) validation: Option<TrainingSet>,
    /// Members of the request, sent unchanged.
    pub(super) body: Map<String, Value>,
    pub(super) limits: super::Limits,
}

impl FineTune {
    /// Creates a fine-tuning of a model of the endpoint on these rows.
    pub fn new(model: impl Into<String>, training: TrainingSet) -> Self {
        FineTune {
            model: model.into(),
            training,
            validation: None,
            body: Map::new(),
            limits: super::Limits::default(),
        }
    }

    /// Sets the rows that are used for validation only, not for training.
    #[must_use]
    pub fn validation(mut self, rows: TrainingSet) -> Self {
        self.validation = Some(rows);
        self
    }

    /// Sets the suffix of the tuned model's name.
    #[must_use]
    pub fn suffix(self, suffix: impl Into<String>) -> Self {
        self.with("suffix", suffix.into())
    }

    /// Sets the seed of the training.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.with("seed", seed)
    }

    /// Sets the hyperparameters, such as `{"n_epochs": 3}`, of the method that fits the rows: supervised training, or
    /// direct preference optimization for rows of preferences.
    ///
    /// ```
    /// use dspy_core::finetune::{FineTune, TrainingSet};
    /// let hyperparameters = serde_json::json!({"n_epochs": 3, "learning_rate_multiplier": 0.5});
    /// let tune = FineTune::new("gpt-4o-mini-2024-07-18", TrainingSet::new()).hyperparameters(hyperparameters);
    /// # let _ = tune;
    /// ```
    #[must_use]
    pub fn hyperparameters(self, hyperparameters: Value) -> Self {
        let method = if self.training.is_preference() { "dpo" } else { "supervised" };
        let mut settings = json!({"type": method});
        settings[method] = json!({"hyperparameters": hyperparameters});
        self.with("method", settings)
    }

    /// Sets any member of the request, such as `method` in full or `hyperparameters` of servers with an older API.
    #[must_use]
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.body.insert(member.into(), value.into());
        self
    }

    /// Sets the limits that the rows are checked against before they are sent.
    #[must_use]
    pub fn limits(mut self, limits: super::Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UploadedFile {
    /// The id at the endpoint.
    pub id: String,
    /// The name of the upload.
    #[serde(default, deserialize_with = "or_default")]
    pub filename: String,
    /// The size in bytes.
    #[serde(default, deserialize_with = "or_default")]
    pub bytes: u64,
    /// The purpose, such as `fine-tune`.
    #[serde(default, deserialize_with = "or_default")]
    pub purpose: String,
    /// The processing status, if the endpoint reports it.
    #[serde(default)]
    pub status: Option<String>,
}

/// The status of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobStatus {
    /// The files are being checked.
    ValidatingFiles,
    /// The job is queued.
    Queued,
    /// The job is running.
    Running,
    /// The job was paused by a user.
    Paused,
    /// The job finished with a tuned model.
    Succeeded,
    /// The job failed; there is no model.
    Failed,
    /// The job was cancelled by a user.
    Cancelled,
    /// Another status, in the endpoint's words. Jobs with it count as not finished.
    Other(String),
}

impl JobStatus {
    /// Returns the name used by the API.
    pub fn as_str(&self) -> &str {
        match self {
            JobStatus::ValidatingFiles => "validating_files",
            JobStatus::Queued => "queued",
            JobStatus::Running => "running",
            JobStatus::Paused => "paused",
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
            JobStatus::Other(status) => status,
        }
    }

    /// Returns whether the status will not change any more.
    pub fn is_final(&self) -> bool {
        matches!(self, JobStatus::Succeeded | JobStatus::Failed | JobStatus::Cancelled)
    }
}

impl From<&str> for JobStatus {
    fn from(name: &str) -> Self {
        match name {
            "validating_files" => JobStatus::ValidatingFiles,
            "queued" | "pending" => JobStatus::Queued,
            "running" => JobStatus::Running,
            "paused" => JobStatus::Paused,
            "succeeded" | "completed" => JobStatus::Succeeded,
            "failed" | "error" => JobStatus::Failed,
            "cancelled" | "canceled" => JobStatus::Cancelled,
            other => JobStatus::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for JobStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for JobStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.as_str().into())
    }
}

/// The reason why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct JobError {
    /// The endpoint's code, such as `invalid_training_file`.
    pub code: Option<String>,
    /// The message of the endpoint.
    pub message: Option<String>,
    /// The invalid parameter, such as `training_file`.
    pub param: Option<String>,
}

/// An object, or the message alone.
impl<'de> Deserialize<'de> for JobError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        Ok(match Value::deserialize(deserializer)? {
            Value::Object(mut members) => {
                let mut member = |name: &str| members.remove(name).and_then(text);
                JobError { code: member("code"), message: member("message"), param: member("param") }
            }
            other => JobError { message: text(other), ..JobError::default() },
        })
    }
}

/// Decodes a value that may be `null`, which is the default.
fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or("no reason given"))?;
        let details: Vec<&str> =
            [&self.code, &self.param].into_iter().flatten().map(String::as_str).collect();
        if details.is_empty() { Ok(()) } else { write!(f, " ({})", details.join(", ")) }
    }
}

/// A fine-tuning job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// The id at the endpoint.
    pub id: String,
    /// The model that is tuned.
    #[serde(default, deserialize_with = "or_default")]
    pub model: String,
    /// The status.
    pub status: JobStatus,
    /// The name of the tuned model, once it exists.
    #[serde(default)]
    pub fine_tuned_model: Option<String>,
    /// The id of the training file.
    #[serde(default)]
    pub training_file: Option<String>,
    /// The id of the validation file.
    #[serde(default)]
    pub validation_file: Option<String>,
    /// The number of tokens that were trained on and are charged for.
    #[serde(default)]
    pub trained_tokens: Option<u64>,
    /// The reason of a failure.
    #[serde(default)]
    pub error: Option<JobError>,
    /// The metadata that was set when the job was created.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// The time of creation, in seconds since 1970.
    #[serde(default)]
    pub created_at: Option<u64>,
    /// The estimated time of completion, in seconds since 1970, if the endpoint has an estimate.
    #[serde(default)]
    pub estimated_finish: Option<u64>,
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobEvent {
    /// The id at the endpoint.
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    /// The time of the event, in seconds since 1970.
    #[serde(default)]
    pub created_at: Option<u64>,
    /// The level: `info`, `warn` or `error`.
    #[serde(default, deserialize_with = "or_default")]
    pub level: String,
    /// The message.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
    /// Measurements, such as the loss at a step.
    #[serde(default)]
    pub data: Option<Value>,
}

/// A page of a list, latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Whether there are more items: request those after the id of the last one.
    #[serde(default, deserialize_with = "or_default")]
    pub has_more: bool,
}
