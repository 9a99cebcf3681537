//! Reducers: the answers of several programs to one.

use std::fmt;
use std::sync::Arc;

use dspy_base::digest::Digest;
use dspy_core::predict::Prediction;
use dspy_core::{Error, Result};
use serde::Serialize;

use crate::report::mean_of;

/// A function that makes one prediction of those of several programs. Clones share it.
///
/// The predictions are in the order of the programs, and there is at least one. The usage of the result is
/// that of all programs.
///
/// ```
/// use dspy_core::signature::Values;
/// use dspy_optimizers::Reducer;
///
/// let vote = Reducer::majority_by(|output: &Values| output["answer"].as_str().map(str::to_lowercase));
/// let mean = Reducer::mean(
///     |output: &Values| output["score"].as_f64().unwrap_or_default(),
///     |output, mean| output["score"] = mean.into(),
/// );
/// # let _ = (vote, mean);
/// ```
pub struct Reducer<O> {
    name: &'static str,
    reduce: Arc<Reduce<O>>,
}

type Reduce<O> = dyn Fn(Vec<Prediction<O>>) -> Result<Prediction<O>> + Send + Sync;

impl<O: 'static> Reducer<O> {
    /// Creates a reducer from a function.
    pub fn new(reduce: impl Fn(Vec<Prediction<O>>) -> Result<Prediction<O>> + Send + Sync + 'static) -> Self {
        Reducer::named("custom", reduce)
    }

    /// Creates a majority vote: the output that most programs have returned. Outputs are compared as a whole,
    /// in their JSON form. In case of a tie, the output that comes first wins.
    #[doc(alias = "dspy.majority")]
    pub fn majority() -> Self
    where
        O: Serialize,
    {
        Reducer::named("majority", |answers| {
            let key = |answer: &Prediction<O>| serde_json::to_value(answer.output());
            let keys: Result<Vec<_>, _> = answers.iter().map(key).collect();
            let keys = keys.map_err(|error| Error::other(format!("an output has no JSON form: {error}")))?;
            // The order of members is no part of a value.
            let keys: Vec<String> = keys.iter().map(|key| Digest::new().add_value(key).short()).collect();
            most_frequent(answers, &keys)
        })
    }

    /// Creates a majority vote over a part or a normalised form of the outputs, such as one field in lower
    /// case. The result is the first prediction that agrees with the majority; in case of a tie, the one that
    /// comes first.
    pub fn majority_by<K: PartialEq>(key: impl Fn(&O) -> K + Send + Sync + 'static) -> Self {
        Reducer::named("majority_by", move |answers| {
            let keys: Vec<K> = answers.iter().map(|answer: &Prediction<O>| key(answer.output())).collect();
            most_frequent(answers, &keys)
        })
    }

    /// Creates a mean: the first prediction, with a number replaced by its mean over all predictions. `get`
    /// reads the number from an output and `set` writes the mean. Numbers that are not finite are left out.
    pub fn mean(
        get: impl Fn(&O) -> f64 + Send + Sync + 'static,
        set: impl Fn(&mut O, f64) + Send + Sync + 'static,
    ) -> Self {
        Reducer::named("mean", move |answers| {
            let numbers = answers.iter().map(|answer: &Prediction<O>| get(answer.output()));
            let numbers: Vec<f64> = numbers.filter(|number| number.is_finite()).collect();
            let first = first(answers)?;
            if numbers.is_empty() {
                return Ok(first);
            }
            let mean = mean_of(&numbers);
            Ok(first.map(|mut output| {
                set(&mut output, mean);
                output
            }))
        })
    }

    /// Creates a selection of the prediction with the highest score, the first one in case of a tie. NaN is
    /// the lowest score.
    pub fn best_by(score: impl Fn(&Prediction<O>) -> f64 + Send + Sync + 'static) -> Self {
        Reducer::named("best_by", move |answers| {
            let mut best: Option<(f64, Prediction<O>)> = None;
            for answer in answers {
                let new = score(&answer);
                if best.as_ref().is_none_or(|(old, _)| new > *old || (old.is_nan() && !new.is_nan())) {
                    best = Some((new, answer));
                }
            }
            best.map(|(_, answer)| answer).ok_or_else(no_answers)
        })
    }

    fn named(
        name: &'static str,
        reduce: impl Fn(Vec<Prediction<O>>) -> Result<Prediction<O>> + Send + Sync + 'static,
    ) -> Self {
        Reducer { name, reduce: Arc::new(reduce) }
    }
}

impl<O> Reducer<O> {
    /// Returns the name of its constructor.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Reduces predictions to one.
    ///
    /// # Errors
    /// The errors of the function; if there are no predictions.
    pub fn reduce(&self, predictions: Vec<Prediction<O>>) -> Result<Prediction<O>> {
        if predictions.is_empty() { Err(no_answers()) } else { (self.reduce)(predictions) }
    }
}

/// Returns the first prediction whose key is the most frequent one.
fn most_frequent<O, K: PartialEq>(answers: Vec<Prediction<O>>, keys: &[K]) -> Result<Prediction<O>> {
    let votes = |at: usize| keys.iter().filter(|key| **key == keys[at]).count();
    let mut winner = 0;
    for at in 1..keys.len() {
        if votes(at) > votes(winner) {
            winner = at;
        }
    }
    answers.into_iter().nth(winner).ok_or_else(no_answers)
}

fn first<O>(answers: Vec<Prediction<O>>) -> Result<Prediction<O>> {
    answers.into_iter().next().ok_or_else(no_answers)
}

fn no_answers() -> Error {
    Error::other("there are no predictions to reduce")
}

impl<O> Clone for Reducer<O> {
    fn clone(&self) -> Self {
        Reducer { name: self.name, reduce: self.reduce.clone() }
    }
}

impl<O> fmt::Debug for Reducer<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reducer::{}", self.name)
    }
}
