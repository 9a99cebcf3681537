//! Who is told what happens.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::program::Event;

/// Something that is told what happens in programs: each call of a module, predictor, model or tool, when it starts
/// and when it ends.
///
/// Functions of an [`Event`] are observers. Set one with [`Settings::observe`](crate::program::Settings::observe) for
/// the process or a scope.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::program::{Event, EventKind, Settings};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let tokens = Arc::new(AtomicU64::new(0));
/// let sum = tokens.clone();
/// let settings = Settings::new().observe(move |event: &Event| {
///     if let EventKind::LmFinished { response, .. } = &event.kind {
///         sum.fetch_add(response.usage.total_tokens(), Ordering::Relaxed);
///     }
/// });
/// settings.scope(async { Lm::scripted(["Paris"]).ask("Capital of France?").await }).await?;
/// assert!(tokens.load(Ordering::Relaxed) > 0);
/// # Ok::<(), dspy_core::lm::LmError>(()) }).unwrap();
/// ```
///
/// Observers are called where things happen, one after another: one that takes long holds up the program. A panic in
/// one is caught and logged.
pub trait Observer: Any + Send + Sync {
    /// Is told of one event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// Observers that are set one over the other, the innermost first.
pub(super) struct Node {
    observer: Arc<dyn Observer>,
    outer: Option<Arc<Node>>,
}

/// Those who observe a call.
#[derive(Clone, Default)]
pub(crate) struct Observers {
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
    pub(super) fn only(observer: Arc<dyn Observer>) -> Self {
        Observers { scope: Some(Arc::new(Node { observer, outer: None })), process: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scope.is_none() && self.process.is_none()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Observer>> {
        let chain = |node| std::iter::successors(node, |node: &&Node| node.outer.as_deref());
        chain(self.scope.as_deref()).chain(chain(self.process.as_deref())).map(|node| &node.observer)
    }

    /// Tells all of them.
    pub(super) fn tell(&self, event: &Event) {
        for observer in self.iter() {
            if catch_unwind(AssertUnwindSafe(|| observer.event(event))).is_err() {
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
pub(crate) struct Added(Vec<Arc<dyn Observer>>);

impl Added {
    pub(crate) fn push(&mut self, observer: Arc<dyn Observer>) {
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
