//! Observed calls of any kind.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{Instrument as _, Span};

use super::observer::Observers;
use super::scope::Scope;
use super::spans;

/// The identity of a call: its number, its parent and its start.
#[derive(Debug, Clone, Copy)]
pub struct CallId {
    /// A number that identifies the call within this process.
    pub call: u64,
    /// The call that made this one.
    pub parent: Option<u64>,
    /// The start of the call.
    pub started: Instant,
}

impl CallId {
    /// Creates the id of a call that starts now, inside of the call of the current task.
    pub fn fresh() -> Self {
        Self::inside(&Scope::current())
    }

    fn inside(scope: &Scope) -> Self {
        // Zero stands for no call.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let call = NEXT.fetch_add(1, Ordering::Relaxed);
        CallId { call, parent: scope.call, started: Instant::now() }
    }

    /// Returns the time since the call began.
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}

/// An observed call.
#[derive(Debug)]
pub struct Frame {
    /// The identity of the call.
    pub id: CallId,
    /// The name of the callee: the path of a predictor, the type of a module, the name of a model or tool.
    pub source: Arc<str>,
    /// The observers of the call.
    pub observers: Observers,
    /// The span of the call.
    pub span: Span,
    /// Whether the span contains inputs and outputs.
    pub content: bool,
    /// The scope in which the work of the call runs.
    pub scope: Arc<Scope>,
}

impl Frame {
    /// Creates a frame for a call that starts now.
    pub fn new(mut scope: Scope, source: Arc<str>, observers: Observers, span: Span) -> Self {
        let id = CallId::inside(&scope);
        scope.call = Some(id.call);
        let content = !span.is_disabled() && scope.shows_content();
        Frame { id, source, observers, span, content, scope: Arc::new(scope) }
    }

    /// Runs the work of the call.
    pub fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.scope.clone().enter(work).instrument(self.span.clone())
    }

    /// Records in the span that the call has failed.
    pub fn failed(&self, error_type: &str, description: &str) {
        spans::failed(&self.span, error_type, description);
    }

    /// Records in the span that the call was dropped.
    pub fn cancelled(&self) {
        self.failed("cancelled", "the call was dropped before its end");
    }

    /// Returns the text of an error for the span: the error itself if content is recorded, otherwise `quiet`,
    /// which quotes no content.
    pub fn described(&self, error: &(impl fmt::Display + ?Sized), quiet: String) -> String {
        if self.content { error.to_string() } else { quiet }
    }
}
