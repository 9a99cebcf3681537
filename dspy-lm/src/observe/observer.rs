//! The observers of calls.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::event::CallEvent;

/// An observer of model calls.
pub trait CallObserver: Any + Send + Sync {
    /// Receives an event.
    fn event(&self, event: CallEvent);
}

/// A linked list of nested observers, the innermost first.
pub(super) struct Node {
    observer: Arc<dyn CallObserver>,
    outer: Option<Arc<Node>>,
}

/// The observers of a call.
#[derive(Clone, Default)]
pub struct Observers {
    /// The observers of the task.
    scope: Option<Arc<Node>>,
    /// The observers of the process.
    process: Option<Arc<Node>>,
}

impl Observers {
    pub(super) fn new(scope: Option<Arc<Node>>, process: Option<Arc<Node>>) -> Self {
        Observers { scope, process }
    }

    /// Creates a set of this observer alone.
    pub fn only(observer: Arc<dyn CallObserver>) -> Self {
        Observers { scope: Some(Arc::new(Node { observer, outer: None })), process: None }
    }

    /// Returns whether there are no observers.
    pub fn is_empty(&self) -> bool {
        self.scope.is_none() && self.process.is_none()
    }

    /// Returns all observers, the innermost first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn CallObserver>> {
        let chain = |node| std::iter::successors(node, |node: &&Node| node.outer.as_deref());
        chain(self.scope.as_deref()).chain(chain(self.process.as_deref())).map(|node| &node.observer)
    }

    /// Sends an event to all observers.
    pub(super) fn tell(&self, event: &CallEvent) {
        self.each(|observer| observer.event(event.clone()));
    }

    /// Calls `tell` with each observer. A panic in one is caught and logged.
    pub fn each(&self, tell: impl Fn(&dyn CallObserver)) {
        for observer in self.iter() {
            if catch_unwind(AssertUnwindSafe(|| tell(&**observer))).is_err() {
                tracing::error!(target: "dspy", "an observer panicked; the call continues without it");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").finish_non_exhaustive()
    }
}

/// The observers that settings add to those of a scope.
#[derive(Clone, Default)]
pub struct Added(Vec<Arc<dyn CallObserver>>);

impl Added {
    /// Adds an observer, inside of those added before.
    pub fn push(&mut self, observer: Arc<dyn CallObserver>) {
        super::scope::observer_made();
        self.0.push(observer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns these observers nested in those of the enclosing scope.
    pub(super) fn over(self, outer: Option<Arc<Node>>) -> Option<Arc<Node>> {
        self.0.into_iter().fold(outer, |outer, observer| Some(Arc::new(Node { observer, outer })))
    }
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} observers>", self.0.len())
    }
}
