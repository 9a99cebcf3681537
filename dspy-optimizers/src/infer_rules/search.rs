//! The search: demonstrations, rules, and the comparison of the candidates.

use dspy_core::lm::Usage;
use dspy_core::predict::Predictor;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Values;

use super::RuleSettings;
use super::inducer::{Inducer, Induction};
use super::prompts::with_rules;
use crate::bootstrap_few_shot::{Bootstrap, Roles, Settings};
use crate::data::Rows;
use crate::engine::{Answer, Candidate, Contestant, ExampleFor, Needs, Program, Scores, Stop, Study};
use crate::estimate::Sizes;
use crate::fruitless::Fruitless;
use crate::proposer::no_text;
use crate::report::{ORIGINAL, Stopped, Trial};
use crate::{OptimizeError, demos};

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) inducer: Inducer,
    pub(super) rules: &'s RuleSettings,
    pub(super) settings: &'s Settings,
}

/// A predictor with the examples that its rules are induced from.
struct Learner {
    path: String,
    examples: Vec<Values>,
}

/// A candidate that is made but not compared.
struct Built<P> {
    trial: Trial,
    program: P,
    scope: String,
}

impl<'d, P: Program, E: ExampleFor<P>> Search<'_, 'd, P, E> {
    pub(super) async fn run(&self) -> Result<Stopped, Stop> {
        let study = self.study;
        let (train, val) = self.split()?;
        let roles = Roles::of(study);
        // The first two run on all rows, so that there is a result if the budget ends the search.
        let (original, scores) =
            self.scored(Trial::new(ORIGINAL, study.program()), study.program(), &val).await?;
        study.check_headroom(&scores)?;
        let mut all = vec![original];

        let order: Vec<usize> = (0..train.len()).collect();
        let seed = study.seed();
        let bootstrap = Bootstrap { scope: "bootstrap", order: &order, settings: self.settings, seed };
        // The least that the first new program, the one with demonstrations, needs.
        let runs = self.settings.runs(train.len(), self.settings.max_bootstrapped_demos).least as usize;
        let Settings { max_bootstrapped_demos, max_labeled_demos, .. } = *self.settings;
        let runs = if max_bootstrapped_demos + max_labeled_demos == 0 { 0 } else { runs + val.len() };
        let needs = Needs { calls: 0, runs };
        study.check_affordable("bootstrap", needs, val.len())?;
        let made = bootstrap.run(study, &roles).await?;
        if let Some(limit) = made.stopped {
            study.warn_nothing_compared(val.len());
            return Err(Stop::Budget(limit));
        }
        let trial = Trial::new("bootstrapped demonstrations", &made.program);
        let trial = Trial { notes: made.notes, usage: made.usage, ..trial };
        let (mut present, mut score) = (0, scores.mean);
        // Without demonstrations, it is the original program once more.
        if max_bootstrapped_demos + max_labeled_demos > 0 {
            let is_same = study.scope_of(&made.program) == all[0].scope;
            let needs = Needs { calls: 0, runs: if is_same { 0 } else { val.len() } };
            study.check_affordable("demonstrations", needs, val.len())?;
            let (with_demos, scores) = self.scored(trial, &made.program, &val).await?;
            all.push(with_demos);
            if scores.mean > score {
                (present, score) = (1, scores.mean);
            }
        }
        let in_report = all.len();
        // Without new demonstrations, the program keeps its own.
        let base = if all.len() > 1 { &made.program } else { study.program() };

        let learners = learners(&made.program, &train);
        let block = self.rules.race.first_block(val.len());
        let wanted = if learners.is_empty() { 0 } else { self.rules.num_candidates };
        let needs = |count: usize| Needs { calls: count * learners.len(), runs: count * block };
        let afforded = study.affordable("rules", wanted, needs)?;
        study.note_afforded("new programs with rules", wanted, afforded);
        if let Some(limit) = afforded.limit.filter(|_| afforded.count == 0) {
            study.warn_unaffordable(&self.rules.race, val.len());
            return Err(Stop::Budget(limit));
        }
        study.part("propose", "rules", afforded.count);
        let candidates = 0..afforded.count;
        let candidates: Vec<_> = candidates.map(|number| self.candidate(number, base, &learners)).collect();
        let answer = |(built, problems): &(Option<Built<P>>, Vec<String>)| match built {
            Some(_) => Answer::Useful,
            None => Answer::Useless(problems.len().max(1)),
        };
        for (built, problems) in study.ask(candidates, learners.len(), answer).await? {
            problems.into_iter().for_each(|problem| study.warn(problem));
            all.extend(built.filter(|built| all.iter().all(|known| known.scope != built.scope)));
        }
        study.sync()?;

        study.part("search", "race", all.len() * val.len());
        let contestants: Vec<_> =
            all.iter().map(|built| Contestant::new(&built.scope, built.program.clone())).collect();
        let raced = study.race(&self.rules.race, &contestants, &val).await?;
        let winner = raced.winner_over(present, Some(score), val.len());
        for (place, built) in all.into_iter().enumerate() {
            // The trials of the first ones are in the report.
            let trial = if place < in_report {
                place
            } else {
                study.record(raced.scored(place, built.trial, val.len()), built.program)
            };
            if winner == Some(place) {
                study.choose(trial);
            }
        }
        Ok(raced.stopped.or(afforded.limit).map_or(Stopped::Finished, Stopped::Budget))
    }

    /// Returns the rows to learn from and those to compare on.
    fn split(&self) -> Result<(Rows<'d, E>, Rows<'d, E>), OptimizeError> {
        let (train, val) = (self.study.train(), self.study.val());
        if self.study.has_valset() {
            return Ok((train.clone(), val.clone()));
        }
        let rows = Sizes { train: train.len(), val: val.len(), given_val: false, predictors: 0 };
        Ok(train.split_at(sizes(&rows)?.0))
    }

    /// Scores a program on all rows, records its trial, and returns it with its scores.
    async fn scored(
        &self,
        trial: Trial,
        program: &P,
        rows: &Rows<'_, E>,
    ) -> Result<(Built<P>, Scores), Stop> {
        let (study, scope) = (self.study, self.study.scope_of(program));
        study.part("search", &trial.label, rows.len());
        let scores = study.evaluate(&scope, program, rows).await?;
        study.record(trial.clone().scored(&scores), program.clone());
        Ok((Built { trial, program: program.clone(), scope }, scores))
    }

    /// Makes a candidate, and tells what went wrong; `None` if there are no rules for any predictor.
    async fn candidate(
        &self,
        number: usize,
        base: &P,
        learners: &[Learner],
    ) -> Result<(Option<Built<P>>, Vec<String>), Stop> {
        let study = self.study;
        let mut candidate = Candidate::new();
        let (mut usage, mut problems) = (Usage::default(), Vec::new());
        for Learner { path, examples } in learners {
            let predictors = study.program().named_predictors();
            let Some((_, predictor)) = predictors.into_iter().find(|(other, _)| other == path) else {
                continue;
            };
            let seed = study.seed().branch("rules").index(number as u64).branch(path);
            // Rules are written without the playbook, which stays below them.
            let spec = &(**predictor.spec()).clone().with_instruction(predictor.instruction());
            let (most_rules, sample) = (self.rules.num_rules, seed.value());
            let request = Induction { spec, examples, most_rules, sample };
            let name = format!("rules-{number}/{path}");
            let effect = study.effect(&name, || self.inducer.induce(&request)).await?;
            usage += effect.usage;
            study.proposed(&name, usize::from(matches!(effect.output, Ok(Some(_)))));
            match effect.output {
                Ok(Some(rules)) => {
                    candidate = candidate.instruction(path, with_rules(spec.instruction(), &rules));
                }
                Ok(None) => study.fruitless(path, Fruitless { blank: 1, ..Fruitless::default() }),
                Err(error) => problems.push(format!("no rules for `{path}`: {}", no_text(error)?)),
            }
        }
        if candidate.is_empty() {
            return Ok((None, problems));
        }
        let program = candidate.applied_to(base)?;
        let trial = Trial { usage, ..Trial::new(format!("rules {}", number + 1), &program) };
        Ok((Some(Built { scope: study.scope_of(&program), trial, program }), problems))
    }
}

/// Returns the number of rows to learn from, and of those to compare on.
pub(super) fn sizes(sizes: &Sizes) -> Result<(usize, usize), OptimizeError> {
    let Sizes { train: rows, val, given_val, .. } = *sizes;
    match rows / 2 {
        _ if given_val => Ok((rows, val)),
        0 => Err(OptimizeError::Split { set: "trainset", rows, ratio: 0.5 }),
        learn => Ok((learn, rows - learn)),
    }
}

/// Returns the predictors for which there is something to induce rules from.
fn learners<E>(bootstrapped: &impl HasPredictors, train: &Rows<'_, E>) -> Vec<Learner> {
    let learner = |(path, predictor): (String, &Predictor)| {
        let labelled = train.iter().filter_map(|row| demos::labelled(row.values, predictor.spec()));
        let mut examples: Vec<Values> = labelled.map(|demo| demo.values).collect();
        if examples.is_empty() {
            examples = predictor.demos().iter().map(|demo| demo.values.clone()).collect();
        }
        Learner { path, examples }
    };
    let learners = bootstrapped.named_predictors().into_iter().map(learner);
    learners.filter(|learner| !learner.examples.is_empty()).collect()
}
