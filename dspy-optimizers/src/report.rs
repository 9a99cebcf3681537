//! What an optimization did and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::Path;

use dspy_core::Result;
use dspy_core::lm::Usage;
use dspy_core::program::HasPredictors;
use dspy_core::state::{PredictorState, ProgramState};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A program that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Candidate {
    /// What it is, e.g. `bootstrapped, shuffled 3`.
    pub label: String,
    /// Its mean score, usually from 0 to 1.
    pub score: f64,
    /// Its score on each example of the validation set; absent where the metric failed.
    pub scores: Vec<Option<f64>>,
    /// The instruction and the demonstrations of each predictor.
    pub state: BTreeMap<String, PredictorState>,
}

/// Why an optimization ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All was done.
    Finished,
    /// A candidate reached the score to stop at.
    ScoreReached,
    /// The budget was spent. Holds the limit.
    Budget(String),
}

/// What an optimization did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The optimizer.
    pub optimizer: String,
    /// The seed of all its random decisions.
    pub seed: u64,
    /// The programs that were scored, best first; of equals the earlier. Empty for optimizers that do not compare.
    pub candidates: Vec<Candidate>,
    /// What was spent, earlier attempts at the same run included.
    pub usage: Usage,
    /// Why it ended.
    pub stopped: StopReason,
    /// The program as it was given.
    pub before: BTreeMap<String, PredictorState>,
    /// The program as it came out.
    pub after: BTreeMap<String, PredictorState>,
}

impl Report {
    /// The score of the program that came out, where programs were compared.
    pub fn score(&self) -> Option<f64> {
        self.candidates.first().map(|best| best.score)
    }

    /// What changed in the prompt of each predictor, one line each.
    pub fn changes(&self) -> Vec<String> {
        let mut changes = Vec::new();
        for (path, after) in &self.after {
            let Some(before) = self.before.get(path) else { continue };
            if before.instruction != after.instruction {
                changes
                    .push(format!("{path}: instruction {:?} → {:?}", before.instruction, after.instruction));
            }
            for (old, new) in before.fields.iter().zip(&after.fields) {
                if old.description != new.description {
                    let (old, new, name) = (&old.description, &new.description, &new.name);
                    changes.push(format!("{path}: description of `{name}` {old:?} → {new:?}"));
                }
            }
            if before.demos != after.demos {
                let generated = after.demos.iter().filter(|demo| demo.augmented).count();
                changes.push(format!(
                    "{path}: {} → {} demonstrations, {generated} of them bootstrapped, {} labelled",
                    before.demos.len(),
                    after.demos.len(),
                    after.demos.len() - generated,
                ));
            }
        }
        changes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} calls", self.optimizer, self.usage.requests)?;
        if let Some(usd) = self.usage.cost_usd {
            write!(f, ", ${usd:.4}")?;
        }
        match &self.stopped {
            StopReason::Finished => {}
            StopReason::ScoreReached => write!(f, ", stopped at the wanted score")?,
            StopReason::Budget(limit) => write!(f, ", stopped by the budget of {limit}")?,
        }
        for candidate in &self.candidates {
            write!(f, "\n  {:5.1} %  {}", candidate.score * 100.0, candidate.label)?;
        }
        write!(f, "\nwhat changed")?;
        let changes = self.changes();
        if changes.is_empty() {
            write!(f, "\n  nothing")?;
        }
        changes.iter().try_for_each(|change| write!(f, "\n  {change}"))
    }
}

/// The program that came out of an optimization. Dereferences to the program.
#[derive(Debug, Clone)]
pub struct Optimized<P> {
    program: P,
    report: Report,
}

impl<P> Optimized<P> {
    pub(crate) fn new(program: P, report: Report) -> Self {
        Optimized { program, report }
    }

    /// What was done.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The program alone.
    pub fn into_program(self) -> P {
        self.program
    }
}

impl<P: HasPredictors> Optimized<P> {
    /// Saves the program as [`HasPredictors::save`] does, with the optimizer, its seed and the score.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut state = ProgramState::of(&self.program);
        state.metadata.insert("optimizer".into(), json!(self.report.optimizer));
        state.metadata.insert("seed".into(), json!(self.report.seed));
        state.metadata.insert("score".into(), json!(self.report.score()));
        Ok(state.write(path)?)
    }
}

impl<P> Deref for Optimized<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.program
    }
}
