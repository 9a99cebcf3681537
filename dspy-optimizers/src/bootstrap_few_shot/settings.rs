//! The parameters of a bootstrap.

use dspy_core::lm::Lm;
use serde_json::{Value, json};

use crate::engine::{ExampleFor, Needs, Outcome, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::estimate::{Cost, Span, Taught};
use crate::identity::model_identity;

/// The parameters of a bootstrap that determine its result.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) metric_threshold: Option<f64>,
    pub(crate) max_bootstrapped_demos: usize,
    pub(crate) max_labeled_demos: usize,
    pub(crate) max_rounds: usize,
    pub(crate) teacher_lm: Option<Lm>,
    /// The largest number of rows that are tried.
    pub(crate) most_rows: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            metric_threshold: None,
            max_bootstrapped_demos: 4,
            max_labeled_demos: 16,
            max_rounds: 1,
            teacher_lm: None,
            most_rows: usize::MAX,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), OptimizeError> {
        match self.metric_threshold {
            Some(value) if value.is_nan() => {
                let (value, expected) = (value.to_string(), "a number");
                Err(OptimizeError::Option { option: "metric_threshold", value, expected })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether a run of the teacher with this outcome is a success.
    pub(crate) fn accepts(&self, outcome: &Outcome) -> bool {
        let Outcome::Scored(score) = outcome else { return false };
        self.metric_threshold.map_or(score.value > 0.0, |threshold| score.value >= threshold)
    }

    /// Returns the runs of a bootstrap on this many rows that makes up to `wanted` demonstrations.
    pub(crate) fn runs(&self, rows: usize, wanted: usize) -> Span<u64> {
        if wanted == 0 {
            return Span::exactly(0);
        }
        Span::between(wanted.min(rows) as u64, (rows as u64).saturating_mul(self.max_rounds as u64))
    }

    /// Returns the settings of a bootstrap of this name that tries as many rows as the budget pays for with `reserve` runs
    /// of the program, which compare the result. The number is written to the journal.
    ///
    /// # Errors
    /// If the budget does not pay for the fewest rows that can be enough.
    pub(crate) fn within_budget<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        name: &str,
        reserve: usize,
    ) -> Result<Settings, Stop> {
        let train = study.train().len();
        let least = self.runs(train, self.max_bootstrapped_demos).least as usize;
        let runs = least.saturating_add(reserve);
        study.covers(name, Needs { calls: 0, runs })?;
        let wanted = if least == 0 { 0 } else { train.min(self.most_rows) };
        let needs = |rows: usize| Needs {
            calls: 0,
            runs: rows.saturating_mul(self.max_rounds).saturating_add(reserve),
        };
        let rows = study.affordable(&format!("{name}/rows"), wanted, needs)?.count.max(least.min(wanted));
        let most_rows = if rows < wanted { rows } else { self.most_rows };
        Ok(Settings { most_rows, ..self.clone() })
    }

    /// Returns the runs of several bootstraps, each but the first with a random number of demonstrations.
    pub(crate) fn runs_of(&self, bootstraps: usize, rows: usize) -> Span<u64> {
        let wanted = self.max_bootstrapped_demos;
        let later = self.runs(rows, wanted.min(1));
        let count = bootstraps.saturating_sub(1) as u64;
        let first = if bootstraps == 0 { Span::exactly(0) } else { self.runs(rows, wanted) };
        first + later.map(|runs| runs.saturating_mul(count))
    }

    /// Returns the cost of runs whose demonstrations are those of these settings.
    pub(crate) fn cost(&self, rollouts: Span<u64>) -> Cost {
        Cost {
            demos: self.max_bootstrapped_demos.max(self.max_labeled_demos),
            teacher_lm: self.teacher_lm.clone(),
            taught: Taught::Some,
            ..Cost::of_rollouts(rollouts)
        }
    }

    /// Returns the cost of a run of a teacher on each row.
    pub(crate) fn cost_of_every_row(&self, rows: usize) -> Cost {
        let rows = rows as u64;
        let rollouts = Span::between(rows, rows.saturating_mul(self.max_rounds as u64));
        Cost { demos: 0, taught: Taught::All, ..self.cost(rollouts) }
    }

    /// Returns the identity of the settings for the header of a journal.
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

/// The setters of the parts of [`Settings`] that concern the teacher, for an `impl` block of a type with a field
/// `settings`.
macro_rules! teacher_setters {
    () => {
        /// Sets the smallest score at which a run of the teacher is a success; 0 is allowed. By default,
        /// every score above 0 is a success.
        #[must_use]
        pub fn metric_threshold(mut self, score: f64) -> Self {
            self.settings.metric_threshold = Some(score);
            self
        }

        /// Sets the largest number of runs of the teacher on a row, 1 by default and at least 1. From the
        /// second run on, it draws new samples at temperature 1.
        #[must_use]
        pub fn max_rounds(mut self, rounds: usize) -> Self {
            self.settings.max_rounds = rounds.max(1);
            self
        }

        /// Sets the model of the teacher, in place of the models of its predictors.
        #[doc(alias = "teacher_settings")]
        #[must_use]
        pub fn teacher_lm(mut self, lm: dspy_core::lm::Lm) -> Self {
            self.settings.teacher_lm = Some(lm);
            self
        }
    };
}
pub(crate) use teacher_setters;

/// The setters of [`Settings`], for an `impl` block of a type with a field `settings`.
macro_rules! bootstrap_setters {
    () => {
        /// Sets the largest number of bootstrapped demonstrations per predictor, 4 by default. With 0, none
        /// are made and no model is called for them.
        #[must_use]
        pub fn max_bootstrapped_demos(mut self, count: usize) -> Self {
            self.settings.max_bootstrapped_demos = count;
            self
        }

        /// Sets the number of demonstrations, including bootstrapped ones, up to which labelled rows are
        /// added, 16 by default. The teacher gets up to this many labelled rows.
        #[must_use]
        pub fn max_labeled_demos(mut self, count: usize) -> Self {
            self.settings.max_labeled_demos = count;
            self
        }

        crate::bootstrap_few_shot::teacher_setters!();
    };
}
pub(crate) use bootstrap_setters;
