//! The error of an optimization.

use std::fmt;
use std::path::PathBuf;

use dspy_core::error::{BoxError, clipped, write_chain};
use dspy_core::signature::FieldError;
use thiserror::Error;

use crate::component::ComponentError;
use crate::counts::counted;
use crate::journal::JournalError;
use crate::strategy::StrategyError;

/// The largest number of candidates that are held in memory at the same time.
const MOST_COUNT: usize = 10_000;

/// The reason why an optimization returned no program. If the run has a journal, it holds all paid calls.
///
/// `Debug` prints the message with its sources, which is what a `main` shows that returns the error.
#[derive(Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// A data set has no examples.
    #[error("the {set} is empty; it needs at least one row")]
    Empty {
        /// The name of the data set, such as `trainset` or `valset`.
        set: &'static str,
    },
    /// An example cannot be used. The check happens before any call is made.
    #[error("example {index} of the {set} cannot be used: {source}")]
    Example {
        /// The name of the data set, such as `trainset` or `valset`.
        set: &'static str,
        /// The index of the example in the data set, from 0.
        index: usize,
        /// The problem with it.
        source: FieldError,
    },
    /// The program has no predictors, so there is nothing to optimize.
    #[error("the program has no predictors, so there is nothing to optimize")]
    NoPredictors,
    /// The teacher does not have the same predictors and signatures as the program.
    #[error("the predictors of the teacher differ from those of the program: {}", .0.join("; "))]
    Teacher(Vec<String>),
    /// An option has an invalid value.
    #[error("invalid value {value} of the option `{option}`; expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
        /// The values that it can have.
        expected: &'static str,
    },
    /// The strategy of a [`BetterTogether`](crate::BetterTogether) cannot be carried out.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// The metric has accepted no run of the teacher, or the accepted ones have called no predictor of the program, so
    /// there is nothing to train on. No job was started.
    #[error("{}", no_training_rows(*.tried, *.accepted, .failure.as_deref()))]
    NoTrainingRows {
        /// The number of rows on which the teacher has run.
        tried: usize,
        /// The number of rows on which the metric has accepted a run.
        accepted: usize,
        /// The error of the first run that has failed, if one has.
        failure: Option<String>,
    },
    /// A trainer cannot train a model of the program. No call was made.
    #[error("the trainer cannot train {model}: {source}")]
    Trainer {
        /// The model, with the path of the predictor if its job is for one predictor only.
        model: String,
        /// The error of the trainer.
        source: BoxError,
    },
    /// A training job cannot be started or has failed. Jobs that were started go on; run again with the same
    /// `run_dir` to collect them.
    #[error("the training of {job} failed: {source}{}{advice}", of_others(.finished))]
    Training {
        /// The name of the job.
        job: String,
        /// The error of the trainer.
        source: BoxError,
        /// The names of the other jobs that have finished, and of their models.
        finished: Vec<(String, String)>,
        /// The way to continue; empty if no job was started.
        advice: String,
    },
    /// A trainset is too small, or the share too large, to hold out a valset.
    #[error(
        "{} cannot be divided into rows to learn from and rows to compare on ({ratio} of them), as no row is left for the {set}; \
         add rows, or set a valset", counted(*.rows, "row")
    )]
    Split {
        /// The set that would be empty: `valset` or `trainset`.
        set: &'static str,
        /// The number of rows to divide.
        rows: usize,
        /// The share to hold out.
        ratio: f64,
    },
    /// The only limit is in US dollars, but the price of the model is unknown: it is in no
    /// [table](dspy_core::lm::PriceTable), its handle has no [price](dspy_core::lm::Lm::price) and its
    /// replies report none. The run would therefore be unlimited.
    #[error(
        "the price of `{model}` is unknown, so a budget in US dollars alone would limit nothing; set the price with \
         `Lm::price`, or add a limit on calls or tokens"
    )]
    UnknownPrice {
        /// The model.
        model: String,
    },
    /// The model cannot be reached, or another external service failed, after all retries.
    #[error("{source}{}", how_to_resume(.run_dir.as_ref(), *.online))]
    Outage {
        /// The last error.
        source: BoxError,
        /// The folder of the journal, if the run has one; a new run with it resumes.
        run_dir: Option<PathBuf>,
        /// Whether it is of an [`OnlineAce`](crate::ace::OnlineAce), which keeps its runs for a further update.
        online: bool,
    },
    /// The metric failed on too many rows for its scores to be meaningful.
    #[error(
        "the metric failed on {}, for example {last}; fix the metric, or set `max_errors` if so many rows can be left \
         out{}", counted(*.failed, "row"), how_to_resume(.run_dir.as_ref(), *.online)
    )]
    Metric {
        /// The number of rows on which it has failed.
        failed: usize,
        /// One of these rows, with the message of the failure.
        last: String,
        /// The folder of the journal, if the run has one; a new run with it resumes.
        run_dir: Option<PathBuf>,
        /// Whether it is of an [`OnlineAce`](crate::ace::OnlineAce), which keeps its runs for a further update.
        online: bool,
    },
    /// The program failed on every row of its first evaluation for reasons that no prompt can change: an error of its
    /// own code, an input that does not fit, a request that is refused as invalid, a panic. Nothing else was spent.
    ///
    /// Replies that cannot be read, refusals by a content filter and prompts that are too long are no such reasons. If
    /// other prompts may lead to fewer errors of a program's own code, such as a query that cannot be executed, return
    /// an output in place of the error, which the metric scores.
    #[error(
        "the program failed on all {} that it ran on, and other prompts would not change that; for example {first}; fix \
         the program or the rows{}", counted(*.failed, "row"), how_to_go_on(.run_dir.as_ref())
    )]
    Program {
        /// The number of rows on which it has run.
        failed: usize,
        /// The first of these rows, with the message of the failure.
        first: String,
        /// The folder of the journal, if the run has one. A new run with it, of the corrected program and the same
        /// `code_version`, runs on these rows again and uses the replies that were paid.
        run_dir: Option<PathBuf>,
    },
    /// The program has returned results, but not one of its calls was seen, so that a limited budget cannot hold.
    #[error(
        "the program has returned results, but not one call of a model was seen, so the budget does not hold for its calls: \
         those of tasks that it starts with a bare `tokio::spawn` escape; start them with `dspy::spawn`, or run without a \
         limit"
    )]
    Escaped,
    /// A function that the search calls has panicked, such as a custom
    /// [`TextProposer`](crate::proposer::TextProposer). Everything that was paid is in the journal, if the run has one.
    /// (A panic of the program or of the metric is a failure of the row.)
    #[error("{callback} panicked: {message}; fix it{}", how_to_resume(.run_dir.as_ref(), *.online))]
    Panic {
        /// The function.
        callback: String,
        /// The message of the panic.
        message: String,
        /// The folder of the journal, if the run has one; a new run with it resumes.
        run_dir: Option<PathBuf>,
        /// Whether it is of an [`OnlineAce`](crate::ace::OnlineAce), which keeps its runs for a further update.
        online: bool,
    },
    /// A candidate cannot be applied to the program.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The algorithm itself failed. For custom optimizers.
    #[error(transparent)]
    Other(BoxError),
}

impl OptimizeError {
    /// Checks the temperature of a proposer.
    pub(crate) fn check_temperature(temperature: f64) -> Result<(), Self> {
        Self::check_at_least_0("temperature", temperature)
    }

    /// Checks an option that is a number of at least 0.
    pub(crate) fn check_at_least_0(option: &'static str, value: f64) -> Result<(), Self> {
        if value.is_finite() && value >= 0.0 {
            return Ok(());
        }
        let value = value.to_string();
        Err(OptimizeError::Option { option, value, expected: "a number of at least 0" })
    }

    /// Checks an option that is a number of things to hold in memory at the same time.
    pub(crate) fn check_count(option: &'static str, value: usize) -> Result<(), Self> {
        if value <= MOST_COUNT {
            return Ok(());
        }
        Err(OptimizeError::Option { option, value: value.to_string(), expected: "at most 10,000" })
    }

    /// Creates the error of a panic.
    pub(crate) fn panicked(
        callback: String,
        panic: &(dyn std::any::Any + Send),
        run_dir: Option<PathBuf>,
    ) -> Self {
        let message = clipped(dspy_base::panics::message(panic).unwrap_or("without a message"));
        OptimizeError::Panic { callback, message, run_dir, online: false }
    }

    /// Returns the error as one of an [`OnlineAce`](crate::ace::OnlineAce), which has no `run_dir` to resume from.
    pub(crate) fn of_update(mut self) -> Self {
        if let OptimizeError::Outage { online, .. }
        | OptimizeError::Metric { online, .. }
        | OptimizeError::Panic { online, .. } = &mut self
        {
            *online = true;
        }
        self
    }

    /// Creates an error of the algorithm itself, for custom optimizers.
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

fn no_training_rows(tried: usize, accepted: usize, failure: Option<&str>) -> String {
    if accepted > 0 {
        return format!(
            "{accepted} of {} of the teacher succeeded, but called no predictor of the program, so \
             there is nothing to train on; check that `forward` calls the predictors that the program has",
            counted(tried, "run")
        );
    }
    let failure = failure.map(|error| format!("; the first error is: {error}")).unwrap_or_default();
    format!(
        "no run of the teacher on {} was accepted, so there is nothing to train on; see the scores of the teacher \
         with `Evaluate`, or set a stronger teacher or another `metric_threshold`{failure}",
        counted(tried, "row")
    )
}

fn how_to_resume(run_dir: Option<&PathBuf>, online: bool) -> String {
    match run_dir {
        _ if online => {
            "; the finished runs are kept: `OnlineAce::update` tries them again at once, `learn` later".into()
        }
        Some(folder) => format!("; to resume, run again with the run_dir `{}`", folder.display()),
        None => "; set a `run_dir` to be able to resume such a run".into(),
    }
}

fn how_to_go_on(run_dir: Option<&PathBuf>) -> String {
    let how = |folder: &PathBuf| {
        format!(
            "; then run again with the run_dir `{}` and the same `code_version`: these rows run again, and the replies \
             that were paid are used",
            folder.display()
        )
    };
    run_dir.map(how).unwrap_or_default()
}

impl From<OptimizeError> for dspy_core::Error {
    fn from(error: OptimizeError) -> Self {
        dspy_core::Error::other(error)
    }
}

/// Returns the part of a message on training jobs that have finished, with their models.
pub(crate) fn of_others(finished: &[(String, String)]) -> String {
    if finished.is_empty() {
        return String::new();
    }
    let each: Vec<String> = finished.iter().map(|(job, model)| format!("{job} as `{model}`")).collect();
    format!("; finished: {}", each.join(", "))
}
