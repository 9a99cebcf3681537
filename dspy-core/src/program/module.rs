//! Modules: the composable parts of a program.

use std::any::type_name;
use std::future::Future;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};

use super::events::EventStream;
use super::paths::Find;
use super::running::{self, Work};
use super::settings::Context;
use super::{Batch, HasPredictors, Visitor, VisitorMut};
use crate::error::Result;
use crate::lm::BoxFuture;
use crate::observe::{self, NamedScope};
use crate::predict::Prediction;
use crate::signature::IntoInput;

/// A program or a part of one: typed input to typed prediction.
///
/// Put `#[module]` on a struct and write [`forward`](Self::forward) in plain Rust; call the result with
/// [`call`](Self::call). The strategies are modules too.
///
/// There is no `dyn Module`. Modules of several types with one input and output are [`BoxModule`]s, made by
/// [`boxed`](Self::boxed).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a module",
    label = "not a module",
    note = "put `#[module]` on the struct and write `impl Module for {Self}` with its `Input`, `Output` and `forward`"
)]
pub trait Module: HasPredictors + Send + Sync {
    /// What it is called with.
    type Input: Send;
    /// What it gives.
    type Output: Send;

    /// What the module does. Written by users, called through [`call`](Self::call).
    ///
    /// # Errors
    /// Whatever its parts report.
    fn forward(&self, input: Self::Input) -> impl Future<Output = Result<Prediction<Self::Output>>> + Send; // dyn: `BoxModule`

    /// Runs the module: [`forward`](Self::forward) with its usage added up and its predictors named in traces.
    ///
    /// # Errors
    /// As `forward`.
    fn call(
        &self,
        input: impl IntoInput<Self::Input>,
    ) -> impl Future<Output = Result<Prediction<Self::Output>>> + Send {
        let input = input.into_input();
        async move {
            let mut work = Work::new(self, input);
            running::run(short_name(type_name::<Self>()), &|| self.named_predictors(), &mut work).await;
            work.finish()
        }
    }

    /// [`call`](Self::call) with everything that happens in the program shown as it happens. Nothing runs unless the
    /// stream is asked, and dropping it stops the program.
    ///
    /// To show the typed outputs of a strategy while they arrive, see [`Predict::stream`](crate::predict::Predict::stream).
    fn events(&self, input: impl IntoInput<Self::Input>) -> EventStream<'_, Self::Output> {
        EventStream::new(self.call(input.into_input()))
    }

    /// The module on many inputs, some at a time.
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

    /// The module on a stream of inputs, in bounded memory; see [`batch`](Self::batch).
    fn batch_stream<'a, T>(&'a self, inputs: impl Stream<Item = T> + Send + 'a) -> Batch<'a, Self>
    where
        Self: Sized,
        T: IntoInput<Self::Input> + 'a,
    {
        Batch::new(self, inputs.map(T::into_input))
    }

    /// The module behind a trait object.
    fn boxed(self) -> BoxModule<Self::Input, Self::Output>
    where
        Self: Sized + Clone + 'static,
        Self::Input: 'static,
        Self::Output: 'static,
    {
        BoxModule(Box::new(self))
    }
}

/// Makes the predictors of a module known that is a single one, which counts its own usage. It runs in the scope that
/// is returned, where somebody may observe it.
pub(crate) fn named(find: Find<'_, '_>) -> Option<NamedScope> {
    Context::current().register(find);
    observe::leaf(find)
}

/// The name of a type without its path and parameters.
fn short_name(name: &'static str) -> &'static str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

/// A module of any type with this input and output. Made by [`Module::boxed`]; a module itself.
pub struct BoxModule<I, O>(Box<dyn ErasedModule<I, O>>);

/// The object-safe form of [`Module`].
trait ErasedModule<I, O>: HasPredictors + Send + Sync {
    fn call_erased(&self, input: I) -> BoxFuture<'_, Result<Prediction<O>>>;
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

    // The module in the box is what is called, and counts for itself.
    fn call(&self, input: impl IntoInput<I>) -> impl Future<Output = Result<Prediction<O>>> + Send {
        self.0.call_erased(input.into_input())
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
}
