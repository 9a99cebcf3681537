//! The search: rounds of proposals, and the turn of each predictor.

use std::collections::BTreeMap;
use std::sync::Arc;

use dspy_core::lm::{Limit, Usage};
use dspy_core::predict::Predictor;
use dspy_core::signature::SignatureSpec;

use super::Settings;
use crate::demos;
use crate::engine::{
    Afforded, Candidate, Component, Contestant, ExampleFor, Needs, Program, Raced, Standing, Stop, Study,
};
use crate::proposer::{ScoredText, TextRequest};
use crate::report::{ORIGINAL, Stopped, Trial, mean};

/// The state of a search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    study: &'s Study<'d, P, E>,
    settings: &'s Settings,
    coordinates: Vec<Coordinate>,
    /// The present instructions of all predictors.
    holds: Candidate,
    /// The score of the program with them on the whole valset, if it is known.
    score: Option<f64>,
    /// The programs that were compared, by their scope.
    known: BTreeMap<String, Known>,
}

/// A program that was compared.
struct Known {
    trial: usize,
    /// The score on the whole valset, if it has run on all of it.
    score: Option<f64>,
}

/// A predictor with its instructions.
struct Coordinate {
    path: String,
    texts: Vec<Tried>,
    /// The index of the present instruction.
    present: usize,
}

/// An instruction of a predictor.
struct Tried {
    text: String,
    label: String,
    /// The score under the present instructions of the other predictors: that on the whole valset if it is known,
    /// otherwise an estimate.
    score: Option<f64>,
    dropped: bool,
    /// The cost of the proposals that it is the first of, until a trial has it.
    usage: Usage,
}

impl Tried {
    fn new(text: String, label: String) -> Self {
        Tried { text, label, score: None, dropped: false, usage: Usage::default() }
    }
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    pub(super) fn new(study: &'s Study<'d, P, E>, settings: &'s Settings) -> Self {
        let coordinate = |(path, predictor): (String, &Predictor)| {
            let original = Tried::new(predictor.instruction().to_owned(), ORIGINAL.to_owned());
            Coordinate { path, texts: vec![original], present: 0 }
        };
        let coordinates = study.program().named_predictors().into_iter().map(coordinate).collect();
        Search { study, settings, coordinates, holds: Candidate::new(), score: None, known: BTreeMap::new() }
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        // Its runs are those of the first comparison, and it is the result if there is no budget for more.
        let (study, program) = (self.study, self.study.program());
        let scope = study.scope_of(program);
        study.part("search", ORIGINAL, study.val().len());
        let scores = study.evaluate(&scope, program, study.val()).await?;
        let trial = study.record(Trial::new(ORIGINAL, program).scored(&scores), program.clone());
        study.check_headroom(&scores)?;
        let score = scores.mean;
        self.known.insert(scope, Known { trial, score: Some(score) });
        self.score = Some(score);
        self.coordinates.iter_mut().for_each(|coordinate| coordinate.texts[0].score = Some(score));
        // With a limited budget, the number of instructions of a predictor depends on what the turns before have left.
        let places: Vec<usize> = (0..self.coordinates.len()).collect();
        let together = if study.is_limited() { 1 } else { places.len() };
        let mut short = None;
        for round in 0..self.settings.depth {
            for places in places.chunks(together.max(1)) {
                let limit = self.propose(round, places).await?;
                short = short.or(limit);
                for place in places {
                    if let Some(stopped) = self.turn(round, *place).await? {
                        return Ok(stopped);
                    }
                }
                if study.has_given_up() {
                    return Ok(short.map_or(Stopped::Finished, Stopped::Budget));
                }
            }
        }
        Ok(short.map_or(Stopped::Finished, Stopped::Budget))
    }

    /// Adds new instructions to some predictors, as many as the budget compares. Returns the limit that more of them
    /// would exceed.
    ///
    /// # Errors
    /// If the search has to stop, also because the budget does not compare one more instruction.
    async fn propose(&mut self, round: usize, places: &[usize]) -> Result<Option<Limit>, Stop> {
        let present = self.holds.applied_to(self.study.program())?;
        self.study.part("propose", &format!("round {}", round + 1), 0);
        let predictors = present.named_predictors();
        let mut requests = Vec::new();
        let mut short = None;
        for place in places {
            let (coordinate, (_, predictor)) = (&self.coordinates[*place], &predictors[*place]);
            let mut request = self.request(round, coordinate, predictor.spec());
            let name = format!("propose-{round}/{}", coordinate.path);
            let Afforded { count, limit } = self.afforded(&name, request.count, coordinate)?;
            if let Some(limit) = limit.filter(|_| count == 0) {
                return Err(Stop::Budget(limit));
            }
            request.count = count;
            short = short.or(limit);
            requests.push((name, request));
        }
        let (study, proposer) = (self.study, &self.settings.proposer);
        let most = requests.iter().map(|(_, request)| request.count).max().unwrap_or_default();
        let requests = requests.iter().map(|(name, request)| study.propose(name, proposer, request));
        let proposed = study.ask(requests.collect(), most, |proposed| proposed.answer).await?;
        study.sync()?;
        for (place, proposed) in places.iter().zip(proposed) {
            let coordinate = &mut self.coordinates[*place];
            let first = coordinate.texts.len();
            for (number, text) in proposed.texts.into_iter().enumerate() {
                if coordinate.texts.iter().all(|known| known.text != text) {
                    let (path, round, number) = (&coordinate.path, round + 1, number + 1);
                    let label = format!("`{path}`: round {round}, instruction {number}");
                    coordinate.texts.push(Tried::new(text, label));
                }
            }
            if let Some(tried) = coordinate.texts.get_mut(first) {
                tried.usage = proposed.usage;
            }
            if let Some(problem) = proposed.problem {
                self.study.warn(format!("no instructions for `{}`: {problem}", coordinate.path));
            }
        }
        Ok(short)
    }

    /// Returns how many of the wanted instructions of a predictor the budget pays for and compares.
    fn afforded(&self, name: &str, wanted: usize, coordinate: &Coordinate) -> Result<Afforded, Stop> {
        let (study, rows) = (self.study, self.study.val().len());
        let block = self.settings.race.first_block(rows);
        // Under other instructions of the other predictors, those before run again.
        let is_rival = |at: usize, tried: &Tried| at != coordinate.present && !tried.dropped;
        let again = if self.coordinates.len() == 1 {
            0
        } else {
            coordinate.texts.iter().enumerate().filter(|(at, tried)| is_rival(*at, tried)).count()
        };
        let needs = |count: usize| Needs { calls: count, runs: (count + again) * block };
        let afforded = study.affordable(name, wanted, needs)?;
        if afforded.count == 0 && self.known.len() == 1 {
            study.warn_unaffordable(&self.settings.race, rows);
        }
        study.note_afforded(&format!("new instructions of `{}`", coordinate.path), wanted, afforded);
        Ok(afforded)
    }

    fn request(&self, round: usize, coordinate: &Coordinate, spec: &Arc<SignatureSpec>) -> TextRequest {
        let Settings { breadth, temperature, examples, .. } = *self.settings;
        let seed = self.study.seed().branch("propose").index(round as u64).branch(&coordinate.path);
        let component = Component::instruction(&*coordinate.path);
        let current = coordinate.texts[coordinate.present].text.as_str();
        let mut request = TextRequest::new(component, spec.clone(), current);
        request.count = if round == 0 { breadth - 1 } else { breadth };
        request.temperature = Some(temperature);
        request.sample = seed.branch("sample").value();
        request.demos = demos::shown(self.study.train(), spec, examples, seed.branch("examples"));
        if round > 0 {
            request.history = coordinate.history(breadth);
        }
        request
    }

    /// Compares the instructions of a predictor under the present ones of the others, and keeps the best.
    async fn turn(&mut self, round: usize, place: usize) -> Result<Option<Stopped>, Stop> {
        let coordinate = &self.coordinates[place];
        // In a tie the first contestant wins.
        let others = (0..coordinate.texts.len())
            .filter(|at| *at != coordinate.present && !coordinate.texts[*at].dropped);
        let compared: Vec<usize> = std::iter::once(coordinate.present).chain(others).collect();
        if compared.len() < 2 {
            return Ok(None);
        }
        let component = Component::instruction(&*coordinate.path);
        // Different texts may be the same prompt.
        let mut contenders: Vec<(usize, Contestant<P>)> = Vec::new();
        for at in compared {
            let candidate = self.holds.clone().with(component.clone(), coordinate.texts[at].text.as_str());
            let program = candidate.applied_to(self.study.program())?;
            let scope = self.study.scope_of(&program);
            if contenders.iter().all(|(_, known)| known.scope != scope) {
                contenders.push((at, Contestant::new(scope, program)));
            }
        }
        let (compared, contestants): (Vec<usize>, Vec<_>) = contenders.into_iter().unzip();
        let val = self.study.val();
        let phase = format!("round {}: `{}`", round + 1, coordinate.path);
        self.study.part("search", &phase, contestants.len() * val.len());
        let raced = self.study.race(&self.settings.race, &contestants, val).await?;
        self.study.warn_uncompared(&raced, &self.settings.race, val.len(), "`Copro::breadth`");

        let estimates = comparable(&raced);
        let (mut trials, mut scores) = (Vec::new(), Vec::new());
        for (index, Contestant { scope, program, .. }) in contestants.into_iter().enumerate() {
            let (tried, standing) =
                (&mut self.coordinates[place].texts[compared[index]], &raced.standings[index]);
            let study = self.study;
            let known = self.known.entry(scope).or_insert_with(|| {
                let mut trial = raced.scored(index, Trial::new(tried.label.as_str(), &program), val.len());
                trial.usage += std::mem::take(&mut tried.usage);
                Known { trial: study.record(trial, program), score: None }
            });
            known.score = known.score.or(standing.mean.filter(|_| standing.items.len() == val.len()));
            tried.score = known.score.or(estimates[index]).or(tried.score);
            tried.dropped = standing.dropped.is_some();
            trials.push(known.trial);
            scores.push(tried.score);
        }
        // The first contestant has the present instruction.
        if let Some(winner) = raced.winner_over(0, self.score, val.len()) {
            let standing = &raced.standings[winner];
            self.score = standing.mean.filter(|_| standing.items.len() == val.len());
            let coordinate = &mut self.coordinates[place];
            coordinate.present = compared[winner];
            self.holds.set(component, coordinate.texts[coordinate.present].text.as_str());
            self.study.choose(trials[winner]);
            if let Some((after, before)) = scores[winner].zip(scores[0]) {
                let others = self.coordinates.iter_mut().enumerate().filter(|(other, _)| *other != place);
                others.for_each(|(_, coordinate)| coordinate.shift(after, before));
            }
        }
        Ok(raced.stopped.map(Stopped::Budget))
    }
}

impl Coordinate {
    /// Adapts the scores to a program with another instruction of another predictor, which has one score instead of
    /// another. The difference of each instruction to the present one is assumed to be as before.
    fn shift(&mut self, after: f64, before: f64) {
        for (at, tried) in self.texts.iter_mut().enumerate() {
            let shifted = tried.score.map(|score| score + after - before);
            tried.score = if at == self.present { Some(after) } else { shifted };
        }
    }

    /// Returns the best instructions with their scores, the best one last.
    fn history(&self, most: usize) -> Vec<ScoredText> {
        let scored = |tried: &Tried| Some(ScoredText { text: tried.text.clone(), score: tried.score? });
        ScoredText::best_last(self.texts.iter().filter_map(scored), most)
    }
}

/// Returns the scores of the contestants as if all had run on the rows of the winner: one that was dropped is as far
/// from the winner as on the rows that both have run on.
fn comparable(raced: &Raced) -> Vec<Option<f64>> {
    let winner = raced.winner().map(|winner| &raced.standings[winner]);
    let score = |standing: &Standing| {
        let winner = winner?;
        let shared = mean(&winner.items[..standing.items.len().min(winner.items.len())])?;
        Some(standing.mean? - shared + winner.mean?)
    };
    raced.standings.iter().map(score).collect()
}
