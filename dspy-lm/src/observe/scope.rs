//! What the observers of a task need to know of it: who they are, and inside of which call it is.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Span};

use super::gen_ai::CAPTURE_VAR;
use super::observer::{Added, CallObserver, Node, Observers};
use super::operation::LmProgress;
use dspy_base::locks::RwLockExt as _;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// What is observed of a task.
#[derive(Clone, Default)]
pub struct Scope {
    observers: Option<Arc<Node>>,
    content: Option<bool>,
    /// The call that the task is in.
    pub(super) call: Option<u64>,
    /// The path of the predictor that the task is in.
    pub predictor: Option<Arc<str>>,
    /// What the rooms above know of the program that the task is in.
    pub program: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) lm: Option<Arc<LmProgress>>,
}

/// What settings say about observation.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// Who is told of calls besides those who are already.
    pub observers: Added,
    /// Whether spans hold what is said.
    pub content: Option<bool>,
}

struct Process {
    /// All of them.
    observers: Option<Arc<Node>>,
    /// Those that stay whatever is configured.
    lasting: Option<Arc<Node>>,
    content: Option<bool>,
}

static PROCESS: RwLock<Process> = RwLock::new(Process { observers: None, lasting: None, content: None });
/// Whether the process has observers, so that those who have none pay nothing for the lock.
static OBSERVED: AtomicBool = AtomicBool::new(false);
/// Whether anything of this process was ever made that is told of calls, wherever it may be set or bound.
static OBSERVERS_EXIST: AtomicBool = AtomicBool::new(false);
static CAPTURE: LazyLock<bool> = LazyLock::new(|| captures(std::env::var(CAPTURE_VAR).ok().as_deref()));

/// Whether the variable asks for content in spans.
fn captures(value: Option<&str>) -> bool {
    let value = value.unwrap_or_default().trim().to_ascii_lowercase();
    matches!(value.as_str(), "true" | "1" | "span_only" | "span_and_event")
}

/// Sets what is observed by default. What is left open stays.
pub fn configure(observation: Observation) {
    let mut process = PROCESS.write_any();
    if !observation.observers.is_empty() {
        process.observers = observation.observers.over(process.lasting.clone());
        OBSERVED.store(true, Ordering::Release);
    }
    process.content = observation.content.or(process.content);
}

/// Adds an observer of the process that stays whatever is configured.
pub fn observe_for_good(observer: Arc<dyn CallObserver>) {
    let mut added = Added::default();
    added.push(observer);
    let mut process = PROCESS.write_any();
    process.observers = added.clone().over(process.observers.take());
    process.lasting = added.over(process.lasting.take());
    OBSERVED.store(true, Ordering::Release);
}

/// Notes that an observer was made. Bound to a model as a layer, it stands in no scope, and wants to know paths too.
pub fn observer_made() {
    OBSERVERS_EXIST.store(true, Ordering::Release);
}

/// Whether somebody may want to know what happens: nobody else pays for finding out who.
pub fn may_be_observed() -> bool {
    // Asking the subscriber whether it wants spans of ours would confuse its filters, unless a span follows.
    LevelFilter::current() >= LevelFilter::INFO || OBSERVERS_EXIST.load(Ordering::Acquire)
}

impl Scope {
    /// That of the current task.
    pub fn current() -> Arc<Scope> {
        SCOPE.try_with(Arc::clone).unwrap_or_default()
    }

    /// Who is told of a call in it.
    pub fn observers(&self) -> Observers {
        let process =
            if OBSERVED.load(Ordering::Acquire) { PROCESS.read_any().observers.clone() } else { None };
        Observers::new(self.observers.clone(), process)
    }

    /// Whether spans hold what is said.
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

/// Runs `future` with what settings add to the observation of the current task.
pub fn observing<F: Future>(observation: Observation, future: F) -> impl Future<Output = F::Output> {
    let mut scope = (*Scope::current()).clone();
    scope.observers = observation.observers.over(scope.observers);
    scope.content = observation.content.or(scope.content);
    Arc::new(scope).enter(future)
}

/// Carries what is observed of the current task, and its span, into `future`, which may then be spawned.
pub fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    Scope::current().enter(future.instrument(Span::current()))
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
