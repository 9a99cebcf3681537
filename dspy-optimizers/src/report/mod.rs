//! The report of an optimization.

mod changes;
mod files;
mod format;
mod parameters;
mod scores;
mod show;
mod spend;
mod verification;

use dspy_core::lm::{Limit, Usage};
use dspy_core::program::HasPredictors;
use dspy_core::state::ProgramState;
use serde::{Deserialize, Serialize};

pub(crate) use self::changes::model_name;
pub use self::changes::{Changes, PredictorChange};
pub(crate) use self::files::write_file;
pub use self::parameters::Parameters;
pub(crate) use self::parameters::SharedStates;
pub use self::scores::{ItemReport, PartialScore, Scores};
pub(crate) use self::scores::{mean, mean_of};
pub(crate) use self::show::percent;
pub use self::spend::{CallKind, PhaseTime, RunFacts, Spend, SpendEntry, SpendSum, WrittenOff};
pub(crate) use self::verification::FEWEST_ROWS;
pub use self::verification::{Verification, Verified};
use crate::headroom::Headroom;

/// The label of the trial of the original program.
pub(crate) const ORIGINAL: &str = "original program";

/// The candidates that an optimization tried, their scores and costs, and the result.
///
/// `Display` prints a summary, [`to_html`](Self::to_html) returns a page for a browser, and
/// [`write_json`](Self::write_json) writes everything. With a `run_dir`, the folder has both as `report.html` and
/// `report.json`. Equal runs have equal reports: times and other [facts of the run](Self::run) are not compared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The name of the optimizer.
    pub optimizer: String,
    /// The seed of all its random decisions.
    pub seed: u64,
    /// The candidates in the order in which they were tried.
    #[doc(alias("candidate_programs", "trial_logs", "detailed_results"))]
    pub trials: Vec<Trial>,
    /// The index in `trials` of the chosen candidate. If the budget was exhausted before the first candidate
    /// was complete, `trials` is empty and the program is returned unchanged.
    pub best: usize,
    /// The mean score of the original program, if it was among the candidates.
    pub baseline: Option<f64>,
    /// The parameters of the original program, by predictor path.
    pub initial: Parameters,
    /// The total cost, including earlier processes of a resumed run.
    pub usage: Usage,
    /// The same by phase, kind of call and model.
    pub spend: Spend,
    /// The reason why the optimization ended.
    pub stopped: Stopped,
    /// The result of the verification on rows that the search did not use.
    pub verification: Verification,
    /// The room for a gain that the original program leaves; `None` if the optimizer does not score it, or its best
    /// possible score is not known.
    pub headroom: Option<Headroom>,
    /// The decisions of an optimizer that chooses among others, in order, with their reasons.
    pub decisions: Vec<String>,
    /// Problems to know about before relying on the result, such as a limit that was not enforced, or rows on which the
    /// metric or the program has failed. The printed report also warns of calls that were
    /// [written off](RunFacts::written_off).
    pub warnings: Vec<String>,
    /// The times of the run, and the part that earlier processes have paid.
    pub run: RunFacts,
}

impl PartialEq for Report {
    /// Compares everything except the [facts of the run](Self::run).
    fn eq(&self, other: &Self) -> bool {
        let Report {
            optimizer,
            seed,
            trials,
            best,
            baseline,
            initial,
            usage,
            spend,
            stopped,
            verification,
            headroom,
            decisions,
            warnings,
            run: _,
        } = self;
        (optimizer, seed, trials, best, baseline)
            == (&other.optimizer, &other.seed, &other.trials, &other.best, &other.baseline)
            && (initial, usage, spend) == (&other.initial, &other.usage, &other.spend)
            && (stopped, verification, warnings) == (&other.stopped, &other.verification, &other.warnings)
            && (headroom, decisions) == (&other.headroom, &other.decisions)
    }
}

/// A candidate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// A label that says how the candidate was made.
    pub label: String,
    /// Its mean score; `None` if the optimizer does not score candidates or the scoring was not completed.
    pub score: Option<f64>,
    /// Its mean score on a part of the rows, if the budget has ended the comparison before the last row. `score` is then
    /// `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<PartialScore>,
    /// The examples that were run: those that the candidate was scored on, or, if the optimizer does not
    /// score candidates, those that demonstrations were made from.
    pub items: Vec<ItemReport>,
    /// The indices of the trials that it was made from, in optimizers that build candidates from earlier ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<usize>,
    /// Its parameters, by predictor path.
    pub parameters: Parameters,
    /// Remarks on how it was made, for example how many rows succeeded.
    pub notes: Vec<String>,
    /// The cost of making and scoring it.
    pub usage: Usage,
}

/// The reason why an optimization ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stopped {
    /// All candidates were tried.
    Finished,
    /// A candidate reached the score at which the search was set to stop.
    ScoreReached,
    /// The original program leaves nothing to gain that could be seen on so many rows;
    /// [`Report::headroom`] has the figures. In a [`Portfolio`](crate::Portfolio), it may also be the best program so far
    /// that leaves nothing, as a decision of the report says. See [`Options::best_score`](crate::Options::best_score) to search all
    /// the same.
    NoHeadroom,
    /// The metric gives every answer the same score, so no candidate can be better than another: the original program and
    /// at least three candidates gave different answers to ten rows or more, and all scores are equal, but neither 0 nor
    /// the [best one](crate::Options::best_score). With `best_score(None)`, the search goes on.
    ConstantMetric,
    /// The budget was exhausted. The run resumes if it is started again with a larger budget and the same
    /// `run_dir`.
    Budget(Limit),
}

impl Report {
    /// Creates the report of an optimization of `program` without any trials, for custom optimizers.
    pub fn new(optimizer: impl Into<String>, program: &impl HasPredictors) -> Self {
        Report {
            optimizer: optimizer.into(),
            seed: 0,
            trials: Vec::new(),
            best: 0,
            baseline: None,
            initial: Parameters::of(program),
            usage: Usage::default(),
            spend: Spend::default(),
            stopped: Stopped::Finished,
            verification: Verification::Off,
            headroom: None,
            decisions: Vec::new(),
            warnings: Vec::new(),
            run: RunFacts::default(),
        }
    }

    /// Returns the chosen candidate, or `None` if there are no trials.
    pub fn best_trial(&self) -> Option<&Trial> {
        self.trials.get(self.best)
    }

    /// Returns the mean score of the chosen candidate, if it has one.
    pub fn score(&self) -> Option<f64> {
        self.best_trial()?.score
    }

    /// Returns whether the chosen candidate has a higher score in the search than the original program.
    pub(crate) fn has_gain(&self) -> bool {
        self.score().zip(self.baseline).is_some_and(|(score, baseline)| score > baseline)
    }

    /// Returns the candidates in descending order of their scores. Ties keep the order of the trials;
    /// candidates without a score come last.
    pub fn ranking(&self) -> Vec<&Trial> {
        self.ranked().into_iter().map(|index| &self.trials[index]).collect()
    }

    /// Returns the indices of the trials in the order of the [ranking](Self::ranking).
    pub(crate) fn ranked(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.trials.len()).collect();
        let key = |index: &usize| self.trials[*index].score.unwrap_or(f64::NEG_INFINITY);
        indices.sort_by(|a, b| key(b).total_cmp(&key(a)));
        indices
    }

    /// Returns the differences between the original program and the chosen candidate, which print as a diff.
    pub fn changes(&self) -> Changes {
        self.best_trial().map(|trial| self.changes_to(trial)).unwrap_or_default()
    }

    /// Returns the differences between the original program and a candidate.
    pub(crate) fn changes_to(&self, trial: &Trial) -> Changes {
        Changes::between(&self.initial, &trial.parameters)
    }
}

impl Trial {
    /// Creates the trial of a candidate without a score, for custom optimizers.
    pub fn new(label: impl Into<String>, program: &impl HasPredictors) -> Self {
        Trial {
            label: label.into(),
            score: None,
            partial: None,
            items: Vec::new(),
            parents: Vec::new(),
            parameters: Parameters::of(program),
            notes: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// Sets the scores of the candidate and adds their cost.
    #[must_use]
    pub fn scored(mut self, scores: &Scores) -> Self {
        self.score = Some(scores.mean);
        self.items.clone_from(&scores.items);
        self.usage += scores.usage();
        self
    }

    /// Returns the parameters of the candidate as a state that can be [applied](ProgramState::apply) to a
    /// program or saved. A state binds no model; [`Optimized::candidate`](crate::Optimized::candidate) returns the
    /// candidate with its models.
    pub fn state(&self) -> ProgramState {
        let mut state = ProgramState::default();
        state.predictors = (&self.parameters).into();
        state
    }
}
