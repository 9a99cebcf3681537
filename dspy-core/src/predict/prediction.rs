//! What a program answers.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Attempt;
use crate::decode::ParseReport;
use crate::lm::{Completion, Usage};
use crate::signature::{CheckFailure, FieldError, Values};
use crate::suggest::remedy;

/// A typed output with everything that is known about how it came to be. Dereferences to the output.
#[derive(Debug, Clone)]
pub struct Prediction<O> {
    output: O,
    details: Box<Details>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Details {
    /// Outputs that a strategy added to the signature, such as `reasoning`.
    pub(crate) added: Values,
    pub(crate) report: ParseReport,
    pub(crate) usage: Usage,
    pub(crate) attempts: Vec<Attempt>,
    /// The last attempt at the task itself; a second step that reads its prose may follow.
    pub(crate) latest: usize,
    /// Soft checks of the signature that do not hold.
    pub(crate) failed_checks: Vec<CheckFailure>,
}

impl Details {
    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.latest = self.attempts.len();
        self.attempts.push(attempt);
    }

    pub(crate) fn latest(&mut self) -> Option<&mut Attempt> {
        self.attempts.get_mut(self.latest)
    }

    /// The replies of the last attempt at the task itself.
    pub(crate) fn completions(&self) -> &[Completion] {
        self.attempts.get(self.latest).map_or(&[], |attempt| &attempt.completions)
    }
}

impl<O> Prediction<O> {
    /// A prediction that no model made, for modules that compute their output.
    pub fn new(output: O) -> Self {
        Self::with_details(output, Details::default())
    }

    pub(crate) fn with_details(output: O, details: Details) -> Self {
        Prediction { output, details: Box::new(details) }
    }

    pub(crate) fn set_usage(&mut self, usage: Usage) {
        self.details.usage = usage;
    }

    /// The output.
    pub fn output(&self) -> &O {
        &self.output
    }

    /// The output alone.
    pub fn into_output(self) -> O {
        self.output
    }

    /// The same prediction with another output, for modules whose output is not that of their last predictor.
    pub fn map<P>(self, change: impl FnOnce(O) -> P) -> Prediction<P> {
        Prediction { output: change(self.output), details: self.details }
    }

    /// The same prediction with another output, unless `change` fails.
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
        Ok(Prediction { output: change(self.output)?, details: self.details })
    }

    /// Why the model answered so, if it was asked to reason or reported its reasoning.
    pub fn reasoning(&self) -> Option<&str> {
        let field = self.details.added.get("reasoning").and_then(Value::as_str);
        field.or_else(|| self.completions().first()?.reasoning.as_deref())
    }

    /// The outputs that the strategy added to those of the signature, such as `reasoning`.
    pub fn added(&self) -> &Values {
        &self.details.added
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
    /// If there is no such output, or it is no `T`.
    pub fn added_as<T: DeserializeOwned>(&self, name: &str) -> Result<T, FieldError> {
        let Some(value) = self.details.added.get(name) else {
            let known = self.details.added.keys().map(String::as_str);
            return Err(FieldError::new(name, format!("no such added output; {}", remedy(name, known))));
        };
        T::deserialize(value).map_err(|error| FieldError::new(name, error.to_string()))
    }

    /// The replies of the model to the last attempt, as it wrote them.
    pub fn completions(&self) -> &[Completion] {
        self.details.completions()
    }

    /// What had to be repaired to read the reply.
    pub fn report(&self) -> &ParseReport {
        &self.details.report
    }

    /// The soft checks of the signature that the output fails. Replies that fail hard ones are refused.
    pub fn failed_checks(&self) -> &[CheckFailure] {
        &self.details.failed_checks
    }

    /// What the prediction cost: all calls that were made for it. Answers from a cache or a journal are not counted.
    pub fn usage(&self) -> Usage {
        self.details.usage
    }

    /// The requests of the last predictor, oldest first: one, unless it had to ask again. A second step that reads the
    /// first one's prose is one, too.
    pub fn attempts(&self) -> &[Attempt] {
        &self.details.attempts
    }
}

impl<O> Prediction<(O, Vec<CheckFailure>)> {
    /// Keeps the checks that failed beside the output.
    pub(super) fn with_failed_checks(mut self) -> Prediction<O> {
        let (output, failed) = self.output;
        self.details.failed_checks = failed;
        Prediction { output, details: self.details }
    }
}

impl<O> Deref for Prediction<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.output
    }
}
