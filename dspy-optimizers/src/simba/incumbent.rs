//! The best program so far, which the best new programs of each step challenge.

use super::finals::record;
use super::search::Search;
use crate::engine::{Contestant, ExampleFor, Program, Stop};
use crate::report::Stopped;

/// The largest number of new programs of a step that run against the best one so far.
pub(super) const CHALLENGERS: usize = 2;

/// The best program so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incumbent {
    /// Its place in the pool.
    pub(super) place: usize,
    /// Its score on all rows to select by.
    pub(super) score: f64,
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Races the best ones of the programs from `first` on, if they gain anything, against the best program so far.
    pub(super) async fn challenge(&mut self, first: usize) -> Result<(), Stop> {
        let (study, val) = (self.study, self.study.val());
        let challengers = self.pool.challengers(first, CHALLENGERS);
        if challengers.is_empty() {
            return Ok(());
        }
        study.part("race", &format!("{} programs", challengers.len()), challengers.len() * val.len());
        let places: Vec<usize> = std::iter::once(self.incumbent.place).chain(challengers).collect();
        let contestants: Vec<_> = places
            .iter()
            .map(|place| {
                Contestant::new(&*self.pool.get(*place).scope, self.pool.get(*place).program.clone())
            })
            .collect();
        // The next challengers are compared with its score on all rows.
        let race = self.settings.race.survivors(1).to_the_end(true);
        let raced = study.race(&race, &contestants, val).await?;
        // At the end of the budget, one that has not run on all rows has no score.
        let is_scored =
            |winner: &usize| raced.stopped.is_none() || raced.standings[*winner].items.len() == val.len();
        let winner = raced.winner_over(0, Some(self.incumbent.score), val.len()).filter(is_scored);
        for (place, standing) in places.iter().zip(&raced.standings).skip(1) {
            let member = self.pool.get_mut(*place);
            let scores = standing.items.iter().filter_map(|item| Some((item.index, item.score?)));
            if study.has_valset() {
                member.val_scores.extend(scores);
            } else {
                member.scores.extend(scores);
            }
            if !standing.items.is_empty() {
                member.standing = Some(standing.clone());
            }
        }
        if let Some(winner) = winner
            && let Some(score) = raced.standings[winner].mean
        {
            self.incumbent = Incumbent { place: places[winner], score };
        }
        raced.stopped.map_or(Ok(()), |limit| Err(Stop::Budget(limit)))
    }

    /// Records all programs. The best one so far is the result.
    pub(super) fn finish(self, stopped: Option<dspy_core::lm::Limit>) -> Stopped {
        record(self.study, self.pool, self.incumbent.place);
        stopped.map_or(Stopped::Finished, Stopped::Budget)
    }
}
