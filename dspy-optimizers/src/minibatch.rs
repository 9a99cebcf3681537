//! Scores on a part of the rows.

use crate::data::Rows;
use crate::engine::{ExampleFor, Program, Stop, Study, Task};
use crate::report::{ItemReport, mean};

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Runs a program on a minibatch, as [`evaluate`](Study::evaluate) does on a whole set. If the metric fails on all
    /// of a few rows, that is no error: there is no score, and the failures count towards the limit of the options.
    ///
    /// # Errors
    /// If the search has to stop.
    pub(crate) async fn sample(
        &self,
        scope: &str,
        program: &P,
        rows: &Rows<'_, E>,
    ) -> Result<(Option<f64>, Vec<ItemReport>), Stop> {
        let rollouts = self.rollouts(rows.iter().map(|row| Task::new(scope, program, row)).collect()).await?;
        self.sync()?;
        let items = rows.iter().zip(&rollouts).map(|(row, rollout)| ItemReport::of(row, rollout));
        let items: Vec<_> = items.collect();
        Ok((mean(&items), items))
    }
}
