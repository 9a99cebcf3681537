//! The result of an optimization.

use std::ops::Deref;
use std::path::Path;

use dspy_core::Result;
use dspy_core::predict::Prediction;
use dspy_core::program::{HasPredictors, HasShape, Module, ProgramShape, Visitor, VisitorMut};
use dspy_core::signature::IntoInput;
use dspy_core::signature::shape::Depth;
use dspy_core::state::{ProgramState, StateError};

use crate::report::Report;

/// An optimized program with the report of its optimization. Dereferences to the program, and implements
/// [`Module`] if the program does, so it can be called, evaluated and optimized again.
#[derive(Debug, Clone)]
pub struct Optimized<P> {
    program: P,
    report: Report,
}

impl<P: HasPredictors> Optimized<P> {
    /// Creates the result of an optimization from a program and a report, for custom optimizers.
    pub fn new(program: P, report: Report) -> Self {
        Optimized { program, report }
    }

    /// Saves the state of the program to a file. [`HasPredictors::load`] applies it to a new program.
    ///
    /// The metadata names the optimizer, its seed and the score. Equal runs write equal files.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), StateError> {
        self.state().write(path)
    }

    /// Returns the state that [`save`](Self::save) writes.
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
    /// Returns the program without the report.
    pub fn into_program(self) -> P {
        self.program
    }

    /// Returns the report of the optimization.
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

impl<P: HasPredictors> HasPredictors for Optimized<P> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.program.visit(visitor);
    }

    /// Visits the predictors of the program. Changes to them do not change the report.
    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.program.visit_mut(visitor);
    }
}

#[doc(hidden)]
impl<N: Depth, P: HasShape<N>> HasShape<N> for Optimized<P> {
    const SHAPE: &'static ProgramShape = P::SHAPE;
}

impl<P: Module> Module for Optimized<P> {
    type Input = P::Input;
    type Output = P::Output;

    async fn forward(&self, input: P::Input) -> Result<Prediction<P::Output>> {
        self.program.forward(input).await
    }

    fn call(
        &self,
        input: impl IntoInput<P::Input>,
    ) -> impl Future<Output = Result<Prediction<P::Output>>> + Send {
        self.program.call(input)
    }
}
