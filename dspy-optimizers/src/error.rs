//! Why an optimization gave no program.

use std::fmt;
use std::path::PathBuf;

use dspy_core::error::{BoxError, write_chain};
use dspy_core::signature::FieldError;
use thiserror::Error;

use crate::component::ComponentError;
use crate::journal::JournalError;

/// Why an optimization gave no program. What was paid stands in the journal, if the run has one.
///
/// Its `Debug` is its text with its sources, as a `main` shows it that returns the error.
#[derive(Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// There are no examples.
    #[error("the {set} is empty")]
    Empty {
        /// `trainset` or `valset`.
        set: &'static str,
    },
    /// An example cannot be used. Found before any call was made.
    #[error("example {index} of the {set} cannot be used: {source}")]
    Example {
        /// `trainset` or `valset`.
        set: &'static str,
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        source: FieldError,
    },
    /// The program has no predictors, so there is nothing to optimize.
    #[error("the program has no predictors")]
    NoPredictors,
    /// The teacher is not a program of the same shape.
    #[error("the teacher does not fit the program: {}", .0.join("; "))]
    Teacher(Vec<String>),
    /// An option has a value that makes no sense.
    #[error("`{option}` cannot be {value}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
    },
    /// The only limit is one in US dollars, and what the model costs is not known: it is in no
    /// [table](dspy_core::lm::PriceTable), its handle has no [price](dspy_core::lm::Lm::price) and its answers tell none.
    /// So nothing would limit the run.
    #[error(
        "what `{model}` costs is not known, so a budget of dollars alone limits nothing; tell by `Lm::price`, or add a \
         limit of calls or tokens"
    )]
    UnknownPrice {
        /// The model.
        model: String,
    },
    /// The model cannot be reached, or another part of the world failed, again and again.
    #[error("{source}{}", how_to_go_on(.run_dir.as_ref()))]
    Outage {
        /// What happened last.
        source: BoxError,
        /// The folder of the journal, with which a new run goes on.
        run_dir: Option<PathBuf>,
    },
    /// The metric itself failed too often for its scores to mean anything.
    #[error("the metric failed on {failed} examples, at last: {last}{}", how_to_go_on(.run_dir.as_ref()))]
    Metric {
        /// On how many examples so far.
        failed: usize,
        /// The last failure.
        last: String,
        /// The folder of the journal, with which a new run goes on.
        run_dir: Option<PathBuf>,
    },
    /// A candidate cannot be applied to the program.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An error of the algorithm itself, for optimizers of your own.
    #[error(transparent)]
    Other(BoxError),
}

impl OptimizeError {
    /// Creates an error of the algorithm itself, for optimizers of your own.
    pub fn other(error: impl Into<BoxError>) -> Self {
        OptimizeError::Other(error.into())
    }
}

impl From<dspy_core::Error> for OptimizeError {
    fn from(error: dspy_core::Error) -> Self {
        OptimizeError::other(error)
    }
}

impl fmt::Debug for OptimizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_chain(self, f)
    }
}

fn how_to_go_on(run_dir: Option<&PathBuf>) -> String {
    match run_dir {
        Some(folder) => {
            format!("; nothing that was paid is lost: run again with the run_dir `{}`", folder.display())
        }
        None => "; with a `run_dir` such a run can go on where it was".into(),
    }
}

impl From<OptimizeError> for dspy_core::Error {
    fn from(error: OptimizeError) -> Self {
        dspy_core::Error::other(error)
    }
}
