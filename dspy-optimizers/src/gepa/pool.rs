//! The candidates of a search.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::lm::Usage;

use super::merge::Lineage;
use super::objectives::Objectives;
use super::pareto::{self, Fronts, Key};
use super::settings::{Front, Selector};
use crate::component::{Candidate, Component, ComponentValue};

/// A candidate before its evaluation on the valset.
pub(super) struct Draft<P> {
    pub(super) label: String,
    pub(super) candidate: Candidate,
    pub(super) program: P,
    /// The name of its rollouts.
    pub(super) scope: String,
    /// The candidates that it was made from.
    pub(super) parents: Vec<usize>,
    pub(super) notes: Vec<String>,
    /// The cost of making it.
    pub(super) usage: Usage,
}

/// The scores of a candidate on the whole valset.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) mean: f64,
    /// The scores by the position of the row; `None` where the metric failed.
    pub(super) rows: BTreeMap<usize, Option<f64>>,
    pub(super) objectives: Objectives,
}

/// A candidate with scores on the whole valset.
pub(super) struct Member<P> {
    pub(super) draft: Draft<P>,
    pub(super) standing: Standing,
    /// The index of its trial.
    pub(super) trial: usize,
    /// The index of the component to change next.
    next: usize,
}

/// All candidates with scores on the whole valset.
pub(super) struct Pool<P> {
    front: Front,
    members: Vec<Member<P>>,
    fronts: Fronts,
    means: Vec<f64>,
    parents: Vec<Vec<usize>>,
}

impl<P: Clone> Pool<P> {
    pub(super) fn new(front: Front) -> Self {
        Pool { front, members: Vec::new(), fronts: Fronts::default(), means: Vec::new(), parents: Vec::new() }
    }

    pub(super) fn get(&self, index: usize) -> &Member<P> {
        &self.members[index]
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn trials(&self, of: &[usize]) -> Vec<usize> {
        of.iter().map(|index| self.members[*index].trial).collect()
    }

    pub(super) fn add(&mut self, draft: Draft<P>, standing: Standing, trial: usize) {
        let index = self.members.len();
        for (row, score) in &standing.rows {
            score.iter().for_each(|score| self.fronts.add(index, Key::Row(*row), *score));
        }
        for (name, values) in &standing.objectives {
            let mean = values.values().sum::<f64>() / values.len() as f64;
            self.fronts.add(index, Key::Objective(name.clone()), mean);
            for (row, value) in values {
                self.fronts.add(index, Key::Both(*row, name.clone()), *value);
            }
        }
        let next = draft.parents.iter().map(|parent| self.members[*parent].next).max().unwrap_or_default();
        self.means.push(standing.mean);
        self.parents.push(draft.parents.clone());
        self.members.push(Member { draft, standing, trial, next });
    }

    /// Returns the candidate with the highest mean score.
    pub(super) fn best(&self) -> usize {
        pareto::best(&self.means)
    }

    /// Returns the better one of some candidates.
    pub(super) fn better(&self, first: usize, second: usize) -> usize {
        if self.means[second] > self.means[first] { second } else { first }
    }

    /// Returns the candidate to improve next.
    pub(super) fn select(&self, selector: Selector, seed: Seed) -> usize {
        let mut rng = seed.rng();
        let sets = || self.fronts.sets(self.front);
        let drawn = match selector {
            Selector::CurrentBest => None,
            Selector::EpsilonGreedy(epsilon) => (rng.unit() < epsilon).then(|| rng.below(self.members.len())),
            Selector::Pareto => pareto::draw(&pareto::without_dominated(sets(), &self.means), &mut rng),
            Selector::TopKPareto(count) => {
                let sets = pareto::top(sets(), &self.means, count);
                pareto::draw(&pareto::without_dominated(sets, &self.means), &mut rng)
            }
        };
        drawn.unwrap_or_else(|| self.best())
    }

    /// Returns the candidates of the front that are not dominated.
    pub(super) fn survivors(&self) -> BTreeSet<usize> {
        pareto::without_dominated(self.fronts.sets(self.front), &self.means).into_iter().flatten().collect()
    }

    /// Returns the next component of a candidate in turn that is usable.
    pub(super) fn next_component(
        &mut self,
        of: usize,
        components: &[Component],
        usable: impl Fn(&Component) -> bool,
    ) -> Option<Component> {
        let member = &mut self.members[of];
        let count = components.len();
        let at = (0..count).map(|step| (member.next + step) % count).find(|at| usable(&components[*at]))?;
        member.next = (at + 1) % count;
        Some(components[at].clone())
    }

    /// Calls `run` with the lineage of all candidates.
    pub(super) fn with_lineage<T>(&self, components: &[Component], run: impl FnOnce(&Lineage<'_>) -> T) -> T {
        let mut values = vec![Vec::with_capacity(components.len()); self.members.len()];
        for component in components {
            let mut known: Vec<Option<&ComponentValue>> = Vec::new();
            for (member, values) in self.members.iter().zip(&mut values) {
                let value = member.draft.candidate.get(component);
                let at = known.iter().position(|other| *other == value).unwrap_or_else(|| {
                    known.push(value);
                    known.len() - 1
                });
                values.push(at);
            }
        }
        run(&Lineage { parents: &self.parents, means: &self.means, values: &values })
    }
}
