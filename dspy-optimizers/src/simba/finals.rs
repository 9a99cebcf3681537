//! The end of a search in the published form: a comparison of the best programs of the steps.

use std::collections::BTreeSet;

use dspy_core::lm::Limit;

use super::pool::{Member, Pool};
use super::search::Search;
use crate::engine::{Contestant, ExampleFor, Program, Stop, Study};
use crate::report::{ItemReport, Stopped};

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Compares the best programs of the steps on the valset, records all programs and chooses the result.
    pub(super) async fn compare(self, stopped: Option<Limit>) -> Result<Stopped, Stop> {
        let (study, mut pool) = (self.study, self.pool);
        let finalists = spread(&self.winners, self.settings.num_candidates);
        study.phase("race", finalists.len() * study.val().len());
        let contestants: Vec<_> = finalists
            .iter()
            .map(|place| Contestant::new(&pool.get(*place).scope, pool.get(*place).program.clone()))
            .collect();
        let race = self.settings.race.to_the_end(true);
        let raced = study.race(&race, &contestants, study.val()).await?;
        let has_run = raced.standings.iter().any(|standing| !standing.items.is_empty());
        let chosen = if has_run {
            // The original program is the first one.
            let winner = raced.winner_over(0, Some(self.incumbent.score), study.val().len());
            winner.map_or(0, |winner| finalists[winner])
        } else {
            // The budget ended the search before the race, so only a clear gain on minibatches decides.
            pool.clearly_best()
        };
        for (place, standing) in finalists.into_iter().zip(raced.standings) {
            pool.get_mut(place).standing = Some(standing).filter(|standing| !standing.items.is_empty());
        }
        record(study, pool, chosen);
        Ok(stopped.or(raced.stopped).map_or(Stopped::Finished, Stopped::Budget))
    }
}

/// Records all programs but the original one, which is in the report, and chooses the result.
pub(super) fn record<P: Program, E: ExampleFor<P>>(study: &Study<'_, P, E>, pool: Pool<P>, chosen: usize) {
    for (place, member) in pool.into_members().into_iter().enumerate().skip(1) {
        let Member { program, mut trial, standing, .. } = member;
        let own = std::mem::take(&mut trial.items);
        if let Some(standing) = standing {
            // Rows of the trainset that are in the race, too, are paid once.
            let again = |item: &&ItemReport| {
                !study.has_valset() && standing.items.iter().any(|other| other.index == item.index)
            };
            own.iter().filter(|item| !again(item)).for_each(|item| trial.usage += item.usage);
            trial = trial.raced_on(&standing, study.val().len());
        } else {
            own.iter().for_each(|item| trial.usage += item.usage);
            trial.items = own;
        }
        let trial = study.record(trial, program);
        if place == chosen {
            study.choose(trial);
        }
    }
}

/// Returns at most `count` + 1 of the winners at equal distances, the first and the last one included.
fn spread(winners: &[usize], count: usize) -> Vec<usize> {
    let last = winners.len() - 1;
    let at = |part: usize| (part as f64 * last as f64 / count as f64).round_ties_even() as usize;
    let indices: BTreeSet<usize> = (0..=count).map(at).collect();
    indices.into_iter().map(|index| winners[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finalists_are_spread_over_the_steps() {
        let winners: Vec<usize> = (0..9).collect();
        assert_eq!(spread(&winners, 6), [0, 1, 3, 4, 5, 7, 8]);
        assert_eq!(spread(&winners[..3], 6), [0, 1, 2]);
        assert_eq!(spread(&[0], 6), [0]);
        assert_eq!(spread(&winners, 1), [0, 8]);
    }
}
