//! Errors of fine-tuning.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::check::RowProblem;
use super::job::JobError;
use crate::lm::LmError;

/// The error of a fine-tuning that failed or has not finished. Never holds a key.
#[derive(Error)]
#[non_exhaustive]
pub enum FineTuneError {
    /// A row cannot be represented in the training file.
    #[error("the row cannot be written: {message}")]
    Row {
        /// The reason.
        message: String,
    },
    /// The rows are not valid training data. Nothing was sent.
    #[error("the training data cannot be used: {}", listed(.problems))]
    Rows {
        /// The problems, each with the number of its row.
        problems: Vec<RowProblem>,
    },
    /// The endpoint could not be reached or refused a request.
    #[error(transparent)]
    Endpoint(#[from] LmError),
    /// The job failed.
    #[error("the fine-tuning job {job} failed: {reason}")]
    Failed {
        /// The id of the job.
        job: String,
        /// The reason that the endpoint reports.
        reason: JobError,
    },
    /// The job was cancelled.
    #[error("the fine-tuning job {job} was cancelled")]
    Cancelled {
        /// The id of the job.
        job: String,
    },
    /// The job did not finish in time. It continues: run again with the same state file to wait for it.
    #[error("the fine-tuning job {job} is not done after {waited:?} of waiting")]
    Deadline {
        /// The id of the job.
        job: String,
        /// The time waited.
        waited: Duration,
    },
    /// The request that creates the job had an unknown outcome, and the endpoint's list of jobs does not show it, or there
    /// is no such list. A job may exist and be charged for, so no other one is created, in later runs either: these look
    /// for it in the list again. If it exists, give its id to
    /// [`FineTuning::adopt`](crate::finetune::FineTuning::adopt); otherwise delete the state file to begin anew.
    #[error(
        "the fine-tuning job may have been created, {}{}; look for it there: record its id by `FineTuning::adopt` to wait \
         for it, or delete `{}` to create a new job",
        if *.listed { "but is not in the endpoint's list of jobs" }
        else { "and the endpoint has no list of jobs to tell" },
        because(.source.as_deref()),
        path.display()
    )]
    Unknown {
        /// The state file.
        path: PathBuf,
        /// The error of the request, if it was sent in this run.
        source: Option<Box<LmError>>,
        /// Whether the endpoint has a list of jobs.
        listed: bool,
    },
    /// The endpoint does not know the job any more, or its base URL has changed. To create a new job, delete the state
    /// file.
    #[error("the endpoint has no fine-tuning job {job}, several queries in a row: {source}")]
    Missing {
        /// The id of the job.
        job: String,
        /// The error of the last query.
        source: Box<LmError>,
    },
    /// The endpoint returned an invalid job.
    #[error("the endpoint answered with an unusable job: {message}")]
    Answer {
        /// The problem.
        message: String,
    },
    /// The state file cannot be read or written, or belongs to another fine-tuning.
    #[error("{}: {message}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
}

crate::error::readable_debug!(FineTuneError);

/// The maximum number of problems that a message lists.
const NAMED: usize = 5;

fn because(source: Option<&LmError>) -> String {
    source.map(|error| format!(" ({error})")).unwrap_or_default()
}

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
