//! Watchers of a running task: a stream of events, a trace.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use dspy_lm::observe::CallId;
use tokio::sync::mpsc;

use super::operation;
use super::paths::{Named, Paths, PredictorRef};
use super::trace::TraceScope;
use super::{Event, EventKind};

tokio::task_local! {
    static WATCHED: Watched;
}

/// The watchers of a task.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    pub(crate) trace: Option<Arc<TraceScope>>,
    pub(crate) events: Option<Arc<EventScope>>,
    /// The layers around tools, which belong to the same tasks. Their type is that of another module.
    pub(crate) tools: Option<Arc<dyn Any + Send + Sync>>,
    /// The call of a tool that the tasks work on, of a type of another module.
    pub(crate) call: Option<Arc<dyn Any + Send + Sync>>,
    /// The part of a program that the tasks belong to, of a type of another crate.
    pub(crate) part: Option<Arc<dyn Any + Send + Sync>>,
}

impl Watched {
    pub(crate) fn current() -> Watched {
        WATCHED.try_with(Watched::clone).unwrap_or_default()
    }

    /// Runs `future` under these watchers.
    pub(crate) fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        WATCHED.scope(self, future)
    }

    /// Returns these watchers, and those of `other` where there are none.
    pub(crate) fn or(self, other: Watched) -> Watched {
        Watched {
            trace: self.trace.or(other.trace),
            events: self.events.or(other.events),
            tools: self.tools.or(other.tools),
            call: self.call.or(other.call),
            part: self.part.or(other.part),
        }
    }

    pub(super) fn traced(self, trace: Arc<TraceScope>) -> Watched {
        Watched { trace: Some(trace), ..self }
    }

    /// Adds a receiver of events.
    pub(crate) fn told(self, sender: mpsc::Sender<Event>) -> Watched {
        let scope = EventScope { sender, paths: Paths::default(), outer: self.events };
        Watched { events: Some(Arc::new(scope)), ..self }
    }

    /// Registers the paths of a program that is about to run, if they are needed.
    pub(crate) fn register(&self, named: Named<'_>) {
        if let Some(trace) = &self.trace {
            trace.register(named);
        }
        if let Some(events) = &self.events {
            events.register(named);
        }
    }

    /// Gives copies of predictors the paths of their originals.
    pub(super) fn register_copies(&self, pairs: &[(PredictorRef, PredictorRef)]) {
        if let Some(trace) = &self.trace {
            trace.register_copies(pairs);
        }
        if let Some(events) = &self.events {
            events.chain().for_each(|scope| scope.paths.register_copies(pairs));
        }
    }
}

/// Runs `future` as a part of a program that strategies know by `part`, in all tasks that it [spawns](crate::program::spawn).
#[doc(hidden)]
pub async fn with_part<F: Future>(part: Arc<dyn Any + Send + Sync>, future: F) -> F::Output {
    Watched { part: Some(part), ..Watched::current() }.enter(future).await
}

/// Returns what strategies know the current part of a program by, if it is of this type.
#[doc(hidden)]
pub fn part<T: Any + Send + Sync>() -> Option<Arc<T>> {
    WATCHED.try_with(|watched| watched.part.clone()).ok().flatten()?.downcast().ok()
}

/// Sends a progress message to the watchers of the program that the current task belongs to. Does nothing if
/// there are none.
///
/// ```
/// # async fn doc() {
/// dspy_core::program::status("looking for sources").await;
/// # }
/// ```
pub async fn status(text: impl Into<String>) {
    let (id, text) = (CallId::fresh(), text.into());
    operation::status(id, &text);
    if let Some(events) = &Watched::current().events {
        events.send(id, "status".into(), EventKind::Status(text)).await;
    }
}

/// A channel from the events of a program to its watcher.
pub(crate) struct EventScope {
    sender: mpsc::Sender<Event>,
    paths: Paths,
    outer: Option<Arc<EventScope>>,
}

impl EventScope {
    fn register(&self, named: Named<'_>) {
        self.paths.register(named);
        if let Some(outer) = &self.outer {
            outer.register(named);
        }
    }

    pub(crate) async fn send(&self, id: CallId, source: Arc<str>, kind: EventKind) {
        for scope in self.chain() {
            // The watcher may have been dropped.
            let _ = scope.sender.send(Event::of(id, source.clone(), kind.clone())).await;
        }
    }

    fn chain(&self) -> impl Iterator<Item = &EventScope> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }

    /// Returns the paths by which the watchers know a predictor, the innermost first.
    pub(crate) fn sources(&self, predictor: PredictorRef) -> Vec<Arc<str>> {
        self.chain().map(|scope| scope.paths.of(predictor)).collect()
    }

    /// Sends an event of the predictor with these [`sources`](Self::sources).
    pub(crate) async fn predictor(&self, id: CallId, sources: &[Arc<str>], kind: EventKind) {
        for (scope, source) in self.chain().zip(sources) {
            let _ = scope.sender.send(Event::of(id, source.clone(), kind.clone())).await;
        }
    }
}

impl fmt::Debug for EventScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventScope").finish_non_exhaustive()
    }
}
