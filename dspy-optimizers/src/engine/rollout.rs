//! Rollouts: runs of a program on one example, with a score.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use dspy_base::locks::MutexExt as _;
use dspy_core::error::BoxError;
use dspy_core::evaluate::{ItemError, Score};
use dspy_core::lm::Usage;
use dspy_core::program::{HasPredictors, Trace, TraceStep};
use serde::{Deserialize, Serialize};

use super::call::{Journaled, RETRIES};
use super::constant::answer;
use super::failures::is_broken;
use super::study::PROGRAM;
use super::{ExampleFor, Program, Stop, Study};
use crate::data::Row;
use crate::error::OptimizeError;
use crate::events::StudyEvent;
use crate::report::CallKind;

/// The result of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rollout {
    /// The outcome.
    pub outcome: Outcome,
    /// The cost of its calls, those of the metric included.
    pub usage: Usage,
    /// The calls of predictors in order, failed ones included, if they were [requested](Task::traced).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<TraceStep>,
    /// Whether the program has failed for a reason that no prompt can change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) broken: bool,
    /// Whether no call of a model was seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) silent: bool,
    /// The paths of the predictors of the program that were not called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) idle: Vec<String>,
    /// A digest of the answer, to notice a metric that gives different answers the same score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<NonZeroU64>,
}

/// The outcome of a rollout. An outage is not an outcome but stops the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The program has answered and the metric has scored it.
    Scored(Score),
    /// The program has failed with this message, which counts as a score of 0.
    Failed(String),
    /// The metric has failed with this message. Excluded from mean scores and not written to the journal, so
    /// that the metric can be fixed before the study is resumed.
    Unscored(String),
}

impl Outcome {
    /// Returns the score: 0 if the program failed, `None` if the metric failed.
    pub fn score(&self) -> Option<f64> {
        match self {
            Outcome::Scored(score) => Some(score.value),
            Outcome::Failed(_) => Some(0.0),
            Outcome::Unscored(_) => None,
        }
    }

    /// Returns the error message of a failed program or metric.
    pub fn error(&self) -> Option<&str> {
        match self {
            Outcome::Scored(_) => None,
            Outcome::Failed(error) | Outcome::Unscored(error) => Some(error),
        }
    }
}

/// A rollout to run.
///
/// Its name consists of the scope, the row and the sample number. Traced and untraced rollouts are recorded
/// separately; the result of a traced one also serves the untraced one, but not the reverse.
pub struct Task<'t, P, E> {
    scope: &'t str,
    program: &'t P,
    row: Row<'t, E>,
    sample: Option<u64>,
    trace: Keep<'t>,
}

/// The rollouts whose trace is kept.
#[derive(Clone, Copy)]
enum Keep<'t> {
    None,
    All,
    If(&'t (dyn Fn(&Outcome) -> bool + Sync)),
}

impl<'t, P, E> Task<'t, P, E> {
    /// Creates a task that runs `program` on a row. `scope` names the program; each program needs a unique
    /// one, such as [`Study::scope_of`].
    pub fn new(scope: &'t str, program: &'t P, row: Row<'t, E>) -> Self {
        Task { scope, program, row, sample: None, trace: Keep::None }
    }

    /// Sets a sample number. Samples with different numbers are separate rollouts, and no cache answers one
    /// with the reply of another. Whether the replies differ depends on the temperature.
    #[must_use]
    pub fn sample(mut self, number: u64) -> Self {
        self.sample = Some(number);
        self
    }

    /// Keeps the calls of predictors in [`Rollout::steps`].
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.trace = Keep::All;
        self
    }

    /// Keeps the calls of predictors in [`Rollout::steps`] if the outcome satisfies the predicate.
    #[must_use]
    pub fn traced_if(mut self, wanted: &'t (dyn Fn(&Outcome) -> bool + Sync)) -> Self {
        self.trace = Keep::If(wanted);
        self
    }

    fn name(&self) -> String {
        let mut name = format!("{}/{}-{}", self.scope, self.row.set, self.row.position);
        if let Some(sample) = self.sample {
            name += &format!("/sample-{sample}");
        }
        name
    }

    fn keeps(&self, outcome: &Outcome) -> bool {
        match self.trace {
            Keep::None => false,
            Keep::All => true,
            Keep::If(wanted) => wanted(outcome),
        }
    }
}

impl<P, E> Clone for Task<'_, P, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, E> Copy for Task<'_, P, E> {}

impl<P, E> std::fmt::Debug for Task<'_, P, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Task").field(&self.name()).finish()
    }
}

/// The end of one attempt at a rollout.
enum Attempt {
    Done(Rollout),
    Outage(BoxError, bool),
}

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Returns the result of a rollout, from the journal or by running it.
    ///
    /// # Errors
    /// If the search has to stop.
    pub async fn rollout(&self, task: Task<'_, P, E>) -> Result<Rollout, Stop> {
        let plain = self.effect_name(&task.name());
        let traced = format!("{plain}/traced");
        let name = if matches!(task.trace, Keep::None) { &plain } else { &traced };
        let recorded = || -> Result<Option<Rollout>, Stop> {
            if let Some(known) = self.journal.done::<Rollout>(name)? {
                return Ok(Some(known));
            }
            if *name != plain {
                return Ok(None);
            }
            let known = self.journal.done::<Rollout>(&traced)?;
            Ok(known.map(|known| Rollout { steps: Vec::new(), ..known }))
        };
        let recorded =
            || recorded().and_then(|known| known.map_or_else(|| self.shared(&task), |known| Ok(Some(known))));
        let (rollout, made) = match recorded()? {
            Some(known) => (known, false),
            None => {
                let _turn = self.running.turn(&plain).await;
                match recorded()? {
                    Some(known) => (known, false),
                    None => (self.run(name, &task).await?, true),
                }
            }
        };
        self.found().peak_cost.look_at(&rollout.usage);
        let row = (task.row.set, task.row.position);
        self.failures.lock_any().look_at(row, task.scope, &plain, &rollout);
        self.events.count(made);
        self.events.emit(&StudyEvent::Rollout { name: plain, score: rollout.outcome.score() });
        self.report_cost();
        Ok(rollout)
    }

    /// Returns whether a rollout was run or begun before, so that its result, or a part of its calls, costs nothing.
    pub fn knows(&self, task: &Task<'_, P, E>) -> bool {
        let known = |plain: &str| self.journal.knows(plain) || self.journal.knows(&format!("{plain}/traced"));
        known(&self.effect_name(&task.name())) || self.shared_names(task).iter().any(|plain| known(plain))
    }

    /// Returns the names of a rollout in the studies that share theirs, if its scope says which program it is.
    fn shared_names(&self, task: &Task<'_, P, E>) -> Vec<String> {
        if !task.scope.starts_with(PROGRAM) {
            return Vec::new();
        }
        self.shares.lock_any().iter().map(|study| format!("{study}{}", task.name())).collect()
    }

    /// Returns the result of a rollout of another study that shares it.
    fn shared(&self, task: &Task<'_, P, E>) -> Result<Option<Rollout>, Stop> {
        for plain in self.shared_names(task) {
            let traced = self.journal.done::<Rollout>(&format!("{plain}/traced"))?;
            if !matches!(task.trace, Keep::None) {
                if traced.is_some() {
                    return Ok(traced);
                }
                continue;
            }
            if let Some(known) = self.journal.done::<Rollout>(&plain)?.or(traced) {
                return Ok(Some(Rollout { steps: Vec::new(), ..known }));
            }
        }
        Ok(None)
    }

    async fn run(&self, name: &str, task: &Task<'_, P, E>) -> Result<Rollout, Stop> {
        let mut attempts = 0;
        let rollout = loop {
            match self.attempt(name, task).await? {
                Attempt::Done(rollout) => break rollout,
                Attempt::Outage(error, true) if attempts < RETRIES => {
                    attempts += 1;
                    self.retried(name, attempts, &error);
                }
                Attempt::Outage(error, _) => return Err(self.outage(error)),
            }
        };
        if let Outcome::Unscored(error) = &rollout.outcome {
            tracing::warn!(name, error, "the metric failed");
            self.metric_failed(&task.row, name, error)?;
            return Ok(rollout);
        }
        self.journal.finish(name, &rollout)?;
        Ok(rollout)
    }

    async fn attempt(&self, name: &str, task: &Task<'_, P, E>) -> Result<Attempt, Stop> {
        let Row { position, example, set, .. } = task.row;
        let work = self.evaluate.item(task.program, position, example);
        let Journaled { output: item, usage, outage, silent } =
            self.journaled(name, task.sample, CallKind::Program, work).await?;
        let broken = is_broken(&item);
        // The calls of the metric are not those of the program.
        let paid = item.prediction.as_ref().is_some_and(|answer| answer.usage().requests > 0);
        let silent = silent || (!paid && item.trace.as_ref().is_some_and(|trace| trace.steps.is_empty()));
        let idle = item.trace.as_ref().map(|trace| idle(task.program, trace)).unwrap_or_default();
        let made = item.trace.as_ref().filter(|_| item.score.is_ok());
        let answer = made.and_then(|trace| answer(&trace.steps, Some(task.row.values)));
        let outcome = match item.score {
            Ok(score) => Outcome::Scored(score),
            // The program may have wrapped the error of the model in a custom one.
            Err(error) if error.is_outage() || outage.is_some() => {
                let retryable = outage.is_some_and(|outage| outage.error.is_retryable());
                return Ok(Attempt::Outage(Box::new(error), retryable));
            }
            Err(ItemError::Example(source)) => {
                return Err(OptimizeError::Example { set, index: position, source }.into());
            }
            Err(ItemError::Metric(error)) => Outcome::Unscored(error.to_string()),
            Err(error @ (ItemError::MetricPanic(_) | ItemError::MetricDeadline(_))) => {
                Outcome::Unscored(error.to_string())
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let steps = if task.keeps(&outcome) { item.trace.map(|trace| trace.steps) } else { None };
        let steps = steps.unwrap_or_default();
        Ok(Attempt::Done(Rollout { outcome, usage, steps, broken, silent, idle, answer }))
    }
}

/// Returns the paths of the predictors that a run has not called.
fn idle(program: &impl HasPredictors, trace: &Trace) -> Vec<String> {
    let called: BTreeSet<&str> = trace.steps.iter().map(|step| step.predictor.as_str()).collect();
    let paths = program.named_predictors().into_iter().map(|(path, _)| path);
    paths.filter(|path| !called.contains(path.as_str())).collect()
}
