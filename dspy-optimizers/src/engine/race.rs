//! The run of a race.

use dspy_base::digest::Digest;
use dspy_core::lm::Limit;
use serde_json::json;

use super::{Afforded, ExampleFor, Needs, Program, Stop, Study, Task};
use crate::counts::counted;
use crate::data::Rows;
use crate::events::StudyEvent;
use crate::race::{Contestant, Progress, Race, Raced};
use crate::report::ItemReport;

/// The contestants of a race that the budget does not run, and the limit that they would exceed.
struct Fitting {
    left_out: Vec<usize>,
    limit: Option<Limit>,
}

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Runs contestants on the same blocks of rows and drops those that are beaten; see [`Race`].
    ///
    /// A block starts only if the remaining budget covers it, with each rollout at the highest cost so far.
    /// Otherwise, or if the budget is exhausted during a block, the result is that of the preceding blocks. If the
    /// budget does not cover the first block for all contestants, those that it covers run, in their order, and
    /// [`Report::decisions`](crate::Report::decisions) says how many; the others have no rows.
    ///
    /// # Errors
    /// If the search has to stop for another reason, or the metric failed on every row of all contestants.
    pub async fn race(
        &self,
        race: &Race,
        contestants: &[Contestant<P>],
        rows: &Rows<'_, E>,
    ) -> Result<Raced, Stop> {
        let (schedule, ends) = race.schedule(rows, self.seed());
        let mut progress = Progress::new(race, contestants, ends.len());
        let (mut start, mut stopped) = (0, None);
        let Fitting { left_out, limit: short } = self.fitting(contestants, &schedule.select(0..ends[0]))?;
        if let Some(limit) = short {
            let compared = contestants.len() - left_out.len();
            if compared < 2 {
                return Ok(Raced { standings: progress.standings(), stopped: Some(limit) });
            }
            progress.leave_out(&left_out);
            let all = contestants.len();
            self.decide(format!(
                "compared {compared} of {all} programs: the rest of the budget cannot compare more"
            ));
        }
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
        // The rows of one contestant alone may all be those on which the metric fails.
        let mut ran = standings.iter().filter(|standing| !standing.items.is_empty()).peekable();
        if ran.peek().is_some() && ran.all(|standing| standing.mean.is_none()) {
            return Err(self.unscored());
        }
        Ok(Raced { standings, stopped: stopped.or(short) })
    }

    /// Returns which of the contestants the budget does not run on the first block: the last of those that have not run
    /// there before. What is missing and how many run is in the journal, so that a resumed race has the same.
    fn fitting(&self, contestants: &[Contestant<P>], block: &Rows<'_, E>) -> Result<Fitting, Stop> {
        let all = Fitting { left_out: Vec::new(), limit: None };
        if !self.is_limited() {
            return Ok(all);
        }
        let scopes: Vec<&str> = contestants.iter().map(|contestant| &*contestant.scope).collect();
        let rows: Vec<(&str, usize)> = block.iter().map(|row| (row.set, row.position)).collect();
        let key = format!("race-{}", Digest::new().add_value(&json!([scopes, rows])).short());
        let name = self.effect_name(&format!("{key}/missing"));
        // What is missing when the race begins; on resume it is less.
        let missing: Vec<usize> = match self.journal.done(&name)? {
            Some(missing) => missing,
            None => {
                let missing: Vec<usize> =
                    contestants.iter().map(|one| self.missing(&one.scope, &one.program, block)).collect();
                let sum = missing.iter().sum();
                if sum == 0 || self.would_exceed(sum).is_none() {
                    return Ok(all);
                }
                self.journal.finish(&name, &missing)?;
                missing
            }
        };
        let runs = |count: usize| missing.iter().take(count).sum();
        let Afforded { count, limit } =
            self.affordable(&key, contestants.len(), |count| Needs { calls: 0, runs: runs(count) })?;
        let left_out = (count..contestants.len()).filter(|place| missing[*place] > 0).collect();
        Ok(Fitting { left_out, limit })
    }

    /// Returns the number of rows that a program has not run on under this name.
    pub(crate) fn missing(&self, scope: &str, program: &P, rows: &Rows<'_, E>) -> usize {
        rows.iter().filter(|row| !self.knows(&Task::new(scope, program, *row))).count()
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
