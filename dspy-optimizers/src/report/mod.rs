//! What an optimization has done.

mod changes;
mod show;

use std::collections::BTreeMap;

use dspy_core::lm::Usage;
use dspy_core::program::HasPredictors;
use dspy_core::state::{PredictorState, ProgramState};
use serde::{Deserialize, Serialize};

pub use self::changes::{Changes, PredictorChange};
pub(crate) use self::show::percent;
use crate::budget::Limit;
use crate::engine::{Scores, Standing};
use crate::verify::Verification;

/// The parameters of a program by predictor path: instruction, descriptions, demonstrations.
pub(crate) type Parameters = BTreeMap<String, PredictorState>;

pub(crate) fn parameters(program: &impl HasPredictors) -> Parameters {
    ProgramState::of(program).predictors
}

/// Everything that an optimization has tried, and what came of it.
///
/// It prints as a summary and serialises whole. It holds no times, so that two runs that did the same have equal
/// reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The name of the optimizer.
    pub optimizer: String,
    /// The root of its random decisions.
    pub seed: u64,
    /// The candidates in the order in which they were tried.
    #[doc(alias("candidate_programs", "trial_logs", "detailed_results"))]
    pub trials: Vec<Trial>,
    /// The place in `trials` of the one that was chosen. There is none if the budget was used up before the first
    /// candidate was done; the program is then as it was given.
    pub best: usize,
    /// The score of the program as it was given, if it was among the candidates.
    pub baseline: Option<f64>,
    /// The parameters of the program as it was given.
    pub initial: BTreeMap<String, PredictorState>,
    /// What was paid for all of it, in all attempts.
    pub usage: Usage,
    /// Why the optimization ended.
    pub stopped: Stopped,
    /// What came of verifying the result on rows that the search has never seen.
    #[serde(default)]
    pub verification: Verification,
    /// What a reader should know before relying on the result.
    pub warnings: Vec<String>,
}

/// One candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// How it came to be.
    pub label: String,
    /// Its mean score; `None` if the optimizer does not score candidates, or did not get to the end of it.
    pub score: Option<f64>,
    /// What was looked at, example by example: where candidates are scored, the examples that they are scored on,
    /// otherwise those that demonstrations were made from.
    pub items: Vec<ItemReport>,
    /// Its parameters.
    pub parameters: BTreeMap<String, PredictorState>,
    /// How the making of it went, in words.
    pub notes: Vec<String>,
    /// What its making and its scoring have cost.
    pub usage: Usage,
}

/// One example of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ItemReport {
    /// Its place in the data set, from 0.
    pub index: usize,
    /// Its score; `None` if the metric failed.
    pub score: Option<f64>,
    /// Why the program or the metric failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it has cost.
    pub usage: Usage,
}

/// Why an optimization ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stopped {
    /// Everything was tried.
    Finished,
    /// A candidate reached the score at which to stop.
    ScoreReached,
    /// The budget was used up. The run goes on if it is started again with a larger one and the same `run_dir`.
    Budget(Limit),
}

impl Report {
    /// Creates the report of an optimization of `program` that has tried nothing yet, for optimizers of your own.
    pub fn new(optimizer: impl Into<String>, program: &impl HasPredictors) -> Self {
        Report {
            optimizer: optimizer.into(),
            seed: 0,
            trials: Vec::new(),
            best: 0,
            baseline: None,
            initial: parameters(program),
            usage: Usage::default(),
            stopped: Stopped::Finished,
            verification: Verification::Off,
            warnings: Vec::new(),
        }
    }

    /// The candidate that was chosen.
    pub fn best_trial(&self) -> Option<&Trial> {
        self.trials.get(self.best)
    }

    /// The score of the chosen candidate.
    pub fn score(&self) -> Option<f64> {
        self.best_trial()?.score
    }

    /// The candidates by score, the best first; of equals the earlier first, those without a score last.
    pub fn ranking(&self) -> Vec<&Trial> {
        let mut trials: Vec<_> = self.trials.iter().collect();
        let key = |trial: &Trial| trial.score.unwrap_or(f64::NEG_INFINITY);
        trials.sort_by(|a, b| key(b).total_cmp(&key(a)));
        trials
    }

    /// What the chosen candidate changes in the program, readable as a diff.
    pub fn changes(&self) -> Changes {
        Changes::between(&self.initial, self.best_trial().map_or(&self.initial, |trial| &trial.parameters))
    }
}

impl Trial {
    /// Creates the trial of a candidate without a score, for optimizers of your own.
    pub fn new(label: impl Into<String>, program: &impl HasPredictors) -> Self {
        Trial {
            label: label.into(),
            score: None,
            items: Vec::new(),
            parameters: parameters(program),
            notes: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// Adds the scores of the candidate, and what they have cost.
    #[must_use]
    pub fn scored(mut self, scores: &Scores) -> Self {
        self.score = Some(scores.mean);
        self.items.clone_from(&scores.items);
        self.usage += scores.usage();
        self
    }

    /// Adds how the candidate did in a race, and what that has cost. One that was dropped gets a note, but no score: it is
    /// of fewer rows, and not to be compared.
    #[must_use]
    pub fn raced(mut self, standing: &Standing) -> Self {
        standing.items.iter().for_each(|item| self.usage += item.usage);
        self.items.clone_from(&standing.items);
        self.score = standing.mean;
        if let Some(dropped) = &standing.dropped {
            let mean = self.score.take().map(percent).unwrap_or_default();
            let (rows, others) = (dropped.rows, dropped.beaten_by.len());
            let others = if others == 1 { "another".to_owned() } else { format!("{others} others") };
            self.notes.push(format!("dropped after {rows} rows at {mean}, beaten by {others}"));
        }
        self
    }

    /// The candidate's parameters in the form that can be [applied](ProgramState::apply) to a program, or saved.
    pub fn state(&self) -> ProgramState {
        let mut state = ProgramState::default();
        state.predictors.clone_from(&self.parameters);
        state
    }
}
