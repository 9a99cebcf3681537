//! Pareto fronts: for each row or objective, the candidates that have the best score.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Rng;

use super::settings::Front;

/// A row, an objective, or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The position of a row.
    Row(usize),
    /// The name of an objective.
    Objective(String),
    /// An objective on a row.
    Both(usize, String),
}

/// The fronts by key, each with its score and the candidates that have it.
#[derive(Debug, Default)]
pub(super) struct Fronts(BTreeMap<Key, (f64, BTreeSet<usize>)>);

impl Fronts {
    /// Adds a score of a candidate.
    pub(super) fn add(&mut self, candidate: usize, key: Key, score: f64) {
        let (best, holders) = self.0.entry(key).or_insert_with(|| (score, BTreeSet::new()));
        if score > *best {
            *best = score;
            holders.clear();
        }
        if score == *best {
            holders.insert(candidate);
        }
    }

    /// Returns the sets of candidates with the best scores. Without objectives, they are those of the rows.
    pub(super) fn sets(&self, front: Front) -> Vec<BTreeSet<usize>> {
        let stated = self.0.keys().any(|key| matches!(key, Key::Objective(_)));
        let wanted = |key: &Key| match (key, front) {
            (Key::Row(_), Front::Instance | Front::Hybrid)
            | (Key::Objective(_), Front::Objective | Front::Hybrid)
            | (Key::Both(..), Front::Cartesian) => true,
            (Key::Row(_), _) => !stated,
            _ => false,
        };
        self.0.iter().filter(|(key, _)| wanted(key)).map(|(_, (_, holders))| holders.clone()).collect()
    }
}

/// Removes the candidates that are dominated: in each of their sets there is another remaining candidate. Those
/// with the lowest mean scores are removed first.
pub(super) fn without_dominated(mut sets: Vec<BTreeSet<usize>>, means: &[f64]) -> Vec<BTreeSet<usize>> {
    let mut order: Vec<usize> = sets.iter().flatten().copied().collect::<BTreeSet<_>>().into_iter().collect();
    order.sort_by(|a, b| means[*a].total_cmp(&means[*b]));
    // One pass is enough: a removal never makes an earlier candidate dominated.
    for candidate in order {
        if sets.iter().filter(|set| set.contains(&candidate)).all(|set| set.len() > 1) {
            sets.iter_mut().for_each(|set| set.retain(|other| *other != candidate));
        }
    }
    sets
}

/// Draws a candidate with a probability proportional to the number of sets that contain it.
pub(super) fn draw(sets: &[BTreeSet<usize>], rng: &mut Rng) -> Option<usize> {
    let all: Vec<usize> = sets.iter().flatten().copied().collect();
    all.get(rng.below(all.len())).copied()
}

/// Returns the candidate with the highest mean score, the first one in case of ties.
pub(super) fn best(means: &[f64]) -> usize {
    (1..means.len()).fold(0, |best, next| if means[next] > means[best] { next } else { best })
}

/// Returns the sets with only the `count` candidates of the highest mean scores.
pub(super) fn top(mut sets: Vec<BTreeSet<usize>>, means: &[f64], count: usize) -> Vec<BTreeSet<usize>> {
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|a, b| means[*b].total_cmp(&means[*a]));
    order.truncate(count);
    sets.iter_mut().for_each(|set| set.retain(|candidate| order.contains(candidate)));
    sets.retain(|set| !set.is_empty());
    sets
}

#[cfg(test)]
mod tests {
    use dspy_core::Seed;

    use super::*;

    fn sets(of: &[&[usize]]) -> Vec<BTreeSet<usize>> {
        of.iter().map(|set| set.iter().copied().collect()).collect()
    }

    #[test]
    fn a_front_holds_the_best_and_its_equals() {
        let mut fronts = Fronts::default();
        for (candidate, score) in [0.5, 0.2, 0.5, 0.9, 0.9].into_iter().enumerate() {
            fronts.add(candidate, Key::Row(3), score);
            fronts.add(candidate, Key::Objective("brief".into()), -score);
        }
        assert_eq!(fronts.sets(Front::Hybrid), sets(&[&[3, 4], &[1]]));
        assert_eq!(fronts.sets(Front::Instance), sets(&[&[3, 4]]));
        assert_eq!(fronts.sets(Front::Objective), sets(&[&[1]]));
        fronts.add(2, Key::Both(3, "brief".into()), 1.0);
        assert_eq!(fronts.sets(Front::Cartesian), sets(&[&[2]]));
    }

    #[test]
    fn a_front_of_objectives_is_one_of_rows_until_there_are_some() {
        let mut fronts = Fronts::default();
        fronts.add(0, Key::Row(0), 1.0);
        assert_eq!(fronts.sets(Front::Objective), sets(&[&[0]]));
        assert_eq!(fronts.sets(Front::Cartesian), sets(&[&[0]]));
        // The first candidate has failed everywhere and has no objectives: it is no longer on the front.
        fronts.add(1, Key::Objective("brief".into()), 0.3);
        assert_eq!(fronts.sets(Front::Objective), sets(&[&[1]]));
    }

    #[test]
    fn dominated_candidates_are_removed_the_worst_first() {
        // 0 is in no set without 1 or 2; 1 is the only one in the last set.
        let found = without_dominated(sets(&[&[0, 1], &[0, 2], &[1]]), &[0.3, 0.4, 0.5]);
        assert_eq!(found, sets(&[&[1], &[2], &[1]]));
        // Of two that dominate each other, the one with the better mean stays.
        assert_eq!(without_dominated(sets(&[&[0, 1]]), &[0.6, 0.4]), sets(&[&[0]]));
        assert_eq!(without_dominated(sets(&[&[0, 1]]), &[0.5, 0.5]), sets(&[&[1]]));
        assert_eq!(without_dominated(sets(&[&[0], &[1]]), &[0.0, 1.0]), sets(&[&[0], &[1]]));
    }

    #[test]
    fn draws_are_proportional_to_the_number_of_sets() {
        let sets = sets(&[&[0], &[0], &[0], &[7]]);
        let mut rng = Seed::new(0).rng();
        let drawn = (0..4_000).filter(|_| draw(&sets, &mut rng) == Some(0)).count();
        assert!((2_900..3_100).contains(&drawn), "{drawn}");
        assert_eq!(draw(&[], &mut rng), None);
    }

    #[test]
    fn the_best_is_the_first_of_equals() {
        assert_eq!(best(&[0.1, 0.7, 0.7, 0.2]), 1);
        assert_eq!(top(sets(&[&[0, 1], &[0], &[2]]), &[0.1, 0.5, 0.6], 2), sets(&[&[1], &[2]]));
    }
}
