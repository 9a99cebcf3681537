//! The options of all optimizers that call a model.

use std::fmt;
use std::path::PathBuf;

use dspy_core::lm::Budget;

use crate::events::Listener;
use crate::verify::Verify;

/// Options of an optimization: budget, journal, seed, concurrency, progress, verification.
///
/// The built-in optimizers have the same setters. A custom optimizer holds an `Options` and passes it to its
/// [`Study`](crate::engine::Study).
///
/// ```
/// use dspy_optimizers::{Budget, Options};
/// let options = Options::default().budget(Budget::calls(500)).run_dir("runs/qa").code_version("2").seed(7);
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) budget: Budget,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) concurrency: usize,
    pub(crate) seed: u64,
    pub(crate) progress: bool,
    pub(crate) max_errors: usize,
    pub(crate) code_version: Option<String>,
    pub(crate) verify: Option<Verify>,
    pub(crate) best_score: Option<f64>,
    pub(crate) listener: Option<Listener>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            budget: Budget::UNLIMITED,
            run_dir: None,
            concurrency: 8,
            seed: 0,
            progress: false,
            max_errors: 10,
            code_version: None,
            verify: None,
            best_score: Some(1.0),
            listener: None,
        }
    }
}

impl Options {
    option_setters!(self, self);
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            budget,
            run_dir,
            concurrency,
            seed,
            progress,
            max_errors,
            code_version,
            verify,
            best_score,
            listener,
        } = self;
        f.debug_struct("Options")
            .field("budget", budget)
            .field("run_dir", run_dir)
            .field("concurrency", concurrency)
            .field("seed", seed)
            .field("progress", progress)
            .field("max_errors", max_errors)
            .field("code_version", code_version)
            .field("verify", verify)
            .field("best_score", best_score)
            .field("on_event", &listener.is_some())
            .finish()
    }
}

/// The setters of [`Options`], for an `impl` block of a type with options at `$options`.
macro_rules! option_setters {
    ($self:ident, $options:expr) => {
        /// Sets limits on calls, tokens, US dollars and time. When one is reached, the best program so far is
        /// the result and [`Report::stopped`](crate::Report::stopped) names the limit. Unlimited by default.
        #[doc(alias = "max_metric_calls")]
        #[must_use]
        pub fn budget(mut $self, budget: dspy_core::lm::Budget) -> Self {
            $options.budget = budget;
            $self
        }

        /// Sets the folder of the journal. An optimization that was killed, or stopped by an outage or a
        /// budget, resumes when it is started again with the same folder. By default, there is no journal on
        /// disk.
        ///
        /// A resumed run ends with the same program and report as an uninterrupted one, with one exception: calls in
        /// flight at a kill count as paid, so a run whose budget binds may end earlier. Its report says so.
        ///
        /// At the end, the folder also has the [report](crate::Report) as `report.json` and, for a browser, as
        /// `report.html`.
        ///
        /// A folder belongs to one optimization: starting with other data, options or programs is an error,
        /// and so is a `journal.jsonl` that is not a journal. Settings of modules in code are part of the program
        /// if the modules [describe](dspy_core::program::Visitor::settings) them. Other code has no identity: if
        /// the metric, the function of a reducer or the `forward` of a program has changed, the results in the
        /// journal are those of the old code. Set a new [`code_version`](Self::code_version) with each such
        /// change, or another folder.
        ///
        /// The journal contains prompts and replies; on Unix, only its owner can read it. If it is removed during
        /// the optimization, [`Report::warnings`](crate::Report::warnings) has a warning.
        #[doc(alias = "log_dir")]
        #[must_use]
        pub fn run_dir(mut $self, folder: impl Into<std::path::PathBuf>) -> Self {
            $options.run_dir = Some(folder.into());
            $self
        }

        /// Sets the largest number of examples in flight, 8 by default and at least 1. The result does not
        /// depend on it.
        #[doc(alias = "num_threads")]
        #[must_use]
        pub fn concurrency(mut $self, examples: usize) -> Self {
            $options.concurrency = examples.max(1);
            $self
        }

        /// Sets the seed of all random decisions, 0 by default.
        #[must_use]
        pub fn seed(mut $self, seed: u64) -> Self {
            $options.seed = seed;
            $self
        }

        /// Sets whether to show a line with the phase, the best score, the cost and the time left, if there is a
        /// terminal. Off by default.
        #[must_use]
        pub fn progress(mut $self, on: bool) -> Self {
            $options.progress = on;
            $self
        }

        /// Sets a function that receives every event, such as phases, rollouts and trials. The search waits for it;
        /// [`StudyEvents`](crate::StudyEvents) is a stream that the search does not wait for.
        #[doc(alias = "callbacks")]
        #[must_use]
        pub fn on_event(mut $self, listener: impl Fn(&crate::StudyEvent) + Send + Sync + 'static) -> Self {
            $options.listener = Some(std::sync::Arc::new(listener));
            $self
        }

        /// Sets a version of the code that the journal of a [`run_dir`](Self::run_dir) cannot see: the metric, and the
        /// code of the program, such as its `forward`. With another version than that of the journal, the
        /// optimization is an error that names both, instead of a return of the old scores. None by default.
        #[doc(alias = "metric_version")]
        #[must_use]
        pub fn code_version(mut $self, version: impl Into<String>) -> Self {
            $options.code_version = Some(version.into());
            $self
        }

        /// Sets the number of rows on which the metric may fail, by an error, a panic or a score that is not a
        /// finite number, before the optimization ends with
        /// [`OptimizeError::Metric`](crate::OptimizeError::Metric), 10 by default. A row counts once, however many
        /// candidates it fails for.
        ///
        /// Rows on which it fails are excluded from the score, as in
        /// [`Evaluate`](dspy_core::evaluate::Evaluate), which has no such limit.
        /// [`Report::warnings`](crate::Report::warnings) has their number and the first of them. A failure of the
        /// program does not count as an error but scores 0; if it fails on every row, see
        /// [`OptimizeError::Program`](crate::OptimizeError::Program).
        #[must_use]
        pub fn max_errors(mut $self, rows: usize) -> Self {
            $options.max_errors = rows;
            $self
        }

        /// Sets that the result is verified on rows that the search never uses: it is returned only if its
        /// score there is not lower than that of the original program. Off by default, unless the data has a
        /// [holdout](crate::Data::holdout).
        #[must_use]
        pub fn verify(mut $self, verify: crate::Verify) -> Self {
            $options.verify = Some(verify);
            $self
        }

        /// Sets the best possible score of the metric, 1 by default. If the original program reaches it, or is so near
        /// that no gain could be seen on the rows, the search ends before it spends more; see
        /// [`Headroom`](crate::Headroom). With `None`, no search ends for that reason.
        #[must_use]
        pub fn best_score(mut $self, score: impl Into<Option<f64>>) -> Self {
            $options.best_score = score.into();
            $self
        }
    };
}
pub(crate) use option_setters;
