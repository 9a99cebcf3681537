//! The settings of `Gepa`.

use serde_json::{Value, json};

use super::propose::tool_inputs_of;
use crate::auto::Auto;
use crate::component::{Candidate, Component};
use crate::engine::Program;
use crate::race::Race;
use crate::{Budget, OptimizeError};

/// The scores by which candidates are on the Pareto front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Front {
    /// The score on each row of the valset.
    #[default]
    Instance,
    /// The mean of each objective that the metric [states](dspy_core::evaluate::Score::with_objective), over the rows
    /// of the valset for which it does. A failure of the program counts as the lowest value so far, at most 0. Without
    /// objectives, as `Instance`.
    Objective,
    /// Both.
    Hybrid,
    /// Each objective on each row of the valset. Without objectives, as `Instance`.
    Cartesian,
}

/// The choice of the candidate to improve next.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Selector {
    /// A random candidate of the Pareto front, with a probability proportional to the number of rows (or
    /// objectives) on which no candidate is better.
    #[default]
    Pareto,
    /// The candidate with the highest mean score.
    CurrentBest,
    /// With this probability a random candidate, otherwise the one with the highest mean score.
    EpsilonGreedy(f64),
    /// As `Pareto`, among this number of candidates with the highest mean scores.
    TopKPareto(usize),
}

/// The choice of the components of a candidate to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ComponentOrder {
    /// One at a time, in turn.
    #[default]
    RoundRobin,
    /// All at once.
    All,
}

/// Components that evolve.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evolve {
    /// The instructions of all predictors.
    Instructions,
    /// The descriptions of all output fields.
    Descriptions,
    /// The descriptions of the choices of all output fields that are enums.
    Variants,
    /// The descriptions of all tools that are passed to predictors. They are found when the program runs.
    Tools,
    /// The demonstrations of all predictors: labelled rows, or calls of successful runs.
    Demos,
    /// The playbooks of all predictors: lessons below the instructions, whose ids and counters stay.
    Playbooks,
    /// This component.
    Only(Component),
}

impl From<Component> for Evolve {
    fn from(component: Component) -> Self {
        Evolve::Only(component)
    }
}

/// The children of an iteration: those of several candidates, and several of each.
///
/// Each candidate is drawn by the [`Selector`] and runs on a minibatch of its own, once for all of its children. The
/// calls of the proposer are made concurrently. A child is another sample of the proposal, at temperature 1 from the
/// second one on, and changes the next component in turn.
///
/// ```
/// use dspy_optimizers::Gepa;
/// use dspy_optimizers::gepa::Proposals;
/// // Of three children of one candidate, the best one runs on the valset.
/// let optimizer = Gepa::builder().proposals(Proposals::new(1, 3).keep(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposals {
    pub(super) parents: usize,
    pub(super) children: usize,
    pub(super) kept: Option<usize>,
}

/// The largest number of children in an iteration.
const MOST_CHILDREN: usize = 1_000;

impl Proposals {
    /// Creates the setting for this number of candidates, and of children of each.
    pub const fn new(parents: usize, children: usize) -> Self {
        Proposals { parents, children, kept: None }
    }

    /// Sets the largest number of children of an iteration that run on the valset: those whose sums of scores on the
    /// minibatch have grown most. By default, all that are better than their parents.
    #[must_use]
    pub const fn keep(mut self, most: usize) -> Self {
        self.kept = Some(most);
        self
    }
}

impl Default for Proposals {
    /// Creates the published setting: one child of one candidate.
    fn default() -> Self {
        Proposals::new(1, 1)
    }
}

/// A mode for metrics whose scores vary from run to run; see [`Gepa::noisy`](crate::Gepa::noisy).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noisy {
    pub(super) explored: usize,
    pub(super) exploration: f64,
    pub(super) distance: f64,
    pub(super) advice: bool,
}

impl Noisy {
    /// Creates the mode with the defaults.
    pub const fn new() -> Self {
        Noisy { explored: 5, exploration: 0.3, distance: 0.1, advice: true }
    }

    /// Sets the number of candidates that are improved and scored again in each step, 5 by default and at least 1.
    /// They are also the finalists that are scored on the whole valset.
    #[must_use]
    pub const fn explored(mut self, candidates: usize) -> Self {
        self.explored = if candidates == 0 { 1 } else { candidates };
        self
    }

    /// Sets `c` in the order of exploration, mean + c √(ln t / n), where n is the number of scores of the candidate
    /// and t that of all candidates; 0.3 by default. With 0, the best means are explored.
    #[must_use]
    pub const fn exploration(mut self, c: f64) -> Self {
        self.exploration = c;
        self
    }

    /// Sets how different the texts of a new candidate must be from those of each known one, as a distance of word
    /// counts from 0 (equal) to √2 (no common word); 0.1 by default.
    #[must_use]
    pub const fn distance(mut self, distance: f64) -> Self {
        self.distance = distance;
        self
    }

    /// Sets whether the proposer [sums up](crate::proposer::TextProposer::advise) the runs of each step as advice for
    /// its proposals, and revises it from step to step. On by default; it costs one call in each step. Proposers that
    /// are closures give no advice.
    #[must_use]
    pub const fn advice(mut self, on: bool) -> Self {
        self.advice = on;
        self
    }
}

impl Default for Noisy {
    fn default() -> Self {
        Noisy::new()
    }
}

/// The evaluation of a child that has passed its minibatch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Accept {
    /// A race against its parent; by default one for the size of the valset.
    Race(Option<Race>),
    /// The whole valset, whatever the scores are.
    Full,
}

/// The number of rollouts of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// That of [`Auto::Light`] if there is no budget.
    Default,
    Auto(Auto),
    Rollouts(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) front: Front,
    pub(super) selector: Selector,
    pub(super) order: ComponentOrder,
    pub(super) components: Vec<Evolve>,
    pub(super) minibatch: usize,
    pub(super) max_minibatch: usize,
    /// Whether a proposal after one that brought nothing new is made at temperature 1.
    pub(super) vary_repeats: bool,
    pub(super) skip_perfect: bool,
    pub(super) perfect_score: Option<f64>,
    pub(super) proposals: Proposals,
    pub(super) max_merges: usize,
    pub(super) accept: Accept,
    pub(super) size: Size,
    pub(super) trajectories: bool,
    pub(super) max_demos: usize,
    pub(super) max_chars: usize,
    pub(super) noisy: Option<Noisy>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            front: Front::Instance,
            selector: Selector::Pareto,
            order: ComponentOrder::RoundRobin,
            components: vec![Evolve::Instructions],
            minibatch: 3,
            max_minibatch: 32,
            vary_repeats: true,
            skip_perfect: true,
            perfect_score: None,
            proposals: Proposals::default(),
            max_merges: 5,
            accept: Accept::Race(None),
            size: Size::Default,
            trajectories: false,
            max_demos: 4,
            max_chars: 10_000,
            noisy: None,
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), OptimizeError> {
        let wrong = |option, value: String, expected| Err(OptimizeError::Option { option, value, expected });
        if self.minibatch == 0 {
            return wrong("minibatch", "0".into(), "at least 1");
        }
        if self.components.is_empty() {
            return wrong("components", "[]".into(), "at least one kind");
        }
        if let Some(score) = self.perfect_score.filter(|score| score.is_nan()) {
            return wrong("perfect_score", score.to_string(), "a number");
        }
        if self.max_chars == 0 {
            return wrong("max_chars", "0".into(), "at least 1");
        }
        let Proposals { parents, children, kept } = self.proposals;
        let all = parents.checked_mul(children).filter(|all| (1..=MOST_CHILDREN).contains(all));
        if all.is_none() || kept == Some(0) {
            let expected = "1 to 1000 children in all, of which at least 1 is kept";
            return wrong("proposals", format!("{:?}", self.proposals), expected);
        }
        match self.selector {
            Selector::EpsilonGreedy(epsilon) if !(0.0..=1.0).contains(&epsilon) => {
                return wrong("selector", format!("epsilon-greedy with {epsilon}"), "an epsilon from 0 to 1");
            }
            Selector::TopKPareto(0) => return wrong("selector", "top-k with 0".into(), "at least 1"),
            _ => {}
        }
        if let Some(Noisy { exploration, distance, .. }) = self.noisy
            && !(exploration >= 0.0
                && exploration.is_finite()
                && (0.0..std::f64::consts::SQRT_2).contains(&distance))
        {
            return wrong(
                "noisy",
                format!("{exploration} and {distance}"),
                "an exploration of at least 0 and a distance from 0 to less than √2",
            );
        }
        match self.accept {
            Accept::Race(Some(race)) => race.check(),
            _ => Ok(()),
        }
    }

    /// Checks that the program has the components.
    pub(super) fn check_components<P: Program>(
        &self,
        program: &P,
        given: &Candidate,
        components: &[Component],
    ) -> Result<(), OptimizeError> {
        // Only named ones may be unknown.
        let named = components.iter().filter_map(|component| {
            let value = given.get(component).cloned().or_else(|| component.is_text().then(|| "".into()));
            Some((component.clone(), value?))
        });
        named.collect::<Candidate>().applied_to(program)?;
        let tools = self.components.contains(&Evolve::Tools) && tool_inputs_of(program).next().is_some();
        if components.is_empty() && !tools {
            let (value, expected) = (format!("{:?}", self.components), "components that the program has");
            return Err(OptimizeError::Option { option: "components", value, expected });
        }
        Ok(())
    }

    /// Checks that this many rollouts are enough for the first iteration, with this many rows to learn from and to score
    /// on.
    pub(super) fn check_rollouts(
        &self,
        limit: Option<usize>,
        train: usize,
        val: usize,
    ) -> Result<(), OptimizeError> {
        // In the noisy mode, the original program and one more run on the valset at the end.
        let finals = if self.noisy.is_some() { 2 } else { 1 };
        let least = finals * val + 2 * self.minibatch.min(train).max(1);
        match limit.filter(|limit| *limit < least) {
            None => Ok(()),
            Some(limit) => {
                let value = format!("{limit}, less than {least},");
                let expected = "enough for the valset (twice in the noisy mode) and two minibatches";
                Err(OptimizeError::Option { option: "max_rollouts", value, expected })
            }
        }
    }

    /// Returns the largest number of rollouts, if there is one.
    pub(super) fn rollouts(&self, budget: Budget, predictors: usize, valset: usize) -> Option<usize> {
        match self.size {
            Size::Rollouts(most) => Some(most),
            Size::Auto(auto) => Some(auto.rollouts(predictors, valset)),
            Size::Default => (budget == Budget::UNLIMITED).then(|| Auto::Light.rollouts(predictors, valset)),
        }
    }

    /// Returns the largest number of reflections in a search of this many rollouts. Text that is of use costs the runs
    /// of a child on a minibatch, so more reflections than that allows are fruitless.
    pub(super) fn most_reflections(&self, rollouts: usize) -> usize {
        if self.noisy.is_none() && self.order == ComponentOrder::RoundRobin {
            rollouts.div_ceil(self.minibatch.max(1))
        } else {
            rollouts
        }
    }

    /// Returns the number of rows of the largest minibatches.
    pub(super) fn largest_minibatch(&self) -> usize {
        let most = if self.noisy.is_some() { 0 } else { self.max_minibatch };
        most.max(self.minibatch)
    }

    /// Returns the race of a child against its parent, if there is to be one.
    pub(super) fn race(&self, valset: usize) -> Option<Race> {
        match self.accept {
            Accept::Full => None,
            // Only scores on all rows are comparable with those of other candidates.
            Accept::Race(Some(race)) => Some(race.survivors(1).to_the_end(true)),
            Accept::Race(None) => {
                // Each comparison is at a level of 0.2, or less if the valset is so large that there are many.
                let block = 20;
                let comparisons = (valset.div_ceil(block).min(10) - 1) as f64;
                Some(Race::new().block(block).alpha((0.2 * comparisons).min(1.0)))
            }
        }
    }

    pub(super) fn identity(&self) -> Value {
        let components: Vec<String> = self
            .components
            .iter()
            .map(|evolve| match evolve {
                Evolve::Only(component) => component.to_string(),
                kind => format!("{kind:?}"),
            })
            .collect();
        let accept = match self.accept {
            Accept::Full => Value::from("full"),
            Accept::Race(None) => "race".into(),
            Accept::Race(Some(race)) => race.identity(),
        };
        json!({
            "front": format!("{:?}", self.front),
            "selector": format!("{:?}", self.selector),
            "order": format!("{:?}", self.order),
            "components": components,
            "minibatch": self.minibatch,
            "max_minibatch": self.max_minibatch,
            "vary_repeats": self.vary_repeats,
            "skip_perfect": self.skip_perfect,
            "perfect_score": self.perfect_score.map(|score| score.to_string()),
            "proposals": [Some(self.proposals.parents), Some(self.proposals.children), self.proposals.kept],
            "max_merges": self.max_merges,
            "accept": accept,
            "trajectories": self.trajectories,
            "max_demos": self.max_demos,
            "max_chars": self.max_chars,
            "noisy": self.noisy.map(|noisy| {
                json!([noisy.explored, noisy.exploration, noisy.distance, noisy.advice])
            }),
        })
    }
}
