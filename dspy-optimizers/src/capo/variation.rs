//! The making of members: the initial population, crossover, mutation, shots.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy_core::Seed;
use dspy_core::lm::Usage;
use dspy_core::program::Settings as Scoped;
use dspy_core::signature::SignatureSpec;

use super::individual::{Individual, Shot, ShotChange};
use super::search::Search;
use crate::bootstrap_few_shot::demonstrations;
use crate::demos;
use crate::engine::{Answer, Component, ExampleFor, Needs, Outcome, Program, Stop, Task};
use crate::fruitless::Fruitless;
use crate::proposer::{TextRequest, no_text};

/// A predictor by path, with its signature.
pub(super) type Step = (String, Arc<SignatureSpec>);

/// The proposer's instructions for a predictor, their cost, the problem if there are none, and their use.
type Instructions = (Vec<String>, Usage, Option<String>, Answer);

/// A member that is made but not compared.
pub(super) struct Made {
    pub(super) label: String,
    pub(super) individual: Individual,
    pub(super) usage: Usage,
    /// The problems of the models that wrote its instructions.
    pub(super) problems: Vec<String>,
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Makes the initial population of this size: the original instructions and those of the proposer, with random
    /// shots.
    pub(super) async fn initial(&self, size: usize) -> Result<Vec<Made>, Stop> {
        let proposals: Vec<_> = self.specs.iter().map(|step| self.instructions(step, size - 1)).collect();
        let mut proposed = self.study.ask(proposals, size - 1, |(.., answer)| *answer).await?;
        // The proposer may not have been asked for the instructions of the last predictors.
        let none = || (Vec::new(), Usage::default(), None, Answer::Neutral);
        proposed.resize_with(self.specs.len(), none);
        let mut made: Vec<Made> = (0..size)
            .map(|number| {
                let instruction = |((path, spec), (texts, ..)): (&Step, &Instructions)| {
                    // If there are too few, they are used several times, with other shots.
                    let text = if number == 0 { None } else { texts.get((number - 1) % texts.len().max(1)) };
                    (path.clone(), text.cloned().unwrap_or_else(|| spec.instruction().to_string()))
                };
                let instructions = self.specs.iter().zip(&proposed).map(instruction).collect();
                let individual = Individual { instructions, shots: Vec::new() };
                let label = format!("initial member {}", number + 1);
                Made { label, individual, usage: Usage::default(), problems: Vec::new() }
            })
            .collect();
        for (_, usage, problem, _) in proposed {
            made[0].usage += usage;
            made[0].problems.extend(problem);
        }
        let mut wanted = Vec::new();
        for (number, member) in made.iter().enumerate() {
            for row in self.initial_shots(number) {
                wanted.push((number, self.shot(format!("initial-{number}"), &member.individual, row)));
            }
        }
        let (owners, shots): (Vec<usize>, Vec<_>) = wanted.into_iter().unzip();
        let shots = self.study.several(shots).await?;
        for (owner, shot) in owners.into_iter().zip(shots) {
            made[owner].individual.shots.extend(shot);
        }
        Ok(made)
    }

    /// Returns the rows of the shots of an initial member.
    fn initial_shots(&self, number: usize) -> Vec<usize> {
        let mut rng = self.study.seed().branch("initial").index(number as u64).rng();
        let count = rng.between(0, self.settings.max_shots.min(self.pool.len()));
        rng.sample(self.pool.len(), count)
    }

    /// Returns the cost of making an initial population with this number of members besides the first one.
    pub(super) fn initial_needs(&self, more: usize) -> Needs {
        let shots = (0..=more).map(|number| self.initial_shots(number).len()).sum();
        Needs { calls: more * self.specs.len(), runs: shots }
    }

    /// Returns the cost of making children: two calls for each predictor, and a run for a shot.
    pub(super) fn child_needs(&self, count: usize) -> Needs {
        Needs { calls: count * 2 * self.specs.len(), runs: count * usize::from(self.settings.max_shots > 0) }
    }

    /// Returns instructions of the proposer for a predictor, their cost, and the problem if there are none.
    async fn instructions(&self, (path, spec): &Step, count: usize) -> Result<Instructions, Stop> {
        let (study, settings) = (self.study, self.settings);
        let seed = study.seed().branch("propose").branch(path);
        let mut request =
            TextRequest::new(Component::instruction(path), spec.clone(), spec.instruction().as_ref());
        request.count = count;
        request.temperature = Some(1.0);
        request.sample = seed.branch("sample").value();
        request.demos = demos::shown(&self.pool, spec, settings.examples, seed.branch("examples"));
        let name = format!("propose/{path}");
        let propose = study.propose(&name, &settings.proposer, &request);
        let proposed = match &settings.prompt_lm {
            Some(lm) => Scoped::new().lm(lm.clone()).scope(propose).await?,
            None => propose.await?,
        };
        let problem = proposed.problem.map(|problem| format!("no instructions for `{path}`: {problem}"));
        Ok((proposed.texts, proposed.usage, problem, proposed.answer))
    }

    /// Makes a child of two random members: crossover and mutation.
    pub(super) async fn child(&self, step: usize, number: usize) -> Result<Made, Stop> {
        let seed = self.study.seed().branch("step").index(step as u64).branch("child").index(number as u64);
        let parents = seed.branch("parents").rng().sample(self.population.len(), 2);
        let parent = |place: usize| {
            let place = parents.get(place).or(parents.first()).copied().unwrap_or_default();
            &self.population[place].individual
        };
        let (mother, father) = (parent(0), parent(1));
        let label = format!("step {}, child {}", step + 1, number + 1);
        let individual = Individual { instructions: BTreeMap::new(), shots: Vec::new() };
        let mut made = Made { label, individual, usage: Usage::default(), problems: Vec::new() };
        for predictor @ (path, _) in &self.specs {
            let name = format!("step-{step}/child-{number}/{path}");
            let text = self.cross(&name, predictor, (mother, father), seed.branch(path), &mut made).await?;
            made.individual.instructions.insert(path.clone(), text);
        }
        let mut shots = mother.cross_shots(father, seed.branch("shots"));
        let mut rng = seed.branch("shot").rng();
        match ShotChange::draw(shots.len(), self.settings.max_shots, seed.branch("change")) {
            ShotChange::Add => {
                let free: Vec<usize> =
                    (0..self.pool.len()).filter(|row| shots.iter().all(|shot| shot.row != *row)).collect();
                if let Some(row) = free.get(rng.below(free.len())) {
                    let name = format!("step-{step}/child-{number}");
                    shots.extend(self.shot(name, &made.individual, *row).await?);
                }
            }
            ShotChange::Remove => {
                shots.remove(rng.below(shots.len()));
            }
            ShotChange::Keep => {}
        }
        seed.branch("order").rng().shuffle(&mut shots);
        made.individual.shots = shots;
        Ok(made)
    }

    /// Returns the instruction of a child for a predictor: those of its parents merged, then varied.
    async fn cross(
        &self,
        name: &str,
        (path, spec): &Step,
        (mother, father): (&Individual, &Individual),
        seed: Seed,
        made: &mut Made,
    ) -> Result<String, Stop> {
        let (first, second) = (mother.instruction(path), father.instruction(path));
        // If a reply cannot be read, the instruction is that of a parent, or not varied.
        let mut text = if seed.branch("parent").rng().below(2) == 0 { first } else { second }.to_owned();
        if first != second {
            let sample = seed.branch("merge").value();
            let work = || self.writer.merge(spec, (first, second), sample);
            text = self.written(&format!("{name}/merge"), path, made, work).await?.unwrap_or(text);
        }
        let sample = seed.branch("paraphrase").value();
        let varied = {
            let work = || self.writer.paraphrase(spec, &text, sample);
            self.written(&format!("{name}/paraphrase"), path, made, work).await?
        };
        Ok(varied.unwrap_or(text))
    }

    /// Runs the writer as an effect; `None` if its reply cannot be read.
    async fn written<F>(
        &self,
        name: &str,
        path: &str,
        made: &mut Made,
        work: impl Fn() -> F,
    ) -> Result<Option<String>, Stop>
    where
        F: Future<Output = dspy_core::Result<Option<String>>>,
    {
        let effect = self.study.effect(name, work).await?;
        made.usage += effect.usage;
        self.study.proposed(name, usize::from(matches!(effect.output, Ok(Some(_)))));
        match effect.output {
            Ok(text) => {
                let blank = usize::from(text.is_none());
                self.study.fruitless(path, Fruitless { blank, ..Fruitless::default() });
                Ok(text)
            }
            Err(error) => {
                made.problems.push(format!("no new instruction for `{path}`: {}", no_text(error)?));
                Ok(None)
            }
        }
    }

    /// Returns a row as a shot of the named member: the calls of the program with these instructions, if it is right, or the labels;
    /// `None` if neither is of use to any predictor.
    async fn shot(&self, name: String, individual: &Individual, row: usize) -> Result<Option<Shot>, Stop> {
        let (study, at) = (self.study, row);
        let Some(row) = self.pool.get(row) else { return Ok(None) };
        let bare = Individual { instructions: individual.instructions.clone(), shots: Vec::new() };
        let program = bare.candidate().applied_to(study.program())?;
        // Not the scope of the program: members with equal instructions may run it on the same row at the same time.
        let scope = format!("{name}/shot");
        let right = |outcome: &Outcome| {
            let Outcome::Scored(score) = outcome else { return false };
            self.settings.metric_threshold.map_or(score.value > 0.0, |least| score.value >= least)
        };
        let rollout = study.rollout(Task::new(&scope, &program, row).traced_if(&right)).await?;
        let seed = study.seed().branch("call").branch(&scope).index(row.position as u64);
        let mut demos: BTreeMap<_, _> = if right(&rollout.outcome) {
            demonstrations(rollout.steps, seed).into_iter().collect()
        } else {
            BTreeMap::new()
        };
        if demos.is_empty() {
            let labelled = |(path, spec): &Step| Some((path.clone(), demos::labelled(row.values, spec)?));
            demos = self.specs.iter().filter_map(labelled).collect();
        }
        Ok((!demos.is_empty()).then_some(Shot { row: at, demos }))
    }
}
