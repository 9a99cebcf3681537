//! The search for noisy metrics: a memory of candidates that are scored again and again.

use std::collections::{BTreeMap, BTreeSet};

use dspy_core::lm::Limit;

use super::meter::{Halt, Use};
use super::pool::Draft;
use super::propose::Material;
use super::search::{Search, Work};
use super::settings::{Accept, Evolve, Noisy};
use crate::component::{Component, ComponentValue};
use crate::counts::counted;
use crate::data::Rows;
use crate::engine::{Contestant, ExampleFor, Program, Rollout, Stop};
use crate::paired::{Sums, unpaired_p_value};
use crate::race::{LEVEL, Race};
use crate::report::{Stopped, percent};
use crate::words::WordCounts;

/// A candidate with the scores that it has had so far.
struct Held<P> {
    draft: Draft<P>,
    scores: Sums,
    /// The index of the component to change next.
    next: usize,
    words: Words,
}

/// The words of each component.
type Words = Vec<WordCounts>;

/// A candidate with its new rollouts on a minibatch.
struct Visit<'v, 'd, E> {
    /// Its place in the memory.
    at: usize,
    step: u64,
    rows: &'v Rows<'d, E>,
    rollouts: &'v [Rollout],
    advice: Option<&'v str>,
}

impl<P> Held<P> {
    fn mean(&self) -> f64 {
        self.scores.mean()
    }

    fn learn(&mut self, rollouts: &[Rollout]) {
        for score in rollouts.iter().filter_map(|rollout| rollout.outcome.score()) {
            self.scores.add(score);
        }
    }
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Runs the search in the noisy mode.
    pub(super) async fn run_noisy(&mut self, noisy: Noisy) -> Result<Stopped, Halt> {
        let seed = self.seed_draft();
        self.study.part("search", &seed.label, self.study.val().len());
        let scores = self.score(&seed, false).await?;
        let original = self.study.record(self.trial(&seed).scored(&scores), seed.program.clone());
        self.study.check_program()?;
        if self.settings.skip_perfect {
            self.study.check_headroom(&scores)?;
        }
        let words = self.words(&seed);
        let mut memory = vec![Held { draft: seed, scores: Sums::default(), next: 0, words }];
        let explored = self.explore(noisy, &mut memory).await;
        let (stopped, is_spent) = match explored {
            Ok(limit) => (limit, false),
            Err(Halt::Done(_)) => (None, false),
            Err(Halt::Stop(Stop::Budget(limit))) => (Some(limit), true),
            Err(halt) => return Err(halt),
        };
        if let Some(limit) = stopped
            && memory.len() == 1
        {
            self.study.warn_nothing_compared(self.study.val().len());
            return Err(Stop::Budget(limit).into());
        }
        if let Some(limit) = stopped.filter(|_| is_spent) {
            // There is nothing left to score the finalists with, so only a clearly better mean so far will do.
            let best = clearly_best(&memory);
            let trials = self.record_all(original, memory, &BTreeMap::new());
            self.study.choose(trials[best]);
            return Err(Stop::Budget(limit).into());
        }
        let finished = self.finals(noisy, original, memory).await?;
        Ok(match (finished, stopped) {
            (Stopped::Finished, Some(limit)) => Stopped::Budget(limit),
            (finished, _) => finished,
        })
    }

    /// Explores until no budget is left but that of the finals, or nothing new is tried. Returns the limit of the budget
    /// that another step would exceed, if that was the reason.
    async fn explore(&mut self, noisy: Noisy, memory: &mut Vec<Held<P>>) -> Result<Option<Limit>, Halt> {
        let (mut idle, mut advice) = (0, None);
        for step in 0.. {
            let rows = self.study.train().select(self.minibatches.next());
            let chosen = choose(memory, noisy);
            // The finalists that there can be after this step. The original program has run on the valset.
            let finalists = noisy.explored.min(memory.len() - 1 + chosen.len());
            let most = finalists * self.study.val().len() + 2 * chosen.len() * rows.len();
            let again: Vec<(String, P)> = chosen
                .iter()
                .map(|at| (memory[*at].draft.scope.clone(), memory[*at].draft.program.clone()))
                .collect();
            let works: Vec<_> = again
                .iter()
                .map(|(scope, program)| {
                    let used = Use { scope, rows: &rows, sample: Some(step), traced: true };
                    Work { program, used }
                })
                .collect();
            // A step that was begun before is never the one to stop at.
            let tasks = works.iter().flat_map(Work::tasks);
            let known = tasks.into_iter().any(|task| self.study.knows(&task));
            // The calls of the proposer count as much as runs.
            let calls = chosen.len() + usize::from(noisy.advice);
            if !self.meter.has(most) {
                return Ok(None);
            }
            // A run that goes on with a larger budget has paid finals already.
            let val = self.study.val();
            let paid =
                |held: &Held<P>| val.len() - self.study.missing(&held.draft.scope, &held.draft.program, val);
            let limited = self.study.is_limited();
            let paid: usize = memory.iter().skip(1).filter(|_| limited).map(paid).sum();
            let needed = most.saturating_sub(paid) + calls;
            if let Some(limit) = self.study.would_exceed(needed).filter(|_| !known) {
                return Ok(Some(limit));
            }
            self.study.part("search", &format!("step {step}"), 2 * chosen.len() * rows.len());
            // All at once; each visit then reads its own.
            let runs = self.run_several(&works).await?;
            if noisy.advice {
                advice = self.advice(step, &rows, &runs, advice).await?;
            }
            if self.study.has_given_up() && !self.settings.components.contains(&Evolve::Demos) {
                return Ok(None);
            }
            let before = memory.len();
            for (at, rollouts) in chosen.into_iter().zip(&runs) {
                let visit = Visit { at, step, rows: &rows, rollouts, advice: advice.as_deref() };
                self.visit(noisy, memory, visit).await?;
            }
            idle = if memory.len() == before { idle + 1 } else { 0 };
            // Scores of known candidates alone are no progress.
            if idle > 2 * self.minibatches.per_epoch() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Learns the new scores of a candidate, and makes and scores a child of it on the same rows.
    async fn visit(
        &mut self,
        noisy: Noisy,
        memory: &mut Vec<Held<P>>,
        Visit { at, step, rows, rollouts, advice }: Visit<'_, '_, E>,
    ) -> Result<(), Halt> {
        let Draft { candidate: base, program, scope, .. } = &memory[at].draft;
        let (base, program, scope) = (base.clone(), program.clone(), scope.clone());
        memory[at].learn(rollouts);
        self.find_tools(rollouts);
        let steps = rollouts.iter().flat_map(|rollout| &rollout.steps);
        let ran: BTreeSet<&str> = steps.map(|step| step.predictor.as_str()).collect();
        let count = self.components.len();
        let turn = (0..count).map(|offset| (memory[at].next + offset) % count);
        let component = turn.into_iter().find(|at| ran.contains(self.components[*at].predictor()));
        let Some(component) = component else { return Ok(()) };
        memory[at].next = component + 1;
        let component = self.components[component].clone();
        let material = Material {
            name: format!("reflect-{step}-{at}"),
            sample: step,
            another: false,
            advice,
            parent: at,
            base: &base,
            program: &program,
            scope: &scope,
            rows,
            rollouts,
        };
        let wanted = [vec![component]];
        let improved = self.improve(std::slice::from_ref(&material), &wanted).await?;
        let Some((values, usage)) = improved.into_iter().find(|(values, _)| !values.is_empty()) else {
            return Ok(());
        };
        let mut draft = self.child(&material, values, usage)?;
        let words = self.words(&draft);
        // The vectors of candidates from before a tool was found lack its words.
        let more = self.components.len();
        for held in memory.iter_mut().filter(|held| held.words.len() < more) {
            held.words = self.words(&held.draft);
        }
        if memory.iter().any(|held| are_near(&held.words, &words, noisy.distance)) {
            return Ok(());
        }
        let used = Use { scope: &draft.scope, rows, sample: Some(step), traced: true };
        let rollouts = self.run(&draft.program, used).await?;
        rollouts.iter().for_each(|rollout| draft.usage += rollout.usage);
        let next = memory[at].next;
        let mut held = Held { draft, scores: Sums::default(), next, words };
        held.learn(&rollouts);
        memory.push(held);
        Ok(())
    }

    /// Compares the best candidates with the original program on the valset, and records all of them.
    async fn finals(&mut self, noisy: Noisy, original: usize, memory: Vec<Held<P>>) -> Result<Stopped, Halt> {
        let mut finalists: Vec<usize> = by_key(&memory, Held::mean);
        finalists.retain(|at| *at != 0);
        finalists.truncate(noisy.explored);
        finalists.insert(0, 0);
        let val = self.study.val();
        self.study.phase("final race", finalists.len() * val.len());
        let contestants: Vec<_> = finalists
            .iter()
            .map(|at| Contestant::new(&*memory[*at].draft.scope, memory[*at].draft.program.clone()))
            .collect();
        let race = match self.settings.accept {
            Accept::Full => Race::new().alpha(0.0),
            Accept::Race(race) => race.unwrap_or_default(),
        };
        let raced = self.study.race(&race, &contestants, val).await?;
        let standings = finalists.iter().copied().zip(&raced.standings).collect();
        let trials = self.record_all(original, memory, &standings);
        // The original program is the first one.
        let winner = raced.winner_over(0, None, val.len()).unwrap_or_default();
        self.study.choose(trials[finalists[winner]]);
        Ok(raced.stopped.map_or(Stopped::Finished, Stopped::Budget))
    }

    /// Records all candidates but the original one, which is recorded already, and returns the indices of all.
    fn record_all(
        &self,
        original: usize,
        memory: Vec<Held<P>>,
        standings: &BTreeMap<usize, &crate::engine::Standing>,
    ) -> Vec<usize> {
        let mut trials: Vec<usize> = vec![original];
        for (at, held) in memory.into_iter().enumerate().skip(1) {
            let (mean, count) = (held.mean(), held.scores.count);
            let Draft { label, program, parents, usage, .. } = held.draft;
            let mut trial = crate::report::Trial::new(label, &program);
            trial.parents = parents.iter().map(|parent| trials[*parent]).collect();
            trial.usage = usage;
            trial.notes.push(format!("{} over {} in the search", percent(mean), counted(count, "score")));
            if let Some(standing) = standings.get(&at) {
                trial = trial.raced_on(standing, self.study.val().len());
            }
            trials.push(self.study.record(trial, program));
        }
        trials
    }

    fn words(&self, draft: &Draft<P>) -> Words {
        let value = |component: &Component| {
            let value = draft.candidate.get(component).or_else(|| self.given.get(component));
            match value {
                Some(ComponentValue::Text(text)) => WordCounts::of(text),
                Some(ComponentValue::Demos(demos)) => {
                    WordCounts::of(&serde_json::to_string(demos).unwrap_or_default())
                }
                Some(ComponentValue::Playbook(playbook)) => WordCounts::of(&playbook.to_string()),
                None => WordCounts::default(),
            }
        };
        self.components.iter().map(value).collect()
    }
}

/// Returns the candidates to explore: those with the highest mean + c √(ln t / n), and always the best mean.
fn choose<P>(memory: &[Held<P>], noisy: Noisy) -> Vec<usize> {
    let total: f64 = memory.iter().map(|held| held.scores.count).sum();
    let bound = |held: &Held<P>| {
        if held.scores.count == 0.0 {
            return f64::INFINITY;
        }
        held.mean() + noisy.exploration * (total.max(1.0).ln() / held.scores.count).sqrt()
    };
    let mut chosen = by_key(memory, bound);
    chosen.truncate(noisy.explored);
    if let Some(best) = by_key(memory, Held::mean).first().filter(|best| !chosen.contains(best)) {
        chosen.pop();
        chosen.insert(0, *best);
    }
    chosen
}

/// Returns the candidate with the best mean, or the original one if the best is not clearly better by an unpaired test at
/// 5 %, divided by the number of other candidates: the means are of different rows.
fn clearly_best<P>(memory: &[Held<P>]) -> usize {
    let best = by_key(memory, Held::mean).first().copied().unwrap_or_default();
    let rivals = memory.len().saturating_sub(1).max(1) as f64;
    if unpaired_p_value(&memory[best].scores, &memory[0].scores) <= LEVEL / rivals { best } else { 0 }
}

/// Returns the indices in descending order of a key, the first one in case of ties.
fn by_key<P>(memory: &[Held<P>], key: impl Fn(&Held<P>) -> f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..memory.len()).collect();
    order.sort_by(|a, b| key(&memory[*b]).total_cmp(&key(&memory[*a])));
    order
}

/// Returns whether the texts of all components are within a distance.
fn are_near(a: &Words, b: &Words, distance: f64) -> bool {
    let empty = WordCounts::default();
    (0..a.len().max(b.len()))
        .all(|at| a.get(at).unwrap_or(&empty).distance(b.get(at).unwrap_or(&empty)) <= distance)
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Usage;

    use super::*;
    use crate::Candidate;

    fn held(sum: f64, count: f64) -> Held<()> {
        let draft = Draft {
            label: String::new(),
            candidate: Candidate::new(),
            program: (),
            scope: String::new(),
            parents: Vec::new(),
            notes: Vec::new(),
            usage: Usage::default(),
        };
        let scores = Sums { count, sum, squares: sum };
        Held { draft, scores, next: 0, words: Vec::new() }
    }

    #[test]
    fn the_little_known_and_the_best_are_explored() {
        // Well known and good; lucky; well known and poor.
        let memory = [held(70.0, 100.0), held(2.0, 3.0), held(40.0, 100.0)];
        assert_eq!(choose(&memory, Noisy::new().explored(1)), [0], "the best mean is always there");
        assert_eq!(choose(&memory, Noisy::new().explored(2)), [1, 0]);
        assert_eq!(choose(&memory, Noisy::new().explored(2).exploration(0.0)), [0, 1]);
        assert_eq!(choose(&[held(0.0, 0.0)], Noisy::new()), [0]);
    }

    #[test]
    fn only_a_clearly_better_mean_replaces_the_original() {
        assert_eq!(clearly_best(&[held(5.0, 10.0), held(7.0, 10.0)]), 0);
        assert_eq!(clearly_best(&[held(40.0, 100.0), held(60.0, 100.0), held(50.0, 100.0)]), 1);
        assert_eq!(clearly_best(&[held(0.0, 0.0), held(3.0, 3.0)]), 0);
    }

    #[test]
    fn near_duplicates_differ_in_few_words() {
        let of = |text: &str| vec![WordCounts::of(text)];
        assert!(are_near(&of("Say yes, or no."), &of("say YES or no"), 0.0));
        assert!(!are_near(&of("Say yes."), &of("Say no."), 0.1));
        let long: String = (0..400).map(|n| format!("word{n} ")).collect();
        assert!(are_near(&of(&long), &of(&format!("{long} more")), 0.1));
        assert!(!are_near(&of(""), &of("word"), 0.1));
        let both = |a: &str, b: &str| [of(a), of(b)].concat();
        assert!(!are_near(&both("a", "b"), &both("a", "c"), 0.1));
    }
}
