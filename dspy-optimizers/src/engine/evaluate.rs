//! Concurrent rollouts and evaluations.

use dspy_core::lm::Usage;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{ExampleFor, Program, Rollout, Stop, Study, Task};
use crate::data::{Row, Rows};
use crate::report::ItemReport;

/// The scores of a program on rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Scores {
    /// The mean score. Rows on which the program failed count as 0; those on which the metric failed are
    /// excluded.
    pub mean: f64,
    /// The results by row, in the order of the rows.
    pub items: Vec<ItemReport>,
}

impl Scores {
    /// Returns the total cost of the rollouts.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.items.iter().for_each(|item| usage += item.usage);
        usage
    }
}

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Runs rollouts, [several at a time](Self::concurrency), and returns their results in the order of the
    /// tasks.
    ///
    /// # Errors
    /// If the search has to stop. No rollout is started after that; those in flight are completed and kept.
    pub async fn rollouts(&self, tasks: Vec<Task<'_, P, E>>) -> Result<Vec<Rollout>, Stop> {
        let mut results: Vec<Option<Rollout>> = tasks.iter().map(|_| None).collect();
        let mut running = FuturesUnordered::new();
        let mut waiting = tasks.into_iter().enumerate();
        let mut stopped = None;
        loop {
            while stopped.is_none() && running.len() < self.concurrency() {
                let Some((index, task)) = waiting.next() else { break };
                running.push(async move { (index, self.rollout(task).await) });
            }
            match running.next().await {
                None => break,
                Some((index, Ok(rollout))) => {
                    results[index] = Some(rollout);
                    self.events.step();
                }
                Some((_, Err(stop))) => {
                    stopped.get_or_insert(stop);
                }
            }
        }
        match stopped {
            Some(stop) => Err(stop),
            None => Ok(results.into_iter().flatten().collect()),
        }
    }

    /// Runs a program on rows and scores it. `scope` names the program; each program needs a unique one, such
    /// as [`scope_of`](Self::scope_of). Rows on which it has run before under this name are not run again and
    /// cost nothing.
    ///
    /// # Errors
    /// If the search has to stop, or the metric failed on every row.
    pub async fn evaluate(&self, scope: &str, program: &P, rows: &Rows<'_, E>) -> Result<Scores, Stop> {
        let tasks = rows.iter().map(|row| Task::new(scope, program, row)).collect();
        let rollouts = self.rollouts(tasks).await?;
        self.sync()?;
        let items = rows.iter().zip(rollouts);
        self.scores(items.map(|(row, rollout)| ItemReport::of(row, &rollout)).collect())
    }

    pub(crate) fn scores(&self, items: Vec<ItemReport>) -> Result<Scores, Stop> {
        match mean(&items) {
            Some(mean) => Ok(Scores { mean, items }),
            None => {
                let last = items.iter().rev().find_map(|item| item.error.as_deref());
                Err(self.metric_error(items.len(), last.unwrap_or("no examples")))
            }
        }
    }
}

/// Returns the mean of the scores, without rows on which the metric failed; `None` if there are no others.
pub(crate) fn mean(items: &[ItemReport]) -> Option<f64> {
    let counted: Vec<f64> = items.iter().filter_map(|item| item.score).collect();
    (!counted.is_empty()).then(|| counted.iter().sum::<f64>() / counted.len() as f64)
}

impl ItemReport {
    pub(crate) fn of<E>(row: Row<'_, E>, rollout: &Rollout) -> Self {
        let Rollout { outcome, usage, .. } = rollout;
        let error = outcome.error().map(str::to_owned);
        ItemReport { index: row.position, score: outcome.score(), error, usage: *usage }
    }
}
