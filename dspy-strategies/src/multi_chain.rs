//! `MultiChainComparison`: one answer from several attempts.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use dspy_core::predict::{Predict, Prediction};
use dspy_core::program::{HasShape, Module, ProgramShape};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldError, FieldSpec, IntoInput, Role, Signature, SignatureSpec};
use dspy_core::{Error, Result};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::sampling::{Sampling, sampling_setters};
use crate::visit::visits_fields;

/// A strategy that compares several attempts at the outputs of a signature and answers from all of them.
///
/// The prompt shows each attempt with its reasoning as a further input, `reasoning_attempt_1`, …; the model first
/// writes a corrected `rationale`, which [`Prediction::added`] has. [`over`](Self::over) makes a program that draws the
/// attempts itself.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::Result;
/// use dspy::predict::{ChainOfThought, Prediction};
/// use dspy::program::Module;
/// use dspy::signature::Signature;
/// use dspy_strategies::MultiChainComparison;
///
/// async fn answer<S: Signature<Input: Clone>>(input: S::Input) -> Result<Prediction<S::Output>> {
///     MultiChainComparison::<S>::new(3)?.over(ChainOfThought::<S>::new()).call(input).await
/// }
/// ```
pub struct MultiChainComparison<S> {
    predict: Predict<S>,
    attempts: usize,
}

impl<S: Signature> MultiChainComparison<S> {
    /// Creates the strategy for a number of attempts, at least one.
    ///
    /// # Errors
    /// If the signature has a field named `rationale` or like an attempt.
    pub fn new(attempts: usize) -> Result<Self, FieldError> {
        let attempts = attempts.max(1);
        Ok(MultiChainComparison { predict: Predict::over(with_attempts(S::spec(), attempts))?, attempts })
    }

    /// Returns a program that draws the attempts from `module`, such as a
    /// [`ChainOfThought`](dspy_core::predict::ChainOfThought), and compares them. Name the signature of the module, since
    /// any module with these inputs and outputs is accepted.
    pub fn over<M>(self, module: M) -> ComparedChains<S, M>
    where
        M: Module<Input = S::Input, Output = S::Output>,
    {
        let sampling = Sampling::new("MultiChainComparison", self.attempts);
        ComparedChains { module, compare: self, sampling }
    }

    /// Compares attempts that were made elsewhere. If there are fewer than the strategy was created for, the missing
    /// ones are shown as such; of more, only the first are shown.
    ///
    /// # Errors
    /// The same as for [`Predict::call_with`], and if there is no attempt.
    pub async fn compare(
        &self,
        input: impl IntoInput<S::Input>,
        attempts: &[Prediction<S::Output>],
    ) -> Result<Prediction<S::Output>> {
        let input = input.into_input();
        if attempts.is_empty() {
            return Err(Error::other("`MultiChainComparison` has no attempts to compare"));
        }
        let mut texts = Vec::with_capacity(self.attempts);
        for index in 0..self.attempts {
            let text = match attempts.get(index) {
                Some(attempt) => told(attempt.reasoning(), attempt.output())?,
                None => "(no attempt)".to_owned(),
            };
            texts.push((name(index), text));
        }
        self.predict.call_with(input, texts).await
    }
}

fn name(index: usize) -> String {
    format!("reasoning_attempt_{}", index + 1)
}

fn with_attempts(spec: &Arc<SignatureSpec>, attempts: usize) -> SignatureSpec {
    let numbers = 0..attempts;
    let inputs =
        numbers.map(|index| FieldSpec::text(Role::Input, name(index), "An attempt, which may be wrong."));
    let about = "Compare the attempts and correct their reasoning, step by step.";
    let spec = inputs.fold((**spec).clone(), SignatureSpec::append);
    spec.prepend(FieldSpec::text(Role::Output, "rationale", about))
}

/// Returns an attempt as a model reads it: its reasoning, and its outputs by name.
pub(crate) fn told<O: dspy_core::signature::Fields>(
    reasoning: Option<&str>,
    output: &O,
) -> Result<String, FieldError> {
    let mut text = String::new();
    if let Some(reasoning) = reasoning.map(str::trim).filter(|reasoning| !reasoning.is_empty()) {
        text.push_str(reasoning);
        text.push('\n');
    }
    for (name, value) in output.to_values()? {
        match value {
            Value::String(value) => text.push_str(&format!("{name}: {value}\n")),
            value => text.push_str(&format!("{name}: {value}\n")),
        }
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// A program that draws several attempts and compares them; made by [`MultiChainComparison::over`].
pub struct ComparedChains<S, M> {
    module: M,
    compare: MultiChainComparison<S>,
    sampling: Sampling,
}

impl<S, M> ComparedChains<S, M> {
    sampling_setters!("Default: 16.");
}

impl<S, M> Module for ComparedChains<S, M>
where
    S: Signature<Input: Clone + Sync>,
    M: Module<Input = S::Input, Output = S::Output> + Clone,
{
    type Input = S::Input;
    type Output = S::Output;

    async fn forward(&self, input: S::Input) -> Result<Prediction<S::Output>> {
        let sampling = self.sampling;
        let mut failures = sampling.failures();
        let mut attempts = Vec::with_capacity(sampling.count);
        {
            let draw = |index| sampling.draw(&self.module, input.clone(), index);
            let mut drawn = pin!(sampling.in_order(draw));
            while let Some(result) = drawn.next().await {
                match result {
                    Ok((attempt, held)) => {
                        held.keep();
                        attempts.push(attempt);
                    }
                    Err(error) => failures.push(error)?,
                }
            }
        }
        if attempts.is_empty() {
            return Err(failures.none_left());
        }
        self.compare.compare(input, &attempts).await
    }
}

visits_fields! {
    [S: Signature] MultiChainComparison<S>,
    [Depth: DepthOf, S: Signature] { predict: Predict<S> => &ProgramShape::Predictor(S::FIELDS) }
}

visits_fields! {
    [S: Signature, M: Module] ComparedChains<S, M>,
    [Depth: DepthOf, S: Signature, M: Module + HasShape<Depth>] {
        module: M => M::SHAPE,
        compare: MultiChainComparison<S> => <MultiChainComparison<S> as HasShape<Depth>>::SHAPE,
    }
}

impl<S> Clone for MultiChainComparison<S> {
    fn clone(&self) -> Self {
        MultiChainComparison { predict: self.predict.clone(), attempts: self.attempts }
    }
}

impl<S, M: Clone> Clone for ComparedChains<S, M> {
    fn clone(&self) -> Self {
        let ComparedChains { module, compare, sampling } = self;
        ComparedChains { module: module.clone(), compare: compare.clone(), sampling: *sampling }
    }
}

impl<S> fmt::Debug for MultiChainComparison<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiChainComparison").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

impl<S, M> fmt::Debug for ComparedChains<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComparedChains").field("compare", &self.compare).finish_non_exhaustive()
    }
}
