//! The search: steps on minibatches.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::lm::Limit;

use super::Settings;
use super::advisor::Advisor;
use super::buckets::Buckets;
use super::incumbent::{CHALLENGERS, Incumbent};
use super::pool::{Member, Pool};
use crate::counts::counted;
use crate::data::Rows;
use crate::engine::{Afforded, Contestant, ExampleFor, Needs, Program, Rollout, Stop, Study, Task};
use crate::proposer::Proposer;
use crate::race::Standing;
use crate::report::{ItemReport, ORIGINAL, Stopped, Trial, mean, percent};

/// The largest number of blocks of a race on a minibatch, and the smallest number of rows of one.
const BLOCKS: usize = 4;
const LEAST_BLOCK: usize = 4;

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) settings: &'s Settings,
    pub(super) advisor: Advisor,
    /// Works advice into instructions.
    pub(super) proposer: Proposer,
    pub(super) pool: Pool<P>,
    /// The places of the original program and of the best program of each step.
    pub(super) winners: Vec<usize>,
    pub(super) incumbent: Incumbent,
}

/// The runs of a step.
pub(super) struct Step<'a, 'd, E> {
    pub(super) number: usize,
    pub(super) seed: Seed,
    pub(super) rows: &'a Rows<'d, E>,
    pub(super) top: &'a [usize],
    pub(super) buckets: &'a Buckets,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    /// Scores the original program.
    pub(super) async fn start(
        study: &'s Study<'d, P, E>,
        settings: &'s Settings,
        advisor: Advisor,
        proposer: Proposer,
    ) -> Result<Self, Stop> {
        let (program, val) = (study.program(), study.val());
        study.part("search", ORIGINAL, val.len());
        let scope = study.scope_of(program);
        let scores = study.evaluate(&scope, program, val).await?;
        let trial = Trial::new(ORIGINAL, program).scored(&scores);
        study.choose(study.record(trial.clone(), program.clone()));
        study.check_headroom(&scores)?;
        let mut original = Member::new(program.clone(), scope, trial, BTreeSet::new());
        let known = if study.has_valset() { &mut original.val_scores } else { &mut original.scores };
        *known = by_row(&scores.items);
        let incumbent = Incumbent { place: 0, score: scores.mean };
        Ok(Search {
            study,
            settings,
            advisor,
            proposer,
            pool: Pool::new(original),
            winners: vec![0],
            incumbent,
        })
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        match self.steps().await {
            Ok(()) => self.end(None).await,
            Err(Stop::Budget(limit)) => self.end(Some(limit)).await,
            Err(stop) => Err(stop),
        }
    }

    async fn end(self, stopped: Option<Limit>) -> Result<Stopped, Stop> {
        let compared = |at: usize| self.pool.get(at).standing.is_some();
        if stopped.is_some() && !self.settings.published && !(1..self.pool.len()).any(compared) {
            self.study.warn_nothing_compared(self.study.val().len());
        }
        if self.settings.published { self.compare(stopped).await } else { Ok(self.finish(stopped)) }
    }

    async fn steps(&mut self) -> Result<(), Stop> {
        let (study, size) = (self.study, self.settings.minibatch);
        let (mut epoch, mut left) = (0, Vec::new());
        for number in 0..self.settings.max_steps {
            if left.len() < size {
                left = (0..study.train().len()).collect();
                study.seed().branch("minibatches").index(epoch).rng().shuffle(&mut left);
                epoch += 1;
            }
            if self.settings.published && number > 0 {
                self.check_budget(number)?;
            } else if !self.settings.published && number == 0 {
                self.check_first_step()?;
            }
            let rows = study.train().select(left.drain(..size));
            self.step(number, &rows).await?;
        }
        Ok(())
    }

    /// Ends the published form before a step if the budget does not cover the step and the comparison at the end, without
    /// which only a clear gain counts.
    fn check_budget(&self, number: usize) -> Result<(), Stop> {
        let (study, Settings { num_candidates, minibatch, .. }) = (self.study, self.settings);
        let predictors = study.program().named_predictors().len();
        let runs = minibatch.saturating_mul(2 * num_candidates + 1);
        let needs = |steps: usize| Needs {
            calls: steps.saturating_mul(num_candidates * (1 + predictors)),
            runs: steps.saturating_mul(runs.saturating_add(num_candidates.saturating_mul(study.val().len()))),
        };
        match study.affordable(&format!("step-{number}"), 1, needs)? {
            Afforded { count: 0, limit: Some(limit) } => Err(Stop::Budget(limit)),
            _ => Ok(()),
        }
    }

    /// Ends the search before its first step if the budget does not cover the least of it that is compared: runs that
    /// teach something, one new program on the minibatch, and its race with the original program.
    fn check_first_step(&self) -> Result<(), Stop> {
        let (study, Settings { num_candidates, minibatch, .. }) = (self.study, self.settings);
        let explored = minibatch.saturating_mul(num_candidates.div_ceil(2));
        let raced = self.settings.race.first_block(study.val().len());
        let runs = explored.saturating_add(2 * minibatch).saturating_add(raced);
        // A new program needs advice, and an instruction with it.
        study.covers("first-step", Needs { calls: 2, runs })
    }

    async fn step(&mut self, number: usize, rows: &Rows<'d, E>) -> Result<(), Stop> {
        let seed = self.study.seed().branch("step").index(number as u64);
        let always = if self.settings.published { 0 } else { self.incumbent.place };
        let top = self.pool.top(self.settings.num_candidates, always);
        let buckets = self.explore(number, seed, rows, &top).await?;
        let step = Step { number, seed, rows, top: &top, buckets: &buckets };
        let built = self.build(&step).await?;
        let first = self.pool.len();
        self.score(number, rows, built).await?;
        if self.settings.published { Ok(()) } else { self.challenge(first).await }
    }

    /// Runs programs of the pool on a minibatch, several on each row.
    async fn explore(
        &self,
        number: usize,
        seed: Seed,
        rows: &Rows<'d, E>,
        top: &[usize],
    ) -> Result<Buckets, Stop> {
        let (study, samples) = (self.study, self.settings.num_candidates);
        study.part("explore", &format!("step {}", number + 1), rows.len() * samples);
        let varied = top.iter().map(|place| {
            let mut program = self.pool.get(*place).program.clone();
            program.for_each_predictor(|_, predictor| {
                let mut params = predictor.params().clone();
                params.temperature = Some(1.0);
                predictor.set_params(params);
            });
            (study.scope_of(&program), program)
        });
        let varied: Vec<(String, P)> = varied.collect();
        let task = |sample: usize, at: usize| {
            let row = rows.get(at)?;
            let branch = seed.branch("run").index(sample as u64).index(row.position as u64);
            let drawn = self.pool.draw(top, self.settings.temperature_for_sampling, &mut branch.rng());
            let (scope, program) = &varied[drawn];
            let sample = (number * samples + sample) as u64;
            Some((at, Task::new(scope, program, row).sample(sample).traced()))
        };
        // A row on which the first half of the runs differ has something to compare.
        let first = if self.settings.published { samples } else { samples.div_ceil(2) };
        let mut wanted: Vec<usize> = (0..rows.len()).collect();
        let mut runs: Vec<(usize, Rollout)> = Vec::new();
        for part in [0..first, first..samples] {
            let tasks = part.flat_map(|sample| wanted.iter().filter_map(move |at| task(sample, *at)));
            let (places, tasks): (Vec<usize>, Vec<_>) = tasks.unzip();
            runs.extend(places.into_iter().zip(study.rollouts(tasks).await?));
            wanted.retain(|at| {
                let own = runs.iter().filter(|(row, _)| row == at);
                let mut scores = own.filter_map(|(_, run)| run.outcome.score());
                let score = scores.next();
                scores.all(|other| Some(other) == score)
            });
        }
        study.sync()?;
        Ok(Buckets::of(runs))
    }

    /// Scores the new programs and the original one on the minibatch, and adds them to the pool.
    async fn score(&mut self, number: usize, rows: &Rows<'d, E>, built: Vec<Member<P>>) -> Result<(), Stop> {
        if built.is_empty() {
            return Ok(());
        }
        let study = self.study;
        study.part("search", &format!("step {}", number + 1), rows.len() * (built.len() + 1));
        let Scored { original, parts, beaten_by, stopped } = if self.settings.published {
            self.run_all(rows, &built).await?
        } else {
            self.race(rows, &built).await?
        };
        self.pool.get_mut(0).scores.extend(by_row(&original));
        let first = self.pool.len();
        for ((mut member, items), better) in built.into_iter().zip(parts).zip(beaten_by) {
            member.scores = by_row(&items);
            member.beaten_by = better.map(|better| first + better);
            let others =
                items.iter().filter_map(|item| original.iter().find(|other| other.index == item.index));
            let others: Vec<ItemReport> = others.cloned().collect();
            let shown = |items: &[ItemReport]| mean(items).map(percent).unwrap_or_default();
            let (own, others, rows) = (shown(&items), shown(&others), counted(items.len(), "row"));
            let note = format!("{own} on a minibatch of {rows}, where the original program had {others}");
            member.trial.notes.push(note);
            member.trial.items = items;
            self.pool.push(member);
        }
        let best = (first..self.pool.len())
            .reduce(|best, next| if self.pool.gain(next) > self.pool.gain(best) { next } else { best });
        self.winners.extend(best);
        stopped.map_or(Ok(()), |limit| Err(Stop::Budget(limit)))
    }

    /// Runs the original program and new ones on all rows of a minibatch.
    async fn run_all(&self, rows: &Rows<'d, E>, built: &[Member<P>]) -> Result<Scored, Stop> {
        let members = std::iter::once(self.pool.original()).chain(built);
        let tasks = members
            .flat_map(|member| rows.iter().map(move |row| Task::new(&member.scope, &member.program, row)));
        let rollouts = self.study.rollouts(tasks.collect()).await?;
        self.study.sync()?;
        let mut parts = rollouts.chunks(rows.len()).map(|part| {
            let items = rows.iter().zip(part).map(|(row, rollout)| ItemReport::of(row, rollout));
            items.collect::<Vec<_>>()
        });
        let original = parts.next().unwrap_or_default();
        Ok(Scored { original, parts: parts.collect(), beaten_by: vec![None; built.len()], stopped: None })
    }

    /// Runs the original program on all rows of a minibatch, and new ones until others beat them.
    async fn race(&self, rows: &Rows<'d, E>, built: &[Member<P>]) -> Result<Scored, Stop> {
        let Scored { original, .. } = self.run_all(rows, &[]).await?;
        let block = rows.len().div_ceil(BLOCKS).max(LEAST_BLOCK);
        let race = self.settings.race.block(block).survivors(CHALLENGERS);
        let contestants: Vec<_> =
            built.iter().map(|member| Contestant::new(&*member.scope, member.program.clone())).collect();
        let raced = self.study.race(&race, &contestants, rows).await?;
        let winner = raced.winner();
        let beaten = |standing: &Standing| winner.filter(|_| standing.dropped.is_some());
        let beaten_by = raced.standings.iter().map(beaten).collect();
        let parts = raced.standings.into_iter().map(|standing| standing.items).collect();
        Ok(Scored { original, parts, beaten_by, stopped: raced.stopped })
    }
}

/// The results on a minibatch.
struct Scored {
    original: Vec<ItemReport>,
    /// Those of the new programs.
    parts: Vec<Vec<ItemReport>>,
    /// The index of the best new program for each one that was dropped from the race.
    beaten_by: Vec<Option<usize>>,
    /// The limit that ended the runs.
    stopped: Option<Limit>,
}

fn by_row(items: &[ItemReport]) -> BTreeMap<usize, f64> {
    items.iter().filter_map(|item| Some((item.index, item.score?))).collect()
}
