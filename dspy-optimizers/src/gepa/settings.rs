//! The settings of `Gepa`.

use serde_json::{Value, json};

use crate::auto::Auto;
use crate::component::Component;
use crate::race::Race;
use crate::{Budget, OptimizeError};

/// The scores by which candidates are on the Pareto front.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Front {
    /// The score on each row of the valset.
    #[default]
    Instance,
    /// The mean over the valset of each objective that the metric
    /// [states](dspy_core::evaluate::Score::with_objective). Without objectives, as `Instance`.
    Objective,
    /// Both.
    Hybrid,
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

/// A mode for metrics whose scores vary from run to run; see [`Gepa::noisy`](crate::Gepa::noisy).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noisy {
    pub(super) explored: usize,
    pub(super) exploration: f64,
    pub(super) distance: f64,
}

impl Noisy {
    /// Creates the mode with the defaults.
    pub const fn new() -> Self {
        Noisy { explored: 5, exploration: 0.3, distance: 0.1 }
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
    pub(super) skip_perfect: bool,
    pub(super) perfect_score: f64,
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
            skip_perfect: true,
            perfect_score: 1.0,
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
        if self.perfect_score.is_nan() {
            return wrong("perfect_score", self.perfect_score.to_string(), "a number");
        }
        match self.selector {
            Selector::EpsilonGreedy(epsilon) if !(0.0..=1.0).contains(&epsilon) => {
                return wrong("selector", format!("epsilon-greedy with {epsilon}"), "an epsilon from 0 to 1");
            }
            Selector::TopKPareto(0) => return wrong("selector", "top-k with 0".into(), "at least 1"),
            _ => {}
        }
        if let Some(Noisy { exploration, distance, .. }) = self.noisy
            && !(exploration >= 0.0 && exploration.is_finite() && distance >= 0.0)
        {
            return wrong(
                "noisy",
                format!("{exploration} and {distance}"),
                "an exploration and a distance of at least 0",
            );
        }
        match self.accept {
            Accept::Race(Some(race)) => race.check(),
            _ => Ok(()),
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

    /// Returns the race of a child against its parent, if there is to be one.
    pub(super) fn race(&self, valset: usize) -> Option<Race> {
        match self.accept {
            Accept::Full => None,
            Accept::Race(Some(race)) => Some(race),
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
            "skip_perfect": self.skip_perfect,
            "perfect_score": self.perfect_score,
            "max_merges": self.max_merges,
            "accept": accept,
            "trajectories": self.trajectories,
            "max_demos": self.max_demos,
            "max_chars": self.max_chars,
            "noisy": self.noisy.map(|noisy| [noisy.explored as f64, noisy.exploration, noisy.distance]),
        })
    }
}
