//! `ChainOfThought`: reasoning first, then the answer.

use std::sync::Arc;

use super::single_predictor::{Declared, Leaf, Typed, Types};
use super::{Predict, PredictStream, Prediction};
use crate::adapter::Adapter;
use crate::error::Result;
use crate::lm::{Lm, Message};
use crate::program::{HasPredictors, HasShape, Module, ProgramShape, Recovery, Visitor, VisitorMut};
use crate::signature::shape::Depth;
use crate::signature::{FieldError, FieldSpec, Fields as _, IntoInput, Role, Signature, SignatureSpec};

/// A strategy that lets the model reason step by step before it answers.
///
/// The reasoning is an additional output, `reasoning`, before all others; [`Prediction::reasoning`] returns
/// it. A signature that already has a field of that name is not changed.
///
/// Source: Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (2022).
#[derive(Debug)]
pub struct ChainOfThought<S> {
    predict: Predict<S>,
}

impl<S> ChainOfThought<S> {
    /// Creates the strategy for a signature.
    pub fn new(/* for a signature in a string write `chain_of_thought!("question -> answer")` */) -> Self
    where
        S: Signature,
    {
        ChainOfThought { predict: Predict::skin(reasoning_first(S::spec(), S::demos)) }
    }
}

fn reasoning_first(spec: &Arc<SignatureSpec>, declared: Declared) -> Leaf {
    let mut spec = spec.clone();
    if spec.field("reasoning").is_none() {
        let reasoning = FieldSpec::text(Role::Output, "reasoning", "The steps that lead to the answer.");
        spec = Arc::new((*spec).clone().prepend(reasoning));
    }
    Leaf::new(spec, declared).in_field("predict")
}

impl<S: Signature> ChainOfThought<S> {
    /// Binds a model.
    #[must_use]
    pub fn with_lm(self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        ChainOfThought { predict: self.predict.with_lm(lm) }
    }

    /// Binds an adapter.
    #[must_use]
    pub fn with_adapter(self, adapter: impl Adapter) -> Self {
        ChainOfThought { predict: self.predict.with_adapter(adapter) }
    }

    /// Sets the policy for replies that cannot be read.
    #[must_use]
    pub fn with_recovery(self, recovery: Recovery) -> Self {
        ChainOfThought { predict: self.predict.with_recovery(recovery) }
    }

    /// Replaces the instruction.
    #[must_use]
    pub fn with_instruction(self, instruction: impl Into<Arc<str>>) -> Self {
        ChainOfThought { predict: self.predict.with_instruction(instruction) }
    }

    /// Replaces the instruction, as [`with_instruction`](Self::with_instruction) does.
    pub fn set_instruction(&mut self, instruction: impl Into<Arc<str>>) {
        self.predict.set_instruction(instruction);
    }

    /// Replaces the demonstrations by labelled examples.
    ///
    /// # Errors
    /// If a value has no JSON form.
    pub fn with_demos(self, examples: impl IntoIterator<Item = S>) -> Result<Self, FieldError> {
        Ok(ChainOfThought { predict: self.predict.with_demos(examples)? })
    }

    /// Starts a call whose outputs are shown as they arrive, the reasoning first.
    pub fn stream(&self, input: impl IntoInput<S::Input>) -> PredictStream<S> {
        PredictStream::arriving(self.predict.leaf.stream(input.into_input().to_values(), Types::of::<S>()))
    }

    /// Returns the exact messages of the first request for this input. Calls no model.
    ///
    /// # Errors
    /// If a value has no JSON form.
    pub fn render(&self, input: impl IntoInput<S::Input>) -> Result<Vec<Message>> {
        self.predict.render(input)
    }
}

impl<S: Signature> Default for ChainOfThought<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for ChainOfThought<S> {
    fn clone(&self) -> Self {
        ChainOfThought { predict: self.predict.clone() }
    }
}

impl<S> HasPredictors for ChainOfThought<S> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.predict.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.predict.visit_mut(visitor);
    }
}

impl<N: Depth, S: Signature> HasShape<N> for ChainOfThought<S> {
    const SHAPE: &'static ProgramShape =
        &ProgramShape::Fields(&[("predict", &ProgramShape::Predictor(S::FIELDS))]);
}

impl<S: Signature> Module for ChainOfThought<S> {
    type Input = S::Input;
    type Output = S::Output;

    fn forward(&self, input: S::Input) -> impl Future<Output = Result<Prediction<S::Output>>> + Send {
        Typed::new(self.predict.leaf.forward(input.to_values(), Types::of::<S>()))
    }

    fn call(
        &self,
        input: impl IntoInput<S::Input>,
    ) -> impl Future<Output = Result<Prediction<S::Output>>> + Send {
        Typed::new(self.predict.leaf.call(input.into_input().to_values(), Types::of::<S>()))
    }
}
