//! The search: its state, rollouts, merges, and the evaluation of candidates on the valset.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::lm::Usage;

use super::merge::{self, Merges};
use super::meter::{Halt, Meter, Use};
use super::minibatch::Minibatches;
use super::objectives::{Lowest, Objectives};
use super::pool::{Draft, Pool, Standing};
use super::propose::{Failures, chosen_components, outputs_of, tool_inputs_of};
use super::scale::Scale;
use super::settings::{Evolve, Front, Settings};
use crate::component::{Candidate, Component};
use crate::counts::counted;
use crate::data::label_names;
use crate::engine::{Contestant, ExampleFor, Needs, Program, Rollout, Stop, Study, Task};
use crate::proposer::SharedProposer;
use crate::race::Race;
use crate::report::{ItemReport, Scores, Stopped, Trial, mean, percent};

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
    pub(super) pool: Pool<P>,
    /// The scopes of the candidates that were evaluated on the valset, completely or in a race.
    pub(super) known: BTreeSet<String>,
    pub(super) merges: Merges,
    /// The candidates whose last proposals brought nothing new. The next ones are made at a temperature.
    pub(super) repeated: BTreeSet<usize>,
    pub(super) scale: Scale,
    /// The proposals that were none.
    pub(super) failures: Failures,
    lowest: Lowest,
}

/// A program to run.
pub(super) struct Work<'w, 'd, P, E> {
    pub(super) program: &'w P,
    pub(super) used: Use<'w, 'd, E>,
}

impl<'w, P, E> Work<'w, '_, P, E> {
    pub(super) fn tasks(&self) -> Vec<Task<'w, P, E>> {
        let task = |row| {
            let task = Task::new(self.used.scope, self.program, row);
            let task = self.used.sample.map_or(task, |sample| task.sample(sample));
            if self.used.traced { task.traced() } else { task }
        };
        self.used.rows.iter().map(task).collect()
    }
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    pub(super) fn new(
        study: &'s Study<'d, P, E>,
        settings: &'s Settings,
        proposer: &'s SharedProposer,
    ) -> Result<Self, Stop> {
        let given = Candidate::of(study.program());
        let outputs = outputs_of(study.program());
        let components = chosen_components(&given, &settings.components, &outputs);
        settings.check_components(study.program(), &given, &components)?;
        let tool_inputs: BTreeMap<String, String> = tool_inputs_of(study.program()).collect();
        let predictors = study.program().named_predictors().len();
        let limit = settings.rollouts(study.options().budget, predictors, study.val().len());
        let seed = study.seed().branch("minibatches");
        let most = settings.largest_minibatch();
        let minibatches = Minibatches::new(study.train().len(), settings.minibatch, most, seed);
        settings.check_rollouts(limit, study.train().len(), study.val().len())?;
        Ok(Search {
            study,
            settings,
            proposer,
            given,
            components,
            labels: label_names(study.program()),
            tool_inputs,
            meter: Meter::new(limit, limit.map(|limit| settings.most_reflections(limit))),
            minibatches,
            pool: Pool::new(settings.front),
            known: BTreeSet::new(),
            merges: Merges::default(),
            repeated: BTreeSet::new(),
            scale: Scale::new(settings.perfect_score),
            failures: Failures::default(),
            lowest: Lowest::default(),
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
        self.study.check_program()?;
        let most_idle = IDLE + self.minibatches.per_epoch();
        let (mut number, mut idle) = (0, 0);
        while idle < most_idle {
            if number == 0 && self.settings.skip_perfect {
                let rows = &self.pool.get(0).standing.rows;
                self.study.check_headroom_of(rows.values().copied().flatten())?;
            }
            let best = self.pool.get(self.pool.best()).standing.mean;
            if self.settings.skip_perfect && self.scale.is_perfect(best) {
                return Ok(Stopped::ScoreReached);
            }
            let before = self.meter.spent();
            let seed = self.study.seed().branch("iteration").index(number);
            if !self.merge(number, seed).await? {
                self.iterate(number, seed).await?;
            }
            // Demonstrations need no proposer.
            if self.study.has_given_up() && !self.settings.components.contains(&Evolve::Demos) {
                break;
            }
            idle = if self.meter.spent() == before { idle + 1 } else { 0 };
            number += 1;
        }
        Ok(Stopped::Finished)
    }

    /// Runs a program on rows.
    pub(super) async fn run(&mut self, program: &P, used: Use<'_, '_, E>) -> Result<Vec<Rollout>, Halt> {
        Ok(self.run_several(&[Work { program, used }]).await?.pop().unwrap_or_default())
    }

    /// Runs programs on rows, all at once, and returns the rollouts of each.
    pub(super) async fn run_several(
        &mut self,
        works: &[Work<'_, '_, P, E>],
    ) -> Result<Vec<Vec<Rollout>>, Halt> {
        let mut tasks = Vec::new();
        for work in works {
            self.meter.spend(work.used)?;
            tasks.extend(work.tasks());
        }
        let mut rollouts = self.study.rollouts(tasks).await?.into_iter();
        let results = works.iter().map(|work| rollouts.by_ref().take(work.used.rows.len()).collect());
        let results: Vec<Vec<Rollout>> = results.collect();
        for (Work { used, .. }, rollouts) in works.iter().zip(&results) {
            let scores = used.rows.iter().zip(rollouts);
            self.look_at(*used, scores.map(|(row, rollout)| (row.position, rollout.outcome.score())));
        }
        Ok(results)
    }

    /// Learns from scores by row what the scale of the metric is, and which rollouts are not known although they were
    /// made.
    fn look_at(&mut self, used: Use<'_, '_, E>, scores: impl Iterator<Item = (usize, Option<f64>)>) {
        for (row, score) in scores {
            match score {
                Some(score) => self.scale.look_at(score),
                None => self.meter.forget(used, row),
            }
        }
        if self.settings.skip_perfect && self.scale.perfect().is_none() {
            self.study.warn(
                "there are scores above 1, so none counts as perfect; set `Gepa::perfect_score` to the highest score \
                 of the metric",
            );
        }
    }

    /// Tries a merge, if one is due. Returns whether one was evaluated.
    async fn merge(&mut self, number: u64, seed: Seed) -> Result<bool, Halt> {
        let Merges { due, tested, found_new, .. } = self.merges;
        let val = self.study.val();
        if due == 0
            || !found_new
            || tested >= self.settings.max_merges
            || val.len() < merge::ROWS
            // Nothing is begun that cannot be completed.
            || !self.meter.has(val.len())
        {
            return Ok(false);
        }
        let runs = |count: usize| Needs { calls: 0, runs: count * val.len() };
        if self.study.affordable(&format!("merge-{number}"), 1, runs)?.count == 0 {
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
        if positions.len() < merge::ROWS {
            return Ok(false);
        }
        let (own, other) = (own.clone(), other.clone());
        let at =
            (0..val.len()).filter(|at| val.get(*at).is_some_and(|row| positions.contains(&row.position)));
        let rows = val.select(at);
        self.study.part("search", "merge", rows.len());
        let used = Use { scope: &scope, rows: &rows, sample: None, traced: false };
        let rollouts = self.run(&program, used).await?;
        self.merges.tested += 1;
        let reached = rows.iter().zip(&rollouts);
        let reached = reached.filter_map(|(row, rollout)| Some((row.position, rollout.outcome.score()?)));
        if !merge::is_no_worse(&reached.collect(), [&own, &other]) {
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
    pub(super) async fn promote(&mut self, draft: Draft<P>, rival: Option<usize>) -> Result<bool, Halt> {
        let val = self.study.val();
        self.known.insert(draft.scope.clone());
        self.study.part("search", &draft.label, val.len());
        let race = rival.and_then(|rival| Some((rival, self.settings.race(val.len())?)));
        let (trial, items) = match race {
            None => {
                let scores = self.score(&draft, rival.is_none()).await?;
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
            standing.objectives = self.objectives(&draft, &standing.rows).await?;
        }
        let index = self.study.record(trial, draft.program.clone());
        self.pool.add(draft, standing, index);
        Ok(true)
    }

    /// Scores a candidate on the whole valset.
    pub(super) async fn score(&mut self, draft: &Draft<P>, first: bool) -> Result<Scores, Halt> {
        let val = self.study.val();
        // The original program is the one that most often runs on minibatches, with a trace. If they are of the same
        // rows, these runs serve both.
        let traced = first && !self.study.has_valset();
        let used = Use { scope: &draft.scope, rows: val, sample: None, traced };
        let rollouts = self.run(&draft.program, used).await?;
        self.study.sync()?;
        let items = val.iter().zip(&rollouts).map(|(row, rollout)| ItemReport::of(row, rollout));
        let items: Vec<ItemReport> = items.collect();
        match mean(&items) {
            Some(mean) => Ok(Scores { mean, items }),
            // Returns the error of a metric that fails on every row.
            None => Ok(self.study.evaluate(&draft.scope, &draft.program, val).await?),
        }
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
        let rival = &self.pool.get(rival).draft;
        let scopes = [rival.scope.clone(), draft.scope.clone()];
        let used =
            [0, 1].map(|place| Use { scope: &scopes[place], rows: &order, sample: None, traced: false });
        // Only the rows of the rival on which the metric failed are run again.
        if !self.meter.has(used.iter().map(|used| self.meter.new_ones(*used)).sum()) {
            return Err(Halt::Done(Stopped::Finished));
        }
        let contestants = [rival, draft].map(|draft| Contestant::new(&*draft.scope, draft.program.clone()));
        let raced = self.study.race(race, &contestants, val).await?;
        let [other, standing] = &raced.standings[..] else { return Ok(None) };
        for (used, standing) in used.into_iter().zip([other, standing]) {
            self.meter.count(used, standing.items.len());
            self.look_at(used, standing.items.iter().map(|item| (item.index, item.score)));
        }
        let mut trial = self.trial(draft).raced(standing);
        let is_compared = standing.mean.is_some() && standing.items.len() == val.len();
        if is_compared && standing.dropped.is_none() {
            return Ok(Some((trial, standing.items.clone())));
        }
        // The mean of a part of the rows is not comparable.
        if let Some(mean) = trial.score.take() {
            trial.notes.push(format!("{} on {}", percent(mean), counted(standing.items.len(), "row")));
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

    /// Returns the objectives of a candidate on the rows of the valset that have scores. Their rollouts are known.
    async fn objectives(
        &mut self,
        draft: &Draft<P>,
        scores: &BTreeMap<usize, Option<f64>>,
    ) -> Result<Objectives, Stop> {
        let scored = |position: &usize| scores.get(position).is_some_and(Option::is_some);
        let rows = self.study.val().iter().filter(|row| scored(&row.position));
        let rows: Vec<_> = rows.collect();
        let tasks = rows.iter().map(|row| Task::new(&draft.scope, &draft.program, *row)).collect();
        let rollouts = self.study.rollouts(tasks).await?;
        let runs: Vec<(usize, Rollout)> = rows.iter().map(|row| row.position).zip(rollouts).collect();
        Ok(self.lowest.values(&runs))
    }
}

/// Returns the sums of the scores of two programs on the rows that both have scores on.
pub(super) fn paired_sums(first: &[Rollout], second: &[Rollout]) -> (f64, f64) {
    let scores = first.iter().zip(second);
    let pairs = scores.filter_map(|(a, b)| Some((a.outcome.score()?, b.outcome.score()?)));
    pairs.fold((0.0, 0.0), |(first, second), (a, b)| (first + a, second + b))
}
