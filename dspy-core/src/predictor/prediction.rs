//! The output of a program.

use std::any::Any;
use std::fmt;
use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Attempt;
use crate::decode::ParseReport;
use crate::error::{Error, Result};
use crate::lm::{Completion, Usage};
use crate::signature::{CheckFailure, FieldError, Values};
use crate::suggest::remedy;

/// A typed output with details about the call: usage, attempts, repairs. Dereferences to the output.
#[derive(Clone)]
pub struct Prediction<O> {
    body: Box<Body<O>>,
}

/// The output and its details, in one allocation.
#[derive(Clone)]
struct Body<O> {
    output: O,
    details: Details,
}

/// A prediction whose output type only the caller knows, so that calls are compiled once and not for each
/// type. Made by [`Prediction::erased`], consumed by [`Prediction::recovered`].
pub(crate) type AnyPrediction = Box<dyn AnyBody>;

pub(crate) trait AnyBody: Any + Send {
    fn details_mut(&mut self) -> &mut Details;
}

impl<O: Send + 'static> AnyBody for Body<O> {
    fn details_mut(&mut self) -> &mut Details {
        &mut self.details
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    /// Outputs that a strategy added to the signature, such as `reasoning`.
    pub(crate) added: Values,
    pub(crate) report: ParseReport,
    pub(crate) usage: Usage,
    pub(crate) attempts: Vec<Attempt>,
    /// The index of the last attempt at the task itself; a second step that reads its prose may follow.
    pub(crate) latest: usize,
    /// Soft checks of the signature that failed.
    pub(crate) failed_checks: Vec<CheckFailure>,
}

impl Details {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.latest = self.attempts.len();
        // Mostly there is one.
        self.attempts.reserve_exact(1);
        self.attempts.push(attempt);
    }

    pub(crate) fn latest(&mut self) -> Option<&mut Attempt> {
        self.attempts.get_mut(self.latest)
    }

    /// Returns the replies of the last attempt at the task itself.
    pub(crate) fn completions(&self) -> &[Completion] {
        self.attempts.get(self.latest).map_or(&[], |attempt| &attempt.completions)
    }
}

impl<O: Send + 'static> Prediction<O> {
    /// The prediction for a call that does not know its type.
    pub(crate) fn erased(self) -> AnyPrediction {
        self.body
    }

    /// Restores the type of a prediction.
    ///
    /// # Errors
    /// If its output has another type, which is a bug in this library.
    pub(crate) fn recovered(any: AnyPrediction) -> Result<Self> {
        match (any as Box<dyn Any>).downcast() {
            Ok(body) => Ok(Prediction { body }),
            Err(_) => Err(mistyped()),
        }
    }
}

#[cold]
fn mistyped() -> Error {
    Error::other("a prediction has another type than its call; please report this bug")
}

impl<O> Prediction<O> {
    /// Creates a prediction without a model call, for modules that compute their output.
    pub fn new(output: O) -> Self {
        Prediction { body: Box::new(Body { output, details: Details::default() }) }
    }

    fn details(&self) -> &Details {
        &self.body.details
    }

    pub(crate) fn usage_mut(&mut self) -> &mut Usage {
        &mut self.body.details.usage
    }

    /// Returns the output.
    pub fn output(&self) -> &O {
        &self.body.output
    }

    /// Returns the output without the details.
    pub fn into_output(self) -> O {
        self.body.output
    }

    /// Replaces the output and keeps the details, for modules whose output is not that of their last
    /// predictor.
    pub fn map<P>(self, change: impl FnOnce(O) -> P) -> Prediction<P> {
        let Body { output, details } = *self.body;
        Prediction { body: Box::new(Body { output: change(output), details }) }
    }

    /// Replaces the output like [`map`](Self::map), with a conversion that may fail.
    ///
    /// ```
    /// # use dspy_core::predict::Prediction;
    /// # use dspy_core::Error;
    /// let read = Prediction::new("42").try_map(|text| text.parse::<u8>().map_err(Error::other))?;
    /// assert_eq!(*read, 42);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of `change`.
    pub fn try_map<P, E>(self, change: impl FnOnce(O) -> Result<P, E>) -> Result<Prediction<P>, E> {
        let Body { output, details } = *self.body;
        Ok(Prediction { body: Box::new(Body { output: change(output)?, details }) })
    }

    /// Returns the reasoning of the model, if it was requested or the model reported it.
    pub fn reasoning(&self) -> Option<&str> {
        let field = self.details().added.get("reasoning").and_then(Value::as_str);
        field.or_else(|| self.completions().first()?.reasoning.as_deref())
    }

    /// Returns the outputs that the strategy added to those of the signature, such as `reasoning`.
    pub fn added(&self) -> &Values {
        &self.details().added
    }

    /// Adds an output to those of the signature, or replaces an added one of that name: what a custom strategy
    /// reports about its result.
    ///
    /// ```
    /// # use dspy_core::predict::Prediction;
    /// let best = Prediction::new("Paris").with_added("reward", 0.9);
    /// assert_eq!(best.added_as::<f64>("reward").unwrap(), 0.9);
    /// ```
    #[must_use]
    pub fn with_added(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.body.details.added.insert(name.into(), value.into());
        self
    }

    /// Returns the output `name` that the strategy added, as a `T`.
    ///
    /// ```
    /// # use dspy_core::lm::Lm;
    /// # use dspy_core::predict::DynPredict;
    /// # use dspy_core::program::{HasPredictors, Module};
    /// # use dspy_core::signature::Values;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let mut predict = DynPredict::chain_of_thought("question -> answer".parse()?);
    /// # predict.set_lm(Lm::scripted(["[[ ## reasoning ## ]]\nEasy.\n[[ ## answer ## ]]\nParis"]));
    /// # let inputs = Values::from_iter([("question".to_owned(), "?".into())]);
    /// let prediction = predict.call(inputs).await?;
    /// assert_eq!(prediction.added_as::<String>("reasoning")?, "Easy.");
    /// # Ok::<(), dspy_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// If there is no such output, or it is not a `T`.
    pub fn added_as<T: DeserializeOwned>(&self, name: &str) -> Result<T, FieldError> {
        let Some(value) = self.details().added.get(name) else {
            let known = self.details().added.keys().map(String::as_str);
            return Err(FieldError::new(name, format!("no such added output; {}", remedy(name, known))));
        };
        T::deserialize(value).map_err(|error| FieldError::new(name, error.to_string()))
    }

    /// Returns the replies of the last attempt as the model wrote them.
    pub fn completions(&self) -> &[Completion] {
        self.details().completions()
    }

    /// Returns the repairs that were needed to read the reply.
    pub fn report(&self) -> &ParseReport {
        &self.details().report
    }

    /// Returns the soft checks of the signature that the output fails. Replies that fail hard checks are
    /// refused.
    pub fn failed_checks(&self) -> &[CheckFailure] {
        &self.details().failed_checks
    }

    /// Returns the usage of all calls that were made for the prediction. Replies from a cache or a journal do
    /// not count.
    pub fn usage(&self) -> Usage {
        self.details().usage
    }

    /// Returns the requests of the last predictor, oldest first: a single one unless it was re-prompted or
    /// retried. A second step that reads the prose of the first is a separate request.
    pub fn attempts(&self) -> &[Attempt] {
        &self.details().attempts
    }
}

impl<O: fmt::Debug> fmt::Debug for Prediction<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Body { output, details } = &*self.body;
        f.debug_struct("Prediction").field("output", output).field("details", details).finish()
    }
}

impl<O> Deref for Prediction<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.body.output
    }
}
