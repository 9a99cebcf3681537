//! `Predict`: the plain strategy, typed by a signature.

use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::Value;

use super::single_predictor::{Leaf, Typed, Types};
use super::{PredictStream, Prediction, Predictor};
use crate::adapter::Adapter;
use crate::error::Result;
use crate::lm::{Lm, Message};
use crate::predictor::{accepted, checked};
use crate::program::{HasPredictors, HasShape, Module, ProgramShape, Recovery, Visitor, VisitorMut};
use crate::signature::shape::Depth;
use crate::signature::{Demo, FieldError, Fields as _, IntoInput, Signature, SignatureSpec, Values};

/// A strategy that requests the outputs of a signature from the model and nothing else.
///
/// It is a typed wrapper around a [`Predictor`], which holds the state.
pub struct Predict<S> {
    pub(super) leaf: Leaf,
    signature: PhantomData<fn() -> S>,
}

impl<S> Predict<S> {
    /// Creates a predictor of the signature with the demonstrations that are declared on it.
    pub fn new(/* for a signature in a string write `predict!("question -> answer")` */) -> Self
    where
        // The bound is here and not on the block, so that rustc explains signatures instead of a missing
        // function.
        S: Signature,
    {
        Self::of(S::spec().clone())
    }
}

impl<S: Signature> Predict<S> {
    /// Creates a predictor of `spec`, which has the inputs and outputs of `S` and possibly more: the basis for custom
    /// strategies. Checks, conversions, re-prompts and streams work as with `S` itself. The values of the other
    /// outputs are in [`Prediction::added`]; those of the other inputs are passed to [`call_with`](Self::call_with).
    ///
    /// ```
    /// # use dspy_core as dspy;
    /// use dspy::Result;
    /// use dspy::predict::Predict;
    /// use dspy::signature::{FieldSpec, Role, Signature};
    ///
    /// /// Asks how sure the model is, too.
    /// fn confident<S: Signature>() -> Result<Predict<S>> {
    ///     let about = "How sure the answer is, from 0 to 1.";
    ///     let confidence = FieldSpec::of::<f64>(Role::Output, "confidence", about);
    ///     Ok(Predict::over((**S::spec()).clone().append(confidence))?)
    /// }
    /// // confident::<Qa>()?.call("Why?").await?.added_as::<f64>("confidence")?
    /// ```
    ///
    /// # Errors
    /// If `spec` lacks an input or output of `S`, has it in another role or with another type, or has two fields of the
    /// same name.
    pub fn over(spec: impl Into<Arc<SignatureSpec>>) -> Result<Self, FieldError> {
        let spec = spec.into();
        agrees(&spec, S::spec())?;
        Ok(Self::of(spec))
    }

    /// Creates a predictor like [`over`](Self::over), for a signature that is known to agree.
    pub(super) fn of(spec: Arc<SignatureSpec>) -> Self {
        Self::skin(Leaf::new(spec, S::demos))
    }

    /// Binds a model.
    #[must_use]
    pub fn with_lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.leaf.predictor.set_lm(lm);
        self
    }

    /// Binds an adapter.
    #[must_use]
    pub fn with_adapter(mut self, adapter: impl Adapter) -> Self {
        self.leaf.predictor.set_adapter(adapter);
        self
    }

    /// Sets the policy for replies that cannot be read.
    #[must_use]
    pub fn with_recovery(mut self, recovery: Recovery) -> Self {
        self.leaf.predictor.set_recovery(recovery);
        self
    }

    /// Replaces the instruction.
    #[must_use]
    pub fn with_instruction(mut self, instruction: impl Into<Arc<str>>) -> Self {
        self.leaf.predictor.set_instruction(instruction);
        self
    }

    /// Replaces the instruction, as [`with_instruction`](Self::with_instruction) does.
    pub fn set_instruction(&mut self, instruction: impl Into<Arc<str>>) {
        self.leaf.predictor.set_instruction(instruction);
    }

    /// Replaces the demonstrations by labelled examples.
    ///
    /// # Errors
    /// If a value has no JSON form.
    pub fn with_demos(mut self, examples: impl IntoIterator<Item = S>) -> Result<Self, FieldError> {
        let demos: Result<Vec<_>, _> =
            examples.into_iter().map(|row| row.to_values().map(Demo::new)).collect();
        self.leaf.set_demos(demos?);
        Ok(self)
    }

    /// Returns the prediction that has these output values, typed and checked as if a model had written them: for
    /// strategies that obtain outputs in another way, such as the arguments of a tool.
    ///
    /// ```
    /// # use dspy_core as dspy;
    /// use dspy::predict::{Predict, Prediction};
    /// use dspy::signature::{Signature, Values};
    ///
    /// fn submitted<S: Signature>(arguments: Values) -> dspy::Result<Prediction<S::Output>> {
    ///     Predict::<S>::accept(arguments)
    /// }
    /// ```
    ///
    /// # Errors
    /// If a value is missing or does not fit its type, or a hard check fails: an error that
    /// [`as_parse`](crate::Error::as_parse) returns, so that it can be told to the model. If a check panics.
    pub fn accept(values: Values) -> Result<Prediction<S::Output>> {
        Prediction::recovered(accepted(checked::<S>(values))?)
    }

    /// Runs a call with values for the inputs that a strategy [added](Self::over) to the signature.
    ///
    /// ```
    /// # use dspy_core as dspy;
    /// use dspy::Result;
    /// use dspy::predict::{Predict, Prediction};
    /// use dspy::signature::{FieldSpec, Role, Signature};
    ///
    /// /// Asks for a better answer than `draft`.
    /// async fn improve<S: Signature>(input: S::Input, draft: &str) -> Result<Prediction<S::Output>> {
    ///     let spec = (**S::spec()).clone().append(FieldSpec::text(Role::Input, "draft", "An answer to improve."));
    ///     Predict::<S>::over(spec)?.call_with(input, [("draft", draft)]).await
    /// }
    /// ```
    ///
    /// # Errors
    /// The same as for [`call`](Module::call), and if a value is missing or unknown.
    pub fn call_with<N: Into<String>, V: Into<Value>>(
        &self,
        input: impl IntoInput<S::Input>,
        added: impl IntoIterator<Item = (N, V)>,
    ) -> impl Future<Output = Result<Prediction<S::Output>>> + Send {
        let added = added.into_iter().map(|(name, value)| (name.into(), value.into()));
        let values = input.into_input().to_values().map(|mut values| {
            values.extend(added);
            values
        });
        Typed::new(self.leaf.call(values, Types::of::<S>()))
    }

    /// Starts a call whose outputs are shown as they arrive.
    pub fn stream(&self, input: impl IntoInput<S::Input>) -> PredictStream<S> {
        PredictStream::arriving(self.leaf.stream(input.into_input().to_values(), Types::of::<S>()))
    }

    /// Returns the exact messages of the first request for this input. Calls no model.
    ///
    /// # Errors
    /// If a value has no JSON form.
    pub fn render(&self, input: impl IntoInput<S::Input>) -> Result<Vec<Message>> {
        self.leaf.render(input.into_input().to_values())
    }
}

impl<S> Predict<S> {
    pub(super) fn skin(leaf: Leaf) -> Self {
        Predict { leaf, signature: PhantomData }
    }

    /// Returns the underlying predictor.
    pub fn predictor(&self) -> &Predictor {
        &self.leaf.predictor
    }

    /// Returns the underlying predictor, to be changed.
    pub fn predictor_mut(&mut self) -> &mut Predictor {
        &mut self.leaf.predictor
    }
}

impl<S: Signature> Default for Predict<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for Predict<S> {
    fn clone(&self) -> Self {
        Self::skin(self.leaf.clone())
    }
}

impl<S> std::fmt::Debug for Predict<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Predict")
            .field("signature", &self.leaf.predictor.spec().name())
            .finish_non_exhaustive()
    }
}

impl<S> HasPredictors for Predict<S> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.leaf.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.leaf.visit_mut(visitor);
    }
}

impl<N: Depth, S: Signature> HasShape<N> for Predict<S> {
    const SHAPE: &'static ProgramShape = &ProgramShape::Predictor(S::FIELDS);
}

impl<S: Signature> Module for Predict<S> {
    type Input = S::Input;
    type Output = S::Output;

    fn forward(&self, input: S::Input) -> impl Future<Output = Result<Prediction<S::Output>>> + Send {
        Typed::new(self.leaf.forward(input.to_values(), Types::of::<S>()))
    }

    fn call(
        &self,
        input: impl IntoInput<S::Input>,
    ) -> impl Future<Output = Result<Prediction<S::Output>>> + Send {
        Typed::new(self.leaf.call(input.into_input().to_values(), Types::of::<S>()))
    }
}

/// Checks that a predictor of `spec` accepts the inputs of `own` and returns its outputs.
fn agrees(spec: &SignatureSpec, own: &SignatureSpec) -> Result<(), FieldError> {
    let problem = |name: &str, what: &str| {
        Err(FieldError::new(name, format!("{what} (in a strategy over `{}`)", own.name())))
    };
    for (at, field) in spec.fields().iter().enumerate() {
        if spec.fields()[..at].iter().any(|other| other.name() == field.name()) {
            return problem(field.name(), "two fields have this name");
        }
    }
    for field in own.inputs().chain(own.outputs()) {
        match spec.field(field.name()) {
            None => return problem(field.name(), "the field of the signature is missing"),
            Some(other) if other.role() != field.role() => {
                return problem(field.name(), "it has another role");
            }
            Some(other) if other.schema() != field.schema() => {
                return problem(field.name(), "it has another type");
            }
            Some(_) => {}
        }
    }
    Ok(())
}
