//! The result of an optimization.

use std::ops::Deref;
use std::path::Path;

use dspy_core::program::HasPredictors;
use dspy_core::state::{ProgramState, StateError};

use crate::Report;

/// An optimized program together with the report of how it came to be. Dereferences to the program.
#[derive(Debug, Clone)]
pub struct Optimized<P> {
    program: P,
    report: Report,
}

impl<P: HasPredictors> Optimized<P> {
    pub(crate) fn new(program: P, report: Report) -> Self {
        Optimized { program, report }
    }

    /// Saves what was found. [`HasPredictors::load`] applies it to a new program.
    ///
    /// The file names the optimizer, its seed and the score, and holds nothing that changes from one run to the next.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        self.state().write(path)
    }

    /// What [`save`](Self::save) writes.
    pub fn state(&self) -> ProgramState {
        let mut state = ProgramState::of(&self.program);
        let Report { optimizer, seed, .. } = &self.report;
        state.metadata.insert("optimizer".into(), optimizer.as_str().into());
        state.metadata.insert("seed".into(), (*seed).into());
        if let Some(score) = self.report.score() {
            state.metadata.insert("score".into(), score.into());
        }
        state
    }
}

impl<P> Optimized<P> {
    /// The program alone.
    pub fn into_program(self) -> P {
        self.program
    }

    /// How it came to be.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl<P> Deref for Optimized<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.program
    }
}
