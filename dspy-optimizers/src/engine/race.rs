//! The run of a race.

use super::{ExampleFor, Program, Stop, Study, Task};
use crate::counts::counted;
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

impl<P: Program, E> Study<'_, P, E> {
    /// Warns if the budget ended a race before any contestant but the first had run on a block, so that the texts of the
    /// others were paid for nothing. `fewer` names the settings that make fewer contestants.
    pub(crate) fn warn_uncompared(&self, raced: &Raced, race: &Race, rows: usize, fewer: &str) {
        let others = raced.standings.len().saturating_sub(1);
        let compared = raced.standings.iter().skip(1).any(|standing| !standing.items.is_empty());
        if raced.stopped.is_none() || compared || others == 0 {
            return;
        }
        let block = race.first_block(rows);
        self.warn(format!(
            "the budget ended before {others} new programs could be compared, which needs {} on the first {}; raise it, or \
             lower {fewer}",
            counted(others * block, "run"),
            counted(block, "row")
        ));
    }
}
