//! The search: joint steps of all predictors, and the credit that each instruction gets.

use std::collections::BTreeMap;

use dspy_core::lm::Usage;
use dspy_core::predict::Predictor;

use super::Settings;
use crate::counts::counted;
use crate::demos;
use crate::engine::{Candidate, Component, ExampleFor, Needs, Program, Scores, Stop, Study};
use crate::proposer::{Grounding, GroundingRequest, ScoredText, TextRequest, grounding_calls};
use crate::report::{ItemReport, ORIGINAL, Stopped, Trial, percent};

/// The largest number of rows that the proposer's view of the data is made from.
pub(super) const GROUNDING_ROWS: usize = 100;

/// Returns the largest number of calls of a grounding on this many rows, of a program with this many predictors.
pub(super) fn grounding_most(rows: usize, predictors: usize) -> usize {
    let batch = GroundingRequest::new().batch;
    let calls = grounding_calls(rows.min(GROUNDING_ROWS), batch, Some(predictors));
    calls.most.map_or(usize::MAX, |most| most as usize)
}

/// The state of a search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    study: &'s Study<'d, P, E>,
    settings: &'s Settings,
    modules: Vec<Module>,
    grounding: Grounding,
    /// The scores of the best program on the whole valset.
    best: Scores,
    best_scope: String,
}

/// A predictor with its history.
struct Module {
    path: String,
    texts: Vec<Tried>,
}

/// An instruction with the scores of the programs that used it.
struct Tried {
    text: String,
    scores: Vec<f64>,
}

impl Tried {
    /// Returns the mean score of the programs that used it; `None` if there are none.
    fn score(&self) -> Option<f64> {
        (!self.scores.is_empty()).then(|| self.scores.iter().sum::<f64>() / self.scores.len() as f64)
    }
}

/// A program of new instructions: for each predictor the index of its text.
struct Joint {
    label: String,
    texts: Vec<usize>,
    usage: Usage,
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    /// Scores the original program and describes data and program.
    pub(super) async fn start(study: &'s Study<'d, P, E>, settings: &'s Settings) -> Result<Self, Stop> {
        let (program, val) = (study.program(), study.val());
        study.part("search", ORIGINAL, val.len());
        let best_scope = study.scope_of(program);
        let best = study.evaluate(&best_scope, program, val).await?;
        study.choose(study.record(Trial::new(ORIGINAL, program).scored(&best), program.clone()));
        study.check_headroom(&best)?;
        let module = |(path, predictor): (String, &Predictor)| {
            let original = Tried { text: predictor.instruction().to_owned(), scores: vec![best.mean] };
            Module { path, texts: vec![original] }
        };
        let modules = program.named_predictors().into_iter().map(module).collect();
        let mut search =
            Search { study, settings, modules, grounding: Grounding::default(), best, best_scope };
        if settings.grounding && settings.steps > 0 && search.affords_grounding()? {
            search.grounding = search.ground().await?;
        }
        Ok(search)
    }

    /// Returns the cost of one step: an instruction for each predictor, and the runs on the whole valset, without which
    /// no program is the result.
    fn step_needs(&self) -> Needs {
        Needs { calls: self.modules.len(), runs: self.study.val().len() }
    }

    /// Returns whether the budget pays for the grounding and one step.
    fn affords_grounding(&self) -> Result<bool, Stop> {
        let (study, step) = (self.study, self.step_needs());
        let most = grounding_most(study.train().len(), self.modules.len());
        let needs = |count: usize| match count {
            0 => Needs { calls: 0, runs: 0 },
            1 => step,
            _ => Needs { calls: step.calls + most, ..step },
        };
        let afforded = study.affordable("ground", 2, needs)?;
        if afforded.count == 1 {
            study.decide(
                "no descriptions of data and program: the rest of the budget cannot pay for them and compare a program",
            );
        }
        Ok(afforded.count == 2)
    }

    async fn ground(&self) -> Result<Grounding, Stop> {
        let study = self.study;
        let mut request = GroundingRequest::new().describing(study.program());
        let rows = study.train().shuffled(study.seed().branch("ground"));
        request.examples = rows.iter().take(GROUNDING_ROWS).map(|row| row.values.clone()).collect();
        study.ground("ground", &self.settings.proposer, &request).await
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        for step in 0..self.settings.steps {
            let (study, needs) = (self.study, self.step_needs());
            study.check_affordable(&format!("step-{step}"), needs, study.val().len())?;
            if study.has_given_up() {
                break;
            }
            if let Some(joint) = self.propose(step).await? {
                self.try_program(joint, step).await?;
            }
        }
        Ok(Stopped::Finished)
    }

    /// Returns the program of a step; `None` if there is no new instruction for any predictor.
    async fn propose(&mut self, step: usize) -> Result<Option<Joint>, Stop> {
        let (this, study) = (&*self, self.study);
        let requests =
            self.modules.iter().zip(study.program().named_predictors()).map(|(module, (_, predictor))| {
                let seed = study.seed().branch("propose").index(step as u64).branch(&module.path);
                let (component, current) =
                    (Component::instruction(&*module.path), &module.texts[module.best()].text);
                let mut request = TextRequest::new(component, predictor.spec().clone(), current.as_str());
                request.history = module.history(this.settings.history);
                request.temperature = Some(this.settings.temperature);
                request.sample = seed.branch("sample").value();
                if this.settings.grounding {
                    request.grounding = this.grounding.clone();
                    request.demos = demos::shown(
                        study.train(),
                        predictor.spec(),
                        this.settings.examples,
                        seed.branch("examples"),
                    );
                }
                let name = format!("propose-{step}/{}", module.path);
                async move { study.propose(&name, &this.settings.proposer, &request).await }
            });
        let proposed = study.ask(requests.collect(), 1, |proposed| proposed.answer).await?;
        study.sync()?;
        let (mut joint, mut new) = (Joint::of_step(step), false);
        let mut proposed = proposed.into_iter();
        for module in &mut self.modules {
            let Some(proposed) = proposed.next() else {
                joint.texts.push(module.best());
                continue;
            };
            joint.usage += proposed.usage;
            if let Some(problem) = proposed.problem {
                study.warn(format!("no instruction for `{}`: {problem}", module.path));
            }
            let known = |text: &String| module.texts.iter().position(|tried| tried.text == *text);
            let place = match proposed.texts.into_iter().next() {
                None => module.best(),
                Some(text) => known(&text).unwrap_or_else(|| {
                    new = true;
                    module.texts.push(Tried { text, scores: Vec::new() });
                    module.texts.len() - 1
                }),
            };
            joint.texts.push(place);
        }
        Ok(new.then_some(joint))
    }

    /// Scores a program, credits the score to its instructions, and makes it the best one if it is.
    async fn try_program(&mut self, joint: Joint, step: usize) -> Result<(), Stop> {
        let study = self.study;
        let val = study.val();
        let instruct = |candidate: Candidate, (module, place): (&Module, &usize)| {
            candidate.instruction(&*module.path, module.texts[*place].text.as_str())
        };
        let candidate = self.modules.iter().zip(&joint.texts).fold(Candidate::new(), instruct);
        let program = candidate.applied_to(study.program())?;
        let scope = study.scope_of(&program);
        if scope == self.best_scope {
            return Ok(());
        }
        let usage = joint.usage;
        let batch = self.settings.minibatch.filter(|rows| *rows < val.len());
        if let Some(size) = batch {
            // A minibatch is the beginning of a random order of the valset.
            let seed = study.seed().branch("minibatch").index(step as u64);
            let rows = val.shuffled(seed).select(0..size);
            study.part("search", &joint.label, size);
            let (_, items) = study.sample(&scope, &program, &rows).await?;
            let compared = self.compare(&items);
            if compared.is_none_or(|(own, best)| own <= best) {
                let size = counted(size, "row");
                let note = match compared {
                    Some((own, best)) => {
                        self.credit(&joint, self.best.mean + own - best);
                        let (own, best) = (percent(own), percent(best));
                        format!("{own} on a minibatch of {size}, where the best program had {best}")
                    }
                    None => format!("no score on a minibatch of {size}"),
                };
                // Scores on different rows are not comparable.
                let mut trial = Trial::new(joint.label, &program);
                items.iter().for_each(|item| trial.usage += item.usage);
                trial.usage += usage;
                (trial.items, trial.notes) = (items, vec![note]);
                study.record(trial, program);
                return Ok(());
            }
        }
        let part = if batch.is_some() { ": the whole valset" } else { "" };
        study.part("search", &format!("{}{part}", joint.label), val.len());
        let scores = study.evaluate(&scope, &program, val).await?;
        self.credit(&joint, scores.mean);
        let mut trial = Trial::new(joint.label, &program).scored(&scores);
        trial.usage += usage;
        let trial = study.record(trial, program);
        if scores.mean > self.best.mean {
            (self.best, self.best_scope) = (scores, scope);
            study.choose(trial);
        }
        Ok(())
    }

    /// Adds the score of a program to those of its instructions.
    fn credit(&mut self, joint: &Joint, score: f64) {
        for (module, place) in self.modules.iter_mut().zip(&joint.texts) {
            module.texts[*place].scores.push(score);
        }
    }

    /// Returns the mean score of a program and that of the best one, on the rows on which both have a score; `None` if
    /// there are no such rows.
    fn compare(&self, items: &[ItemReport]) -> Option<(f64, f64)> {
        let best: BTreeMap<usize, f64> =
            self.best.items.iter().filter_map(|item| Some((item.index, item.score?))).collect();
        let both = items.iter().filter_map(|item| Some((item.score?, *best.get(&item.index)?)));
        let (count, own, best) =
            both.fold((0.0, 0.0, 0.0), |(count, own, best), (a, b)| (count + 1.0, own + a, best + b));
        (count > 0.0).then(|| (own / count, best / count))
    }
}

impl Joint {
    fn of_step(step: usize) -> Self {
        Joint { label: format!("step {}", step + 1), texts: Vec::new(), usage: Usage::default() }
    }
}

impl Module {
    /// Returns the index of the instruction with the best mean score, the first one in a tie.
    fn best(&self) -> usize {
        let score = |place: usize| self.texts[place].score().unwrap_or(f64::NEG_INFINITY);
        (0..self.texts.len()).fold(0, |best, place| if score(place) > score(best) { place } else { best })
    }

    /// Returns the best instructions with their mean scores, the best one last.
    fn history(&self, most: usize) -> Vec<ScoredText> {
        let scored = |tried: &Tried| Some(ScoredText { text: tried.text.clone(), score: tried.score()? });
        ScoredText::best_last(self.texts.iter().filter_map(scored), most)
    }
}
