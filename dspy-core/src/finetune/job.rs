//! Jobs, files and events as the API knows them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::rows::TrainingSet;

/// What is to be tuned, on what and how.
#[derive(Debug, Clone)]
pub struct FineTune {
    pub(super) model: String,
    pub(super) training: TrainingSet,
    pub(super) validation: Option<TrainingSet>,
    /// Members of the request as they stand.
    pub(super) body: Map<String, Value>,
    pub(super) limits: super::Limits,
}

impl FineTune {
    /// A model of the endpoint, tuned on these rows.
    pub fn new(model: impl Into<String>, training: TrainingSet) -> Self {
        FineTune {
            model: model.into(),
            training,
            validation: None,
            body: Map::new(),
            limits: super::Limits::default(),
        }
    }

    /// Adds rows that are not learnt from but measured on.
    #[must_use]
    pub fn validation(mut self, rows: TrainingSet) -> Self {
        self.validation = Some(rows);
        self
    }

    /// Sets what the name of the tuned model ends in.
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

    /// Sets what the rows are checked against before they are sent.
    #[must_use]
    pub fn limits(mut self, limits: super::Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// A file that was uploaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UploadedFile {
    /// What the endpoint knows it by.
    pub id: String,
    /// The name that it was uploaded under.
    #[serde(default)]
    pub filename: String,
    /// Its size.
    #[serde(default)]
    pub bytes: u64,
    /// What it is for.
    #[serde(default)]
    pub purpose: String,
    /// What the endpoint makes of it, where it says so.
    #[serde(default)]
    pub status: Option<String>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobStatus {
    /// The files are being checked.
    ValidatingFiles,
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// Somebody paused it.
    Paused,
    /// There is a tuned model.
    Succeeded,
    /// There will be none.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Something else, in the endpoint's words. It is taken for a job that goes on.
    Other(String),
}

impl JobStatus {
    /// The name on the wire.
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

    /// Whether nothing more will happen.
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

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobError {
    /// The endpoint's code, such as `invalid_training_file`.
    #[serde(default)]
    pub code: Option<String>,
    /// What happened, in the endpoint's words.
    #[serde(default)]
    pub message: Option<String>,
    /// The parameter that is at fault, such as `training_file`.
    #[serde(default)]
    pub param: Option<String>,
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
    /// What the endpoint knows it by.
    pub id: String,
    /// The model that is tuned.
    #[serde(default)]
    pub model: String,
    /// How far it is.
    pub status: JobStatus,
    /// The name of the tuned model, once there is one.
    #[serde(default)]
    pub fine_tuned_model: Option<String>,
    /// The file that is learnt from.
    #[serde(default)]
    pub training_file: Option<String>,
    /// The file that is measured on.
    #[serde(default)]
    pub validation_file: Option<String>,
    /// The tokens that were learnt, and are charged for.
    #[serde(default)]
    pub trained_tokens: Option<u64>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<JobError>,
    /// What was noted on it when it was made.
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub created_at: Option<u64>,
    /// When it will be done, in seconds since 1970, where the endpoint has an estimate.
    #[serde(default)]
    pub estimated_finish: Option<u64>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobEvent {
    /// What the endpoint knows it by.
    #[serde(default)]
    pub id: String,
    /// When, in seconds since 1970.
    #[serde(default)]
    pub created_at: Option<u64>,
    /// `info`, `warn` or `error`.
    #[serde(default)]
    pub level: String,
    /// What happened.
    #[serde(default)]
    pub message: String,
    /// Measurements, such as the loss at a step.
    #[serde(default)]
    pub data: Option<Value>,
}

/// A part of a list, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Whether there are more: ask for those after the id of the last one.
    #[serde(default)]
    pub has_more: bool,
}
