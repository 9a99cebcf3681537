//! The algorithm of a race.

use super::paired::p_value;
use super::{Contestant, Dropped, Race, Raced, Standing};
use crate::data::Rows;
use crate::engine::{ExampleFor, Program, Stop, Study, Task};
use crate::events::StudyEvent;
use crate::report::ItemReport;

/// The state of a contestant in a race.
#[derive(Default)]
pub(super) struct Runner {
    items: Vec<ItemReport>,
    /// Its scores minus its penalty, row by row.
    pub(super) scores: Vec<Option<f64>>,
    pub(super) dropped: Option<Dropped>,
}

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
        let level = race.level(ends.len());
        let mut runners: Vec<Runner> = contestants.iter().map(|_| Runner::default()).collect();
        let (mut start, mut stopped) = (0, None);
        for (number, &end) in ends.iter().enumerate() {
            let live: Vec<usize> =
                (0..runners.len()).filter(|place| runners[*place].dropped.is_none()).collect();
            if !race.to_the_end && number > 0 && live.len() <= race.survivors {
                break;
            }
            match self.block(contestants, &live, &schedule.select(start..end)).await {
                Ok(block) => {
                    for (place, items) in live.iter().zip(block) {
                        runners[*place].add(items, contestants[*place].penalty);
                    }
                }
                Err(Stop::Budget(limit)) => {
                    stopped = Some(limit);
                    break;
                }
                Err(stop) => return Err(stop),
            }
            start = end;
            if number + 1 < ends.len() {
                for place in race.drop_beaten(&mut runners, &live, level) {
                    let contestant = contestants[place].scope.clone();
                    self.events().emit(&StudyEvent::Dropped { contestant, rows: end });
                }
            }
        }
        self.sync()?;
        let standings = runners.into_iter().zip(contestants).map(|(runner, contestant)| {
            let Runner { items, dropped, .. } = runner;
            let mean = if items.is_empty() { None } else { Some(self.scores(items.clone())?.mean) };
            Ok(Standing { mean, items, dropped, penalty: contestant.penalty })
        });
        Ok(Raced { standings: standings.collect::<Result<_, Stop>>()?, stopped })
    }

    /// Runs the remaining contestants on one block.
    async fn block(
        &self,
        contestants: &[Contestant<P>],
        live: &[usize],
        rows: &Rows<'_, E>,
    ) -> Result<Vec<Vec<ItemReport>>, Stop> {
        let mut tasks = Vec::with_capacity(live.len() * rows.len());
        for place in live {
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
        Ok(live.iter().map(items).collect())
    }
}

impl Race {
    /// Drops the contestants that enough others have beaten, and returns their indices.
    pub(super) fn drop_beaten(&self, runners: &mut [Runner], live: &[usize], level: f64) -> Vec<usize> {
        let beats =
            |a: usize, b: usize| level > 0.0 && p_value(&runners[a].scores, &runners[b].scores) <= level;
        let mut beaten = Vec::new();
        for &place in live {
            let by: Vec<usize> =
                live.iter().copied().filter(|rival| *rival != place && beats(*rival, place)).collect();
            if by.len() >= self.survivors {
                beaten.push((place, by));
            }
        }
        // If the metric failed on some rows, comparisons are not transitive and every contestant may be
        // beaten.
        beaten.sort_by_key(|(_, by)| std::cmp::Reverse(by.len()));
        beaten.truncate(live.len().saturating_sub(self.survivors));
        beaten.sort_by_key(|(place, _)| *place);
        for (place, beaten_by) in &beaten {
            let rows = runners[*place].scores.len();
            runners[*place].dropped = Some(Dropped { rows, beaten_by: beaten_by.clone() });
        }
        beaten.into_iter().map(|(place, _)| place).collect()
    }
}

impl Runner {
    fn add(&mut self, items: Vec<ItemReport>, penalty: f64) {
        self.scores.extend(items.iter().map(|item| item.score.map(|score| score - penalty)));
        self.items.extend(items);
    }
}
