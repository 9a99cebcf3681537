//! The search: one bootstrap, then trials with the demonstrations that the sampler suggests.

use std::collections::BTreeMap;

use dspy_core::signature::Demo;

use crate::bootstrap_few_shot::{Bootstrap, Roles, Settings};
use crate::engine::{Candidate, Contestant, ExampleFor, Needs, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::race::{Race, Standing};
use crate::report::{ItemReport, ORIGINAL, Stopped, Trial};
use crate::samplers::{SamplerError, Tpe};

/// The number of suggestions for a trial before it is left out.
const SUGGESTIONS: usize = 64;

/// The parameters of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    pub(super) settings: &'s Settings,
    pub(super) trials: usize,
    /// The number of demonstrations that each predictor shows.
    pub(super) shown: usize,
    pub(super) stop_at_score: Option<f64>,
    /// Whether the program with all demonstrations is a candidate.
    pub(super) all_demos: bool,
    /// The race of each trial with the best program; `None` for a score on the whole valset.
    pub(super) race: Option<&'s Race>,
}

/// The best program so far, with its score and its runs on the whole valset.
struct Best<P> {
    scope: String,
    program: P,
    mean: f64,
    items: Vec<ItemReport>,
}

impl<P> Best<P> {
    /// Returns the score to expect on the whole valset of a program with this mean on some of the rows: the score of
    /// the best one, and the difference of both on these rows.
    fn expected(&self, mean: f64, items: &[ItemReport]) -> f64 {
        let of = |item: &ItemReport| self.items.iter().find(|own| own.index == item.index)?.score;
        let own: Vec<f64> = items.iter().filter(|item| item.score.is_some()).filter_map(of).collect();
        if items.len() >= self.items.len() || own.is_empty() {
            return mean;
        }
        self.mean + mean - own.iter().sum::<f64>() / own.len() as f64
    }
}

/// The result of a trial: the mean score on the whole valset, which is an estimate if it has not run on all rows, and
/// the reason to end the search.
struct Scored {
    mean: Option<f64>,
    stopped: Option<Stopped>,
}

/// The demonstrations that a predictor can show.
struct Pool {
    path: String,
    demos: Vec<Demo>,
    /// The number of demonstrations in a trial, each of which is a variable of the search.
    shown: usize,
}

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    pub(super) async fn run(&self) -> Result<Stopped, Stop> {
        let study = self.study;
        let roles = Roles::of(study);
        let original = study.program();
        let scope = study.scope_of(original);
        study.part("search", ORIGINAL, study.val().len());
        let scores = study.evaluate(&scope, original, study.val()).await?;
        study.choose(study.record(Trial::new(ORIGINAL, original).scored(&scores), original.clone()));
        if self.is_enough(scores.mean) {
            return Ok(Stopped::ScoreReached);
        }
        study.check_headroom(&scores)?;
        let mut best = Best { scope, program: original.clone(), mean: scores.mean, items: scores.items };
        let made = study.or_warn(self.bootstrap(&roles).await, study.val().len())?;
        let pools = self.pools(&made);
        if pools.is_empty() {
            study.warn(
                "there are no demonstrations to choose from: no run of the teacher has succeeded, and no row has \
                 labels for a predictor",
            );
            return Ok(Stopped::Finished);
        }
        // The scores to expect of the programs so far.
        let mut known = BTreeMap::from([(best.scope.clone(), Some(best.mean))]);
        if self.all_demos {
            let (trial, scope) = (Trial::new("all demonstrations", &made), study.scope_of(&made));
            let Scored { mean, stopped } = self.score(trial, made, &mut best).await?;
            if let Some(stopped) = stopped {
                return Ok(stopped);
            }
            known.insert(scope, mean);
        }
        let variables = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.demos.len(), pool.shown));
        // A second score on the whole valset would be the same.
        let mut tpe = Tpe::new(variables).and_then(|tpe| tpe.repeats(0.0)).map_err(refused)?;
        for number in 0..self.trials {
            let mut rng = study.seed().branch("suggest").index(number as u64).rng();
            for _ in 0..SUGGESTIONS {
                if tpe.is_exhausted() {
                    return Ok(Stopped::Finished);
                }
                let choice = tpe.suggest(&mut rng);
                let (candidate, note) = chosen(&pools, &choice);
                let program = candidate.applied_to(&roles.student).map_err(OptimizeError::from)?;
                let scope = study.scope_of(&program);
                // Several suggestions show the same demonstrations, such as those of 0, 0, 1 and of 0, 1, 1.
                let is_new = !known.contains_key(&scope);
                if is_new {
                    let trial = Trial::new(format!("trial {}", number + 1), &program);
                    let trial = Trial { notes: vec![note], ..trial };
                    let Scored { mean, stopped } = self.score(trial, program, &mut best).await?;
                    if let Some(stopped) = stopped {
                        return Ok(stopped);
                    }
                    known.insert(scope.clone(), mean);
                }
                if let Some(mean) = known.get(&scope).copied().flatten() {
                    tpe.observe_rows(&choice, mean, study.val().len()).map_err(refused)?;
                }
                if is_new {
                    break;
                }
            }
        }
        Ok(Stopped::Finished)
    }

    /// Scores a program, if the budget covers the whole valset, records it and makes it the best one if it is.
    async fn score(&self, trial: Trial, program: P, best: &mut Best<P>) -> Result<Scored, Stop> {
        let (study, val) = (self.study, self.study.val());
        let scope = study.scope_of(&program);
        study.check_affordable(&trial.label, Needs { calls: 0, runs: val.len() }, val.len())?;
        study.part("search", &trial.label, val.len());
        let Some(race) = self.race else {
            let scores = study.evaluate(&scope, &program, val).await?;
            let trial = study.record(trial.scored(&scores), program.clone());
            if scores.mean > best.mean {
                study.choose(trial);
                *best = Best { scope, program, mean: scores.mean, items: scores.items };
            }
            let stopped = self.is_enough(scores.mean).then_some(Stopped::ScoreReached);
            return Ok(Scored { mean: Some(scores.mean), stopped });
        };
        let contestants =
            [Contestant::new(&best.scope, best.program.clone()), Contestant::new(&scope, program.clone())];
        let raced = study.race(race, &contestants, val).await?;
        let trial = study.record(raced.scored(1, trial, val.len()), program.clone());
        let is_better = raced.winner_over(0, Some(best.mean), val.len()) == Some(1);
        let mut stopped = raced.stopped.map(Stopped::Budget);
        let Some(Standing { mean, items, .. }) = raced.standings.into_iter().nth(1) else {
            return Ok(Scored { mean: None, stopped });
        };
        let expected = mean.map(|mean| best.expected(mean, &items));
        if let Some(mean) = mean.filter(|_| is_better) {
            study.choose(trial);
            if self.is_enough(mean) {
                stopped = stopped.or(Some(Stopped::ScoreReached));
            }
            *best = Best { scope, program, mean, items };
        }
        Ok(Scored { mean: expected, stopped })
    }

    fn is_enough(&self, mean: f64) -> bool {
        self.stop_at_score.is_some_and(|enough| mean >= enough)
    }

    /// Makes the program that shows all demonstrations.
    async fn bootstrap(&self, roles: &Roles<P>) -> Result<P, Stop> {
        let (study, seed) = (self.study, self.study.seed());
        let settings = &self.settings.within_budget(study, "bootstrap", study.val().len())?;
        let order: Vec<usize> = (0..self.study.train().len()).collect();
        let bootstrap = Bootstrap { scope: "bootstrap", order: &order, settings, seed };
        let made = bootstrap.run(self.study, roles).await?;
        match made.stopped {
            Some(limit) => Err(Stop::Budget(limit)),
            None => Ok(made.program),
        }
    }

    /// Returns the pools of all predictors that have demonstrations.
    fn pools(&self, made: &P) -> Vec<Pool> {
        let pool = |(path, predictor): (String, &dspy_core::predict::Predictor)| {
            let mut demos: Vec<Demo> = Vec::new();
            for demo in predictor.demos() {
                if !demos.contains(demo) {
                    demos.push(demo.clone());
                }
            }
            let shown = self.shown.min(demos.len());
            (!demos.is_empty()).then_some(Pool { path, demos, shown })
        };
        made.named_predictors().into_iter().filter_map(pool).collect()
    }
}

/// Returns the demonstrations of a suggestion, with a note that says which they are.
fn chosen(pools: &[Pool], mut choice: &[usize]) -> (Candidate, String) {
    let (mut candidate, mut notes) = (Candidate::new(), Vec::new());
    for Pool { path, demos, shown } in pools {
        let (own, others) = choice.split_at(*shown);
        choice = others;
        let mut places: Vec<usize> = Vec::new();
        for &place in own {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let demos: Vec<Demo> = places.iter().filter_map(|place| demos.get(*place).cloned()).collect();
        candidate = candidate.demos(path, demos);
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        notes.push(format!("`{path}`: demonstrations {}", places.join(", ")));
    }
    (candidate, notes.join("; "))
}

/// Returns the error of a space or a score that the sampler refuses.
fn refused(error: SamplerError) -> Stop {
    OptimizeError::other(error).into()
}
