//! The results of a race.

use dspy_core::lm::Limit;

use crate::report::{ItemReport, Trial, percent};

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
            (rows, mean.map_or(f64::NEG_INFINITY, |mean| mean - penalty))
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
            self.notes.push(format!("dropped after {rows} rows at {mean}, beaten by {others}"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
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
}
