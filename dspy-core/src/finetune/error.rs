//! What can go wrong with a fine-tuning.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::check::RowProblem;
use super::job::JobError;
use crate::lm::LmError;

/// A fine-tuning that came to nothing, or not yet to its end. Never holds a key.
#[derive(Error)]
#[non_exhaustive]
pub enum FineTuneError {
    /// A row cannot be written down.
    #[error("the row cannot be written: {message}")]
    Row {
        /// Why.
        message: String,
    },
    /// Rows cannot be learnt from. Nothing was sent.
    #[error("the training data cannot be used: {}", listed(.problems))]
    Rows {
        /// What is wrong with which row.
        problems: Vec<RowProblem>,
    },
    /// The endpoint could not be reached or refused a request.
    #[error(transparent)]
    Endpoint(#[from] LmError),
    /// The job failed.
    #[error("the fine-tuning job {job} failed: {reason}")]
    Failed {
        /// The job.
        job: String,
        /// What the endpoint says about it.
        reason: JobError,
    },
    /// The job was cancelled.
    #[error("the fine-tuning job {job} was cancelled")]
    Cancelled {
        /// The job.
        job: String,
    },
    /// The job is not done in time. It goes on: start again with the same state file to wait for it.
    #[error("the fine-tuning job {job} is not done after {waited:?} of waiting")]
    Deadline {
        /// The job.
        job: String,
        /// How long was waited for it.
        waited: Duration,
    },
    /// The endpoint sent what a job cannot be.
    #[error("the endpoint answered with an unusable job: {message}")]
    Answer {
        /// What is wrong with it.
        message: String,
    },
    /// The state file cannot be read or written, or belongs to another fine-tuning.
    #[error("{}: {message}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

crate::error::readable_debug!(FineTuneError);

/// The most problems that a message names.
const NAMED: usize = 5;

fn listed(problems: &[RowProblem]) -> String {
    let shown = problems.iter().take(NAMED).map(|problem| match problem.row {
        0 => problem.message.clone(),
        row => format!("row {row}: {}", problem.message),
    });
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if problems.len() > NAMED {
        text.push_str(&format!("; and {} more", problems.len() - NAMED));
    }
    text
}
