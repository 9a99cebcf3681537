//! The state of a program: read from its predictors, and applied to them.

use dspy_base::error::clipped;

use super::HasPredictors;
use super::walk::{Found, found};
use crate::state::{PredictorState, ProgramState, StateError};

impl ProgramState {
    /// Returns the state of a program.
    pub fn of(program: &(impl HasPredictors + ?Sized)) -> Self {
        let predictors = found(program).into_iter().map(|Found { path, predictor, shown }| {
            (path, PredictorState { shown, ..PredictorState::of(predictor) })
        });
        ProgramState { predictors: predictors.collect(), metadata: serde_json::Map::new() }
    }

    /// Applies the state to a program of the same shape: sets the instruction, descriptions and
    /// demonstrations of each predictor.
    ///
    /// # Errors
    /// If predictors are missing on either side, or a signature has other fields or types than when it was
    /// saved. The program is then unchanged, and the error names every difference.
    pub fn apply(&self, program: &mut impl HasPredictors) -> Result<(), StateError> {
        let mut problems = Vec::new();
        let mut present = Vec::new();
        for (path, predictor) in program.named_predictors() {
            match self.predictors.get(&path) {
                Some(state) => {
                    problems.extend(state.problems(predictor).map(|problem| format!("`{path}`: {problem}")));
                }
                None => problems.push(format!("`{path}` is not in the saved state")),
            }
            present.push(path);
        }
        let unknown = self.predictors.keys().filter(|path| !present.contains(path));
        problems.extend(unknown.map(|path| format!("`{path}` is not in the program")));
        if !problems.is_empty() {
            return Err(StateError::Mismatch(problems.into_iter().map(clipped).collect()));
        }
        program.for_each_predictor(|path, predictor| {
            if let Some(state) = self.predictors.get(path) {
                state.apply(predictor);
            }
        });
        Ok(())
    }
}
