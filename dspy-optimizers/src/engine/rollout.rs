//! One rollout: a program run on one example, and scored.

use std::sync::Arc;

use dspy_core::error::BoxError;
use dspy_core::evaluate::{Item, ItemError, Score};
use dspy_core::lm::Usage;
use dspy_core::program::{Settings, TraceStep};
use dspy_core::signature::Values;
use serde::{Deserialize, Serialize};

use super::{Fits, Halt, Program, Row, Run};
use crate::OptimizeError;
use crate::journal::CallScope;

/// How often a rollout is tried again that an outage has cut off. The model's transport has waited and retried before
/// that, and answers that were paid come from the journal.
const RETRIES: usize = 2;

/// The result of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    /// What the program did, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Step>,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// With a score.
    Scored(Score),
    /// The program has failed.
    Failed(String),
    /// The metric has failed. Never written down: the metric may be mended before the run goes on.
    Unscored(String),
}

/// One successful call of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) predictor: String,
    pub(crate) inputs: Values,
    pub(crate) outputs: Values,
}

impl Step {
    fn of(step: TraceStep) -> Option<Self> {
        let TraceStep { predictor, inputs, outputs, error, .. } = step;
        error.is_none().then_some(Step { predictor, inputs, outputs })
    }
}

/// What is to be run.
pub(crate) struct Task<'a, P, E> {
    /// The name of the effect, unique in the run.
    pub(crate) scope: String,
    pub(crate) program: &'a P,
    pub(crate) index: usize,
    pub(crate) example: &'a E,
    /// Distinguishes attempts at one example.
    pub(crate) rollout: Option<u64>,
    /// Whether the steps of a rollout with this score are wanted.
    pub(crate) keep: &'a (dyn Fn(&Score) -> bool + Sync),
}

/// What became of one attempt.
enum Attempt {
    Done(Rollout),
    Outage(BoxError, bool),
    Halted(Halt),
}

impl<M> Run<M> {
    /// The result of a rollout, from the journal or by carrying it out.
    pub(crate) async fn rollout<P, E>(&self, task: Task<'_, P, E>) -> Result<Rollout, Halt>
    where
        P: Program,
        E: Row<P>,
        M: Fits<P, E>,
    {
        if let Some(known) = self.journal.done(&task.scope)? {
            return Ok(known);
        }
        let mut attempts = 0;
        let rollout = loop {
            match self.attempt(&task).await {
                Attempt::Done(rollout) => break rollout,
                Attempt::Outage(_, true) if attempts < RETRIES => attempts += 1,
                Attempt::Outage(error, _) => return Err(self.outage(error)),
                Attempt::Halted(halt) => return Err(halt),
            }
        };
        if let Outcome::Unscored(error) = &rollout.outcome {
            tracing::warn!(scope = task.scope, error, "the metric failed");
            self.metric_failed(error)?;
            return Ok(rollout);
        }
        self.journal.finish(&task.scope, &rollout)?;
        Ok(rollout)
    }

    async fn attempt<P, E>(&self, task: &Task<'_, P, E>) -> Attempt
    where
        P: Program,
        E: Row<P>,
        M: Fits<P, E>,
    {
        let calls = Arc::new(CallScope::new(self.journal.clone(), self.ledger.clone(), task.scope.as_str()));
        let work = self.evaluate.item(task.program, task.index, task.example);
        let settings = task.rollout.map_or_else(Settings::new, |rollout| Settings::new().rollout(rollout));
        let item = self.scope(calls.clone()).enter(settings.scope(work)).await;
        if let Some(failure) = self.journal.take_failure() {
            self.ledger.abort();
            return Attempt::Halted(failure.into());
        }
        if calls.was_refused() && self.ledger.closed().is_some() {
            // Whatever the program made of it, its result would not be that of the whole run.
            return Attempt::Halted(
                self.closed().unwrap_or_else(|| self.outage("the run was stopped".into())),
            );
        }
        let Item { score, trace, .. } = item;
        let usage = calls.tally().usage();
        let outage = calls.outage();
        let outcome = match score {
            Ok(score) => {
                let steps = if (task.keep)(&score) { trace.map(|trace| trace.steps) } else { None };
                let steps = steps.into_iter().flatten().filter_map(Step::of).collect();
                return Attempt::Done(Rollout { outcome: Outcome::Scored(score), usage, steps });
            }
            // A program may have wrapped the error of its model in one of its own.
            Err(error) if error.is_outage() || outage.is_some() => {
                let retryable = outage.is_some_and(|outage| outage.is_retryable());
                return Attempt::Outage(Box::new(error), retryable);
            }
            Err(ItemError::Example(source)) => {
                let index = task.index;
                return Attempt::Halted(OptimizeError::Example { set: "data set", index, source }.into());
            }
            Err(ItemError::Metric(error)) => Outcome::Unscored(error.to_string()),
            Err(error @ (ItemError::MetricPanic(_) | ItemError::MetricDeadline(_))) => {
                Outcome::Unscored(error.to_string())
            }
            Err(error) => Outcome::Failed(error.to_string()),
        };
        Attempt::Done(Rollout { outcome, usage, steps: Vec::new() })
    }
}
