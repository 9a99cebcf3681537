//! Failures of the program and of the metric, by row.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;

use dspy_base::locks::MutexExt as _;
use dspy_core::adapter::{ParseError, ParseErrorKind};
use dspy_core::error::clipped;
use dspy_core::evaluate::{Item, ItemError};
use dspy_core::lm::{LmError, LmErrorKind};

use super::constant::Constant;
use super::{Outcome, Program, Rollout, Stop, Study};
use crate::counts::counted;
use crate::data::Row;
use crate::error::OptimizeError;
use crate::report::Trial;

/// The number of rows from which on what happens on all of them is taken to happen on every row.
const MANY: usize = 10;

/// The failures of the rollouts of a study.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
pub(super) struct Failures {
    metric: FailedRows,
    program: FailedRows,
    /// Whether other prompts may change a failure of the program.
    curable: bool,
    /// Whether the program has answered on a row.
    answered: bool,
    /// Whether a score was not 0.
    nonzero: bool,
    /// The rows with a score, as long as each score is 0.
    zero: BTreeSet<(&'static str, usize)>,
    /// Whether a call of a model was seen in a rollout with a result.
    called: bool,
    /// The predictors that no run has called, once there is one.
    idle: Option<BTreeSet<String>>,
    pub(super) constant: Constant,
}

/// The rows on which something has failed, by the name of the set and the position in it. The failure of each is that
/// of the first rollout by name, so that it does not depend on the concurrency.
#[derive(Debug, Default)]
struct FailedRows(BTreeMap<(&'static str, usize), (String, String)>);

impl FailedRows {
    fn add(&mut self, (set, position): (&'static str, usize), rollout: &str, error: &str) {
        let entry = self.0.entry((set, position));
        let kept = entry.or_insert_with(|| (rollout.to_owned(), clipped(error)));
        if rollout < kept.0.as_str() {
            *kept = (rollout.to_owned(), clipped(error));
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the first row with its failure; empty if there is none.
    fn first(&self) -> String {
        let first = self.0.iter().next();
        first.map(|((set, position), (_, error))| on_row(set, *position, error)).unwrap_or_default()
    }
}

/// Formats an error with the row on which it has occurred.
pub(crate) fn on_row(set: &str, position: usize, error: &str) -> String {
    format!("row {position} of the {set}: {error}")
}

impl Failures {
    /// Looks at a rollout of the program with this scope on a row.
    pub(super) fn look_at(
        &mut self,
        (set, position): (&'static str, usize),
        scope: &str,
        name: &str,
        rollout: &Rollout,
    ) {
        match &mut self.idle {
            Some(idle) => idle.retain(|path| rollout.idle.contains(path)),
            none => *none = Some(rollout.idle.iter().cloned().collect()),
        }
        match &rollout.outcome {
            Outcome::Scored(score) => {
                self.answered = true;
                self.called |= !rollout.silent;
                self.constant.add((set, position), scope, score.value, rollout.answer);
                self.nonzero |= score.value != 0.0;
                if self.nonzero {
                    self.zero.clear();
                } else {
                    self.zero.insert((set, position));
                }
            }
            Outcome::Failed(error) => {
                self.curable |= !rollout.broken;
                self.constant.failed = true;
                self.program.add((set, position), name, error);
            }
            Outcome::Unscored(_) => {
                self.answered = true;
                self.called |= !rollout.silent;
            }
        }
    }

    /// Returns what to know about these failures before relying on the result. `rows` is the size of the valset.
    pub(super) fn warnings(&self, best_score: Option<f64>, rows: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        let (unscored, failed) = (self.metric.len(), self.program.len());
        if self.answered && !self.called {
            warnings.push(
                "the program has returned results, but not one call of a model was seen, so the budget, the cost and \
                 the resume do not cover its calls: those of tasks that it starts with a bare `tokio::spawn` escape; \
                 start them with `dspy::spawn`"
                    .into(),
            );
        }
        if unscored > 0 {
            warnings.push(format!(
                "the metric failed on {}, left out of the scores of the programs that it failed for; the first is {}",
                counted(unscored, "row"),
                self.metric.first()
            ));
        }
        if failed > 0 && !self.answered {
            warnings.push(format!(
                "the program failed on every row that it ran on, {}, so the scores say nothing; the first is {}",
                counted(failed, "row"),
                self.program.first()
            ));
        } else if unscored == 0
            && best_score.is_none_or(|best| best > 0.0)
            // A few rows of a budget that is too small for more say nothing.
            && self.zero.len() >= rows.clamp(1, MANY)
        {
            warnings.push(format!(
                "every score is 0, on {}, also where the program has answered; check that the metric compares the right \
                 fields, for example with the table of an `Evaluate` run",
                counted(self.zero.len(), "row")
            ));
        } else if unscored == 0 && self.nonzero {
            warnings.extend(self.constant.warning(best_score));
        }
        if self.called {
            let idle = self.idle.iter().flatten();
            warnings.extend(idle.map(|path| {
                format!(
                    "the predictor `{path}` was called on no row, so no score shows whether its changes help; check that \
                     `forward` calls it, and not in a task of a bare `tokio::spawn`, or add rows that need it"
                )
            }));
        }
        warnings
    }
}

/// Returns a warning if the program of a trial fails on a part of the rows.
pub(super) fn failed_rows(trial: &Trial) -> Option<String> {
    trial.score?;
    let errors =
        || trial.items.iter().filter_map(|item| Some((item.index, item.error.as_ref()?, item.score?)));
    let (count, of) = (errors().count(), trial.items.len());
    let (row, error, _) = errors().min_by_key(|(row, ..)| *row).filter(|_| count < of)?;
    Some(format!(
        "the resulting program failed on {count} of {}, which count as 0; the first is row {row}: {}",
        counted(of, "row"),
        clipped(error)
    ))
}

impl<P: Program, E> Study<'_, P, E> {
    /// Counts a failure of the metric.
    ///
    /// # Errors
    /// If it has failed on more than `max_errors` rows.
    pub(super) fn metric_failed(&self, row: &Row<'_, E>, rollout: &str, error: &str) -> Result<(), Stop> {
        let failed = {
            let mut failures = self.failures.lock_any();
            failures.metric.add((row.set, row.position), rollout, error);
            failures.metric.len()
        };
        if failed <= self.options.max_errors {
            return Ok(());
        }
        Err(self.metric_error(failed, on_row(row.set, row.position, error)))
    }

    /// Returns the error of a metric that failed on every row of a program.
    pub(super) fn unscored(&self) -> Stop {
        let (failed, first) = {
            let failures = self.failures.lock_any();
            (failures.metric.len(), failures.metric.first())
        };
        self.metric_error(failed, first)
    }

    fn metric_error(&self, failed: usize, last: String) -> Stop {
        self.ledger.abort();
        OptimizeError::Metric { failed, last, run_dir: self.run_dir.clone(), online: false }.into()
    }

    /// Checks that the program has not failed on all rows so far for reasons that no prompt can change, after it has
    /// run on the whole valset or on many rows.
    ///
    /// # Errors
    /// If it has.
    pub(crate) fn check_program(&self) -> Result<(), Stop> {
        let (failed, first) = {
            let Failures { program, curable, answered, called, .. } = &*self.failures.lock_any();
            let left = self.ledger.remaining();
            if *answered && !*called && (left.calls.is_some() || left.tokens.is_some() || left.usd.is_some())
            {
                self.ledger.abort();
                return Err(OptimizeError::Escaped.into());
            }
            if *answered || *curable || program.len() < self.val.len().clamp(1, MANY) {
                return Ok(());
            }
            (program.len(), program.first())
        };
        self.ledger.abort();
        // A corrected program runs on these rows again.
        self.journal.void(&self.name)?;
        Err(OptimizeError::Program { failed, first, run_dir: self.run_dir.clone() }.into())
    }
}

/// Returns whether the program has failed for a reason that no prompt can change: anything but replies that cannot be
/// read, are refused, or do not fit.
pub(super) fn is_broken<O>(item: &Item<O>) -> bool {
    let error: &dyn StdError = match &item.score {
        Err(ItemError::Program(error)) => error,
        Err(ItemError::Panic(_)) => return true,
        _ => return false,
    };
    match cause(error) {
        Some(Cause::Model) => false,
        Some(Cause::Program) => true,
        // The error may be that of a failed call in words.
        None => item.trace.as_ref().is_none_or(|trace| trace.steps.iter().all(|step| step.error.is_none())),
    }
}

/// The cause of an error of the library.
enum Cause {
    /// The reply, or the refusal, of the model.
    Model,
    Program,
}

/// Returns the cause of an error that is one of the library, or wraps one; `None` for others.
fn cause(error: &(dyn StdError + 'static)) -> Option<Cause> {
    let of_reply =
        |error: &ParseError| if error.kind == ParseErrorKind::Schema { Cause::Program } else { Cause::Model };
    let of_lm = |error: &LmError| match error.kind {
        LmErrorKind::ContextWindow | LmErrorKind::ContentFilter => Cause::Model,
        _ => Cause::Program,
    };
    let mut next = Some(error);
    while let Some(error) = next {
        next = match error.downcast_ref::<dspy_core::Error>() {
            Some(dspy_core::Error::Other(inner)) => Some(&**inner),
            Some(error) => {
                let model = error.as_parse().map(of_reply).or_else(|| error.as_lm().map(of_lm));
                return Some(model.unwrap_or(Cause::Program));
            }
            None => error.source(),
        };
        let of_part = error.downcast_ref().map(of_reply).or_else(|| error.downcast_ref().map(of_lm));
        if of_part.is_some() {
            return of_part;
        }
    }
    None
}
