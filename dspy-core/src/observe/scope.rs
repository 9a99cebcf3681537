//! What the observers of a task need to know of it: who they are, and inside of which call it is.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, RwLock};

use tracing::level_filters::LevelFilter;
use tracing::{Instrument as _, Span};

use super::gen_ai::CAPTURE_VAR;
use super::lm_call::LmProgress;
use super::observer::{Added, Node, Observers};
use crate::locks::RwLockExt as _;
use crate::program::{Find, Paths};

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// What is observed of a task.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    observers: Option<Arc<Node>>,
    content: Option<bool>,
    /// The call that the task is in.
    pub(super) call: Option<u64>,
    /// The predictor that the task is in.
    pub(super) predictor: Option<Arc<str>>,
    paths: Option<Arc<Paths>>,
    pub(super) lm: Option<Arc<LmProgress>>,
}

/// What settings say about observation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observation {
    pub(crate) observers: Added,
    pub(crate) content: Option<bool>,
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
pub(crate) fn configure(observation: Observation) {
    let mut process = PROCESS.write_any();
    if !observation.observers.is_empty() {
        process.observers = observation.observers.over(process.lasting.clone());
        OBSERVED.store(true, Ordering::Release);
    }
    process.content = observation.content.or(process.content);
}

/// Adds an observer of the process that stays whatever is configured.
#[cfg(feature = "otel")]
pub(super) fn observe_for_good(observer: Arc<dyn super::Observer>) {
    let mut added = Added::default();
    added.push(observer);
    let mut process = PROCESS.write_any();
    process.observers = added.clone().over(process.observers.take());
    process.lasting = added.over(process.lasting.take());
    OBSERVED.store(true, Ordering::Release);
}

/// Notes that an observer was made. Bound to a model as a layer, it stands in no scope, and wants to know paths too.
pub(super) fn observer_made() {
    OBSERVERS_EXIST.store(true, Ordering::Release);
}

/// Whether somebody may want to know what happens: nobody else pays for finding out who.
pub(super) fn may_be_observed() -> bool {
    // Asking the subscriber whether it wants spans of ours would confuse its filters, unless a span follows.
    LevelFilter::current() >= LevelFilter::INFO || OBSERVERS_EXIST.load(Ordering::Acquire)
}

impl Scope {
    pub(super) fn current() -> Arc<Scope> {
        SCOPE.try_with(Arc::clone).unwrap_or_default()
    }

    pub(super) fn observers(&self) -> Observers {
        let process =
            if OBSERVED.load(Ordering::Acquire) { PROCESS.read_any().observers.clone() } else { None };
        Observers::new(self.observers.clone(), process)
    }

    /// Whether spans hold what is said.
    pub(super) fn shows_content(&self) -> bool {
        let process = || PROCESS.read_any().content;
        self.content.or_else(process).unwrap_or(*CAPTURE)
    }

    pub(super) fn enter<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        SCOPE.scope(self, future)
    }

    /// This scope with the paths of a program that is about to run. Those of an enclosing program stay.
    pub(super) fn registered(&self, find: Find<'_, '_>) -> Scope {
        let mut scope = self.clone();
        scope.paths.get_or_insert_default().register(find);
        scope
    }

    pub(super) fn path(&self, predictor: &crate::predict::Predictor) -> Arc<str> {
        match &self.paths {
            Some(paths) => paths.of(predictor),
            None => "self".into(),
        }
    }
}

/// Runs `future` with what settings add to the observation of the current task.
pub(crate) fn observing<F: Future>(observation: Observation, future: F) -> impl Future<Output = F::Output> {
    let mut scope = (*Scope::current()).clone();
    scope.observers = observation.observers.over(scope.observers);
    scope.content = observation.content.or(scope.content);
    Arc::new(scope).enter(future)
}

/// Carries what is observed of the current task, and its span, into `future`, which may then be spawned.
pub(crate) fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    Scope::current().enter(future.instrument(Span::current()))
}

/// Learns the paths of a module that is a single predictor, where somebody wants to know them.
pub(crate) fn leaf(find: Find<'_, '_>) -> Option<NamedScope> {
    may_be_observed().then(|| NamedScope::new(Scope::current().registered(find)))
}

/// Where predictors run whose paths are known.
pub(crate) struct NamedScope(Arc<Scope>);

impl NamedScope {
    pub(super) fn new(scope: Scope) -> Self {
        NamedScope(Arc::new(scope))
    }

    pub(crate) fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        self.0.enter(future)
    }
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
