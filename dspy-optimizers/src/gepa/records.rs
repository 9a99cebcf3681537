//! Records of the calls of a predictor, for reflection.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dspy_core::program::TraceStep;
use dspy_core::signature::{SignatureSpec, Values};
use serde_json::Value;

use crate::data::Row;
use crate::engine::{Outcome, Rollout};
use crate::proposer::{Record, cut};

/// The largest number of calls of a predictor in one run that are recorded: the last ones.
const MOST_CALLS: usize = 8;
/// The largest length of a value of another step.
const SHORT: usize = 120;
/// The largest number of other steps that are shown.
const MOST_STEPS: usize = 12;

/// The view of runs that records are made of.
pub(super) struct Lens<'l> {
    /// The predictor.
    pub(super) path: &'l str,
    /// Its signature.
    pub(super) spec: &'l SignatureSpec,
    /// The names of fields that may be labels.
    pub(super) labels: &'l BTreeSet<String>,
    /// Whether records show the other steps of the run.
    pub(super) trajectories: bool,
}

impl Lens<'_> {
    /// Returns the records of a run on a row: each call of the predictor with its feedback.
    pub(super) fn records<E>(&self, row: Row<'_, E>, rollout: &Rollout) -> Vec<Record> {
        let calls: Vec<usize> =
            (0..rollout.steps.len()).filter(|at| rollout.steps[*at].predictor == self.path).collect();
        let last = calls.len().saturating_sub(MOST_CALLS);
        calls[last..].iter().map(|at| self.record(row, rollout, *at)).collect()
    }

    fn record<E>(&self, row: Row<'_, E>, rollout: &Rollout, at: usize) -> Record {
        let step = &rollout.steps[at];
        let mut record = Record::of(step);
        record.score = rollout.outcome.score();
        record.feedback = match &rollout.outcome {
            Outcome::Scored(score) => score.feedback_for(self.path).map(str::to_owned),
            Outcome::Failed(error) => Some(format!("The program failed: {error}")),
            Outcome::Unscored(_) => None,
        };
        let labels = row.values.iter().filter(|(name, value)| {
            self.labels.contains(*name) && !value.is_null() && !step.inputs.contains_key(*name)
        });
        let labels = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
        record.expected = expected(labels, self.spec);
        record.context = (self.trajectories && rollout.steps.len() > 1).then(|| others(&rollout.steps, at));
        record
    }
}

/// Returns the labels for a step with this signature: those of its own outputs if there are any. The labels of other
/// steps only help where it has none, as then they are what its outputs lead to.
fn expected(labels: Values, spec: &SignatureSpec) -> Values {
    let own: Values = labels
        .iter()
        .filter(|(name, _)| spec.outputs().any(|field| field.name() == *name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if own.is_empty() { labels } else { own }
}

/// Returns the other steps of a run, each on a line, those nearest to the call if there are many.
fn others(steps: &[TraceStep], own: usize) -> String {
    let first = own.saturating_sub(MOST_STEPS / 2).min(steps.len().saturating_sub(MOST_STEPS + 1));
    let mut out = String::new();
    for (at, step) in steps.iter().enumerate().skip(first).take(MOST_STEPS + 1) {
        let number = at + 1;
        if at == own {
            let _ = writeln!(out, "{number}. (this call)");
            continue;
        }
        let result = step.error.as_ref().map_or_else(|| short(&step.outputs), |error| cut(error, SHORT));
        let _ = writeln!(out, "{number}. {}: {} → {result}", step.predictor, short(&step.inputs));
    }
    out.truncate(out.trim_end().len());
    out
}

fn short(values: &Values) -> String {
    let text = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), SHORT)
    };
    let values = values.iter().map(|(name, value)| format!("{name} = {}", text(value)));
    values.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_with_labels_sees_no_others() {
        let labels =
            || Values::from_iter([("team".to_owned(), "sales".into()), ("urgent".to_owned(), true.into())]);
        let spec = |outputs: &str| format!("message -> {outputs}").parse::<SignatureSpec>().unwrap();
        let of = |outputs: &str| {
            expected(labels(), &spec(outputs)).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(of("urgent: bool"), ["urgent"]);
        assert_eq!(of("team, reasoning"), ["team"]);
        assert_eq!(of("summary"), ["team", "urgent"], "a step without labels sees those of the program");
        assert!(expected(Values::new(), &spec("team")).is_empty());
    }
}
