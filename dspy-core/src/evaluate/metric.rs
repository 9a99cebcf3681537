//! Metrics: measures of the quality of an output.

use std::collections::BTreeMap;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::error::BoxError;
use crate::predictor::Prediction;
use crate::program::{HasPredictors, Trace};
use crate::suggest::remedy;

/// The quality of an output, optionally with feedback.
///
/// A score has one number that optimizers maximise. A metric may add feedback, in general and for single
/// predictors, and the output's values on several objectives.
///
/// ```
/// use dspy_core::evaluate::Score;
///
/// let score = Score::new(0.5)
///     .with_feedback("right, but too long")
///     .with_feedback_for("search.predict", "the query names no year")
///     .with_objective("correct", 1.0)
///     .with_objective("brief", 0.0);
/// assert_eq!(score.feedback_for("search.predict"), Some("the query names no year"));
/// assert_eq!(score.feedback_for("answer.predict"), Some("right, but too long"));
/// assert_eq!(Score::from(true), Score::new(1.0));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Score {
    /// The score, usually from 0 (useless) to 1 (perfect). Higher is better.
    pub value: f64,
    /// Feedback in words, which an optimizer can pass on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// Feedback for single predictors, by their paths in the program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub predictors: BTreeMap<String, String>,
    /// The values of several objectives by name. Higher is better in each; they do not contribute to
    /// [`value`](Self::value) automatically.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objectives: BTreeMap<String, f64>,
}

impl Score {
    /// Creates a score without feedback.
    pub fn new(value: f64) -> Self {
        Score { value, ..Score::default() }
    }

    /// Creates a score from named objectives; its value is their mean, or 0 if there are none.
    pub fn of_objectives<N: Into<String>>(objectives: impl IntoIterator<Item = (N, f64)>) -> Self {
        let objectives: BTreeMap<String, f64> =
            objectives.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let count = objectives.len().max(1) as f64;
        Score { value: objectives.values().sum::<f64>() / count, objectives, ..Score::default() }
    }

    /// Sets the feedback.
    #[must_use]
    pub fn with_feedback(mut self, feedback: impl Into<String>) -> Self {
        self.feedback = Some(feedback.into());
        self
    }

    /// Sets the feedback for the predictor at `path`, such as `search.predict`. If the program has no such
    /// path, the item counts as a failure of the metric.
    #[must_use]
    pub fn with_feedback_for(mut self, path: impl Into<String>, feedback: impl Into<String>) -> Self {
        self.predictors.insert(path.into(), feedback.into());
        self
    }

    /// Sets the value of one of several objectives.
    #[must_use]
    pub fn with_objective(mut self, name: impl Into<String>, value: f64) -> Self {
        self.objectives.insert(name.into(), value);
        self
    }

    /// Returns the feedback for the predictor at `path`, otherwise the general feedback.
    pub fn feedback_for(&self, path: &str) -> Option<&str> {
        self.predictors.get(path).or(self.feedback.as_ref()).map(String::as_str)
    }

    /// Returns the reason why the score is invalid: a number that is not finite, or a path without a
    /// predictor.
    pub(super) fn problem(&self, program: &impl HasPredictors) -> Option<String> {
        if let Some(problem) = self.not_finite() {
            return Some(problem);
        }
        if self.predictors.is_empty() {
            return None;
        }
        let predictors = program.named_predictors();
        let paths = || predictors.iter().map(|(path, _)| path.as_str());
        let unknown = self.predictors.keys().find(|path| paths().all(|known| known != *path))?;
        Some(format!(
            "feedback for `{unknown}`, which is no predictor of the program; {}",
            remedy(unknown, paths())
        ))
    }

    fn not_finite(&self) -> Option<String> {
        if !self.value.is_finite() {
            return Some(format!("the score is {}", self.value));
        }
        let (name, value) = self.objectives.iter().find(|(_, value)| !value.is_finite())?;
        Some(format!("the objective `{name}` is {value}"))
    }
}

impl From<f64> for Score {
    fn from(value: f64) -> Self {
        Score::new(value)
    }
}

impl From<f32> for Score {
    fn from(value: f32) -> Self {
        Score::new(value.into())
    }
}

impl From<bool> for Score {
    fn from(good: bool) -> Self {
        Score::new(f64::from(u8::from(good)))
    }
}

impl<T: Into<String>> From<(f64, T)> for Score {
    fn from((value, feedback): (f64, T)) -> Self {
        Score::new(value).with_feedback(feedback)
    }
}

impl<T: Into<String>> From<(bool, T)> for Score {
    fn from((good, feedback): (bool, T)) -> Self {
        Score::from(good).with_feedback(feedback)
    }
}

/// A return type of metrics: `bool`, `f64`, `(f64, feedback)`, [`Score`], or a `Result` of one of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a score",
    note = "a metric returns `bool`, `f64`, `(f64, String)`, `Score`, or a `Result` of one of them"
)]
pub trait IntoScore {
    /// Converts the value into a score.
    ///
    /// # Errors
    /// If the metric failed.
    fn into_score(self) -> Result<Score, BoxError>;
}

impl IntoScore for Score {
    fn into_score(self) -> Result<Score, BoxError> {
        match self.not_finite() {
            None => Ok(self),
            Some(problem) => Err(problem.into()),
        }
    }
}

macro_rules! into_score {
    ($([$($text:ident)?] $type:ty;)*) => { $(
        impl$(<$text: Into<String>>)? IntoScore for $type {
            fn into_score(self) -> Result<Score, BoxError> {
                Score::from(self).into_score()
            }
        }
    )* };
}

into_score! {
    [] f64;
    [] f32;
    [] bool;
    [T] (f64, T);
    [T] (bool, T);
}

impl<T: IntoScore, E: Into<BoxError>> IntoScore for Result<T, E> {
    fn into_score(self) -> Result<Score, BoxError> {
        self.map_err(Into::into)?.into_score()
    }
}

/// The arguments of a metric.
#[derive(Debug)]
#[non_exhaustive]
pub struct Judged<'a, E, O> {
    /// The example, with its labels and hints.
    pub example: &'a E,
    /// The prediction of the program.
    pub prediction: &'a Prediction<O>,
    /// The trace of the program, if it was traced: in optimizers and with
    /// [`Evaluate::traced`](super::Evaluate::traced).
    pub trace: Option<&'a Trace>,
}

impl<'a, E, O> Judged<'a, E, O> {
    /// Creates the arguments of a metric for an output without a trace, to score it outside an evaluation.
    pub fn new(example: &'a E, prediction: &'a Prediction<O>) -> Self {
        Judged { example, prediction, trace: None }
    }

    /// Adds the trace of the program.
    #[must_use]
    pub fn with_trace(mut self, trace: &'a Trace) -> Self {
        self.trace = Some(trace);
        self
    }
}

/// A measure of outputs.
///
/// Closures of an example and an output are metrics, and so are closures of an example and a [`Prediction`];
/// both may be `async`:
///
/// ```
/// # use dspy_core::evaluate::Evaluate;
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::Prediction;
/// # use dspy_core::signature::Values;
/// # let judge = Lm::scripted(["yes"]);
/// Evaluate::new(|example: &Values, output: &Values| example["answer"] == output["answer"]);
/// Evaluate::new(|_: &Values, made: &Prediction<Values>| made.usage().requests < 3);
/// Evaluate::new(async |_: &Values, output: &Values| {
///     Ok::<bool, dspy_core::Error>(judge.ask(format!("Is {output:?} polite?")).await? == "yes")
/// });
/// ```
///
/// An optimizer keeps its metric, so an async closure cannot borrow a judge from its environment: see
/// [`metric_with`](super::metric_with). Implement the trait for a custom type to use the trace.
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
///
/// `K` distinguishes the forms of closures. It is inferred; omit it when you implement the trait.
#[diagnostic::on_unimplemented(
    message = "not a metric for examples `{E}` and outputs `{O}`",
    label = "this needs the metric",
    note = "a metric takes references: `|example: &Qa, output: &QaOutput| …`, `|example: &Qa, prediction: \
            &Prediction<QaOutput>| …`, or `async |…| …` of the same",
    note = "it returns `bool`, `f64`, `(f64, String)`, `Score`, or a `Result` of one of them",
    note = "an `async move` closure cannot lend what it has captured: write `metric_with(judge, async |judge: &_, \
            example: &Qa, output: &QaOutput| …)`"
)]
pub trait Metric<E, O, K = ()>: Send + Sync {
    /// Scores a prediction.
    ///
    /// # Errors
    /// If the metric itself fails. That is not a score of 0: the item counts as unscored.
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send;
}
