//! The settings of `Ace`.

use dspy_core::program::HasPredictors;
use serde_json::{Value, json};

use crate::OptimizeError;
use crate::playbook::Rules;
use crate::race::Race;

/// The parameters that determine the result.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) epochs: usize,
    pub(super) batch: usize,
    /// By default each row alone, and all together if that is no gain.
    pub(super) rows_per_curation: Option<usize>,
    /// The number of batches without an adopted playbook whose runs the curator sees again.
    pub(super) kept_batches: usize,
    pub(super) reflections: usize,
    pub(super) perfect_score: f64,
    pub(super) acceptance_rows: usize,
    pub(super) rules: Rules,
    pub(super) predictors: Option<Vec<String>>,
    pub(super) finalists: usize,
    pub(super) race: Race,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            epochs: 1,
            batch: 10,
            rows_per_curation: None,
            kept_batches: 4,
            reflections: 2,
            perfect_score: 1.0,
            acceptance_rows: 30,
            rules: Rules { max_chars: 8_000, similarity: 0.9, max_harmful: 3 },
            predictors: None,
            finalists: 4,
            race: Race::new(),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), OptimizeError> {
        let similarity = self.rules.similarity;
        if !(similarity > 0.0 && similarity <= 1.0) {
            let (value, expected) = (similarity.to_string(), "a number above 0 and at most 1");
            return Err(OptimizeError::Option { option: "similarity", value, expected });
        }
        if self.perfect_score.is_nan() {
            let value = self.perfect_score.to_string();
            return Err(OptimizeError::Option { option: "perfect_score", value, expected: "a number" });
        }
        self.race.check()
    }

    /// Returns the number of rows that a call of the curator sees, unless it sees them alone.
    pub(super) fn rows_per_curation(&self) -> usize {
        self.rows_per_curation.unwrap_or(usize::MAX)
    }

    /// Returns the paths of the predictors that have a playbook.
    pub(super) fn paths(&self, program: &impl HasPredictors) -> Result<Vec<String>, OptimizeError> {
        let known: Vec<String> = program.named_predictors().into_iter().map(|(path, _)| path).collect();
        let Some(chosen) = &self.predictors else { return Ok(known) };
        let unknown = chosen.iter().find(|path| !known.contains(path)).cloned();
        if unknown.is_some() || chosen.is_empty() {
            let value = unknown.map_or("[]".to_owned(), |path| format!("`{path}`"));
            let expected = "paths of predictors of the program";
            return Err(OptimizeError::Option { option: "predictors", value, expected });
        }
        Ok(known.into_iter().filter(|path| chosen.contains(path)).collect())
    }

    /// Returns the identity of the settings for the header of a journal.
    pub(super) fn identity(&self) -> Value {
        let Settings { rules, .. } = self;
        json!({
            "epochs": self.epochs,
            "batch": self.batch,
            "rows_per_curation": self.rows_per_curation,
            "kept_batches": self.kept_batches,
            "reflections": self.reflections,
            "perfect_score": self.perfect_score,
            "acceptance_rows": self.acceptance_rows,
            "max_chars": rules.max_chars,
            "similarity": rules.similarity,
            "max_harmful": rules.max_harmful,
            "predictors": self.predictors,
            "finalists": self.finalists,
            "race": self.race.identity(),
        })
    }
}
