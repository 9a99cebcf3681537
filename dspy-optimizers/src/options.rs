//! What the builders of all optimizers have in common.

/// Where a builder's metric will be. It cannot build before it has one.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricMissing;

/// A builder that has its metric.
#[derive(Debug, Clone, Copy)]
pub struct WithMetric<M>(pub(crate) M);

/// The setters of a builder's `common` options.
macro_rules! common_setters {
    () => {
        /// What the run may spend at most; no limits by default.
        #[must_use]
        pub fn budget(mut self, budget: $crate::Budget) -> Self {
            self.common.budget = budget;
            self
        }

        /// The folder of the run's journal. A run that was killed or failed goes on from there when it is started
        /// again, with the same result as if it had not been interrupted, and pays nothing twice.
        #[must_use]
        pub fn run_dir(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
            self.common.run_dir = Some(folder.into());
            self
        }

        /// How many examples are evaluated at a time, 8 by default. The result does not depend on it.
        #[must_use]
        pub fn concurrency(mut self, examples: usize) -> Self {
            self.common.concurrency = examples.max(1);
            self
        }

        /// The seed of all random decisions, 0 by default.
        #[must_use]
        pub fn seed(mut self, seed: u64) -> Self {
            self.common.seed = seed;
            self
        }

        /// Whether to draw a progress bar on the terminal.
        #[must_use]
        pub fn progress(mut self, on: bool) -> Self {
            self.common.progress = on;
            self
        }

        /// How many failures of the metric are borne, 10 by default. Examples at which it failed do not count.
        #[must_use]
        pub fn max_errors(mut self, errors: usize) -> Self {
            self.common.max_errors = errors;
            self
        }
    };
}

/// The setters for how demonstrations are bootstrapped.
macro_rules! bootstrap_setters {
    () => {
        /// From which score on a run of the teacher is worth showing. Without a threshold, every score above 0 is.
        #[must_use]
        pub fn metric_threshold(mut self, score: f64) -> Self {
            self.options.metric_threshold = Some(score);
            self
        }

        /// The most demonstrations made from runs of the teacher, for each predictor; 4 by default.
        #[must_use]
        pub fn max_bootstrapped_demos(mut self, demos: usize) -> Self {
            self.options.max_bootstrapped_demos = demos;
            self
        }

        /// The most demonstrations for each predictor in all, filled up with labelled examples; 16 by default.
        #[must_use]
        pub fn max_labeled_demos(mut self, demos: usize) -> Self {
            self.options.max_labeled_demos = demos;
            self
        }

        /// How often an example is tried, each time as another sample at temperature 1; 1 by default.
        #[must_use]
        pub fn max_rounds(mut self, rounds: usize) -> Self {
            self.options.max_rounds = rounds.max(1);
            self
        }

        /// A model for the teacher, such as a stronger one than the program will run on.
        #[must_use]
        pub fn teacher_lm(mut self, lm: dspy_core::lm::Lm) -> Self {
            self.teacher_lm = Some(lm);
            self
        }
    };
}

pub(crate) use {bootstrap_setters, common_setters};
