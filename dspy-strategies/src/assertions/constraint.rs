//! Constraints: `Assert`, `Suggest`, and the error of one that does not hold.

use std::fmt;

use dspy_core::program::HasPredictors;
use dspy_core::{Error, Result};

use crate::scope::{Place, Refused, is_error};

/// A constraint that must hold: if it never does, the program fails.
///
/// Write it in the `forward` of a module, about anything that is known there; checks of a signature know only the
/// outputs of one predictor. Inside a [`Backtrack`](super::Backtrack), a constraint that does not hold makes the
/// responsible predictor try again; outside, it is an error at once.
///
/// ```
/// use dspy_strategies::Assert;
///
/// fn distinct(queries: &[String]) -> dspy_core::Result<()> {
///     let [earlier @ .., latest] = queries else { return Ok(()) };
///     Assert::new(!earlier.contains(latest), "ask something that was not asked before").check()
/// }
/// assert!(distinct(&["a".into(), "a".into()]).is_err());
/// ```
///
/// Source: Singhvi et al., "DSPy Assertions: Computational Constraints for Self-Refining Language Model Pipelines"
/// (2023).
#[derive(Debug)]
#[must_use = "a constraint does nothing until `check()?`"]
pub struct Assert(Constraint);

/// A constraint that should hold: the program continues if it does not after all attempts.
///
/// The suggestions that failed are in [`Prediction::added`](dspy_core::predict::Prediction::added) of a
/// [`Backtrack`](super::Backtrack), under `failed_suggestions`, where a metric sees them. Outside of a `Backtrack` a
/// suggestion changes nothing.
///
/// ```
/// use dspy_strategies::Suggest;
///
/// fn brief(tweet: &str) -> dspy_core::Result<()> {
///     Suggest::new(tweet.len() <= 280, "stay below 280 characters").check()
/// }
/// assert!(brief(&"!".repeat(300)).is_ok());
/// ```
#[derive(Debug)]
#[must_use = "a constraint does nothing until `check()?`"]
pub struct Suggest(Constraint);

#[derive(Debug)]
struct Constraint {
    holds: bool,
    message: String,
    place: Place,
    /// The address of the predictor that is responsible.
    responsible: Option<usize>,
}

impl Constraint {
    #[track_caller]
    fn new(holds: bool, message: String) -> Self {
        Constraint { holds, message, place: Place::of_caller(), responsible: None }
    }

    fn of(mut self, module: &(impl HasPredictors + ?Sized)) -> Self {
        let mut predictors = module.named_predictors().into_iter();
        self.responsible = predictors.next().map(|(_, predictor)| std::ptr::from_ref(predictor).addr());
        self
    }

    fn check(self, hard: bool) -> Result<()> {
        let Constraint { holds, message, place, responsible } = self;
        if holds {
            return Ok(());
        }
        let refused = Refused { message, hard, place, responsible };
        if is_error(&refused) { Err(Error::other(ConstraintFailed(refused))) } else { Ok(()) }
    }
}

impl Assert {
    /// Creates the constraint. The message tells the model what to do.
    #[track_caller]
    pub fn new(holds: bool, message: impl Into<String>) -> Self {
        Assert(Constraint::new(holds, message.into()))
    }

    /// Sets the predictor that is responsible: that of `module`, or its first. Default: the last one that ran.
    pub fn of(self, module: &(impl HasPredictors + ?Sized)) -> Self {
        Assert(self.0.of(module))
    }

    /// Checks the constraint.
    ///
    /// # Errors
    /// A [`ConstraintFailed`] if it does not hold, which [`Backtrack`](super::Backtrack) answers by another
    /// attempt: pass it on with `?`.
    pub fn check(self) -> Result<()> {
        self.0.check(true)
    }
}

impl Suggest {
    /// Creates the constraint. The message tells the model what to do.
    #[track_caller]
    pub fn new(holds: bool, message: impl Into<String>) -> Self {
        Suggest(Constraint::new(holds, message.into()))
    }

    /// Sets the predictor that is responsible: that of `module`, or its first. Default: the last one that ran.
    pub fn of(self, module: &(impl HasPredictors + ?Sized)) -> Self {
        Suggest(self.0.of(module))
    }

    /// Checks the constraint.
    ///
    /// # Errors
    /// A [`ConstraintFailed`] if it does not hold and a [`Backtrack`](super::Backtrack) makes another attempt:
    /// pass it on with `?`.
    pub fn check(self) -> Result<()> {
        self.0.check(false)
    }
}

/// A constraint that does not hold.
#[derive(Debug)]
pub struct ConstraintFailed(pub(super) Refused);

impl ConstraintFailed {
    /// Returns the constraint that an error of a program is about.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Other(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// Returns the message of the constraint.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for ConstraintFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { message, place, .. } = &self.0;
        write!(f, "a constraint does not hold: {message} ({}:{})", place.file, place.line)
    }
}

impl std::error::Error for ConstraintFailed {}
