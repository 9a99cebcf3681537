//! Concurrent rollouts and evaluations.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{ExampleFor, Program, Rollout, Stop, Study, Task};
use crate::data::{Row, Rows};
use crate::report::{ItemReport, Scores, mean};

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
                    self.advance(1);
                }
                Some((_, Err(stop))) => {
                    stopped.get_or_insert(stop);
                }
            }
        }
        match stopped {
            Some(stop) => Err(stop),
            None => {
                self.check_constant()?;
                Ok(results.into_iter().flatten().collect())
            }
        }
    }

    /// Runs a program on rows and scores it. `scope` names the program; each program needs a unique one, such
    /// as [`scope_of`](Self::scope_of). Rows on which it has run before under this name are not run again and
    /// cost nothing.
    ///
    /// # Errors
    /// If the search has to stop, the metric failed on every row, or the program failed on every row for a reason
    /// that no prompt can change; see [`OptimizeError::Program`](crate::OptimizeError::Program).
    pub async fn evaluate(&self, scope: &str, program: &P, rows: &Rows<'_, E>) -> Result<Scores, Stop> {
        let tasks = rows.iter().map(|row| Task::new(scope, program, row)).collect();
        self.scores_of(tasks, rows).await
    }

    /// As [`evaluate`](Self::evaluate), with traces that later rollouts of the same name use.
    ///
    /// # Errors
    /// As `evaluate`.
    pub(crate) async fn evaluate_traced(
        &self,
        scope: &str,
        program: &P,
        rows: &Rows<'_, E>,
    ) -> Result<Scores, Stop> {
        let tasks = rows.iter().map(|row| Task::new(scope, program, row).traced()).collect();
        self.scores_of(tasks, rows).await
    }

    async fn scores_of(&self, tasks: Vec<Task<'_, P, E>>, rows: &Rows<'_, E>) -> Result<Scores, Stop> {
        let rollouts = self.rollouts(tasks).await?;
        self.sync()?;
        self.check_program()?;
        let items = rows.iter().zip(rollouts);
        let items: Vec<_> = items.map(|(row, rollout)| ItemReport::of(row, &rollout)).collect();
        match mean(&items) {
            Some(mean) => Ok(Scores { mean, items }),
            None => Err(self.unscored()),
        }
    }
}

impl ItemReport {
    /// Creates the result of a rollout on this row.
    pub fn of<E>(row: Row<'_, E>, rollout: &Rollout) -> Self {
        let Rollout { outcome, usage, .. } = rollout;
        let error = outcome.error().map(str::to_owned);
        ItemReport { index: row.position, score: outcome.score(), error, usage: *usage }
    }
}
