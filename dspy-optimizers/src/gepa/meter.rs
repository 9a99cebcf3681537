//! The count of rollouts, which limits a search.

use std::collections::{BTreeMap, BTreeSet};

use crate::component::ComponentError;
use crate::data::Rows;
use crate::engine::Stop;
use crate::report::Stopped;

/// The end of a search.
#[derive(Debug)]
pub(super) enum Halt {
    /// It was stopped from outside.
    Stop(Stop),
    /// It is complete.
    Done(Stopped),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Halt::Stop(stop)
    }
}

impl From<ComponentError> for Halt {
    fn from(error: ComponentError) -> Self {
        Halt::Stop(error.into())
    }
}

/// A counter of rollouts. A rollout that was made before is not counted, so the count depends only on decisions, not
/// on what a journal has.
#[derive(Debug, Default)]
pub(super) struct Meter {
    limit: Option<usize>,
    most_reflections: Option<usize>,
    spent: usize,
    reflections: usize,
    seen: BTreeMap<String, BTreeSet<Run>>,
}

/// The rows to run a program on, and how.
pub(super) struct Use<'r, 'd, E> {
    pub(super) scope: &'r str,
    pub(super) rows: &'r Rows<'d, E>,
    pub(super) sample: Option<u64>,
    pub(super) traced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    set: &'static str,
    row: usize,
    sample: Option<u64>,
    traced: bool,
}

impl Meter {
    pub(super) fn new(limit: Option<usize>, most_reflections: Option<usize>) -> Self {
        Meter { limit, most_reflections, ..Meter::default() }
    }

    /// Counts a reflection, and returns whether it may be made.
    pub(super) fn reflects(&mut self) -> bool {
        let free = self.most_reflections.is_none_or(|most| self.reflections < most);
        self.reflections += usize::from(free);
        free
    }

    pub(super) fn spent(&self) -> usize {
        self.spent
    }

    /// Returns whether this number of rollouts is left.
    pub(super) fn has(&self, rollouts: usize) -> bool {
        self.limit.is_none_or(|limit| self.spent.saturating_add(rollouts) <= limit)
    }

    /// Counts rollouts before they are made.
    ///
    /// # Errors
    /// If they are more than are left.
    pub(super) fn spend<E>(&mut self, used: Use<'_, '_, E>) -> Result<(), Halt> {
        self.afford(used)?;
        self.count(used, usize::MAX);
        Ok(())
    }

    /// Checks that there are enough left for all of these rollouts.
    pub(super) fn afford<E>(&self, used: Use<'_, '_, E>) -> Result<(), Halt> {
        if self.has(self.new_ones(used)) { Ok(()) } else { Err(Halt::Done(Stopped::Finished)) }
    }

    /// Takes back that a rollout is known: the metric failed, so that it is run again when it is needed again.
    pub(super) fn forget<E>(&mut self, used: Use<'_, '_, E>, row: usize) {
        if let Some(seen) = self.seen.get_mut(used.scope) {
            seen.retain(|run| (run.set, run.row, run.sample) != (used.rows.set(), row, used.sample));
        }
    }

    /// Counts the first `most` of these rollouts.
    pub(super) fn count<E>(&mut self, used: Use<'_, '_, E>, most: usize) {
        let seen = self.seen.entry(used.scope.to_owned()).or_default();
        for run in used.runs().take(most) {
            if !is_known(seen, run) {
                self.spent += 1;
            }
            seen.insert(run);
        }
    }

    /// Returns the number of these rollouts that were not made before.
    pub(super) fn new_ones<E>(&self, used: Use<'_, '_, E>) -> usize {
        let seen = self.seen.get(used.scope);
        used.runs().filter(|run| seen.is_none_or(|seen| !is_known(seen, *run))).count()
    }
}

/// Returns whether a run was made. The result of a traced one serves an untraced one, too.
fn is_known(seen: &BTreeSet<Run>, run: Run) -> bool {
    seen.contains(&run) || (!run.traced && seen.contains(&Run { traced: true, ..run }))
}

impl<E> Clone for Use<'_, '_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Use<'_, '_, E> {}

impl<E> Use<'_, '_, E> {
    fn runs(&self) -> impl Iterator<Item = Run> {
        let (sample, traced) = (self.sample, self.traced);
        self.rows.iter().map(move |row| Run { set: row.set, row: row.position, sample, traced })
    }
}

#[cfg(test)]
mod tests {
    use dspy_core::signature::{Example, FieldError, Values};

    use super::*;

    struct Row;

    impl Example for Row {
        type Input = Values;

        fn input(&self) -> Result<Values, FieldError> {
            Ok(Values::new())
        }

        fn values(&self) -> Result<Values, FieldError> {
            Ok(Values::new())
        }
    }

    #[test]
    fn a_rollout_is_counted_once_unless_it_has_to_be_made_again() {
        let data = [Row, Row, Row];
        let rows = Rows::new("trainset", &data).unwrap();
        let mut meter = Meter::new(Some(6), None);
        let plain = Use { scope: "a", rows: &rows, sample: None, traced: false };
        let traced = Use { traced: true, ..plain };
        meter.spend(traced).unwrap();
        meter.spend(plain).unwrap();
        assert_eq!((meter.spent(), meter.new_ones(traced)), (3, 0), "a traced one serves both");
        // The metric has failed on this row, so nothing is recorded of it.
        meter.forget(plain, 1);
        assert_eq!((meter.new_ones(plain), meter.new_ones(traced)), (1, 1));
        meter.spend(traced).unwrap();
        assert_eq!(
            (meter.spent(), meter.has(2), meter.has(3), meter.has(usize::MAX)),
            (4, true, false, false)
        );
        let sampled = Use { sample: Some(0), ..plain };
        assert_eq!(meter.new_ones(sampled), 3, "another sample is another rollout");
        assert!(matches!(meter.spend(sampled), Err(Halt::Done(Stopped::Finished))));
    }
}
