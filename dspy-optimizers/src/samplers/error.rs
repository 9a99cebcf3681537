//! The error of a sampler.

use thiserror::Error;

use crate::counts::counted;

/// The reason why a sampler refused its space, a setting or an observation. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// A variable has no choices, or more than 1,048,576.
    #[error("variable {variable} has {}; it can have 1 to 1048576", counted(*.choices, "choice"))]
    Choices {
        /// Its index, from 0.
        variable: usize,
        /// The number of its choices.
        choices: usize,
    },
    /// A configuration has another number of variables than the space.
    #[error("the configuration has {}, the space has {expected}", counted(*.found, "variable"))]
    Length {
        /// The number of variables of the space.
        expected: usize,
        /// That of the configuration.
        found: usize,
    },
    /// A configuration has a choice that its variable does not have.
    #[error("variable {variable} has the choice {choice}, but only {}", counted(*.choices, "choice"))]
    Choice {
        /// The index of the variable, from 0.
        variable: usize,
        /// The choice, from 0.
        choice: usize,
        /// The number of choices of the variable.
        choices: usize,
    },
    /// An arm does not exist.
    #[error("there is no arm {arm}, only {}", counted(*.arms, "arm"))]
    Arm {
        /// Its index, from 0.
        arm: usize,
        /// The number of arms.
        arms: usize,
    },
    /// A score is not a number, infinite or out of range.
    #[error("the score {score} is not {expected}")]
    Score {
        /// The score.
        score: f64,
        /// The range that is accepted.
        expected: &'static str,
    },
    /// A score is the mean of no rows.
    #[error("a score of no rows cannot be observed")]
    NoRows,
    /// A setting has an invalid value.
    #[error("`{setting}` cannot be {value}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: f64,
    },
}
