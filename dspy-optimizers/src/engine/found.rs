//! The trials of a study and their programs.

use std::collections::BTreeMap;

use dspy_core::lm::{Budget, Limit, Lm, Usage};
use dspy_core::predict::Predictor;
use dspy_core::program::HasPredictors;

use super::patience::Patience;
use crate::error::OptimizeError;
use crate::fruitless::Fruitless;
use crate::headroom::Headroom;
use crate::identity::model_identity;
use crate::optimized::bound_models;
use crate::report::{Parameters, SharedStates, Trial};

/// The largest number of programs that are kept, besides those that cannot be made again from their parameters.
const KEPT: usize = 64;

/// The trials so far.
pub(super) struct Found<P> {
    pub(super) trials: Vec<Trial>,
    /// The program of each trial, unless it can be made from the parameters of the trial.
    programs: Vec<Option<P>>,
    /// The models that the predictors of each trial are bound to.
    pub(super) models: Vec<Vec<Option<Lm>>>,
    /// The indices of the programs that are kept and can be made again.
    kept: Vec<usize>,
    /// The index of the first trial with the highest score, and the score.
    highest: Option<(usize, f64)>,
    /// The index of the trial that the algorithm has chosen.
    pub(super) chosen: Option<usize>,
    /// The index of the last trial that was reported as the result so far.
    announced: Option<usize>,
    pub(super) peak_cost: PeakCost,
    /// The warnings of the algorithm.
    pub(super) warnings: Vec<String>,
    /// The answers of proposers that were no candidates, by the path of the predictor.
    pub(super) fruitless: BTreeMap<String, Fruitless>,
    pub(super) states: SharedStates,
    /// The headroom that the original program leaves, once it is known.
    pub(super) headroom: Option<Headroom>,
    /// The decisions of the algorithm with their reasons.
    pub(super) decisions: Vec<String>,
    pub(super) patience: Patience,
}

impl<P> Default for Found<P> {
    fn default() -> Self {
        Found {
            trials: Vec::new(),
            programs: Vec::new(),
            models: Vec::new(),
            kept: Vec::new(),
            highest: None,
            chosen: None,
            announced: None,
            peak_cost: PeakCost::default(),
            warnings: Vec::new(),
            fruitless: BTreeMap::new(),
            states: SharedStates::default(),
            headroom: None,
            decisions: Vec::new(),
            patience: Patience::default(),
        }
    }
}

impl<P: HasPredictors + Clone> Found<P> {
    /// Adds a trial of a program that was made of `original`. Returns its index and whether its score is higher than
    /// all before.
    pub(super) fn add(&mut self, trial: Trial, program: P, original: &P) -> (usize, bool) {
        let index = self.trials.len();
        let higher = |score: &f64| self.highest.is_none_or(|(_, highest)| *score > highest);
        let highest = trial.score.filter(higher);
        if let Some(score) = highest {
            self.highest = Some((index, score));
        }
        let can_be_made = is_made_by(&trial.parameters, &program, original);
        self.trials.push(trial);
        self.models.push(bound_models(&program));
        self.programs.push(Some(program));
        if can_be_made {
            self.kept.push(index);
        }
        if self.kept.len() > KEPT {
            self.drop_worst();
        }
        (index, highest.is_some())
    }

    /// Drops the kept program with the lowest score.
    fn drop_worst(&mut self) {
        let score = |index: usize| self.trials[index].score.unwrap_or(f64::NEG_INFINITY);
        let places = 0..self.kept.len();
        let droppable = places.filter(|place| Some(self.kept[*place]) != self.chosen);
        let worst = droppable.min_by(|a, b| score(self.kept[*a]).total_cmp(&score(self.kept[*b])));
        if let Some(place) = worst {
            let index = self.kept.swap_remove(place);
            self.programs[index] = None;
        }
    }

    /// Returns the program of a trial.
    ///
    /// # Errors
    /// If the program cannot be made of its parameters, which is checked before it is dropped.
    pub(super) fn program(&self, trial: usize, original: &P) -> Result<P, OptimizeError> {
        if let Some(Some(program)) = self.programs.get(trial) {
            return Ok(program.clone());
        }
        let mut program = original.clone();
        let state = self.trials.get(trial).map(Trial::state).unwrap_or_default();
        state.apply(&mut program).map_err(OptimizeError::other)?;
        Ok(program)
    }

    /// Notes that a trial is reported as the result so far. Returns whether it was not the last one already.
    pub(super) fn announce(&mut self, trial: usize) -> bool {
        self.announced.replace(trial) != Some(trial)
    }
}

/// Returns whether a program is `original` with these parameters: the same models, and the same parameters of calls.
fn is_made_by<P: HasPredictors>(parameters: &Parameters, program: &P, original: &P) -> bool {
    let (new, old) = (program.named_predictors(), original.named_predictors());
    let same = |((path, new), (other, old)): (&(String, &Predictor), &(String, &Predictor))| {
        path == other
            && new.params() == old.params()
            && new.lm().map(model_identity) == old.lm().map(model_identity)
            && new.declared().fingerprint() == old.declared().fingerprint()
    };
    new.len() == old.len() && new.iter().zip(&old).all(same) && Parameters::of(program) == *parameters
}

/// The highest cost of a rollout so far, per unit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeakCost {
    calls: u64,
    tokens: u64,
    usd: f64,
}

impl PeakCost {
    pub(super) fn look_at(&mut self, usage: &Usage) {
        self.calls = self.calls.max(usage.requests);
        self.tokens = self.tokens.max(usage.total_tokens());
        self.usd = self.usd.max(usage.cost_usd.unwrap_or_default());
    }

    /// Returns the cost with this many times the tokens and the price, but not the calls.
    pub(super) fn times(self, factor: f64) -> Self {
        let tokens = (self.tokens as f64 * factor).ceil() as u64;
        PeakCost { calls: self.calls, tokens, usd: self.usd * factor }
    }

    /// Returns the calls, tokens and US dollars that are left of a budget after this many rollouts at the peak cost.
    pub(super) fn left_after(self, rollouts: usize, left: Budget) -> [Option<f64>; 3] {
        let rest = |left: Option<f64>, each: f64| left.map(|left| (left - each * rollouts as f64).max(0.0));
        [
            rest(left.calls.map(|calls| calls as f64), self.calls as f64),
            rest(left.tokens.map(|tokens| tokens as f64), self.tokens as f64),
            rest(left.usd, self.usd),
        ]
    }

    /// Returns the limit that this many rollouts at the peak cost would exceed, with this many calls of a proposer, each
    /// of which has the tokens and the price of a rollout.
    pub(super) fn exceeds(self, rollouts: usize, calls: usize, left: Budget) -> Option<Limit> {
        let (rollouts, calls) = (rollouts as u64, calls as u64);
        let all = rollouts.saturating_add(calls);
        let over = |left: Option<u64>, needed: u64| left.is_some_and(|left| needed > left);
        if over(left.calls, self.calls.saturating_mul(rollouts).saturating_add(calls)) {
            Some(Limit::Calls)
        } else if over(left.tokens, self.tokens.saturating_mul(all)) {
            Some(Limit::Tokens)
        } else {
            left.usd.filter(|left| self.usd * all as f64 > *left).map(|_| Limit::Usd)
        }
    }
}
