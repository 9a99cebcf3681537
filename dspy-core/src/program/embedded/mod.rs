//! Saved programs inside of the binary.

mod drift;
mod shape;
mod text;

use std::fmt;
use std::marker::PhantomData;

pub use self::drift::{SavedField, SavedPredictor, SavedProgram};
pub use self::shape::{HasShape, ProgramProbe, ProgramShape, UnknownProgram};
use super::HasPredictors;
use crate::error::Result;
use crate::state::{ProgramState, StateError};

/// A saved program in the binary, made by `include_optimized!`, which compares it with the type `P` at compile time.
/// It holds instructions, descriptions and demonstrations, and is applied to a program.
pub struct Embedded<P> {
    saved: &'static SavedProgram,
    program: PhantomData<fn() -> P>,
}

impl<P> Embedded<P> {
    /// Creates it from a file that was read by the macro, which also passes the shape of `P`.
    ///
    /// # Panics
    /// If they differ, which is an error of the compiler in the initializer of a constant.
    #[doc(hidden)]
    #[track_caller]
    pub const fn checked(saved: &'static SavedProgram, shape: &'static ProgramShape) -> Self {
        drift::check(saved, shape);
        Embedded { saved, program: PhantomData }
    }

    /// Creates one without a file, where the macro has reported an error.
    #[doc(hidden)]
    pub const fn unread() -> Self {
        let saved = &SavedProgram { file: "", json: "", format: "", predictors: &[] };
        Embedded { saved, program: PhantomData }
    }

    /// Returns the saved state.
    ///
    /// # Errors
    /// If the file is not a saved program in a form that the macro does not check, such as an invalid
    /// demonstration.
    pub fn state(&self) -> Result<ProgramState, StateError> {
        ProgramState::from_json(self.saved.json).map_err(|error| match error {
            StateError::Format(message) => StateError::Format(format!("{}: {message}", self.saved.file)),
            other => other,
        })
    }
}

impl<P: HasPredictors> Embedded<P> {
    /// Returns the program with the saved state.
    ///
    /// # Errors
    /// If the state does not fit in a way that is not known at compile time: the number of modules in a list or a
    /// map, predictors behind [`BoxModule`](super::BoxModule) or with a signature that is known only at run time,
    /// and types without [`#[field_type]`](crate::signature::FieldType). The error lists every difference.
    pub fn apply_to(&self, mut program: P) -> Result<P> {
        self.state()?.apply(&mut program)?;
        Ok(program)
    }

    /// Returns a new program with the saved state.
    ///
    /// # Errors
    /// The same as for [`apply_to`](Self::apply_to).
    pub fn load(&self) -> Result<P>
    where
        P: Default,
    {
        self.apply_to(P::default())
    }
}

impl<P> Clone for Embedded<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Embedded<P> {}

impl<P> fmt::Debug for Embedded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("file", &self.saved.file).finish_non_exhaustive()
    }
}
