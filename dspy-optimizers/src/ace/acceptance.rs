//! Acceptance: a changed program is adopted only if it is not worse on the same rows.

use std::collections::BTreeMap;

use dspy_core::Seed;

use crate::counts::counted;
use crate::data::Rows;
use crate::engine::{Contestant, ExampleFor, Program, Stop, Study};
use crate::race::Race;
use crate::report::{ItemReport, percent};

/// The result of a comparison.
pub(super) struct Comparison {
    /// The mean score of the changed program, and that of the one before, on the rows that both have scores for.
    pub(super) after: f64,
    pub(super) before: f64,
    /// The number of these rows.
    pub(super) rows: usize,
    /// The runs of the changed program.
    pub(super) items: Vec<ItemReport>,
}

impl Comparison {
    /// Compares two programs on one block of rows.
    pub(super) async fn run<P: Program, E: ExampleFor<P>>(
        study: &Study<'_, P, E>,
        before: (&str, &P),
        after: (&str, &P),
        rows: &Rows<'_, E>,
    ) -> Result<Comparison, Stop> {
        let race = Race::new().block(rows.len()).alpha(0.0);
        let contestants = [before, after].map(|(scope, program)| Contestant::new(scope, program.clone()));
        let raced = study.race(&race, &contestants, rows).await?;
        if let Some(limit) = raced.stopped {
            return Err(Stop::Budget(limit));
        }
        let [old, new] = &raced.standings[..] else {
            return Ok(Comparison { after: 0.0, before: 0.0, rows: 0, items: Vec::new() });
        };
        let scores = |items: &[ItemReport]| -> BTreeMap<usize, f64> {
            items.iter().filter_map(|item| Some((item.index, item.score?))).collect()
        };
        let old = scores(&old.items);
        let pairs: Vec<(f64, f64)> =
            scores(&new.items).iter().filter_map(|(row, after)| Some((*old.get(row)?, *after))).collect();
        let count = pairs.len().max(1) as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        let (before, after) = (mean(|pair| pair.0), mean(|pair| pair.1));
        Ok(Comparison { after, before, rows: pairs.len(), items: new.items.clone() })
    }

    /// Returns whether the changed program may be adopted.
    pub(super) fn is_accepted(&self) -> bool {
        self.rows > 0 && self.after >= self.before
    }

    /// Returns whether the changed program is better than the one before.
    pub(super) fn is_gain(&self) -> bool {
        self.rows > 0 && self.after > self.before
    }

    /// Returns the result in words.
    pub(super) fn note(&self, adopted: bool) -> String {
        let verdict = if adopted { "adopted" } else { "rejected" };
        let (after, before) = (percent(self.after), percent(self.before));
        format!("{verdict}: {after} on {}, {before} before", counted(self.rows, "row"))
    }
}

/// The rows for comparisons, block after block, in the order of races.
pub(super) struct Blocks<'d, E> {
    order: Rows<'d, E>,
    size: usize,
}

impl<'d, E> Blocks<'d, E> {
    pub(super) fn new(rows: &Rows<'d, E>, size: usize, race: &Race, seed: Seed) -> Self {
        let (order, _) = race.schedule(rows, seed);
        Blocks { size: size.min(order.len()), order }
    }

    /// Returns the number of rows of a block.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns a block; after the last row, they begin anew.
    pub(super) fn get(&self, number: usize) -> Rows<'d, E> {
        let count = self.order.len().max(1);
        let first = number.wrapping_mul(self.size);
        self.order.select((0..self.size).map(|at| first.wrapping_add(at) % count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_is_not_worse_is_adopted() {
        let compared = |after, before, rows| Comparison { after, before, rows, items: Vec::new() };
        assert!(compared(0.5, 0.5, 10).is_accepted() && compared(0.6, 0.5, 10).is_accepted());
        assert!(!compared(0.4, 0.5, 10).is_accepted() && !compared(0.0, 0.0, 0).is_accepted());
        assert!(compared(0.6, 0.5, 10).is_gain() && !compared(0.5, 0.5, 10).is_gain());
        assert_eq!(compared(0.6, 0.5, 10).note(true), "adopted: 60.0 % on 10 rows, 50.0 % before");
    }
}
