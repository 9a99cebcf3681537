//! New programs out of the runs on a minibatch.

use std::collections::BTreeMap;

use dspy_core::lm::Usage;

use super::buckets::Bucket;
use super::pool::Member;
use super::search::{Search, Step};
use super::strategy::{self, append_demo, comparison, drop_demos};
use crate::data::label_names;
use crate::engine::{Answer, Candidate, Component, ExampleFor, Program, Stop};
use crate::gepa::records_of;
use crate::proposer::{TextProposer as _, TextRequest, no_text, sift};
use crate::report::Trial;

/// The largest length of an instruction with advice worked in, in characters.
const LONGEST: usize = 20_000;

impl<'d, P: Program, E: ExampleFor<P>> Search<'_, 'd, P, E> {
    /// Makes new programs out of the buckets, in their order, until there are enough.
    pub(super) async fn build(&self, step: &Step<'_, 'd, E>) -> Result<Vec<Member<P>>, Stop> {
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
            let made = if study.has_given_up() {
                study.several(round).await?
            } else {
                study.ask(round, 1, |(.., answer)| *answer).await?
            };
            for (member, problem, _) in made {
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
    ) -> Result<(Member<P>, Option<String>, Answer), Stop> {
        let (study, settings) = (self.study, self.settings);
        let seed = step.seed.branch("change").index(rank as u64);
        let temperature = settings.temperature_for_candidates;
        let source = step.top[self.pool.draw(step.top, temperature, &mut seed.branch("source").rng())];
        let source = self.pool.get(source);
        let mut program = source.program.clone();
        drop_demos(&mut program, settings.max_demos, seed.branch("drop"));
        let (mut taught, mut usage, mut problem) = (source.taught.clone(), Usage::default(), None);
        let (mut note, mut answer) = ("fewer demonstrations".to_owned(), Answer::Neutral);
        let row = step.rows.get(bucket.row);
        let rule = settings.max_demos == 0 || seed.branch("strategy").rng().unit() < 0.5;
        // Without advice, there are only demonstrations.
        let rule = rule && !study.has_given_up();
        if let Some(row) = row.filter(|_| !rule && settings.max_demos > 0)
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
            let work = || self.advisor.advise(&program, &comparison);
            let effect = study.effect(&name, work).await?;
            usage += effect.usage;
            let advised = effect.output.as_ref().map_or(0, BTreeMap::len);
            answer = Answer::of(advised > 0, effect.output.is_err(), effect.usage);
            study.proposed(&name, advised);
            match effect.output {
                Ok(advice) => {
                    let mut advised = strategy::appended(&program, &advice);
                    if !settings.published {
                        usage += self.work_in(step, rank, bucket, &program, &advice, &mut advised).await?;
                    }
                    if !advised.is_empty() {
                        note = format!("advice from row {}", row.position);
                    }
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
        Ok((Member::new(program, scope, trial, taught), problem, answer))
    }

    /// Works advice into the instructions of the steps, with the runs of the minibatch as evidence: those on the row
    /// that the advice is from first. Where there is no usable text, `advised` keeps what it has.
    async fn work_in(
        &self,
        step: &Step<'_, 'd, E>,
        rank: usize,
        bucket: &Bucket,
        program: &P,
        advice: &BTreeMap<String, String>,
        advised: &mut BTreeMap<String, String>,
    ) -> Result<Usage, Stop> {
        let (study, mut usage) = (self.study, Usage::default());
        let labels = label_names(program);
        let others = step.buckets.list.iter().filter(|other| other.row != bucket.row);
        let buckets: Vec<&Bucket> = std::iter::once(bucket).chain(others).collect();
        for (path, predictor) in program.named_predictors() {
            let Some(text) = advice.get(&path) else { continue };
            let (spec, current) = (predictor.spec().clone(), predictor.instruction());
            let mut request = TextRequest::new(Component::instruction(&path), spec, current);
            request.advice = Some(text.clone());
            request.sample = step.seed.branch("rules").index(rank as u64).value();
            let runs = buckets.iter().filter_map(|bucket| Some((step.rows.get(bucket.row)?, *bucket)));
            let runs = runs.flat_map(|(row, bucket)| bucket.extremes().map(move |run| (row, run)));
            request.records =
                runs.flat_map(|(row, run)| records_of(program, &path, &labels, row, run)).collect();
            if request.records.is_empty() {
                continue;
            }
            let name = format!("rules-{}-{rank}/{path}", step.number);
            let effect = study.effect(&name, || self.proposer.propose(request.clone())).await?;
            usage += effect.usage;
            let texts = match effect.output {
                Ok(texts) => texts,
                Err(error) => {
                    study.warn(format!("advice was appended, not worked in: {}", no_text(error)?));
                    study.proposed(&name, 0);
                    continue;
                }
            };
            let (usable, fruitless) = sift(&texts, current, LONGEST);
            study.fruitless(&path, fruitless);
            study.proposed(&name, usize::from(!usable.is_empty()));
            match usable.into_iter().next() {
                Some(text) => drop(advised.insert(path, text)),
                // The instruction says it already.
                None if fruitless.unchanged > 0 => drop(advised.remove(&path)),
                None => {}
            }
        }
        Ok(usage)
    }
}
