//! Execution of modules. All code that does not depend on the module's types is compiled once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use super::Module;
use super::events::watch_module;
use crate::error::{Error, Result};
use crate::lm::{BoxFuture, Usage, current_scope};
use crate::observe::{self, ModuleCall, Named, Watched};
use crate::predictor::Prediction;
use dspy_lm::internal::UsageScope;

/// The work of a module of any type.
pub(super) trait Running: Send {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()>;
    /// Stops the work before it is done.
    fn stop(&mut self);
    /// Returns the result of the work once it is done.
    fn outcome(&mut self) -> Option<Result<&mut Usage, &Error>>;
}

/// One call of [`Module::forward`].
pub(super) struct Work<'m, M: Module + ?Sized> {
    module: &'m M,
    input: Option<M::Input>,
    future: Option<BoxFuture<'m, Result<Prediction<M::Output>>>>,
    result: Option<Result<Prediction<M::Output>>>,
}

impl<'m, M: Module + ?Sized> Work<'m, M> {
    pub(super) fn new(module: &'m M, input: M::Input) -> Self {
        Work { module, input: Some(input), future: None, result: None }
    }

    /// Returns the result once the work is done.
    pub(super) fn finish(self) -> Result<Prediction<M::Output>> {
        self.result.unwrap_or_else(unfinished)
    }
}

#[cold]
fn unfinished<T>() -> Result<T> {
    Err(Error::other("a module has ended without a result; please report this bug"))
}

impl<M: Module + ?Sized> Running for Work<'_, M> {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        // The first poll calls `forward`, so that all of it runs in the scope of the call.
        if let Some(input) = self.input.take() {
            self.future = Some(Box::pin(self.module.forward(input)));
        }
        if let Some(future) = &mut self.future {
            match future.as_mut().poll(cx) {
                Poll::Ready(result) => self.result = Some(result),
                Poll::Pending => return Poll::Pending,
            }
            self.future = None;
        }
        Poll::Ready(())
    }

    fn stop(&mut self) {
        self.input = None;
        self.future = None;
    }

    fn outcome(&mut self) -> Option<Result<&mut Usage, &Error>> {
        Some(match self.result.as_mut()? {
            Ok(prediction) => Ok(prediction.usage_mut()),
            Err(error) => Err(error),
        })
    }
}

/// Work as a future. Dropping it early stops the work, in the scope that it is dropped in.
struct Driven<'w>(&'w mut dyn Running);

impl Future for Driven<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs the work of a module, adds up its usage and names its predictors in traces.
pub(super) async fn run(name: &'static str, predictors: Named<'_>, work: &mut dyn Running) {
    let watched = Watched::current();
    watched.register(predictors);
    let operation = observe::module(name, predictors, watched.events.is_some());
    let scope = current_scope();
    let usage = Arc::new(UsageScope::below(scope.usage()));
    let counted = async move {
        scope.tracking(usage.clone()).enter(Driven(&mut *work)).await;
        if let Some(Ok(known)) = work.outcome() {
            *known = usage.total();
        }
        work
    };
    match operation {
        ModuleCall::Unobserved(scope) => {
            scope.enter(counted).await;
        }
        // Boxed, because few programs are watched and all programs nest.
        ModuleCall::Observed(operation) => {
            Box::pin(watch_module(watched.events.as_deref(), operation, counted)).await;
        }
    }
}
