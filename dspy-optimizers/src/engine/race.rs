//! The run of a race.

use super::{ExampleFor, Program, Stop, Study, Task};
use crate::data::Rows;
use crate::events::StudyEvent;
use crate::race::{Contestant, Progress, Race, Raced};
use crate::report::ItemReport;

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Runs contestants on the same blocks of rows and drops those that are beaten; see [`Race`].
    ///
    /// A block starts only if the remaining budget covers it, with each rollout at the highest cost so far.
    /// Otherwise, or if the budget is exhausted during a block, the result is that of the preceding blocks.
    ///
    /// # Errors
    /// If the search has to stop for another reason, or the metric failed on every row of a contestant.
    pub async fn race(
        &self,
        race: &Race,
        contestants: &[Contestant<P>],
        rows: &Rows<'_, E>,
    ) -> Result<Raced, Stop> {
        let (schedule, ends) = race.schedule(rows, self.seed());
        let mut progress = Progress::new(race, contestants, ends.len());
        let (mut start, mut stopped) = (0, None);
        for (number, &end) in ends.iter().enumerate() {
            if number > 0 && progress.is_decided() {
                break;
            }
            let remaining = progress.remaining();
            match self.block(contestants, &remaining, &schedule.select(start..end)).await {
                Ok(block) => {
                    remaining.into_iter().zip(block).for_each(|(place, items)| progress.add(place, items));
                }
                Err(Stop::Budget(limit)) => {
                    stopped = Some(limit);
                    break;
                }
                Err(stop) => return Err(stop),
            }
            start = end;
            if number + 1 < ends.len() {
                for place in progress.drop_beaten() {
                    let contestant = contestants[place].scope.clone();
                    let study = self.name.clone();
                    self.events.emit(&StudyEvent::Dropped { study, contestant, rows: end });
                }
            }
        }
        self.sync()?;
        let standings = progress.standings();
        if standings.iter().any(|standing| standing.mean.is_none() && !standing.items.is_empty()) {
            return Err(self.unscored());
        }
        Ok(Raced { standings, stopped })
    }

    /// Runs the remaining contestants on one block.
    async fn block(
        &self,
        contestants: &[Contestant<P>],
        remaining: &[usize],
        rows: &Rows<'_, E>,
    ) -> Result<Vec<Vec<ItemReport>>, Stop> {
        let mut tasks = Vec::with_capacity(remaining.len() * rows.len());
        for place in remaining {
            let Contestant { scope, program, .. } = &contestants[*place];
            tasks.extend(rows.iter().map(|row| Task::new(scope, program, row)));
        }
        let missing = tasks.iter().filter(|task| !self.knows(task)).count();
        if missing > 0
            && let Some(limit) = self.would_exceed(missing)
        {
            return Err(Stop::Budget(limit));
        }
        let rollouts = self.rollouts(tasks).await?;
        let mut rollouts = rollouts.into_iter();
        let items = |_| {
            rows.iter().zip(rollouts.by_ref()).map(|(row, rollout)| ItemReport::of(row, &rollout)).collect()
        };
        Ok(remaining.iter().map(items).collect())
    }
}
