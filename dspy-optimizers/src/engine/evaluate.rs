//! A candidate program on many examples.

use dspy_core::evaluate::Score;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{Fits, Halt, Outcome, Program, Rollout, Row, Run, Task};
use crate::report::ItemReport;

/// How good a candidate is.
#[derive(Debug, Clone)]
pub(crate) struct Scores {
    /// The mean. Examples at which the program failed count 0; those at which the metric failed are left out.
    pub(crate) mean: f64,
    /// In the order of the examples.
    pub(crate) items: Vec<ItemReport>,
}

impl<M> Run<M> {
    /// Runs `program` on all `examples` under the name `scope`.
    pub(crate) async fn evaluate<P, E>(
        &self,
        scope: &str,
        program: &P,
        examples: &[E],
    ) -> Result<Scores, Halt>
    where
        P: Program,
        E: Row<P>,
        M: Fits<P, E>,
    {
        let task = |index: usize| Task {
            scope: format!("{scope}/example-{index}"),
            program,
            index,
            example: &examples[index],
            rollout: None,
            keep: &|_: &Score| false,
        };
        let mut results: Vec<Option<Rollout>> = examples.iter().map(|_| None).collect();
        let mut running = FuturesUnordered::new();
        let mut waiting = 0..examples.len();
        let mut halted = None;
        loop {
            // After a halt nothing new starts, but what is under way is paid and comes to its end.
            while halted.is_none() && running.len() < self.options.concurrency {
                let Some(index) = waiting.next() else { break };
                let task = task(index);
                running.push(async move { (index, self.rollout(task).await) });
            }
            match running.next().await {
                None => break,
                Some((index, Ok(rollout))) => {
                    results[index] = Some(rollout);
                    self.progress.step();
                }
                Some((_, Err(halt))) => {
                    halted.get_or_insert(halt);
                }
            }
        }
        if let Some(halt) = halted {
            return Err(halt);
        }
        self.sync()?;
        self.mean(results.into_iter().flatten().enumerate())
    }

    fn mean(&self, results: impl Iterator<Item = (usize, Rollout)>) -> Result<Scores, Halt> {
        let items: Vec<ItemReport> =
            results.map(|(index, rollout)| ItemReport::of(index, &rollout)).collect();
        let counted: Vec<f64> = items.iter().filter_map(|item| item.score).collect();
        if counted.is_empty() {
            let last = items.iter().rev().find_map(|item| item.error.as_deref()).unwrap_or("no examples");
            return Err(self.metric_error(items.len(), last));
        }
        let mean = counted.iter().sum::<f64>() / counted.len() as f64;
        Ok(Scores { mean, items })
    }
}

impl ItemReport {
    pub(crate) fn of(index: usize, rollout: &Rollout) -> Self {
        let (score, error) = match &rollout.outcome {
            Outcome::Scored(score) => (Some(score.value), None),
            Outcome::Failed(error) => (Some(0.0), Some(error.clone())),
            Outcome::Unscored(error) => (None, Some(error.clone())),
        };
        ItemReport { index, score, error, usage: rollout.usage }
    }
}
