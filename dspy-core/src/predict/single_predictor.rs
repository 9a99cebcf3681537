//! The predictor of a typed strategy and its calls, compiled once for all types.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::stream_state::Arriving;
use crate::error::Result;
use crate::lm::{BoxFuture, Message};
use crate::predictor::{
    AnyPrediction, CheckField, Checked, Prediction, Predictor, checked, converted, split_outputs,
};
use crate::program::{HasPredictors, Visitor, VisitorMut, named};
use crate::signature::{Demo, FieldError, Signature, SignatureSpec, Values};

/// The functions of a call that depend on the types of its signature.
#[derive(Clone, Copy)]
pub(super) struct Types {
    spec: fn() -> &'static Arc<SignatureSpec>,
    /// The outputs, typed and checked.
    checked: fn(Values) -> Checked,
    check_field: CheckField,
}

impl Types {
    pub(super) fn of<S: Signature>() -> Self {
        Types { spec: S::spec, checked: checked::<S>, check_field: S::check_field }
    }
}

/// A function that returns the demonstrations declared on a signature.
pub(super) type Declared = fn() -> Result<Vec<Demo>, FieldError>;

/// A strategy that is a single predictor.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) predictor: Predictor,
    /// The error of the signature's demonstrations, if they cannot be shown. The first call reports it,
    /// because `new` cannot return an error.
    bad_demos: Option<FieldError>,
    /// The field that the predictor is in, for paths.
    field: Option<&'static str>,
}

impl Leaf {
    pub(super) fn new(spec: Arc<SignatureSpec>, declared: Declared) -> Self {
        let mut predictor = Predictor::new(spec);
        let bad_demos = match declared() {
            Ok(demos) if demos.is_empty() => None,
            Ok(demos) => {
                predictor.set_demos(demos);
                None
            }
            Err(error) => Some(error),
        };
        Leaf { predictor, bad_demos, field: None }
    }

    /// Sets the field name of the predictor in its strategy.
    pub(super) fn in_field(mut self, name: &'static str) -> Self {
        self.field = Some(name);
        self
    }

    pub(super) fn set_demos(&mut self, demos: Vec<Demo>) {
        self.predictor.set_demos(demos);
        self.bad_demos = None;
    }

    pub(super) fn render(&self, inputs: Result<Values, FieldError>) -> Result<Vec<Message>> {
        self.predictor.render(&inputs?)
    }

    /// Starts a call from a strategy that is a module itself.
    pub(super) fn forward(
        &self,
        inputs: Result<Values, FieldError>,
        types: Types,
    ) -> BoxFuture<'_, Result<AnyPrediction>> {
        Box::pin(async move { self.run(&inputs, &types).await })
    }

    /// Starts a call of the strategy as a module. The predictor counts its own usage, so the call needs no
    /// separate scope.
    pub(super) fn call(
        &self,
        inputs: Result<Values, FieldError>,
        types: Types,
    ) -> BoxFuture<'_, Result<AnyPrediction>> {
        Box::pin(async move {
            match named(self) {
                None => self.run(&inputs, &types).await,
                Some(scope) => Box::pin(scope.enter(self.run(&inputs, &types))).await,
            }
        })
    }

    /// A [`call`](Self::call) whose outputs are shown while they arrive.
    pub(super) fn stream(&self, inputs: Result<Values, FieldError>, types: Types) -> Arriving {
        let called = self.clone();
        let call = Box::pin(async move { called.call(inputs, types).await });
        Arriving::new(self.named_predictors(), (types.spec)(), call)
    }

    /// Runs a call. The inputs stay with the caller, so that its future holds them once.
    async fn run(&self, inputs: &Result<Values, FieldError>, types: &Types) -> Result<AnyPrediction> {
        let inputs = match (&self.bad_demos, inputs) {
            (Some(error), _) | (None, Err(error)) => return Err(error.clone().into()),
            (None, Ok(inputs)) => inputs,
        };
        let (own, whole) = ((types.spec)(), self.predictor.spec());
        let convert =
            &mut |values: &mut Values| converted((types.checked)(split_outputs(values, own, whole)));
        self.predictor.call_as(inputs, types.check_field, convert).await
    }
}

impl HasPredictors for Leaf {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        match self.field {
            Some(name) => visitor.field(name, &self.predictor),
            None => visitor.predictor(&self.predictor),
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        match self.field {
            Some(name) => visitor.field(name, &mut self.predictor),
            None => visitor.predictor(&mut self.predictor),
        }
    }
}

/// A call that returns its prediction with the type that its caller knows.
pub(super) struct Typed<'a, O> {
    call: BoxFuture<'a, Result<AnyPrediction>>,
    output: PhantomData<fn() -> O>,
}

impl<'a, O> Typed<'a, O> {
    /// Wraps a call, whose output must have the type `O`.
    pub(super) fn new(call: BoxFuture<'a, Result<AnyPrediction>>) -> Self {
        Typed { call, output: PhantomData }
    }
}

impl<O: Send + 'static> Future for Typed<'_, O> {
    type Output = Result<Prediction<O>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.call.as_mut().poll(cx)) {
            Ok(any) => Prediction::recovered(any),
            Err(error) => Err(error),
        })
    }
}
