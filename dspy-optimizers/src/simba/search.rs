//! The search: steps on minibatches, then a comparison of the best program of each step.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::Seed;
use dspy_core::lm::{Limit, Usage};

use super::Settings;
use super::advisor::Advisor;
use super::buckets::{Bucket, Buckets};
use super::pool::{Member, Pool};
use super::strategy::{self, append_demo, comparison, drop_demos};
use crate::OptimizeError;
use crate::counts::counted;
use crate::data::Rows;
use crate::engine::{Candidate, Contestant, ExampleFor, Program, Stop, Study, Task};
use crate::proposer::no_text;
use crate::report::{ItemReport, ORIGINAL, Stopped, Trial, mean, percent};

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    study: &'s Study<'d, P, E>,
    settings: &'s Settings,
    advisor: Advisor,
    pool: Pool<P>,
    /// The places of the original program and of the best program of each step.
    winners: Vec<usize>,
}

/// The runs of a step.
struct Step<'a, 'd, E> {
    number: usize,
    seed: Seed,
    rows: &'a Rows<'d, E>,
    top: &'a [usize],
    buckets: &'a Buckets,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    /// Checks the minibatch and scores the original program.
    pub(super) async fn start(
        study: &'s Study<'d, P, E>,
        settings: &'s Settings,
        advisor: Advisor,
    ) -> Result<Self, Stop> {
        if settings.minibatch > study.train().len() {
            let value = settings.minibatch.to_string();
            let expected = "at most the number of rows of the trainset";
            return Err(OptimizeError::Option { option: "minibatch", value, expected }.into());
        }
        let (program, val) = (study.program(), study.val());
        study.part("search", ORIGINAL, val.len());
        let scope = study.scope_of(program);
        let scores = study.evaluate(&scope, program, val).await?;
        let trial = Trial::new(ORIGINAL, program).scored(&scores);
        study.choose(study.record(trial.clone(), program.clone()));
        study.check_headroom(&scores)?;
        let original = Member {
            program: program.clone(),
            scope,
            trial,
            taught: BTreeSet::new(),
            scores: BTreeMap::new(),
        };
        Ok(Search { study, settings, advisor, pool: Pool::new(original), winners: vec![0] })
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        match self.steps().await {
            Ok(()) => self.compare(None).await,
            Err(Stop::Budget(limit)) => self.compare(Some(limit)).await,
            Err(stop) => Err(stop),
        }
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
            let rows = study.train().select(left.drain(..size));
            self.step(number, &rows).await?;
        }
        Ok(())
    }

    async fn step(&mut self, number: usize, rows: &Rows<'d, E>) -> Result<(), Stop> {
        let seed = self.study.seed().branch("step").index(number as u64);
        let top = self.pool.top(self.settings.num_candidates);
        let buckets = self.explore(number, seed, rows, &top).await?;
        let step = Step { number, seed, rows, top: &top, buckets: &buckets };
        let built = self.build(&step).await?;
        self.score(number, rows, built).await
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
        let mut tasks = Vec::with_capacity(rows.len() * samples);
        for sample in 0..samples {
            for row in rows.iter() {
                let branch = seed.branch("run").index(sample as u64).index(row.position as u64);
                let drawn = self.pool.draw(top, self.settings.temperature_for_sampling, &mut branch.rng());
                let (scope, program) = &varied[drawn];
                let sample = (number * samples + sample) as u64;
                tasks.push(Task::new(scope, program, row).sample(sample).traced());
            }
        }
        let runs = study.rollouts(tasks).await?;
        study.sync()?;
        Ok(Buckets::of(rows.len(), runs))
    }

    /// Makes new programs out of the buckets, in their order, until there are enough.
    async fn build(&self, step: &Step<'_, 'd, E>) -> Result<Vec<Member<P>>, Stop> {
        let (study, wanted) = (self.study, self.settings.num_candidates + 1);
        study.part("propose", &format!("step {}", step.number + 1), wanted);
        let mut buckets = step.buckets.list.iter().enumerate();
        let mut built: Vec<Member<P>> = Vec::new();
        while built.len() < wanted {
            let round = buckets.by_ref().take(wanted - built.len());
            let round: Vec<_> = round.map(|(rank, bucket)| self.change(step, rank, bucket)).collect();
            if round.is_empty() {
                break;
            }
            for (member, problem) in study.several(round).await? {
                problem.into_iter().for_each(|problem| study.warn(problem));
                // A program that changed nothing is known.
                let known =
                    |scope: &str| self.pool.knows(scope) || built.iter().any(|other| other.scope == scope);
                if !known(&member.scope) {
                    built.push(member);
                }
            }
        }
        study.sync()?;
        Ok(built)
    }

    /// Makes a program out of a bucket, and tells what went wrong.
    async fn change(
        &self,
        step: &Step<'_, 'd, E>,
        rank: usize,
        bucket: &Bucket,
    ) -> Result<(Member<P>, Option<String>), Stop> {
        let (study, settings) = (self.study, self.settings);
        let seed = step.seed.branch("change").index(rank as u64);
        let temperature = settings.temperature_for_candidates;
        let source = step.top[self.pool.draw(step.top, temperature, &mut seed.branch("source").rng())];
        let source = self.pool.get(source);
        let mut program = source.program.clone();
        drop_demos(&mut program, settings.max_demos, seed.branch("drop"));
        let (mut taught, mut usage, mut problem) = (source.taught.clone(), Usage::default(), None);
        let mut note = "fewer demonstrations".to_owned();
        let row = step.rows.get(bucket.row);
        let rule = settings.max_demos == 0 || seed.branch("strategy").rng().unit() < 0.5;
        if let Some(row) = row.filter(|_| !rule)
            && append_demo(&mut program, step.buckets, bucket)
        {
            taught.insert(row.position);
            note = format!("a demonstration of row {}", row.position);
        }
        if let Some(row) = row.filter(|_| rule)
            && let Some(comparison) =
                comparison(step.buckets, bucket, row.values, seed.branch("sample").value())
        {
            let name = format!("advice-{}-{rank}", step.number);
            let work = || strategy::advice(&self.advisor, &program, &comparison);
            let effect = study.effect(&name, work).await?;
            usage += effect.usage;
            study.proposed(&name, effect.output.as_ref().map_or(0, BTreeMap::len));
            match effect.output {
                Ok(advised) if advised.is_empty() => {}
                Ok(advised) => {
                    note = format!("advice from row {}", row.position);
                    let candidate = advised
                        .into_iter()
                        .fold(Candidate::new(), |candidate, (path, text)| candidate.instruction(path, text));
                    candidate.apply(&mut program)?;
                }
                Err(error) => problem = Some(format!("no advice: {}", no_text(error)?)),
            }
        }
        let label = format!("step {}, program {}", step.number + 1, rank + 1);
        let trial = Trial { notes: vec![note], usage, ..Trial::new(label, &program) };
        let scope = study.scope_of(&program);
        Ok((Member { program, scope, trial, taught, scores: BTreeMap::new() }, problem))
    }

    /// Scores the new programs and the original one on the minibatch, and adds them to the pool.
    async fn score(&mut self, number: usize, rows: &Rows<'d, E>, built: Vec<Member<P>>) -> Result<(), Stop> {
        if built.is_empty() {
            return Ok(());
        }
        let study = self.study;
        study.part("search", &format!("step {}", number + 1), rows.len() * (built.len() + 1));
        let members = std::iter::once(self.pool.original()).chain(&built);
        let tasks = members
            .flat_map(|member| rows.iter().map(move |row| Task::new(&member.scope, &member.program, row)));
        let rollouts = study.rollouts(tasks.collect()).await?;
        study.sync()?;
        let mut parts = rollouts.chunks(rows.len()).map(|part| {
            let items = rows.iter().zip(part).map(|(row, rollout)| ItemReport::of(row, rollout));
            items.collect::<Vec<_>>()
        });
        let original = parts.next().unwrap_or_default();
        let by_row = |items: &[ItemReport]| -> BTreeMap<usize, f64> {
            items.iter().filter_map(|item| Some((item.index, item.score?))).collect()
        };
        self.pool.add_original(by_row(&original));
        let shown = |items: &[ItemReport]| mean(items).map(percent).unwrap_or_default();
        let first = self.pool.len();
        for (mut member, items) in built.into_iter().zip(parts) {
            member.scores = by_row(&items);
            let (own, others) = (shown(&items), shown(&original));
            let rows = counted(items.len(), "row");
            let note = format!("{own} on a minibatch of {rows}, where the original program had {others}");
            member.trial.notes.push(note);
            member.trial.items = items;
            self.pool.push(member);
        }
        let best = (first..self.pool.len())
            .reduce(|best, next| if self.pool.gain(next) > self.pool.gain(best) { next } else { best });
        self.winners.extend(best);
        Ok(())
    }

    /// Compares the best programs of the steps on the valset, records all programs and chooses the result.
    async fn compare(self, stopped: Option<Limit>) -> Result<Stopped, Stop> {
        let (study, pool) = (self.study, self.pool);
        let finalists = spread(&self.winners, self.settings.num_candidates);
        study.phase("race", finalists.len() * study.val().len());
        let contestants: Vec<_> = finalists
            .iter()
            .map(|place| Contestant::new(&pool.get(*place).scope, pool.get(*place).program.clone()))
            .collect();
        let raced = study.race(&self.settings.race, &contestants, study.val()).await?;
        let winner = raced.winner().map(|winner| finalists[winner]);
        // If the budget ended the search before the race, the best gain on minibatches decides.
        let best =
            (1..pool.len()).fold(0, |best, next| if pool.gain(next) > pool.gain(best) { next } else { best });
        let chosen = winner.unwrap_or(best);
        for (place, member) in pool.into_members().into_iter().enumerate().skip(1) {
            let mut trial = member.trial;
            let own = std::mem::take(&mut trial.items);
            let standing = finalists.iter().position(|other| *other == place).map(|at| &raced.standings[at]);
            match standing.filter(|standing| !standing.items.is_empty()) {
                Some(standing) => {
                    // Rows of the trainset that are in the race, too, are paid once.
                    let again = |item: &&ItemReport| {
                        !study.has_valset() && standing.items.iter().any(|other| other.index == item.index)
                    };
                    own.iter().filter(|item| !again(item)).for_each(|item| trial.usage += item.usage);
                    trial = trial.raced(standing);
                }
                None => {
                    own.iter().for_each(|item| trial.usage += item.usage);
                    trial.items = own;
                }
            }
            // The trial of the original program is in the report.
            let trial = study.record(trial, member.program);
            if place == chosen {
                study.choose(trial);
            }
        }
        Ok(stopped.or(raced.stopped).map_or(Stopped::Finished, Stopped::Budget))
    }
}

/// Returns at most `count` + 1 of the winners at equal distances, the first and the last one included.
fn spread(winners: &[usize], count: usize) -> Vec<usize> {
    let last = winners.len() - 1;
    let at = |part: usize| (part as f64 * last as f64 / count as f64).round_ties_even() as usize;
    let indices: BTreeSet<usize> = (0..=count).map(at).collect();
    indices.into_iter().map(|index| winners[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finalists_are_spread_over_the_steps() {
        let winners: Vec<usize> = (0..9).collect();
        assert_eq!(spread(&winners, 6), [0, 1, 3, 4, 5, 7, 8]);
        assert_eq!(spread(&winners[..3], 6), [0, 1, 2]);
        assert_eq!(spread(&[0], 6), [0]);
        assert_eq!(spread(&winners, 1), [0, 8]);
    }
}
