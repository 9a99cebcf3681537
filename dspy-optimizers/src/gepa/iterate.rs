//! One iteration: candidates on minibatches, proposals, and children that are better.

use std::collections::BTreeSet;

use dspy_core::Seed;

use super::meter::{Halt, Use};
use super::pool::Draft;
use super::propose::Material;
use super::search::{Search, Work, paired_sums};
use super::settings::{ComponentOrder, Proposals};
use crate::component::{Candidate, Component};
use crate::data::Rows;
use crate::engine::{Afforded, ExampleFor, Needs, Program, Rollout, Stop};
use crate::report::Stopped;

/// A candidate to improve, on a minibatch.
struct Parent<'d, P, E> {
    /// Its place in the pool.
    at: usize,
    base: Candidate,
    program: P,
    scope: String,
    rows: Rows<'d, E>,
    /// The number of children to make.
    children: usize,
}

impl<'d, P, E> Parent<'d, P, E> {
    fn used(&self) -> Use<'_, 'd, E> {
        Use { scope: &self.scope, rows: &self.rows, sample: None, traced: true }
    }
}

impl<'d, P: Program, E: ExampleFor<P>> Search<'_, 'd, P, E> {
    /// Changes candidates after reflection on minibatches.
    pub(super) async fn iterate(&mut self, number: u64, seed: Seed) -> Result<(), Halt> {
        let parents = self.parents(number, seed)?;
        let steps = parents.iter().map(|parent| parent.rows.len() * (1 + parent.children));
        self.study.part("search", &format!("iteration {number}"), steps.sum());
        let works: Vec<_> =
            parents.iter().map(|parent| Work { program: &parent.program, used: parent.used() }).collect();
        let before = self.run_several(&works).await?;
        before.iter().for_each(|rollouts| self.find_tools(rollouts));

        let (mut materials, mut wanted) = (Vec::new(), Vec::new());
        for (place, (parent, rollouts)) in parents.iter().zip(&before).enumerate() {
            if self.settings.skip_perfect && self.is_perfect(rollouts) {
                continue;
            }
            for child in 0..parent.children {
                wanted.push(self.choose_components(parent.at, rollouts));
                let Proposals { parents: all, children, .. } = self.settings.proposals;
                let first = place == 0 && child == 0;
                let own = (place * children + child) as u64;
                materials.push(Material {
                    name: if first {
                        format!("reflect-{number}")
                    } else {
                        format!("reflect-{number}-{place}-{child}")
                    },
                    sample: number.wrapping_mul((all * children) as u64).wrapping_add(own),
                    another: child > 0 || (self.settings.vary_repeats && self.repeated.contains(&parent.at)),
                    advice: None,
                    parent: parent.at,
                    base: &parent.base,
                    program: &parent.program,
                    scope: &parent.scope,
                    rows: &parent.rows,
                    rollouts,
                });
            }
        }
        let improved = self.improve(&materials, &wanted).await?;
        let mut children: Vec<(Draft<P>, &Material<'_, '_, P, E>)> = Vec::new();
        for (material, (values, usage)) in materials.iter().zip(improved) {
            if values.is_empty() {
                self.repeated.insert(material.parent);
                continue;
            }
            let child = self.child(material, values, usage)?;
            let is_double = |(other, from): &(Draft<P>, &Material<'_, '_, P, E>)| {
                other.scope == child.scope && from.parent == material.parent
            };
            if !self.known.contains(&child.scope) && !children.iter().any(is_double) {
                self.repeated.remove(&material.parent);
                children.push((child, material));
            } else {
                self.repeated.insert(material.parent);
            }
        }
        if !self.accept(children).await? {
            self.minibatches.grow();
        }
        Ok(())
    }

    /// Draws the candidates to improve and their minibatches, as many as can be completed with the rollouts and the
    /// budget that are left: a child that cannot run on the whole valset is of no use.
    fn parents(&mut self, number: u64, seed: Seed) -> Result<Vec<Parent<'d, P, E>>, Halt> {
        let Proposals { parents, children, .. } = self.settings.proposals;
        let (train, val) = (self.study.train(), self.study.val());
        let (mut drawn, mut planned) = (Vec::new(), 0_usize);
        // The cost of an iteration with the first children, by their number.
        let mut costs = vec![Needs { calls: 0, runs: 0 }];
        for place in 0..parents {
            let seed = seed.branch("parent");
            let seed = if place == 0 { seed } else { seed.index(place as u64) };
            let at = self.pool.select(self.settings.selector, seed);
            let rows = train.select(self.minibatches.next());
            let Draft { candidate, program, scope, .. } = &self.pool.get(at).draft;
            let mut parent = Parent {
                at,
                base: candidate.clone(),
                program: program.clone(),
                scope: scope.clone(),
                rows,
                children: 0,
            };
            // Where the minibatch is a part of the valset, its rows are run once.
            let shared: BTreeSet<_> = parent.rows.iter().map(|row| (row.set, row.position)).collect();
            let others = val.iter().filter(|row| !shared.contains(&(row.set, row.position))).count();
            let own = planned.saturating_add(self.meter.new_ones(parent.used()));
            let with = |children: usize| own.saturating_add(children.saturating_mul(parent.rows.len()));
            let fits = |children: &usize| self.meter.has(with(*children).saturating_add(others));
            let Some(children) = (1..=children).rev().find(fits) else { break };
            for child in 1..=children {
                let calls = costs.len() * self.texts_per_child();
                costs.push(Needs { calls, runs: with(child).saturating_add(others) });
            }
            planned = with(children);
            parent.children = children;
            drawn.push(parent);
        }
        if drawn.is_empty() {
            return Err(Halt::Done(Stopped::Finished));
        }
        let Afforded { count: mut left, limit } =
            self.study.affordable(&format!("iteration-{number}"), costs.len() - 1, |count| costs[count])?;
        if let Some(limit) = limit.filter(|_| left == 0) {
            if self.pool.len() == 1 && number == 0 {
                self.study.warn_nothing_compared(val.len());
            }
            return Err(Stop::Budget(limit).into());
        }
        for parent in &mut drawn {
            parent.children = parent.children.min(left);
            left -= parent.children;
        }
        drawn.retain(|parent| parent.children > 0);
        Ok(drawn)
    }

    /// Returns the largest number of texts that the proposer writes for a child.
    fn texts_per_child(&self) -> usize {
        match self.settings.order {
            ComponentOrder::All => self.components.len(),
            ComponentOrder::RoundRobin => 1,
        }
    }

    /// Runs children on the minibatches of their parents, and those that are better on the valset. Returns whether one
    /// is better than its parent there.
    async fn accept(&mut self, children: Vec<(Draft<P>, &Material<'_, '_, P, E>)>) -> Result<bool, Halt> {
        let works = children.iter().map(|(child, material)| {
            let used = Use { scope: &child.scope, rows: material.rows, sample: None, traced: false };
            Work { program: &child.program, used }
        });
        let after = self.run_several(&works.collect::<Vec<_>>()).await?;
        let mut better = Vec::new();
        for ((mut child, material), after) in children.into_iter().zip(&after) {
            after.iter().for_each(|rollout| child.usage += rollout.usage);
            let (old, new) = paired_sums(material.rollouts, after);
            if new > old {
                child.notes.push(format!("minibatch of {}: {old:.2} → {new:.2}", after.len()));
                better.push((new - old, material.parent, child));
            }
        }
        if let Some(most) = self.settings.proposals.kept {
            better.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
            better.truncate(most);
        }
        let mut improved = false;
        for (_, parent, child) in better {
            // Children of different parents may be equal.
            if self.known.contains(&child.scope) || !self.promote(child, Some(parent)).await? {
                continue;
            }
            let new = self.pool.len() - 1;
            improved |= self.pool.better(parent, new) == new;
            if self.merges.tested < self.settings.max_merges {
                self.merges.due += 1;
                self.merges.found_new = true;
            }
        }
        Ok(improved)
    }

    fn is_perfect(&self, rollouts: &[Rollout]) -> bool {
        rollouts
            .iter()
            .all(|rollout| rollout.outcome.score().is_some_and(|score| self.scale.is_perfect(score)))
    }

    /// Returns the components to change, of predictors that have run.
    fn choose_components(&mut self, of: usize, rollouts: &[Rollout]) -> Vec<Component> {
        let steps = rollouts.iter().flat_map(|rollout| &rollout.steps);
        let ran: BTreeSet<&str> = steps.map(|step| step.predictor.as_str()).collect();
        let usable = |component: &Component| ran.contains(component.predictor());
        match self.settings.order {
            ComponentOrder::All => self.components.iter().filter(|part| usable(part)).cloned().collect(),
            ComponentOrder::RoundRobin => {
                self.pool.next_component(of, &self.components, usable).into_iter().collect()
            }
        }
    }
}
