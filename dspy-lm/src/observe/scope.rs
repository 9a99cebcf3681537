//! The observation of a task: its observers, and the call in which it runs.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, RwLock};

use futures_util::FutureExt as _;
use futures_util::future::lazy;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Span};

use super::gen_ai::CAPTURE_VAR;
use super::observer::{Added, CallObserver, Node, Observers};
use super::operation::LmProgress;
use dspy_base::locks::RwLockExt as _;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// The observation of a task.
#[derive(Clone, Default)]
pub struct Scope {
    observers: Option<Arc<Node>>,
    content: Option<bool>,
    /// The call in which the task runs.
    pub(super) call: Option<u64>,
    /// The path of the predictor in which the task runs.
    pub predictor: Option<Arc<str>>,
    /// The data of higher crates about the program in which the task runs.
    pub program: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) lm: Option<Arc<LmProgress>>,
}

/// The settings of observation.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The observers to add to the present ones.
    pub observers: Added,
    /// Whether spans contain prompts and replies; `None` leaves the setting unchanged.
    pub content: Option<bool>,
}

struct Process {
    /// All observers of the process.
    observers: Option<Arc<Node>>,
    /// The observers that [`configure`] does not replace.
    lasting: Option<Arc<Node>>,
    content: Option<bool>,
}

static PROCESS: RwLock<Process> = RwLock::new(Process { observers: None, lasting: None, content: None });
/// Whether the process has observers, so that the lock is taken only if it has.
static OBSERVED: AtomicBool = AtomicBool::new(false);
/// Whether any observer was ever created in this process, in a scope or for a model.
static OBSERVERS_EXIST: AtomicBool = AtomicBool::new(false);
static CAPTURE: LazyLock<bool> = LazyLock::new(|| captures(std::env::var(CAPTURE_VAR).ok().as_deref()));

/// Returns whether the value of the environment variable enables content in spans.
fn captures(value: Option<&str>) -> bool {
    let value = value.unwrap_or_default().trim().to_ascii_lowercase();
    matches!(value.as_str(), "true" | "1" | "span_only" | "span_and_event")
}

/// Sets the default observation of the process. Unset parts remain as they are.
pub fn configure(observation: Observation) {
    let mut process = PROCESS.write_any();
    if !observation.observers.is_empty() {
        process.observers = observation.observers.over(process.lasting.clone());
        OBSERVED.store(true, Ordering::Release);
    }
    process.content = observation.content.or(process.content);
}

/// Adds an observer of the process that [`configure`] does not replace.
pub fn observe_for_good(observer: Arc<dyn CallObserver>) {
    let mut added = Added::default();
    added.push(observer);
    let mut process = PROCESS.write_any();
    process.observers = added.clone().over(process.observers.take());
    process.lasting = added.over(process.lasting.take());
    OBSERVED.store(true, Ordering::Release);
}

/// Records that an observer was created. One bound to a model as a layer is in no scope, but needs the paths
/// too.
pub fn observer_made() {
    OBSERVERS_EXIST.store(true, Ordering::Release);
}

/// Returns whether calls may be observed, so that the observers are determined only if necessary.
pub fn may_be_observed() -> bool {
    // Asking the subscriber about spans of ours would confuse its filters, unless a span follows.
    LevelFilter::current() >= LevelFilter::INFO || OBSERVERS_EXIST.load(Ordering::Acquire)
}

impl Scope {
    /// Returns the scope of the current task.
    pub fn current() -> Arc<Scope> {
        Scope::entered().unwrap_or_default()
    }

    /// Returns the scope of the current task, if it is in one.
    fn entered() -> Option<Arc<Scope>> {
        SCOPE.try_with(Arc::clone).ok()
    }

    /// Returns the observers of a call in this scope.
    pub fn observers(&self) -> Observers {
        let process =
            if OBSERVED.load(Ordering::Acquire) { PROCESS.read_any().observers.clone() } else { None };
        Observers::new(self.observers.clone(), process)
    }

    /// Returns whether spans contain prompts and replies.
    pub(super) fn shows_content(&self) -> bool {
        let process = || PROCESS.read_any().content;
        self.content.or_else(process).unwrap_or(*CAPTURE)
    }

    /// Runs `future` in this scope.
    pub fn enter<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        SCOPE.scope(self, future)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Runs `future` with these settings added to the observation of the task that first polls it or, if that has none, of
/// the current task.
pub fn observing<F: Future>(observation: Observation, future: F) -> impl Future<Output = F::Output> {
    let made_in = Scope::current();
    lazy(move |_| {
        let mut scope = (*Scope::entered().unwrap_or(made_in)).clone();
        scope.observers = observation.observers.over(scope.observers);
        scope.content = observation.content.or(scope.content);
        Arc::new(scope).enter(future)
    })
    .flatten()
}

/// Runs `future` with the observation and the span of the current task, also if it is spawned.
pub fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    Scope::current().enter(future.instrument(Span::current()))
}

/// Runs `future` with the observation and the span of the task that first polls it. If that task has none, they are
/// those of the current task.
pub fn inherit_unless_given<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let (made_in, made_under) = (Scope::current(), Span::current());
    lazy(move |_| {
        let (scope, span) = (Scope::entered().unwrap_or(made_in), Span::current());
        scope.enter(future.instrument(if span.is_none() { made_under } else { span }))
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::captures;

    #[test]
    fn content_is_captured_when_the_variable_says_so() {
        for yes in ["true", "TRUE", "1", "SPAN_ONLY", " span_and_event "] {
            assert!(captures(Some(yes)), "{yes}");
        }
        for no in [None, Some(""), Some("false"), Some("NO_CONTENT"), Some("EVENT_ONLY"), Some("0")] {
            assert!(!captures(no), "{no:?}");
        }
    }
}
