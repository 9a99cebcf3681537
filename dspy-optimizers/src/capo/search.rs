//! The search: steps of children and races.

use std::sync::Arc;

use dspy_core::predict::Predictor;

use super::Settings;
use super::individual::{Individual, prompt_length};
use super::variation::{Made, Step};
use super::writer::Writer;
use crate::data::Rows;
use crate::engine::{Afforded, Answer, Contestant, ExampleFor, Needs, Program, Raced, Standing, Stop, Study};
use crate::race::Race;
use crate::report::{ORIGINAL, Stopped, Trial};

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) settings: &'s Settings,
    pub(super) writer: Writer,
    /// The predictors with their signatures.
    pub(super) specs: Vec<Step>,
    /// The rows for shots.
    pub(super) pool: Rows<'d, E>,
    /// The rows to race on.
    val: Rows<'d, E>,
    pub(super) population: Vec<Member<P>>,
    /// The length of the longest prompt of the initial population, or of the given program before there is one.
    longest: usize,
}

/// A member of the population.
pub(super) struct Member<P> {
    pub(super) individual: Individual,
    program: P,
    scope: String,
    trial: Trial,
    /// Its result in the last race.
    standing: Option<Standing>,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    pub(super) fn new(study: &'s Study<'d, P, E>, settings: &'s Settings, writer: Writer) -> Self {
        let train = study.train();
        let (pool, val) = if study.has_valset() {
            (train.clone(), study.val().clone())
        } else {
            train.shuffled(study.seed().branch("split")).split_at(settings.pool(train.len()))
        };
        let predictors = study.program().named_predictors().into_iter();
        // Instructions are written without the playbook, which stays below them.
        let bare =
            |predictor: &Predictor| (**predictor.spec()).clone().with_instruction(predictor.instruction());
        let specs = predictors.map(|(path, predictor)| (path, Arc::new(bare(predictor)))).collect();
        let longest = prompt_length(study.program());
        Search { study, settings, writer, specs, pool, val, population: Vec::new(), longest }
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        let (study, program) = (self.study, self.study.program());
        study.part("search", ORIGINAL, self.val.len());
        let scope = study.scope_of(program);
        let scores = study.evaluate(&scope, program, &self.val).await?;
        study.record(Trial::new(ORIGINAL, program).scored(&scores), program.clone());
        study.check_headroom(&scores)?;
        let stopped = match self.evolve().await {
            Ok(()) => None,
            Err(Stop::Budget(limit)) => Some(limit),
            Err(stop) => return Err(stop),
        };

        // If the budget is exhausted, this race is over the blocks that the members have run on.
        let penalty = self.penalty(program);
        let mut contestants = vec![Contestant::new(&scope, program.clone()).penalty(penalty)];
        self.drop_unaffordable()?;
        contestants.extend(self.population.iter().map(|member| self.contestant(member)));
        study.phase("final race", contestants.len() * self.val.len());
        let race = self.settings.race.survivors(1).to_the_end(true);
        let raced = study.race(&race, &contestants, &self.val).await?;
        let winner = raced.winner_over(0, Some(scores.mean), self.val.len());
        if winner.is_none() {
            study.choose(0);
        }
        let members = std::mem::take(&mut self.population);
        let standings = raced.standings.into_iter().skip(1);
        for (place, (mut member, standing)) in members.into_iter().zip(standings).enumerate() {
            member.standing = Some(standing);
            let trial = self.record(member);
            if winner == Some(place + 1) {
                study.choose(trial);
            }
        }
        Ok(stopped.or(raced.stopped).map_or(Stopped::Finished, Stopped::Budget))
    }

    /// Drops the last members of the population if the budget does not pay for a last race of all. It may pay for none.
    fn drop_unaffordable(&mut self) -> Result<(), Stop> {
        let study = self.study;
        if !study.is_limited() {
            return Ok(());
        }
        let missing = |member: &Member<P>| study.missing(&member.scope, &member.program, &self.val);
        let missing = study.as_before("final-race", || self.population.iter().map(missing).collect())?;
        let runs = |count: usize| Needs { calls: 0, runs: missing.iter().take(count).sum() };
        let Afforded { count, limit } = study.affordable("final-race", self.population.len(), runs)?;
        if limit.is_some() && count > 0 {
            for member in self.population.split_off(count) {
                self.record(member);
            }
        }
        Ok(())
    }

    async fn evolve(&mut self) -> Result<(), Stop> {
        let size = self.afforded_population()?;
        self.study.part("propose", "initial population", size.count + 1);
        let initial = self.initial(size.count + 1).await?;
        self.study.sync()?;
        for made in initial {
            self.admit(made)?;
        }
        let lengths = self.population.iter().map(|member| prompt_length(&member.program));
        self.longest = lengths.max().unwrap_or(self.longest);
        let mut short = size.limit;
        for step in 0..self.settings.steps {
            let given_up = self.study.has_given_up();
            let Afforded { count, limit } =
                if given_up { Afforded { count: 0, limit: None } } else { self.afforded_children(step)? };
            if let Some(limit) = limit.filter(|_| count == 0 && step > 0) {
                return Err(Stop::Budget(limit));
            }
            self.study.part("propose", &format!("children of step {}", step + 1), count);
            let this = &*self;
            let children: Vec<_> = (0..count).map(|number| this.child(step, number)).collect();
            let texts = 2 * self.specs.len();
            let answer = |made: &Made| match made.problems.len() {
                0 => Answer::Useful,
                problems => Answer::Useless(problems),
            };
            let children = self.study.ask(children, texts, answer).await?;
            self.study.sync()?;
            let before = self.population.len();
            for child in children {
                self.admit(child)?;
            }
            self.select(step, before).await?;
            short = short.or(limit);
            if let Some(limit) = limit {
                return Err(Stop::Budget(limit));
            }
            if given_up {
                break;
            }
        }
        short.map_or(Ok(()), |limit| Err(Stop::Budget(limit)))
    }

    /// Returns the number of members of the initial population besides the first one: those that the budget makes and
    /// compares.
    ///
    /// # Errors
    /// If the search has to stop, also because the budget does not compare one.
    fn afforded_population(&self) -> Result<Afforded, Stop> {
        let (study, block) = (self.study, self.first_block());
        let wanted = self.settings.population - 1;
        let needs = |more: usize| {
            let Needs { calls, runs } = self.initial_needs(more);
            Needs { calls, runs: runs + (more + 1) * block }
        };
        let afforded = study.affordable("propose", wanted, needs)?;
        study.note_afforded("new members of the initial population", wanted, afforded);
        match afforded.limit.filter(|_| afforded.count == 0) {
            None => Ok(afforded),
            Some(limit) => {
                study.warn_unaffordable(&self.settings.race, self.val.len());
                Err(Stop::Budget(limit))
            }
        }
    }

    /// Returns the number of children of a step that the budget makes and compares.
    fn afforded_children(&self, step: usize) -> Result<Afforded, Stop> {
        let wanted = self.settings.crossovers;
        // The members of the initial population are compared in the first step.
        let members = if step == 0 { self.population.len() } else { 0 };
        // Later steps leave enough for a last race of two members. Without it, only a clear gain would count.
        let last = if step == 0 { 0 } else { 2 * self.val.len() };
        let needs = |count: usize| {
            let Needs { calls, runs } = self.child_needs(count);
            Needs { calls, runs: runs + (count + members) * self.first_block() + last }
        };
        let afforded = self.study.affordable(&format!("step-{step}"), wanted, needs)?;
        self.study.note_afforded(&format!("children of step {}", step + 1), wanted, afforded);
        Ok(afforded)
    }

    fn first_block(&self) -> usize {
        self.settings.race.first_block(self.val.len())
    }

    /// Adds a new member, unless there is an equal one.
    fn admit(&mut self, made: Made) -> Result<(), Stop> {
        let Made { label, individual, usage, problems } = made;
        problems.into_iter().for_each(|problem| self.study.warn(problem));
        let program = individual.candidate().applied_to(self.study.program())?;
        let scope = self.study.scope_of(&program);
        if self.population.iter().all(|member| member.scope != scope) {
            let trial = Trial { usage, ..Trial::new(label, &program) };
            self.population.push(Member { individual, program, scope, trial, standing: None });
        }
        Ok(())
    }

    /// Races the members down to the size of the population. The first `before` of them have been in it.
    async fn select(&mut self, step: usize, before: usize) -> Result<(), Stop> {
        let size = self.settings.population;
        let contestants: Vec<_> = self.population.iter().map(|member| self.contestant(member)).collect();
        self.study.part("search", &format!("race of step {}", step + 1), contestants.len() * self.val.len());
        let race: Race = self.settings.race.survivors(size).to_the_end(false);
        let raced = self.study.race(&race, &contestants, &self.val).await?;
        self.study.warn_uncompared(
            &raced,
            &race,
            self.val.len(),
            "`Capo::population` and `Capo::crossovers`",
        );
        let mut kept = raced.ranking();
        if raced.standings.iter().all(|standing| standing.items.is_empty()) {
            // The budget has ended before a block was complete. Children without a score would keep the members from
            // being compared on the rows that they have run on.
            kept.retain(|place| *place < before);
        }
        kept.truncate(size);
        let members = std::mem::take(&mut self.population);
        let mut survivors: Vec<(usize, Member<P>)> = Vec::new();
        let Raced { standings, stopped, .. } = raced;
        for (place, (mut member, standing)) in members.into_iter().zip(standings).enumerate() {
            member.standing = Some(standing);
            match kept.iter().position(|at| *at == place) {
                Some(rank) => survivors.push((rank, member)),
                None => {
                    self.record(member);
                }
            }
        }
        survivors.sort_by_key(|(rank, _)| *rank);
        self.population = survivors.into_iter().map(|(_, member)| member).collect();
        stopped.map_or(Ok(()), |limit| Err(Stop::Budget(limit)))
    }

    fn contestant(&self, member: &Member<P>) -> Contestant<P> {
        Contestant::new(&member.scope, member.program.clone()).penalty(self.penalty(&member.program))
    }

    /// Returns the penalty on the length of the prompts of a program.
    fn penalty(&self, program: &P) -> f64 {
        self.settings.length_penalty * prompt_length(program) as f64 / self.longest.max(1) as f64
    }

    /// Records the trial of a member with its last standing.
    fn record(&self, member: Member<P>) -> usize {
        let Member { program, trial, standing, .. } = member;
        let trial = match &standing {
            Some(standing) => trial.raced_on(standing, self.val.len()),
            None => trial,
        };
        self.study.record(trial, program)
    }
}
