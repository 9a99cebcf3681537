//! The results of a race.

use dspy_core::lm::Limit;

use crate::counts::counted;
use crate::paired::p_value;
use crate::report::{ItemReport, PartialScore, Trial, percent};

/// The significance level at which a contestant is better than the present program on a part of the rows, over all
/// rivals of the present program.
pub(crate) const LEVEL: f64 = 0.05;

/// The result of a race.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Raced {
    /// The contestants in the order in which they were given.
    pub standings: Vec<Standing>,
    /// The limit of the budget that ended the race early, after a complete block, if one did.
    pub stopped: Option<Limit>,
}

/// The result of a contestant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// The mean score on the rows on which it has run, without its penalty; `None` if there are no such rows.
    pub mean: Option<f64>,
    /// The rows on which it has run, in the order of the race.
    pub items: Vec<ItemReport>,
    /// The reason for which it was dropped, if it was.
    pub dropped: Option<Dropped>,
    pub(super) penalty: f64,
}

/// The reason for which a contestant was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The number of rows on which it had run.
    pub rows: usize,
    /// The indices of the contestants that had beaten it.
    pub beaten_by: Vec<usize>,
}

impl Raced {
    /// Returns the indices of the contestants, the best first. Survivors are ordered by their mean score
    /// minus their penalty; ties keep the order of the contestants. Dropped ones follow, those that ran on
    /// more rows first.
    pub fn ranking(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.standings.len()).collect();
        let key = |place: &usize| {
            let Standing { mean, dropped, penalty, .. } = &self.standings[*place];
            let rows = dropped.as_ref().map_or(usize::MAX, |dropped| dropped.rows);
            let score = mean.map(|mean| mean - penalty).filter(|score| !score.is_nan());
            (rows, score.unwrap_or(f64::NEG_INFINITY))
        };
        places.sort_by(|a, b| {
            let ((a_rows, a_score), (b_rows, b_score)) = (key(a), key(b));
            b_rows.cmp(&a_rows).then(b_score.total_cmp(&a_score))
        });
        places
    }

    /// Returns the index of the best survivor, or `None` if it has no score.
    pub fn winner(&self) -> Option<usize> {
        let first = *self.ranking().first()?;
        self.standings[first].mean.map(|_| first)
    }

    /// Returns the index of the contestant to take in place of a present one, whose score on all `rows` may be known:
    /// the winner if it is better on all rows after penalties. If the budget has ended the race before, the winner must
    /// be better on the rows that both have run on by a paired test at 5 %, divided by the number of rivals, as the best
    /// one of several on a part of the rows may be there by luck.
    pub(crate) fn winner_over(&self, present: usize, score: Option<f64>, rows: usize) -> Option<usize> {
        let winner = self.winner().filter(|winner| *winner != present)?;
        let Standing { mean, items, penalty, .. } = &self.standings[winner];
        let more = penalty - self.standings[present].penalty;
        let taken = if items.len() < rows {
            self.stopped.is_none() || self.is_clearly_better(winner, present)
        } else {
            // The present one may have been dropped on rows that are not like the others.
            score.is_none_or(|score| mean.is_some_and(|mean| mean - more > score))
        };
        taken.then_some(winner)
    }

    fn is_clearly_better(&self, winner: usize, present: usize) -> bool {
        let scores = |place: usize| -> Vec<Option<f64>> {
            let Standing { items, penalty, .. } = &self.standings[place];
            items.iter().map(|item| item.score.map(|score| score - penalty)).collect()
        };
        // Those that the budget has left out are no rivals.
        let ran = self.standings.iter().filter(|standing| !standing.items.is_empty()).count();
        let rivals = ran.saturating_sub(1).max(1);
        p_value(&scores(winner), &scores(present)) <= LEVEL / rivals as f64
    }

    /// Adds the result of a contestant to its trial. If the race has ended before the last of the rows, the trial has a
    /// partial score with a note instead of a score, which would not be comparable with scores on all rows.
    pub(crate) fn scored(&self, place: usize, trial: Trial, rows: usize) -> Trial {
        trial.raced_on(&self.standings[place], rows)
    }
}

impl Trial {
    /// Sets the result of the candidate in a race and adds its cost. A dropped candidate gets a note but no
    /// score: it ran on fewer rows, so its score would not be comparable.
    #[must_use]
    pub fn raced(mut self, standing: &Standing) -> Self {
        standing.items.iter().for_each(|item| self.usage += item.usage);
        self.items.clone_from(&standing.items);
        self.score = standing.mean;
        if let Some(dropped) = &standing.dropped {
            let mean = self.score.take().map(percent).unwrap_or_default();
            let (rows, others) = (dropped.rows, dropped.beaten_by.len());
            let others = if others == 1 { "another".to_owned() } else { format!("{others} others") };
            let rows = counted(rows, "row");
            self.notes.push(format!("dropped after {rows} at {mean}, beaten by {others}"));
        }
        self
    }

    /// Sets the result as [`raced`](Self::raced) does. If the candidate has run on fewer than these rows, it gets a
    /// partial score with a note instead of a score.
    pub(crate) fn raced_on(self, standing: &Standing, rows: usize) -> Self {
        let mut trial = self.raced(standing);
        let ran = trial.items.len();
        if ran < rows
            && let Some(score) = trial.score.take()
        {
            let partial = PartialScore { score, rows: ran, of: rows };
            trial.notes.push(partial.to_string());
            trial.partial = Some(partial);
        }
        trial
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Usage;

    use super::*;

    fn standing(mean: f64, penalty: f64, dropped: Option<usize>) -> Standing {
        let dropped = dropped.map(|rows| Dropped { rows, beaten_by: vec![0] });
        Standing { mean: Some(mean), items: Vec::new(), dropped, penalty }
    }

    #[test]
    fn survivors_are_ranked_before_those_that_were_dropped() {
        let standings = vec![
            standing(0.5, 0.0, None),
            standing(0.9, 0.0, Some(20)),
            standing(0.55, 0.1, None),
            standing(0.5, 0.0, None),
            standing(0.1, 0.0, Some(40)),
        ];
        let raced = Raced { standings, stopped: None };
        assert_eq!(raced.ranking(), [0, 3, 2, 4, 1]);
        assert_eq!(raced.winner(), Some(0));
        assert_eq!(Raced { standings: Vec::new(), stopped: None }.winner(), None);
    }

    #[test]
    fn a_penalty_that_is_no_number_wins_no_race() {
        let standings = vec![standing(0.1, 0.0, None), standing(0.9, f64::NAN, None)];
        assert_eq!(Raced { standings, stopped: None }.winner(), Some(0));
    }

    /// Returns a standing with these scores, row by row.
    fn ran(scores: &[f64], dropped: bool) -> Standing {
        let item = |(index, score): (usize, &f64)| ItemReport {
            index,
            score: Some(*score),
            error: None,
            usage: Usage::default(),
        };
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let items = scores.iter().enumerate().map(item).collect();
        Standing { items, ..standing(mean, 0.0, dropped.then_some(scores.len())) }
    }

    #[test]
    fn a_present_one_stays_unless_another_is_better_on_all_rows() {
        let raced = |present, other| {
            let standings = vec![standing(0.5, 0.0, present), standing(other, 0.0, None)];
            Raced { standings, stopped: None }
        };
        // The standings of these races have no rows.
        assert_eq!(raced(None, 0.9).winner_over(0, Some(0.5), 0), Some(1));
        assert_eq!(raced(Some(20), 0.6).winner_over(0, Some(0.7), 0), None, "dropped by luck");
        assert_eq!(raced(Some(20), 0.6).winner_over(0, None, 0), Some(1));
        assert_eq!(raced(None, 0.4).winner_over(0, Some(0.5), 0), None);
        assert_eq!(raced(Some(20), 0.6).winner_over(0, Some(0.7), 1), Some(1), "decided before the last row");
    }

    #[test]
    fn a_part_of_the_rows_decides_only_by_a_clear_gain() {
        let half: Vec<f64> = (0..20).map(|row| f64::from(row % 2)).collect();
        let better = |gained: usize| -> Vec<f64> {
            (0..20).map(|row| if row < 2 * gained { 1.0 } else { half[row] }).collect()
        };
        let raced = |present: &[f64], dropped, others: &[Vec<f64>]| {
            let rivals = others.iter().map(|scores| ran(scores, false));
            let standings = std::iter::once(ran(present, dropped)).chain(rivals).collect();
            Raced { standings, stopped: Some(Limit::Calls) }.winner_over(0, Some(0.5), 60)
        };
        assert_eq!(raced(&half, false, &[better(1)]), None, "one row of 20 is luck");
        assert_eq!(raced(&half, false, &[better(4)]), Some(1));
        assert_eq!(raced(&half[..6], true, &[better(1)]), None, "beaten by one that is dropped by now");
        assert_eq!(raced(&half[..10], true, &[better(5)]), Some(1), "on the rows that both have");
        // The best one of many is more often there by luck.
        let many: Vec<Vec<f64>> = (0..40).map(|_| better(4)).collect();
        assert_eq!(raced(&half, false, &many), None);
    }
}
