//! The progress of a race: the scores so far, and the contestants that are dropped because of them.

use super::{Contestant, Dropped, Race, Standing};
use crate::paired::p_value;
use crate::report::{ItemReport, mean};

/// The state of a race between two blocks.
pub(crate) struct Progress {
    race: Race,
    /// The significance level of each comparison.
    level: f64,
    pub(super) runners: Vec<Runner>,
}

/// The state of a contestant.
pub(super) struct Runner {
    items: Vec<ItemReport>,
    /// Its scores minus its penalty, row by row.
    pub(super) scores: Vec<Option<f64>>,
    dropped: Option<Dropped>,
    /// Whether the budget does not run it.
    left_out: bool,
    penalty: f64,
}

impl Progress {
    /// Creates the state before the first of this many blocks.
    pub(crate) fn new<P>(race: &Race, contestants: &[Contestant<P>], blocks: usize) -> Self {
        Self::with(*race, contestants.iter().map(|contestant| contestant.penalty), blocks)
    }

    pub(super) fn with(race: Race, penalties: impl Iterator<Item = f64>, blocks: usize) -> Self {
        let runner = |penalty| Runner {
            items: Vec::new(),
            scores: Vec::new(),
            dropped: None,
            left_out: false,
            penalty,
        };
        Progress { race, level: race.level(blocks), runners: penalties.map(runner).collect() }
    }

    /// Leaves out contestants that do not run.
    pub(crate) fn leave_out(&mut self, places: &[usize]) {
        places.iter().for_each(|place| self.runners[*place].left_out = true);
    }

    /// Returns the indices of the contestants that run and are not dropped.
    pub(crate) fn remaining(&self) -> Vec<usize> {
        let runs = |runner: &Runner| runner.dropped.is_none() && !runner.left_out;
        (0..self.runners.len()).filter(|place| runs(&self.runners[*place])).collect()
    }

    /// Returns whether the race ends before its next block, because only survivors are left.
    pub(crate) fn is_decided(&self) -> bool {
        !self.race.to_the_end && self.remaining().len() <= self.race.survivors
    }

    /// Adds the results of a contestant on a block.
    pub(crate) fn add(&mut self, place: usize, items: Vec<ItemReport>) {
        let Runner { items: all, scores, penalty, .. } = &mut self.runners[place];
        scores.extend(items.iter().map(|item| item.score.map(|score| score - *penalty)));
        all.extend(items);
    }

    /// Drops the contestants that enough others have beaten, and returns their indices.
    pub(crate) fn drop_beaten(&mut self) -> Vec<usize> {
        let (runners, remaining, most) = (&self.runners, self.remaining(), self.race.survivors);
        let beats = |a: usize, b: usize| {
            let p = p_value(&runners[a].scores, &runners[b].scores);
            // One that is not better beats none, even at a level of 1.
            self.level > 0.0 && p < 1.0 && p <= self.level
        };
        let mut beaten = Vec::new();
        for &place in &remaining {
            let by: Vec<usize> =
                remaining.iter().copied().filter(|rival| *rival != place && beats(*rival, place)).collect();
            if by.len() >= most {
                beaten.push((place, by));
            }
        }
        // If the metric failed on some rows, comparisons are not transitive and every contestant may be
        // beaten.
        beaten.sort_by_key(|(_, by)| std::cmp::Reverse(by.len()));
        beaten.truncate(remaining.len().saturating_sub(most));
        beaten.sort_by_key(|(place, _)| *place);
        let drop = |(place, beaten_by): (usize, Vec<usize>)| {
            let runner = &mut self.runners[place];
            runner.dropped = Some(Dropped { rows: runner.scores.len(), beaten_by });
            place
        };
        beaten.into_iter().map(drop).collect()
    }

    /// Returns the results of the contestants.
    pub(crate) fn standings(self) -> Vec<Standing> {
        let standing = |Runner { items, dropped, penalty, .. }: Runner| Standing {
            mean: mean(&items),
            items,
            dropped,
            penalty,
        };
        self.runners.into_iter().map(standing).collect()
    }
}
