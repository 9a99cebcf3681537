//! Merges: the combination of two candidates that have changed different components of a common ancestor.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Rng;

/// The number of searches for a pair, and of draws in each.
const TRIES: usize = 10;

/// The number of rows on which a merge is compared with its parents.
pub(super) const ROWS: usize = 5;

/// The candidates as merges see them.
pub(super) struct Lineage<'a> {
    /// The parents of each candidate.
    pub(super) parents: &'a [Vec<usize>],
    /// Their mean scores.
    pub(super) means: &'a [f64],
    /// The value of each component of each candidate, as a number that is equal for equal values.
    pub(super) values: &'a [Vec<usize>],
}

/// Two candidates and a common ancestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Triple {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) ancestor: usize,
}

/// The merges so far.
#[derive(Debug, Default)]
pub(super) struct Merges {
    /// The number of merges that may be tried: one for each accepted child.
    pub(super) due: usize,
    /// The number of merges that were evaluated.
    pub(super) tested: usize,
    /// Whether a child was accepted since the last attempt.
    pub(super) found_new: bool,
    tried: BTreeSet<Triple>,
    built: BTreeSet<(usize, usize, Vec<usize>)>,
}

impl Merges {
    /// Finds candidates to merge among the given ones. Returns them with the candidate from which each component is
    /// taken.
    pub(super) fn find(
        &mut self,
        lineage: &Lineage<'_>,
        among: &BTreeSet<usize>,
        rng: &mut Rng,
    ) -> Option<(Triple, Vec<usize>)> {
        for _ in 0..TRIES {
            let Some(triple) = (0..TRIES).find_map(|_| self.draw(lineage, among, rng)) else { continue };
            self.tried.insert(triple);
            let sources = lineage.combine(triple, rng);
            if self.built.insert((triple.first, triple.second, sources.clone())) {
                return Some((triple, sources));
            }
        }
        None
    }

    fn draw(&self, lineage: &Lineage<'_>, among: &BTreeSet<usize>, rng: &mut Rng) -> Option<Triple> {
        let among: Vec<usize> = among.iter().copied().collect();
        let [a, b] = *rng.sample(among.len(), 2) else { return None };
        let (first, second) = (among[a].min(among[b]), among[a].max(among[b]));
        let (of_first, of_second) = (lineage.ancestors(first), lineage.ancestors(second));
        if of_first.contains(&second) || of_second.contains(&first) {
            return None;
        }
        let common = of_first.intersection(&of_second).map(|at| Triple { first, second, ancestor: *at });
        let usable: Vec<Triple> =
            common.filter(|triple| !self.tried.contains(triple) && lineage.is_useful(*triple)).collect();
        let weight = |triple: &Triple| lineage.means[triple.ancestor].max(0.0);
        let total: f64 = usable.iter().map(weight).sum();
        if total <= 0.0 {
            return usable.get(rng.below(usable.len())).copied();
        }
        let mut at = rng.unit() * total;
        let drawn = usable.iter().find(|triple| {
            at -= weight(triple);
            at < 0.0
        });
        drawn.or(usable.last()).copied()
    }
}

impl Lineage<'_> {
    /// Returns all ancestors of a candidate.
    fn ancestors(&self, of: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = self.parents[of].clone();
        while let Some(next) = open.pop() {
            if found.insert(next) {
                open.extend(&self.parents[next]);
            }
        }
        found
    }

    /// Returns whether the ancestor is not better than the two, and one of them alone has changed a component.
    fn is_useful(&self, Triple { first, second, ancestor }: Triple) -> bool {
        let least = self.means[first].min(self.means[second]);
        let components = 0..self.values[ancestor].len();
        let changed = |of: usize, at: usize| self.values[of][at] != self.values[ancestor][at];
        self.means[ancestor] <= least
            && components.into_iter().any(|at| changed(first, at) != changed(second, at))
    }

    /// Returns the candidate from which each component of the merge is taken: the one that has changed it, or the
    /// better one if both have.
    fn combine(&self, Triple { first, second, ancestor }: Triple, rng: &mut Rng) -> Vec<usize> {
        let value = |of: usize, at: usize| self.values[of][at];
        let components = 0..self.values[ancestor].len();
        let source = |at: usize| {
            let (own, other, old) = (value(first, at), value(second, at), value(ancestor, at));
            if own == other || other == old {
                return first;
            }
            if own == old {
                return second;
            }
            match self.means[first].total_cmp(&self.means[second]) {
                std::cmp::Ordering::Greater => first,
                std::cmp::Ordering::Less => second,
                std::cmp::Ordering::Equal => [first, second][rng.below(2)],
            }
        };
        components.map(source).collect()
    }
}

/// Draws rows on which a merge is compared with its parents: about as many where the first is better, where the
/// second is better, and where they are equal.
pub(super) fn subsample(
    first: &BTreeMap<usize, Option<f64>>,
    second: &BTreeMap<usize, Option<f64>>,
    rng: &mut Rng,
) -> Vec<usize> {
    let mut groups: [Vec<usize>; 3] = Default::default();
    for (row, own) in first {
        if let (Some(own), Some(Some(other))) = (own, second.get(row)) {
            let group = if own > other { 0 } else { 1 + usize::from(own >= other) };
            groups[group].push(*row);
        }
    }
    let mut drawn = Vec::new();
    let mut rest = Vec::new();
    for mut group in groups {
        rng.shuffle(&mut group);
        let left = group.split_off(group.len().min(ROWS.div_ceil(3)));
        drawn.extend(group);
        rest.extend(left);
    }
    drawn.truncate(ROWS);
    rng.shuffle(&mut rest);
    let missing = ROWS - drawn.len();
    drawn.extend(rest.into_iter().take(missing));
    drawn
}

/// Returns whether a merge is no worse than both of its parents, on the rows that it has scores on.
pub(super) fn is_no_worse(merge: &BTreeMap<usize, f64>, parents: [&BTreeMap<usize, Option<f64>>; 2]) -> bool {
    let reached: f64 = merge.values().sum();
    let sum = |scores: &BTreeMap<usize, Option<f64>>| -> f64 {
        merge.keys().filter_map(|row| scores.get(row).copied().flatten()).sum()
    };
    !merge.is_empty() && parents.into_iter().all(|parent| reached >= sum(parent))
}

#[cfg(test)]
mod tests {
    use dspy_core::Seed;

    use super::*;

    /// 0 is the seed; 1 changes the first component, 2 the second one, 3 is a child of 1.
    const VALUES: [[usize; 2]; 4] = [[0, 0], [1, 0], [0, 1], [2, 0]];

    fn lineage(means: &[f64; 4], run: impl FnOnce(&Lineage<'_>)) {
        let parents = [vec![], vec![0], vec![0], vec![1]];
        let values = VALUES.map(Vec::from);
        run(&Lineage { parents: &parents, means, values: &values });
    }

    fn all() -> BTreeSet<usize> {
        (0..4).collect()
    }

    #[test]
    fn changes_of_both_sides_are_combined_once() {
        lineage(&[0.1, 0.2, 0.3, 0.4], |lineage| {
            let mut merges = Merges::default();
            let mut rng = Seed::new(0).rng();
            let mut found = Vec::new();
            // A search draws pairs at random, so one may find nothing although there is something.
            for _ in 0..50 {
                if let Some((triple, sources)) = merges.find(lineage, &all(), &mut rng) {
                    assert_eq!(triple.ancestor, 0);
                    found.push((triple.first, triple.second, sources));
                }
            }
            found.sort();
            // Never a candidate with its own ancestor, and each pair once.
            assert_eq!(found, [(1, 2, vec![1, 2]), (2, 3, vec![3, 2])]);
        });
    }

    #[test]
    fn a_group_of_draws_without_a_pair_does_not_end_the_search() {
        lineage(&[0.1, 0.2, 0.3, 0.4], |lineage| {
            // One of three draws finds a pair, so ten draws find none for one of 60 seeds.
            for seed in 0..400 {
                let found = Merges::default().find(lineage, &all(), &mut Seed::new(seed).rng());
                assert!(found.is_some(), "seed {seed}");
            }
        });
    }

    #[test]
    fn an_ancestor_that_is_better_is_no_base() {
        lineage(&[0.25, 0.2, 0.3, 0.4], |lineage| {
            let found = Merges::default().find(lineage, &all(), &mut Seed::new(0).rng());
            assert_eq!(found.map(|(triple, _)| (triple.first, triple.second)), Some((2, 3)));
        });
        // All scores 0: a uniform draw.
        lineage(&[0.0; 4], |lineage| {
            assert!(Merges::default().find(lineage, &all(), &mut Seed::new(0).rng()).is_some());
        });
    }

    #[test]
    fn of_two_changes_the_better_candidate_has_the_last_word() {
        let parents = [vec![], vec![0], vec![0]];
        let values = [vec![0, 0, 0], vec![1, 1, 0], vec![2, 0, 0]];
        for (means, source) in [([0.1, 0.5, 0.4], 1), ([0.1, 0.4, 0.5], 2)] {
            let lineage = Lineage { parents: &parents, means: &means, values: &values };
            let triple = Triple { first: 1, second: 2, ancestor: 0 };
            assert_eq!(lineage.combine(triple, &mut Seed::new(0).rng()), [source, 1, 1]);
        }
    }

    #[test]
    fn rows_without_a_score_of_the_merge_do_not_count() {
        let first = BTreeMap::from([(0, Some(1.0)), (1, Some(1.0)), (2, Some(0.0))]);
        let second = BTreeMap::from([(0, Some(0.0)), (1, Some(1.0)), (2, Some(0.0))]);
        let no_worse = |of: &[(usize, f64)]| is_no_worse(&of.iter().copied().collect(), [&first, &second]);
        assert!(no_worse(&[(0, 1.0), (1, 1.0), (2, 0.0)]) && no_worse(&[(1, 1.0), (2, 0.0)]));
        assert!(!no_worse(&[(0, 0.0), (1, 1.0), (2, 0.5)]) && !no_worse(&[]));
    }

    #[test]
    fn rows_are_drawn_from_wins_losses_and_ties() {
        let scores = |of: &[f64]| of.iter().map(|score| Some(*score)).enumerate().collect();
        let first: BTreeMap<_, _> = scores(&[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5]);
        let second: BTreeMap<_, _> = scores(&[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
        let drawn = subsample(&first, &second, &mut Seed::new(0).rng());
        let of = |rows: std::ops::Range<usize>| drawn.iter().filter(|row| rows.contains(row)).count();
        assert_eq!((of(0..3), of(3..6), of(6..9)), (2, 2, 1), "{drawn:?}");
        let ties = subsample(&first, &first, &mut Seed::new(0).rng());
        assert_eq!(ties.iter().collect::<BTreeSet<_>>().len(), ROWS, "no row is drawn twice");
    }
}
