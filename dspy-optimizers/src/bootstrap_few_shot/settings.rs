//! The parameters of a bootstrap.

use dspy_core::lm::Lm;
use serde_json::{Value, json};

use crate::OptimizeError;
use crate::journal::model_identity;

/// The parameters of a bootstrap, which decide its result.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) metric_threshold: Option<f64>,
    pub(crate) max_bootstrapped_demos: usize,
    pub(crate) max_labeled_demos: usize,
    pub(crate) max_rounds: usize,
    pub(crate) teacher_lm: Option<Lm>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            metric_threshold: None,
            max_bootstrapped_demos: 4,
            max_labeled_demos: 16,
            max_rounds: 1,
            teacher_lm: None,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), OptimizeError> {
        match self.metric_threshold {
            Some(value) if value.is_nan() => {
                Err(OptimizeError::Option { option: "metric_threshold", value: value.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// As the header of a journal knows them.
    pub(crate) fn identity(&self) -> Value {
        json!({
            "metric_threshold": self.metric_threshold,
            "max_bootstrapped_demos": self.max_bootstrapped_demos,
            "max_labeled_demos": self.max_labeled_demos,
            "max_rounds": self.max_rounds,
            "teacher_lm": self.teacher_lm.as_ref().map(model_identity),
        })
    }
}

/// The setters of [`Settings`], for an `impl` block of a type that has them at `settings`.
macro_rules! bootstrap_setters {
    () => {
        /// Sets the score from which on a run of the teacher is a success, which may be 0. Without it every score above 0
        /// is one.
        #[must_use]
        pub fn metric_threshold(mut self, score: f64) -> Self {
            self.settings.metric_threshold = Some(score);
            self
        }

        /// Sets how many bootstrapped demonstrations a predictor gets at most, 4 by default. With 0 no model is called
        /// for them.
        #[must_use]
        pub fn max_bootstrapped_demos(mut self, count: usize) -> Self {
            self.settings.max_bootstrapped_demos = count;
            self
        }

        /// Sets how many demonstrations, bootstrapped ones included, labelled rows fill up to, 16 by default. The teacher
        /// gets as many.
        #[must_use]
        pub fn max_labeled_demos(mut self, count: usize) -> Self {
            self.settings.max_labeled_demos = count;
            self
        }

        /// Sets how often the teacher may try a row, 1 by default and at least. From the second round on it samples
        /// afresh, at temperature 1.
        #[must_use]
        pub fn max_rounds(mut self, rounds: usize) -> Self {
            self.settings.max_rounds = rounds.max(1);
            self
        }

        /// Sets the model that the teacher runs on, in place of those of the program.
        #[doc(alias = "teacher_settings")]
        #[must_use]
        pub fn teacher_lm(mut self, lm: dspy_core::lm::Lm) -> Self {
            self.settings.teacher_lm = Some(lm);
            self
        }
    };
}
pub(crate) use bootstrap_setters;
