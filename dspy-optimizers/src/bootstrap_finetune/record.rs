//! The record of a tuned model in the folder of a run.

use std::path::PathBuf;

use dspy_base::digest::Digest;
use dspy_core::lm::Lm;
use serde::{Deserialize, Serialize};

use super::trainer::TrainingJob;

/// The model of a finished job.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    job: String,
    /// A digest of the rows.
    rows: String,
    model: String,
    /// The identity of its endpoint.
    deployment: String,
}

impl Record {
    fn of(job: &TrainingJob, lm: &Lm) -> Self {
        Record {
            job: job.name.clone(),
            rows: digest(job),
            model: lm.id().to_owned(),
            deployment: lm.deployment().into(),
        }
    }
}

fn digest(job: &TrainingJob) -> String {
    Digest::new().add_text(&format!("{:?}", job.rows)).short()
}

/// Returns the file of the record, beside the state of the job.
fn path(job: &TrainingJob) -> Option<PathBuf> {
    let state = job.state.as_ref()?;
    let name = state.file_name()?.to_str()?;
    Some(state.with_file_name(format!("tuned-{}", name.strip_prefix("training-")?)))
}

/// Returns the id of the model that the job has returned in an earlier run.
pub(super) fn recorded(job: &TrainingJob) -> Option<String> {
    let text = std::fs::read_to_string(path(job)?).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    (record.job == job.name && record.rows == digest(job)).then_some(record.model)
}

/// Records the model of a job, if there is a folder. A failure is logged only: the model is paid.
pub(super) fn record(job: &TrainingJob, lm: &Lm) {
    let Some(path) = path(job) else { return };
    let written = serde_json::to_vec_pretty(&Record::of(job, lm)).map_err(std::io::Error::from);
    if let Err(error) = written.and_then(|json| dspy_base::files::write(&path, &json)) {
        tracing::warn!(path = %path.display(), %error, "a tuned model could not be recorded");
    }
}
