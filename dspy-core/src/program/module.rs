//! Modules: the composable parts of a program.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};

use super::events::EventStream;
use super::running::{self, Work};
use super::walk::named_refs;
use super::{Batch, HasPredictors, Visitor, VisitorMut};
use crate::error::Result;
use crate::lm::BoxFuture;
use crate::observe::{self, NamedScope, Watched};
use crate::predictor::Prediction;
use crate::signature::IntoInput;

/// A program or a part of one: typed input to typed prediction.
///
/// Put `#[module]` on a struct and implement [`forward`](Self::forward) in plain Rust; run the result with
/// [`call`](Self::call). The strategies are modules too.
///
/// There is no `dyn Module`. To mix modules of several types with the same input and output, use
/// [`BoxModule`], made by [`boxed`](Self::boxed).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module",
    label = "not a module",
    note = "put `#[module]` on the struct and write `impl Module for {Self}` with its `Input`, `Output` and `forward`"
)]
pub trait Module: HasPredictors + Send + Sync {
    /// The input of a call.
    type Input: Send;
    /// The output of a call.
    type Output: Send;

    /// Does the work of the module. Implemented by users, and run with [`call`](Self::call).
    ///
    /// # Errors
    /// The errors of its parts.
    fn forward(&self, input: Self::Input) -> impl Future<Output = Result<Prediction<Self::Output>>> + Send; // dyn: `BoxModule`

    /// Runs the module: calls [`forward`](Self::forward), adds up the usage and names the predictors in
    /// traces.
    ///
    /// # Errors
    /// The same as for `forward`.
    fn call(
        &self,
        input: impl IntoInput<Self::Input>,
    ) -> impl Future<Output = Result<Prediction<Self::Output>>> + Send {
        let input = input.into_input();
        async move {
            let mut work = Work::new(self, input);
            running::run(short_name(type_name::<Self>()), &|| named_refs(self), &mut work).await;
            work.finish()
        }
    }

    /// Returns a stream of all events of a [`call`](Self::call). Nothing runs until the stream is polled, and
    /// dropping it stops the program. The settings, budgets and other scopes of the task that polls it first apply, or,
    /// if that task is in no such scope, those of the task that called `events`.
    ///
    /// For the typed outputs of a strategy as they arrive, see
    /// [`Predict::stream`](crate::predict::Predict::stream).
    fn events(&self, input: impl IntoInput<Self::Input>) -> EventStream<'_, Self::Output> {
        EventStream::new(self.call(input.into_input()))
    }

    /// Runs the module on many inputs, several at a time.
    ///
    /// ```
    /// use dspy_core::lm::Lm;
    /// use dspy_core::predict::DynPredict;
    /// use dspy_core::program::Module;
    /// use dspy_core::signature::Values;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::from_fn(|_| async { "[[ ## answer ## ]]\nyes" });
    /// let program = DynPredict::new("question -> answer".parse()?).with_lm(lm);
    /// let question = |text: &str| Values::from_iter([("question".to_owned(), text.into())]);
    /// let answers = program.batch([question("A?"), question("B?")]).concurrency(2).collect().await;
    /// assert!(answers.iter().all(Result::is_ok));
    /// # Ok::<(), dspy_core::Error>(()) }).unwrap();
    /// ```
    fn batch<'a, T>(&'a self, inputs: impl IntoIterator<Item = T, IntoIter: Send + 'a>) -> Batch<'a, Self>
    where
        Self: Sized,
        T: IntoInput<Self::Input> + 'a,
    {
        Batch::new(self, stream::iter(inputs.into_iter().map(T::into_input)))
    }

    /// Runs the module on a stream of inputs, in bounded memory; see [`batch`](Self::batch).
    fn batch_stream<'a, T>(&'a self, inputs: impl Stream<Item = T> + Send + 'a) -> Batch<'a, Self>
    where
        Self: Sized,
        T: IntoInput<Self::Input> + 'a,
    {
        Batch::new(self, inputs.map(T::into_input))
    }

    /// Returns whether the program can stop in the middle of a call of its tool and go on from there later, as an agent
    /// does that waits for a decision.
    #[doc(hidden)]
    fn pauses(&self) -> bool {
        false
    }

    /// Wraps the module in a trait object.
    fn boxed(self) -> BoxModule<Self::Input, Self::Output>
    where
        Self: Sized + Clone + 'static,
        Self::Input: 'static,
        Self::Output: 'static,
    {
        BoxModule(Box::new(self))
    }
}

/// Registers the predictors of a module that is a single one, which counts its own usage. Returns the scope to run it in
/// if an observer may exist.
pub(crate) fn named(module: &(dyn HasPredictors + Sync)) -> Option<NamedScope> {
    let predictors = || named_refs(module);
    Watched::current().register(&predictors);
    observe::leaf(&predictors)
}

/// Returns the name of a type without its path and parameters.
fn short_name(name: &'static str) -> &'static str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

/// A module of any type with this input and output. Made by [`Module::boxed`]; it is a module itself.
pub struct BoxModule<I, O>(Box<dyn ErasedModule<I, O>>);

/// The object-safe form of [`Module`].
trait ErasedModule<I, O>: HasPredictors + Send + Sync {
    fn call_erased(&self, input: I) -> BoxFuture<'_, Result<Prediction<O>>>;
    fn pauses_erased(&self) -> bool;
    fn clone_erased(&self) -> Box<dyn ErasedModule<I, O>>;
}

impl<M> ErasedModule<M::Input, M::Output> for M
where
    M: Module + Clone + 'static,
    M::Input: 'static,
    M::Output: 'static,
{
    fn call_erased(&self, input: M::Input) -> BoxFuture<'_, Result<Prediction<M::Output>>> {
        Box::pin(self.call(input))
    }

    fn pauses_erased(&self) -> bool {
        self.pauses()
    }

    fn clone_erased(&self) -> Box<dyn ErasedModule<M::Input, M::Output>> {
        Box::new(self.clone())
    }
}

impl<I, O> Clone for BoxModule<I, O> {
    fn clone(&self) -> Self {
        BoxModule(self.0.clone_erased())
    }
}

impl<I, O> std::fmt::Debug for BoxModule<I, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let paths: Vec<_> = self.0.named_predictors().into_iter().map(|(path, _)| path).collect();
        f.debug_tuple("BoxModule").field(&paths).finish()
    }
}

impl<I, O> HasPredictors for BoxModule<I, O> {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.0.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.0.visit_mut(visitor);
    }
}

impl<I: Send, O: Send> Module for BoxModule<I, O> {
    type Input = I;
    type Output = O;

    async fn forward(&self, input: I) -> Result<Prediction<O>> {
        self.0.call_erased(input).await
    }

    // The inner module is the one that is called, and counts its own usage.
    fn call(&self, input: impl IntoInput<I>) -> impl Future<Output = Result<Prediction<O>>> + Send {
        self.0.call_erased(input.into_input())
    }

    fn pauses(&self) -> bool {
        self.0.pauses_erased()
    }
}

impl<M: Module + Clone> Module for Arc<M> {
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        (**self).forward(input).await
    }

    fn call(
        &self,
        input: impl IntoInput<M::Input>,
    ) -> impl Future<Output = Result<Prediction<M::Output>>> + Send {
        (**self).call(input)
    }

    fn pauses(&self) -> bool {
        (**self).pauses()
    }
}

impl<M: Module> Module for Box<M> {
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        (**self).forward(input).await
    }

    fn call(
        &self,
        input: impl IntoInput<M::Input>,
    ) -> impl Future<Output = Result<Prediction<M::Output>>> + Send {
        (**self).call(input)
    }

    fn pauses(&self) -> bool {
        (**self).pauses()
    }
}
