//! Events of a running program.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use dspy_lm::internal::Driven;
use futures_util::future::lazy;
use futures_util::{FutureExt as _, Stream};

use super::running::Running;
use crate::error::Result;
use crate::observe::{Event, EventKind, EventScope, Failure, Operation, Watched};
use crate::predictor::Prediction;
use crate::settings::inherit_unless_given;

/// Runs a module that is observed or watched.
pub(super) async fn watch_module<'w>(
    events: Option<&EventScope>,
    operation: Operation,
    work: impl Future<Output = &'w mut (dyn Running + 'w)>,
) {
    let (id, source) = (operation.id(), operation.source().clone());
    if let Some(events) = events {
        events.send(id, source.clone(), EventKind::ModuleStarted).await;
    }
    let done = operation.run(work).await;
    let Some(outcome) = done.outcome() else { return };
    let outcome = outcome.map(|usage| *usage);
    operation.module_ended(outcome.map_err(|error| error as &dyn Failure));
    if let Some(events) = events {
        let end = match outcome {
            Ok(usage) => EventKind::ModuleFinished { usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        };
        events.send(id, source, end).await;
    }
}

/// Creates a driver for work whose events are watched, in the settings, the trace and the LM scope of the
/// task that polls it first or, if that has none, of the current task.
pub(crate) fn watched<'a, F>(work: F) -> Driven<'a, Event, F::Output>
where
    F: Future + Send + 'a,
{
    Driven::new(|sender| {
        let told = lazy(move |_| Watched::current().told(sender).enter(work));
        inherit_unless_given(told.flatten())
    })
}

type Outcome<O> = Result<Prediction<O>>;

/// A running program as a stream of its events; made by [`Module::events`](super::Module::events).
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{EventKind, Module};
/// use dspy_core::signature::{FieldUpdate, Values};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut program = DynPredict::new("question -> answer".parse()?);
/// program.predictor_mut().set_lm(Lm::scripted(["[[ ## answer ## ]]\nParis, of course."]));
/// let mut inputs = Values::new();
/// inputs.insert("question".into(), "Capital of France?".into());
/// let mut run = program.events(inputs);
/// let mut shown = String::new();
/// while let Some(event) = run.next().await {
///     if let EventKind::Field(change) = event.kind && let FieldUpdate::More(text) = change.update {
///         shown += &text;
///     }
/// }
/// assert_eq!(shown, "Paris, of course.");
/// assert_eq!(run.finish().await?["answer"], "Paris, of course.");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct EventStream<'a, O>(Driven<'a, Event, Outcome<O>>);

impl<'a, O> EventStream<'a, O> {
    pub(super) fn new(call: impl Future<Output = Outcome<O>> + Send + 'a) -> Self {
        EventStream(watched(call))
    }

    /// Returns the next event; `None` when the program has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }

    /// Runs the program to its end and returns its result.
    ///
    /// # Errors
    /// The errors of the program.
    pub async fn finish(self) -> Outcome<O> {
        self.0.finish().await
    }
}

impl<O> Stream for EventStream<'_, O> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx)
    }
}
