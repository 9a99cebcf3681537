//! The members of the population.

use std::collections::BTreeMap;

use dspy_core::Seed;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Demo;

use crate::engine::Candidate;

/// A row of the trainset as demonstrations: for each predictor its call in a successful run on the row, or the labels.
#[derive(Debug, Clone)]
pub(super) struct Shot {
    /// The index of the row.
    pub(super) row: usize,
    pub(super) demos: BTreeMap<String, Demo>,
}

/// Instructions for all predictors, and shots.
#[derive(Debug, Clone)]
pub(super) struct Individual {
    /// The instructions by path.
    pub(super) instructions: BTreeMap<String, String>,
    pub(super) shots: Vec<Shot>,
}

impl Individual {
    /// Returns the instruction of a predictor.
    pub(super) fn instruction(&self, path: &str) -> &str {
        self.instructions.get(path).map(String::as_str).unwrap_or_default()
    }

    /// Returns the values that it sets: the instructions, and the shots as demonstrations.
    pub(super) fn candidate(&self) -> Candidate {
        self.instructions.iter().fold(Candidate::new(), |candidate, (path, instruction)| {
            let demos: Vec<Demo> =
                self.shots.iter().filter_map(|shot| shot.demos.get(path).cloned()).collect();
            candidate.instruction(path, instruction.as_str()).demos(path, demos)
        })
    }

    /// Returns the shots of a child of two: half of their shots at random, no row twice.
    pub(super) fn cross_shots(&self, other: &Individual, seed: Seed) -> Vec<Shot> {
        let mut all: Vec<&Shot> = self.shots.iter().collect();
        all.extend(other.shots.iter().filter(|shot| self.shots.iter().all(|own| own.row != shot.row)));
        let count = usize::midpoint(self.shots.len(), other.shots.len());
        seed.rng().sample(all.len(), count).into_iter().map(|place| all[place].clone()).collect()
    }
}

/// The change of the shots in a mutation, each with probability ⅓ where it is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShotChange {
    Add,
    Remove,
    Keep,
}

impl ShotChange {
    pub(super) fn draw(shots: usize, most: usize, seed: Seed) -> Self {
        match seed.rng().below(3) {
            0 if shots < most => ShotChange::Add,
            1 if shots > 0 => ShotChange::Remove,
            _ => ShotChange::Keep,
        }
    }
}

/// Returns the length of a program's prompts without inputs, in characters: instructions and demonstrations.
pub(super) fn prompt_length(program: &impl HasPredictors) -> usize {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.chars().count(),
        other => other.to_string().chars().count(),
    };
    let predictors = program.named_predictors().into_iter();
    let lengths = predictors.map(|(_, predictor)| {
        let demos = predictor.demos().iter().flat_map(|demo| demo.values.values());
        predictor.instruction().chars().count() + demos.map(value).sum::<usize>()
    });
    lengths.sum()
}

#[cfg(test)]
mod tests {
    use dspy_core::predict::DynPredict;
    use dspy_core::signature::Values;

    use super::*;

    fn shot(row: usize) -> Shot {
        let values =
            Values::from_iter([("text".to_owned(), "four".into()), ("count".to_owned(), row.into())]);
        Shot { row, demos: BTreeMap::from([("self".to_owned(), Demo::new(values))]) }
    }

    fn individual(rows: &[usize]) -> Individual {
        let instructions = BTreeMap::from([("self".to_owned(), "Count.".to_owned())]);
        Individual { instructions, shots: rows.iter().copied().map(shot).collect() }
    }

    #[test]
    fn a_child_has_half_of_the_shots_of_both() {
        let (one, other) = (individual(&[1, 2, 3]), individual(&[3, 4]));
        for seed in 0..50 {
            let mut rows: Vec<_> =
                one.cross_shots(&other, Seed::new(seed)).iter().map(|shot| shot.row).collect();
            assert_eq!(rows.len(), 2);
            rows.sort_unstable();
            rows.dedup();
            assert!(rows.len() == 2 && rows.iter().all(|row| (1..=4).contains(row)), "{rows:?}");
        }
        assert!(individual(&[]).cross_shots(&individual(&[7]), Seed::new(0)).is_empty());
    }

    #[test]
    fn a_third_each_adds_removes_and_keeps() {
        let mut counts = [0; 3];
        for seed in 0..3_000 {
            counts[ShotChange::draw(2, 5, Seed::new(seed)) as usize] += 1;
            assert_ne!(ShotChange::draw(0, 5, Seed::new(seed)), ShotChange::Remove);
            assert_ne!(ShotChange::draw(5, 5, Seed::new(seed)), ShotChange::Add);
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }

    #[test]
    fn instructions_and_demonstrations_have_a_length() {
        let program = DynPredict::new("text -> count: int".parse().unwrap());
        let of = |rows: &[usize]| prompt_length(&individual(rows).candidate().applied_to(&program).unwrap());
        assert_eq!((of(&[]), of(&[1]), of(&[1, 22])), (6, 11, 17));
    }
}
