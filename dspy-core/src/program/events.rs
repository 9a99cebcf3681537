//! What happens in a program, as it happens.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};

use futures_util::Stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::HasPredictors;
use super::paths::Paths;
use super::settings::{Context, inherit};
use crate::lm::Usage;
use crate::predict::{Prediction, Predictor};
use crate::signature::{FieldChange, Values};
use crate::stream::Driven;

/// Something that happened in a running program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Where: the path of a predictor (`generate_query.predict`), the type of a module, the name of a tool.
    pub source: Arc<str>,
    /// Tells the calls of one stream apart, concurrent ones included.
    pub call: u64,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of [`Event`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A predictor is called.
    Started {
        /// Its input values.
        inputs: Values,
    },
    /// Something of an output field of a predictor has arrived.
    Field(FieldChange),
    /// More of the reasoning that the model returns beside its reply.
    Reasoning(String),
    /// The reply of a predictor is void and another one is on its way: the connection broke, or the reply was refused.
    Restarted {
        /// What was wrong with the reply; empty if the connection broke.
        problems: String,
    },
    /// A predictor has its outputs.
    Finished {
        /// The output values.
        outputs: Values,
        /// What the call cost, all attempts included.
        usage: Usage,
    },
    /// A call has failed.
    Failed {
        /// The error, as it is shown.
        error: String,
    },
    /// A module begins.
    ModuleStarted,
    /// A module is done.
    ModuleFinished,
    /// A tool is called.
    ToolStarted {
        /// Its arguments.
        arguments: Value,
    },
    /// A tool has answered.
    ToolFinished {
        /// Its answer.
        result: Value,
    },
    /// What the program itself says of its progress; see [`status`].
    Status(String),
}

/// Says something to whoever watches the program that the current task belongs to; nothing if nobody does.
///
/// ```
/// # async fn doc() {
/// dspy_core::program::status("looking for sources").await;
/// # }
/// ```
pub async fn status(text: impl Into<String>) {
    if let Some(events) = &Context::current().events {
        events.send(events.number(), "status".into(), EventKind::Status(text.into())).await;
    }
}

/// Runs a tool between the two events that frame it, where somebody watches.
pub(crate) async fn watch_tool<E: fmt::Display>(
    name: &str,
    arguments: &Value,
    run: impl Future<Output = Result<Value, E>>,
) -> Result<Value, E> {
    let context = Context::current();
    let Some(events) = &context.events else { return run.await };
    let (call, source): (u64, Arc<str>) = (events.number(), name.into());
    events.send(call, source.clone(), EventKind::ToolStarted { arguments: arguments.clone() }).await;
    let result = run.await;
    let end = match &result {
        Ok(result) => EventKind::ToolFinished { result: result.clone() },
        Err(error) => EventKind::Failed { error: error.to_string() },
    };
    events.send(call, source, end).await;
    result
}

/// Hands the events of a program on to its watcher.
pub(crate) struct EventScope {
    sender: mpsc::Sender<Event>,
    paths: Paths,
    next: AtomicU64,
    outer: Option<Arc<EventScope>>,
}

impl EventScope {
    /// A number for a new call. Watchers of one stream see the numbers of that stream only.
    pub(crate) fn number(&self) -> u64 {
        self.chain().last().unwrap_or(self).next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn register(&self, module: &(impl HasPredictors + ?Sized)) {
        self.paths.register(module);
        if let Some(outer) = &self.outer {
            outer.register(module);
        }
    }

    async fn send(&self, call: u64, source: Arc<str>, kind: EventKind) {
        for scope in self.chain() {
            // A watcher that has gone away needs no news.
            let _ = scope.sender.send(Event { source: source.clone(), call, kind: kind.clone() }).await;
        }
    }

    fn chain(&self) -> impl Iterator<Item = &EventScope> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }

    /// The paths that the watchers know a predictor by, the innermost first.
    pub(crate) fn sources(&self, predictor: &Predictor) -> Vec<Arc<str>> {
        self.chain().map(|scope| scope.paths.of(predictor)).collect()
    }

    /// Hands on an event of the predictor with these [`sources`](Self::sources).
    pub(crate) async fn predictor(&self, call: u64, sources: &[Arc<str>], kind: EventKind) {
        for (scope, source) in self.chain().zip(sources) {
            let _ = scope.sender.send(Event { source: source.clone(), call, kind: kind.clone() }).await;
        }
    }

    /// Says that a module begins.
    pub(super) async fn module_started(&self, name: &'static str) -> ModuleCall<'_> {
        let call = ModuleCall { events: self, number: self.number(), name: name.into() };
        self.send(call.number, call.name.clone(), EventKind::ModuleStarted).await;
        call
    }
}

/// A module that runs under a watcher.
pub(super) struct ModuleCall<'a> {
    events: &'a EventScope,
    number: u64,
    name: Arc<str>,
}

impl ModuleCall<'_> {
    /// Says that it is done, or how it failed.
    pub(super) async fn end(self, error: Option<String>) {
        let kind = error.map_or(EventKind::ModuleFinished, |error| EventKind::Failed { error });
        self.events.send(self.number, self.name, kind).await;
    }
}

impl fmt::Debug for EventScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventScope").finish_non_exhaustive()
    }
}

/// Work whose events are watched, in the settings, the trace and the LM scope of the current task.
pub(crate) fn watched<'a, F>(work: F) -> Driven<'a, Event, F::Output>
where
    F: Future + Send + 'a,
{
    let context = Context::current();
    Driven::new(|sender| {
        let outer = context.events.clone();
        let scope = EventScope { sender, paths: Paths::default(), next: AtomicU64::new(0), outer };
        // `inherit` takes the LM scope of the one who asks; what is polled later may run in another task.
        inherit(context.watched(Arc::new(scope)).enter(work))
    })
}

type Outcome<O> = crate::error::Result<Prediction<O>>;

/// A program that runs while its events are read; made by [`Module::stream`](super::Module::stream).
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
/// let mut run = program.stream(inputs);
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
pub struct ProgramStream<'a, O>(Driven<'a, Event, Outcome<O>>);

impl<'a, O> ProgramStream<'a, O> {
    pub(super) fn new(call: impl Future<Output = Outcome<O>> + Send + 'a) -> Self {
        ProgramStream(watched(call))
    }

    /// The next event; nothing when the program has ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// Whatever the program reports.
    pub async fn finish(self) -> Outcome<O> {
        self.0.finish().await
    }
}

impl<O> Stream for ProgramStream<'_, O> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx)
    }
}
