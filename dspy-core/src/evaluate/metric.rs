//! Metrics: how good an output is.

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::error::BoxError;
use crate::predict::Prediction;
use crate::program::Trace;

/// How good an output is, and perhaps why.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// Usually from 0, useless, to 1, perfect. More is better.
    pub value: f64,
    /// What was good or bad, in words that an optimizer can pass on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
}

impl Score {
    /// A score without feedback.
    pub fn new(value: f64) -> Self {
        Score { value, feedback: None }
    }

    /// The same score with feedback.
    #[must_use]
    pub fn with_feedback(mut self, feedback: impl Into<String>) -> Self {
        self.feedback = Some(feedback.into());
        self
    }
}

/// What a metric may return: `bool`, `f64`, `(f64, feedback)`, [`Score`], or a `Result` of one of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a score",
    note = "a metric returns `bool`, `f64`, `(f64, String)`, `Score`, or a `Result` of one of them"
)]
pub trait IntoScore {
    /// The score.
    ///
    /// # Errors
    /// If the metric has failed.
    fn into_score(self) -> Result<Score, BoxError>;
}

impl IntoScore for Score {
    fn into_score(self) -> Result<Score, BoxError> {
        if self.value.is_finite() { Ok(self) } else { Err(format!("the score is {}", self.value).into()) }
    }
}

impl IntoScore for f64 {
    fn into_score(self) -> Result<Score, BoxError> {
        Score::new(self).into_score()
    }
}

impl IntoScore for f32 {
    fn into_score(self) -> Result<Score, BoxError> {
        f64::from(self).into_score()
    }
}

impl IntoScore for bool {
    fn into_score(self) -> Result<Score, BoxError> {
        Ok(Score::new(f64::from(u8::from(self))))
    }
}

impl<T: Into<String>> IntoScore for (f64, T) {
    fn into_score(self) -> Result<Score, BoxError> {
        Score::new(self.0).with_feedback(self.1).into_score()
    }
}

impl<T: IntoScore, E: Into<BoxError>> IntoScore for Result<T, E> {
    fn into_score(self) -> Result<Score, BoxError> {
        self.map_err(Into::into)?.into_score()
    }
}

/// What a metric looks at.
#[derive(Debug)]
#[non_exhaustive]
pub struct Judged<'a, E, O> {
    /// The example, with its labels and hints.
    pub example: &'a E,
    /// What the program answered.
    pub prediction: &'a Prediction<O>,
    /// What the program did, where it was traced: in optimizers and with
    /// [`Evaluate::traced`](super::Evaluate::traced).
    pub trace: Option<&'a Trace>,
}

/// A measure of outputs.
///
/// Every closure of an example and an output is a metric. Implement the trait for a type of your own to be async (LM
/// judges), or to look at the trace.
///
/// ```
/// use dspy_core::evaluate::{Judged, Metric, Score};
/// use dspy_core::error::BoxError;
/// # use dspy_core::signature::Values;
///
/// struct Brief;
///
/// impl Metric<Values, Values> for Brief {
///     async fn score(&self, judged: Judged<'_, Values, Values>) -> Result<Score, BoxError> {
///         let words = judged.prediction["answer"].as_str().unwrap_or_default().split_whitespace().count();
///         Ok(Score::new(if words <= 10 { 1.0 } else { 0.0 }).with_feedback(format!("{words} words")))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a metric for examples `{E}` and outputs `{O}`",
    note = "a metric is a closure `|example: &{E}, output: &{O}| …` that returns `bool`, `f64` or `(f64, String)`, or \
            a type that implements `Metric<{E}, {O}>`"
)]
pub trait Metric<E, O>: Send + Sync {
    /// Scores one prediction.
    ///
    /// # Errors
    /// If the metric itself fails. That is not a bad score: the item counts as unscored.
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send;
}

impl<E, O, F, R> Metric<E, O> for F
where
    F: Fn(&E, &O) -> R + Send + Sync,
    R: IntoScore,
    E: Sync,
    O: Sync,
{
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send {
        std::future::ready(self(judged.example, judged.prediction).into_score())
    }
}
