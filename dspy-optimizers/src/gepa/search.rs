//! The search: parents, minibatches, children, acceptance.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::lm::Usage;

use super::merge::{self, Merges};
use super::meter::{Halt, Meter, Use};
use super::minibatch::Minibatches;
use super::pool::{Draft, Pool, Standing};
use super::propose::{Material, outputs_of, tool_inputs_of};
use super::settings::{ComponentOrder, Evolve, Front, Settings};
use crate::OptimizeError;
use crate::component::{Candidate, Component};
use crate::engine::{Contestant, ExampleFor, Outcome, Program, Rollout, Stop, Study, Task};
use crate::proposer::SharedProposer;
use crate::race::Race;
use crate::report::{ItemReport, Stopped, Trial, percent};

/// The number of iterations without a new rollout, besides those of an epoch, after which a search ends.
const IDLE: usize = 20;

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) settings: &'s Settings,
    pub(super) proposer: &'s SharedProposer,
    /// The values of all components of the original program.
    pub(super) given: Candidate,
    /// The components that evolve.
    pub(super) components: Vec<Component>,
    /// The names of all outputs, which may be labels in rows.
    pub(super) labels: BTreeSet<String>,
    /// The inputs that hold tools, by predictor path.
    pub(super) tool_inputs: BTreeMap<String, String>,
    pub(super) meter: Meter,
    pub(super) minibatches: Minibatches,
    pool: Pool<P>,
    /// The scopes of the candidates that were evaluated on the valset, completely or in a race.
    known: BTreeSet<String>,
    merges: Merges,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    pub(super) fn new(
        study: &'s Study<'d, P, E>,
        settings: &'s Settings,
        proposer: &'s SharedProposer,
    ) -> Result<Self, Stop> {
        let given = Candidate::of(study.program());
        let outputs = outputs_of(study.program());
        let components = Self::chosen_components(&given, &settings.components, &outputs);
        // Only named ones may be unknown.
        let named = components.iter().filter_map(|component| {
            let value = given.get(component).cloned().or_else(|| component.is_text().then(|| "".into()));
            Some((component.clone(), value?))
        });
        named.collect::<Candidate>().applied_to(study.program())?;
        let tool_inputs: BTreeMap<String, String> = tool_inputs_of(study.program()).collect();
        let tools = settings.components.contains(&Evolve::Tools) && !tool_inputs.is_empty();
        if components.is_empty() && !tools {
            let value = format!("{:?}", settings.components);
            let expected = "components that the program has";
            return Err(OptimizeError::Option { option: "components", value, expected }.into());
        }
        let predictors = study.program().named_predictors().len();
        let limit = settings.rollouts(study.options().budget, predictors, study.val().len());
        let minibatches =
            Minibatches::new(study.train().len(), settings.minibatch, study.seed().branch("minibatches"));
        let least = study.val().len() + 2 * minibatches.size();
        if let Some(limit) = limit.filter(|limit| *limit < least) {
            let value = format!("{limit}, less than {least},");
            let expected = "enough for the valset and two minibatches";
            return Err(OptimizeError::Option { option: "max_rollouts", value, expected }.into());
        }
        Ok(Search {
            study,
            settings,
            proposer,
            given,
            components,
            labels: outputs.into_iter().map(|(_, field)| field).collect(),
            tool_inputs,
            meter: Meter::new(limit),
            minibatches,
            pool: Pool::new(settings.front),
            known: BTreeSet::new(),
            merges: Merges::default(),
        })
    }

    /// Returns the original program as a candidate.
    pub(super) fn seed_draft(&self) -> Draft<P> {
        let program = self.study.program().clone();
        Draft {
            label: crate::report::ORIGINAL.into(),
            candidate: Candidate::new(),
            scope: self.study.scope_of(&program),
            program,
            parents: Vec::new(),
            notes: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// Runs the search until a limit is reached or nothing new is tried.
    pub(super) async fn run_all(&mut self) -> Result<Stopped, Halt> {
        let seed = self.seed_draft();
        self.promote(seed, None).await?;
        let most_idle = IDLE + self.minibatches.per_epoch();
        let (mut number, mut idle) = (0, 0);
        while idle < most_idle {
            let best = self.pool.get(self.pool.best()).standing.mean;
            if self.settings.skip_perfect && best >= self.settings.perfect_score {
                return Ok(Stopped::ScoreReached);
            }
            if number == 0 && self.settings.skip_perfect {
                let rows = &self.pool.get(0).standing.rows;
                self.study.check_headroom_of(rows.values().copied().flatten())?;
            }
            let before = self.meter.spent();
            let seed = self.study.seed().branch("iteration").index(number);
            if !self.merge(seed).await? {
                self.mutate(number, seed).await?;
            }
            idle = if self.meter.spent() == before { idle + 1 } else { 0 };
            number += 1;
        }
        Ok(Stopped::Finished)
    }

    /// Runs a program on rows.
    pub(super) async fn run(&mut self, program: &P, used: Use<'_, '_, E>) -> Result<Vec<Rollout>, Halt> {
        self.meter.spend(used)?;
        let task = |row| {
            let task = Task::new(used.scope, program, row);
            let task = used.sample.map_or(task, |sample| task.sample(sample));
            if used.traced { task.traced() } else { task }
        };
        Ok(self.study.rollouts(used.rows.iter().map(task).collect()).await?)
    }

    /// Changes a candidate after reflection on a minibatch.
    async fn mutate(&mut self, number: u64, seed: Seed) -> Result<(), Halt> {
        let parent = self.pool.select(self.settings.selector, seed.branch("parent"));
        let rows = self.study.train().select(self.minibatches.next());
        let Draft { candidate: base, program, scope, .. } = &self.pool.get(parent).draft;
        let (base, program, scope) = (base.clone(), program.clone(), scope.clone());
        self.study.phase(&format!("iteration {number}"), 2 * rows.len());
        let used = Use { scope: &scope, rows: &rows, sample: None, traced: true };
        let before = self.run(&program, used).await?;
        self.find_tools(&before);
        if self.settings.skip_perfect && self.is_perfect(&before) {
            return Ok(());
        }
        let components = self.choose_components(parent, &before);
        let name = format!("reflect-{number}");
        let material = Material {
            name: &name,
            sample: number,
            base: &base,
            program: &program,
            scope: &scope,
            rows: &rows,
            rollouts: &before,
        };
        let (values, usage) = self.improve(&material, &components).await?;
        if values.is_empty() {
            return Ok(());
        }
        let mut child = self.child(parent, &material, values, usage)?;
        if self.known.contains(&child.scope) {
            return Ok(());
        }
        let used = Use { scope: &child.scope, rows: &rows, sample: None, traced: false };
        let after = self.run(&child.program, used).await?;
        after.iter().for_each(|rollout| child.usage += rollout.usage);
        let (old, new) = paired_sums(&before, &after);
        if new <= old {
            return Ok(());
        }
        child.notes.push(format!("minibatch of {}: {old:.2} → {new:.2}", rows.len()));
        if self.promote(child, Some(parent)).await? && self.merges.tested < self.settings.max_merges {
            self.merges.due += 1;
            self.merges.found_new = true;
        }
        Ok(())
    }

    fn is_perfect(&self, rollouts: &[Rollout]) -> bool {
        let perfect = self.settings.perfect_score;
        rollouts.iter().all(|rollout| rollout.outcome.score().is_some_and(|score| score >= perfect))
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

    /// Tries a merge, if one is due. Returns whether one was evaluated.
    async fn merge(&mut self, seed: Seed) -> Result<bool, Halt> {
        let Merges { due, tested, found_new, .. } = self.merges;
        if due == 0
            || !found_new
            || tested >= self.settings.max_merges
            || self.study.val().len() < merge::ROWS
        {
            return Ok(false);
        }
        self.merges.found_new = false;
        let mut rng = seed.branch("merge").rng();
        let survivors = self.pool.survivors();
        let merges = &mut self.merges;
        let found =
            self.pool.with_lineage(&self.components, |lineage| merges.find(lineage, &survivors, &mut rng));
        let Some((triple, sources)) = found else { return Ok(false) };
        let (first, second) = (triple.first, triple.second);
        let mut candidate = Candidate::new();
        for (component, source) in self.components.iter().zip(sources) {
            if let Some(value) = self.pool.get(source).draft.candidate.get(component) {
                candidate.set(component.clone(), value.clone());
            }
        }
        let program = candidate.applied_to(self.study.program())?;
        let scope = self.study.scope_of(&program);
        if self.known.contains(&scope) {
            return Ok(false);
        }
        let (own, other) = (&self.pool.get(first).standing.rows, &self.pool.get(second).standing.rows);
        let positions = merge::subsample(own, other, &mut rng);
        let sum = |rows: &BTreeMap<usize, Option<f64>>| -> f64 {
            positions.iter().filter_map(|row| rows.get(row).copied().flatten()).sum()
        };
        let needed = sum(own).max(sum(other));
        let val = self.study.val();
        let at =
            (0..val.len()).filter(|at| val.get(*at).is_some_and(|row| positions.contains(&row.position)));
        let rows = val.select(at);
        self.study.phase("merge", rows.len());
        let used = Use { scope: &scope, rows: &rows, sample: None, traced: false };
        let rollouts = self.run(&program, used).await?;
        self.merges.tested += 1;
        let reached: f64 = rollouts.iter().filter_map(|rollout| rollout.outcome.score()).sum();
        if reached < needed {
            return Ok(true);
        }
        let [a, b] = [first, second].map(|index| self.pool.get(index).trial);
        let label = format!("merge of {a} and {b}");
        let (parents, notes) = (vec![first, second], Vec::new());
        let draft = Draft { label, candidate, program, scope, parents, notes, usage: Usage::default() };
        if self.promote(draft, Some(self.pool.better(first, second))).await? {
            self.merges.due -= 1;
        }
        Ok(true)
    }

    /// Evaluates a candidate on the valset and adds it to the pool, unless its rival beats it in a race. Returns
    /// whether it was added.
    async fn promote(&mut self, draft: Draft<P>, rival: Option<usize>) -> Result<bool, Halt> {
        let val = self.study.val();
        self.known.insert(draft.scope.clone());
        self.study.phase(&draft.label, val.len());
        let race = rival.and_then(|rival| Some((rival, self.settings.race(val.len())?)));
        let (trial, items) = match race {
            None => {
                self.meter.spend(Use { scope: &draft.scope, rows: val, sample: None, traced: false })?;
                let scores = self.study.evaluate(&draft.scope, &draft.program, val).await?;
                (self.trial(&draft).scored(&scores), scores.items)
            }
            Some((rival, race)) => match self.race(&draft, rival, &race).await? {
                Some(found) => found,
                None => return Ok(false),
            },
        };
        let mut standing = Standing { mean: trial.score.unwrap_or_default(), ..Standing::default() };
        standing.rows = items.iter().map(|item| (item.index, item.score)).collect();
        if self.settings.front != Front::Instance {
            standing.objectives = self.objectives(&draft).await?;
        }
        let index = self.study.record(trial, draft.program.clone());
        self.pool.add(draft, standing, index);
        Ok(true)
    }

    /// Runs a candidate against its rival. If it is beaten, it is recorded and `None` is returned.
    async fn race(
        &mut self,
        draft: &Draft<P>,
        rival: usize,
        race: &Race,
    ) -> Result<Option<(Trial, Vec<ItemReport>)>, Halt> {
        let val = self.study.val();
        // In the order of the race, so that the rows that it has run on are the first ones.
        let order = race.schedule(val, self.study.seed()).0;
        let used = Use { scope: &draft.scope, rows: &order, sample: None, traced: false };
        self.meter.afford(used)?;
        let rival = &self.pool.get(rival).draft;
        let contestants = [rival, draft].map(|draft| Contestant::new(&*draft.scope, draft.program.clone()));
        let raced = self.study.race(race, &contestants, val).await?;
        let [_, standing] = &raced.standings[..] else { return Ok(None) };
        self.meter.count(used, standing.items.len());
        let mut trial = self.trial(draft).raced(standing);
        if standing.items.len() == val.len() && standing.dropped.is_none() {
            return Ok(Some((trial, standing.items.clone())));
        }
        // The mean of a part of the rows is not comparable.
        if let Some(mean) = trial.score.take() {
            trial.notes.push(format!("{} on {} rows", percent(mean), standing.items.len()));
        }
        self.study.record(trial, draft.program.clone());
        raced.stopped.map_or(Ok(None), |limit| Err(Stop::Budget(limit).into()))
    }

    pub(super) fn trial(&self, draft: &Draft<P>) -> Trial {
        let Draft { label, program, parents, notes, usage, .. } = draft;
        let mut trial = Trial::new(label.clone(), program);
        trial.parents = self.pool.trials(parents);
        trial.notes.clone_from(notes);
        trial.usage = *usage;
        trial
    }

    /// Returns the mean of each objective on the valset. The rollouts are known.
    async fn objectives(&self, draft: &Draft<P>) -> Result<BTreeMap<String, f64>, Stop> {
        let tasks = self.study.val().iter().map(|row| Task::new(&draft.scope, &draft.program, row)).collect();
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        let mut rows = 0.0;
        for rollout in self.study.rollouts(tasks).await? {
            // A failure of the program counts as 0 in each.
            rows += f64::from(u8::from(rollout.outcome.score().is_some()));
            let Outcome::Scored(score) = rollout.outcome else { continue };
            score.objectives.into_iter().for_each(|(name, value)| *sums.entry(name).or_default() += value);
        }
        Ok(sums.into_iter().map(|(name, sum)| (name, sum / rows)).collect())
    }
}

/// Returns the sums of the scores of two programs on the rows that both have scores on.
pub(super) fn paired_sums(first: &[Rollout], second: &[Rollout]) -> (f64, f64) {
    let scores = first.iter().zip(second);
    let pairs = scores.filter_map(|(a, b)| Some((a.outcome.score()?, b.outcome.score()?)));
    pairs.fold((0.0, 0.0), |(first, second), (a, b)| (first + a, second + b))
}
