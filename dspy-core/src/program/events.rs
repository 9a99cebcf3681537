//! What happens in a program, as it happens.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::Stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::paths::{Find, Paths};
use super::running::Running;
use super::settings::{Context, inherit};
use crate::error::Result;
use crate::lm::{LmError, Response, Usage};
use crate::observe::{self, CallId, LmCall, Operation};
use crate::predict::{Prediction, Predictor};
use crate::signature::{FieldChange, Values};
use crate::stream::Driven;
use crate::tools::ToolError;

/// Something that happened in a running program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Where: the path of a predictor (`generate_query.predict`), the type of a module, the name of a tool.
    pub source: Arc<str>,
    /// Tells the calls of this process apart, concurrent ones included.
    pub call: u64,
    /// The call in which this one was made; nothing for one that no other made.
    pub parent: Option<u64>,
    /// How long ago the call began; next to nothing at its start.
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// The kinds of [`Event`]. What begins ends with exactly one of the kinds that say so.
///
/// Streams have the pieces of the reply between start and end of a predictor, [observers](crate::observe::Observer) the
/// calls of models and what was cancelled.
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
    /// What has arrived of the reply of a predictor is void and comes anew: the connection broke, the reply was refused,
    /// or it was damaged and means something else as a whole than what had arrived of it.
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
    ModuleFinished {
        /// What all calls in it cost.
        usage: Usage,
    },
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
    /// A request is sent to a model.
    LmStarted {
        /// What is asked of whom.
        call: Arc<LmCall>,
    },
    /// An attempt to send a request has failed, and another one will follow.
    LmRetried {
        /// What is asked of whom.
        call: Arc<LmCall>,
        /// Why it failed.
        error: Box<LmError>,
        /// How long the next attempt waits.
        wait: Duration,
    },
    /// A model has answered.
    LmFinished {
        /// What was asked of whom.
        call: Arc<LmCall>,
        /// The answer.
        response: Arc<Response>,
        /// How long the first piece of a streamed reply took.
        first_token: Option<Duration>,
        /// How often the request was sent again.
        retries: u32,
    },
    /// A model gave no answer.
    LmFailed {
        /// What was asked of whom.
        call: Arc<LmCall>,
        /// Why.
        error: Box<LmError>,
        /// How often the request was sent again.
        retries: u32,
    },
    /// A call of a model was dropped before its end.
    LmCancelled {
        /// What was asked of whom.
        call: Arc<LmCall>,
    },
    /// A call of a predictor, module or tool was dropped before its end.
    Cancelled,
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
    let (id, text) = (CallId::fresh(), text.into());
    observe::status(id, &text);
    if let Some(events) = &Context::current().events {
        events.send(id, "status".into(), EventKind::Status(text)).await;
    }
}

/// Runs a tool between the two events that frame it, where somebody watches.
pub(crate) async fn watch_tool(
    name: &str,
    arguments: &Value,
    run: impl Future<Output = Result<Value, ToolError>>,
) -> Result<Value, ToolError> {
    let context = Context::current();
    let Some(operation) = observe::tool(name, arguments, context.events.is_some()) else { return run.await };
    let (id, source) = (operation.id(), operation.source().clone());
    if let Some(events) = &context.events {
        events.send(id, source.clone(), EventKind::ToolStarted { arguments: arguments.clone() }).await;
    }
    let result = operation.run(run).await;
    operation.tool_ended(result.as_ref());
    if let Some(events) = &context.events {
        let end = match &result {
            Ok(result) => EventKind::ToolFinished { result: result.clone() },
            Err(error) => EventKind::Failed { error: error.to_string() },
        };
        events.send(id, source, end).await;
    }
    result
}

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
    operation.module_ended(outcome);
    if let Some(events) = events {
        let end = match outcome {
            Ok(usage) => EventKind::ModuleFinished { usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        };
        events.send(id, source, end).await;
    }
}

/// Hands the events of a program on to its watcher.
pub(crate) struct EventScope {
    sender: mpsc::Sender<Event>,
    paths: Paths,
    outer: Option<Arc<EventScope>>,
}

impl EventScope {
    pub(super) fn register(&self, find: Find<'_, '_>) {
        self.paths.register(find);
        if let Some(outer) = &self.outer {
            outer.register(find);
        }
    }

    async fn send(&self, id: CallId, source: Arc<str>, kind: EventKind) {
        for scope in self.chain() {
            // A watcher that has gone away needs no news.
            let _ = scope.sender.send(id.event(source.clone(), kind.clone())).await;
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
    pub(crate) async fn predictor(&self, id: CallId, sources: &[Arc<str>], kind: EventKind) {
        for (scope, source) in self.chain().zip(sources) {
            let _ = scope.sender.send(id.event(source.clone(), kind.clone())).await;
        }
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
        let scope = EventScope { sender, paths: Paths::default(), outer };
        // `inherit` takes the LM scope of the one who asks; what is polled later may run in another task.
        inherit(context.watched(Arc::new(scope)).enter(work))
    })
}

type Outcome<O> = Result<Prediction<O>>;

/// A program that runs while its events are read; made by [`Module::events`](super::Module::events).
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

impl<O> Stream for EventStream<'_, O> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx)
    }
}
