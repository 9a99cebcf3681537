//! Advice for the proposer: what the runs of several candidates show.

use std::collections::BTreeSet;

use super::meter::Halt;
use super::search::Search;
use crate::data::{Row, Rows};
use crate::engine::{ExampleFor, Outcome, Program, Rollout};
use crate::proposer::{AdviceRequest, Record, describe_program, no_text};

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Returns the advice after the runs of candidates on rows; the earlier one if there is no new one.
    pub(super) async fn advice(
        &mut self,
        step: u64,
        rows: &Rows<'_, E>,
        runs: &[Vec<Rollout>],
        earlier: Option<String>,
    ) -> Result<Option<String>, Halt> {
        let shown = rows.iter().enumerate().flat_map(|(at, row)| {
            let of_row = runs.iter().filter_map(|rollouts| rollouts.get(at));
            contrast(of_row).into_iter().map(move |rollout| (row, rollout))
        });
        let shown = shown.map(|(row, rollout)| record(row, rollout, &self.labels)).collect();
        let mut request = AdviceRequest::new(describe_program(self.study.program()), shown);
        request.earlier = earlier.clone();
        request.sample = step;
        let name = format!("advise-{step}");
        let effect = self.study.effect(&name, || self.proposer.advise(request.clone())).await?;
        match effect.output {
            Ok(advice) => Ok(advice.or(earlier)),
            Err(error) => {
                self.failures.add(Some(no_text(error)?));
                Ok(earlier)
            }
        }
    }
}

/// Returns the best run and, if it is not as good, the worst one; ties keep the first.
fn contrast<'r>(runs: impl Iterator<Item = &'r Rollout>) -> Vec<&'r Rollout> {
    let scored: Vec<(f64, &Rollout)> = runs.filter_map(|run| Some((run.outcome.score()?, run))).collect();
    let best = scored.iter().copied().reduce(|best, next| if next.0 > best.0 { next } else { best });
    let worst = scored.iter().copied().reduce(|worst, next| if next.0 < worst.0 { next } else { worst });
    match (best, worst) {
        (Some(best), Some(worst)) if worst.0 < best.0 => vec![best.1, worst.1],
        (best, _) => best.into_iter().map(|(_, run)| run).collect(),
    }
}

/// Returns a run as a record: the row, the outputs of the last call, and what the metric says.
fn record<E>(row: Row<'_, E>, rollout: &Rollout, labels: &BTreeSet<String>) -> Record {
    let mut record = Record::default();
    for (name, value) in row.values {
        let part = if labels.contains(name) { &mut record.expected } else { &mut record.inputs };
        part.insert(name.clone(), value.clone());
    }
    let last = rollout.steps.iter().rev().find(|step| step.error.is_none());
    record.outputs = last.map(|step| step.outputs.clone()).unwrap_or_default();
    record.score = rollout.outcome.score();
    match &rollout.outcome {
        Outcome::Scored(score) => {
            let general = score.feedback.iter().cloned();
            let own = score.predictors.iter().map(|(path, text)| format!("{path}: {text}"));
            let all: Vec<String> = general.chain(own).collect();
            record.feedback = (!all.is_empty()).then(|| all.join("\n"));
        }
        Outcome::Failed(error) | Outcome::Unscored(error) => record.error = Some(error.clone()),
    }
    record
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Usage;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_best_run_is_shown_beside_the_worst() {
        let run = |score: f64, reply: &str| {
            let outcome = json!({"scored": {"value": score, "feedback": reply}});
            serde_json::from_value::<Rollout>(json!({"outcome": outcome, "usage": Usage::default()})).unwrap()
        };
        let runs = [run(0.5, "a"), run(1.0, "b"), run(0.0, "c"), run(1.0, "d"), run(0.0, "e")];
        let of = |runs: &[Rollout]| -> Vec<String> {
            let feedback = |run: &&Rollout| match &run.outcome {
                Outcome::Scored(score) => score.feedback.clone(),
                _ => None,
            };
            contrast(runs.iter()).iter().filter_map(feedback).collect()
        };
        assert_eq!(of(&runs), ["b", "c"]);
        assert_eq!(of(&runs[..1]), ["a"]);
        assert!(of(&[]).is_empty());
    }
}
