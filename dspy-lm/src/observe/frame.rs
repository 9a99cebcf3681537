//! One call that is observed, of whatever kind.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{Instrument as _, Span};

use super::observer::Observers;
use super::scope::Scope;
use super::spans;

/// Which call it is, in which it was made, and when.
#[derive(Debug, Clone, Copy)]
pub struct CallId {
    /// Tells the calls of this process apart.
    pub call: u64,
    /// The call in which this one was made.
    pub parent: Option<u64>,
    /// When it began.
    pub started: Instant,
}

impl CallId {
    /// A call that starts now inside of the one that the task is in.
    pub fn fresh() -> Self {
        Self::inside(&Scope::current())
    }

    fn inside(scope: &Scope) -> Self {
        // Zero is for no call.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let call = NEXT.fetch_add(1, Ordering::Relaxed);
        CallId { call, parent: scope.call, started: Instant::now() }
    }

    /// How long ago the call began.
    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}

/// A call that is observed.
#[derive(Debug)]
pub struct Frame {
    /// Which call.
    pub id: CallId,
    /// Of what: the path of a predictor, the type of a module, the name of a model or tool.
    pub source: Arc<str>,
    /// Who is told.
    pub observers: Observers,
    /// Its span.
    pub span: Span,
    /// Whether the span shows what is said.
    pub content: bool,
    /// What the work of the call runs in.
    pub scope: Arc<Scope>,
}

impl Frame {
    /// A call that starts now.
    pub fn new(mut scope: Scope, source: Arc<str>, observers: Observers, span: Span) -> Self {
        let id = CallId::inside(&scope);
        scope.call = Some(id.call);
        let content = !span.is_disabled() && scope.shows_content();
        Frame { id, source, observers, span, content, scope: Arc::new(scope) }
    }

    /// Does the work of the call.
    pub fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.scope.clone().enter(work).instrument(self.span.clone())
    }

    /// Notes in the span that the call has failed.
    pub fn failed(&self, error_type: &str, description: &str) {
        spans::failed(&self.span, error_type, description);
    }

    /// Notes in the span that the call was dropped.
    pub fn cancelled(&self) {
        self.failed("cancelled", "the call was dropped before its end");
    }

    /// The text of an error that the span may hold: `quiet` quotes nobody.
    pub fn described(&self, error: &(impl fmt::Display + ?Sized), quiet: String) -> String {
        if self.content { error.to_string() } else { quiet }
    }
}
