//! What can end an optimization early.

use std::path::PathBuf;

use thiserror::Error;

/// An optimization that gave no program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// There are no examples to learn from.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// An option has a value that cannot work.
    #[error("{0}")]
    Option(String),
    /// The budget was spent before any program had been scored.
    #[error("the budget was spent before the first program was scored; nothing can be returned")]
    Budget,
    /// The model could not be reached, again and again. What was paid for is in the journal.
    #[error("{source}; {advice}", advice = resume_advice(*.journalled))]
    Outage {
        /// The last failure.
        source: dspy_core::Error,
        /// Whether the run has a journal to go on from.
        journalled: bool,
    },
    /// The metric failed too often.
    #[error("the metric failed at {failures} examples; the last time: {message}")]
    Metric {
        /// How often.
        failures: usize,
        /// What it said last.
        message: String,
    },
    /// The programs of student and teacher have different predictors.
    #[error("the teacher has other predictors than the program: {0}")]
    Teacher(String),
    /// The run directory cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The run directory belongs to a run that another process is working on.
    #[error("{} is in use by another run; wait for it or choose another `run_dir`", .0.display())]
    Locked(PathBuf),
    /// The run directory holds the journal of another run.
    #[error(
        "{} is the journal of another run ({difference}); choose another `run_dir`, or delete it to start anew",
        path.display()
    )]
    OtherRun {
        /// The journal.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A line of the journal cannot be read although others follow it.
    #[error("{}, line {line}: {message}; delete the file to start anew", path.display())]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An example or a demonstration has no JSON form.
    #[error(transparent)]
    Field(#[from] dspy_core::signature::FieldError),
}

fn resume_advice(journalled: bool) -> &'static str {
    if journalled {
        "run again with the same `run_dir` to go on from here"
    } else {
        "with a `run_dir` the run could go on from here"
    }
}

impl From<OptimizeError> for dspy_core::Error {
    fn from(error: OptimizeError) -> Self {
        dspy_core::Error::other(error)
    }
}
