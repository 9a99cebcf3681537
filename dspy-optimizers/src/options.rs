//! The options that all optimizers share which call a model.

use std::path::PathBuf;

use crate::budget::Budget;

/// How a run is carried out. Only the seed changes its result.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) budget: Budget,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) concurrency: usize,
    pub(crate) seed: u64,
    pub(crate) progress: bool,
    pub(crate) max_errors: usize,
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
        }
    }
}

/// The setters of these options, for a builder with a field `options`.
macro_rules! option_setters {
    () => {
        /// Limits what the run may spend. When a limit is reached, the best program so far is the result, and
        /// [`Report::stopped`](crate::Report::stopped) says so. By default there is no limit.
        #[must_use]
        pub fn budget(mut self, budget: crate::Budget) -> Self {
            self.options.budget = budget;
            self
        }

        /// The folder of the run's journal. A run that was killed, or that an outage or a budget has stopped, goes on
        /// where it was when it is started again with the same folder. By default nothing is kept.
        ///
        /// The folder belongs to one run: other data, options or programs are refused, and so is a `journal.jsonl` that
        /// is not a journal. It holds prompts and replies: on Unix, what is created can be read by its owner alone.
        /// Where it is removed while the run goes on, [`Report::warnings`](crate::Report::warnings) says so.
        #[must_use]
        pub fn run_dir(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
            self.options.run_dir = Some(folder.into());
            self
        }

        /// How many examples are worked on at a time, 8 by default. The result does not depend on it.
        #[must_use]
        pub fn concurrency(mut self, examples: usize) -> Self {
            self.options.concurrency = examples.max(1);
            self
        }

        /// The root of all random decisions, 0 by default.
        #[must_use]
        pub fn seed(mut self, seed: u64) -> Self {
            self.options.seed = seed;
            self
        }

        /// Whether to draw a progress bar on the terminal. Nothing is drawn where there is none.
        #[must_use]
        pub fn progress(mut self, on: bool) -> Self {
            self.options.progress = on;
            self
        }

        /// On how many examples the metric itself may fail before the run ends with
        /// [`OptimizeError::Metric`](crate::OptimizeError::Metric), 10 by default. An example on which it fails is
        /// left out of the score. Failures of the program are results, not errors: they score 0.
        #[must_use]
        pub fn max_errors(mut self, examples: usize) -> Self {
            self.options.max_errors = examples;
            self
        }
    };
}
pub(crate) use option_setters;
