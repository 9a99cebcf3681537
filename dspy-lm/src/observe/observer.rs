//! Who is told of calls.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::event::CallEvent;

/// Something that is told of calls of models.
pub trait CallObserver: Any + Send + Sync {
    /// Is told of one event.
    fn event(&self, event: CallEvent);
}

/// Observers that are set one over the other, the innermost first.
pub(super) struct Node {
    observer: Arc<dyn CallObserver>,
    outer: Option<Arc<Node>>,
}

/// Those who observe a call.
#[derive(Clone, Default)]
pub struct Observers {
    /// Of the task.
    scope: Option<Arc<Node>>,
    /// Of the process.
    process: Option<Arc<Node>>,
}

impl Observers {
    pub(super) fn new(scope: Option<Arc<Node>>, process: Option<Arc<Node>>) -> Self {
        Observers { scope, process }
    }

    /// This one alone.
    pub fn only(observer: Arc<dyn CallObserver>) -> Self {
        Observers { scope: Some(Arc::new(Node { observer, outer: None })), process: None }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scope.is_none() && self.process.is_none()
    }

    /// All of them, the innermost first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn CallObserver>> {
        let chain = |node| std::iter::successors(node, |node: &&Node| node.outer.as_deref());
        chain(self.scope.as_deref()).chain(chain(self.process.as_deref())).map(|node| &node.observer)
    }

    /// Tells all of them.
    pub(super) fn tell(&self, event: &CallEvent) {
        self.each(|observer| observer.event(event.clone()));
    }

    /// Does something with each of them. A panic in one is caught and logged.
    pub fn each(&self, tell: impl Fn(&dyn CallObserver)) {
        for observer in self.iter() {
            if catch_unwind(AssertUnwindSafe(|| tell(&**observer))).is_err() {
                tracing::error!(target: "dspy", "an observer panicked; the call goes on without it");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").finish_non_exhaustive()
    }
}

/// What settings add to the observers of a scope.
#[derive(Clone, Default)]
pub struct Added(Vec<Arc<dyn CallObserver>>);

impl Added {
    /// Adds one, over those that were added before.
    pub fn push(&mut self, observer: Arc<dyn CallObserver>) {
        super::scope::observer_made();
        self.0.push(observer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The observers over those of the enclosing scope.
    pub(super) fn over(self, outer: Option<Arc<Node>>) -> Option<Arc<Node>> {
        self.0.into_iter().fold(outer, |outer, observer| Some(Arc::new(Node { observer, outer })))
    }
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} observers>", self.0.len())
    }
}
