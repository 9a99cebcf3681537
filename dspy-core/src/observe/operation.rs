//! One call that is observed: of a module, a predictor, a model or a tool.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;
use tracing::{Instrument as _, Span};

use super::observer::Observers;
use super::scope::{NamedScope, Scope, may_be_observed};
use super::{LmCall, spans};
use crate::adapter::ParseError;
use crate::error::{Error, Result};
use crate::lm::Usage;
use crate::predict::Predictor;
use crate::program::{Event, EventKind, Find};
use crate::signature::Values;
use crate::tools::ToolError;

/// Which call it is, in which it was made, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallId {
    pub(super) call: u64,
    parent: Option<u64>,
    pub(super) started: Instant,
}

impl CallId {
    /// A call that starts now inside of the one that the task is in.
    pub(crate) fn fresh() -> Self {
        Self::inside(&Scope::current())
    }

    fn inside(scope: &Scope) -> Self {
        // Zero is for no call.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let call = NEXT.fetch_add(1, Ordering::Relaxed);
        CallId { call, parent: scope.call, started: Instant::now() }
    }

    /// An event of this call that happens now.
    pub(crate) fn event(self, source: Arc<str>, kind: EventKind) -> Event {
        let CallId { call, parent, started } = self;
        Event { source, call, parent, elapsed: started.elapsed(), kind }
    }
}

/// A call that is observed. Dropped before it has ended, it was cancelled.
pub(crate) struct Operation {
    pub(super) id: CallId,
    pub(super) source: Arc<str>,
    pub(super) observers: Observers,
    pub(super) span: Span,
    /// Whether the span shows what is said.
    pub(super) content: bool,
    /// What the work of the call runs in.
    pub(super) scope: Arc<Scope>,
    pub(super) lm: Option<Arc<LmCall>>,
    pub(super) ended: bool,
}

impl Operation {
    pub(super) fn new(mut scope: Scope, source: Arc<str>, observers: Observers, span: Span) -> Self {
        let id = CallId::inside(&scope);
        scope.call = Some(id.call);
        let content = !span.is_disabled() && scope.shows_content();
        Operation { id, source, observers, span, content, scope: Arc::new(scope), lm: None, ended: false }
    }

    /// A call in `scope`, if it is observed or `watched`.
    fn observed(scope: Scope, source: Arc<str>, span: Span, watched: bool) -> Option<Self> {
        let observers = scope.observers();
        let alone = !watched && span.is_disabled() && observers.is_empty();
        (!alone).then(|| Operation::new(scope, source, observers, span))
    }

    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Whether somebody wants to see inputs and outputs.
    pub(crate) fn shows_values(&self) -> bool {
        self.content || !self.observers.is_empty()
    }

    /// Tells observers; what is not observed is not made.
    pub(super) fn tell(&self, kind: impl FnOnce() -> EventKind) {
        if !self.observers.is_empty() {
            self.observers.tell(&self.id.event(self.source.clone(), kind()));
        }
    }

    /// Does the work of the call.
    pub(crate) fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.scope.clone().enter(work).instrument(self.span.clone())
    }

    pub(super) fn failed(&self, error_type: &str, description: &str) {
        spans::failed(&self.span, error_type, description);
    }
}

/// What an error is called in spans, and what can be said of it without quoting anybody.
fn class(error: &Error) -> (&'static str, String) {
    match error {
        Error::Lm(error) => (spans::lm_error_type(error.kind), spans::lm_error_text(error)),
        Error::Parse(error) => (spans::parse_error_type(error.kind), error.kind.describe().to_owned()),
        Error::Reprompt(error) => {
            let (kind, (_, cause)) = (error.failed.kind, class(&error.source));
            (spans::parse_error_type(kind), format!("{}, and re-prompting failed: {cause}", kind.describe()))
        }
        Error::Extraction(error) => class(&error.source),
        Error::NoLm => ("no_lm", "no language model is configured".to_owned()),
        Error::Field(_) => ("field", "a value does not fit its field".to_owned()),
        Error::Check(_) => ("check_panic", "a check of the signature panicked".to_owned()),
        Error::Grammar(_) => ("grammar", String::new()),
        Error::State(_) => ("state", String::new()),
        Error::Other(_) => ("_OTHER", String::new()),
    }
}

/// A module that begins.
pub(crate) enum ModuleCall {
    /// Nobody observes it. What it calls is known by the paths of its predictors all the same: somebody may observe that
    /// who does not observe the module.
    Unobserved(NamedScope),
    Observed(Operation),
}

/// A module that begins, observed or `watched` or neither.
pub(crate) fn module(name: &'static str, find: Find<'_, '_>, watched: bool) -> ModuleCall {
    let scope = Scope::current().registered(find);
    if !may_be_observed() && !watched {
        return ModuleCall::Unobserved(NamedScope::new(scope));
    }
    let span = spans::module(name);
    let observers = scope.observers();
    if !watched && span.is_disabled() && observers.is_empty() {
        return ModuleCall::Unobserved(NamedScope::new(scope));
    }
    let operation = Operation::new(scope, name.into(), observers, span);
    operation.tell(|| EventKind::ModuleStarted);
    ModuleCall::Observed(operation)
}

impl Operation {
    /// Notes how a module has ended.
    pub(crate) fn module_ended(mut self, result: Result<Usage, &Error>) {
        self.ended = true;
        if let Err(error) = &result {
            let (error_type, text) = class(error);
            self.failed(error_type, &self.described(error, text));
        }
        self.tell(|| match result {
            Ok(usage) => EventKind::ModuleFinished { usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }

    /// The text of an error that a span may hold.
    pub(super) fn described(&self, error: &impl fmt::Display, quiet: String) -> String {
        if self.content { error.to_string() } else { quiet }
    }
}

/// A predictor that is called, where it may be observed or is `watched`. Even if nobody observes the predictor, those
/// that observe its model are told its path.
pub(crate) fn predictor(predictor: &Predictor, inputs: &Values, watched: bool) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let mut scope = (*Scope::current()).clone();
    let path = scope.path(predictor);
    scope.predictor = Some(path.clone());
    let span = spans::predictor(&path, predictor.spec().name());
    let observers = scope.observers();
    let operation = Operation::new(scope, path, observers, span);
    if operation.content {
        spans::show_values(&operation.span, super::gen_ai::INPUTS, inputs);
    }
    operation.tell(|| EventKind::Started { inputs: inputs.clone() });
    Some(operation)
}

impl Operation {
    /// Notes that a reply was refused, and that the model is asked again.
    pub(crate) fn restarted(&self, error: &ParseError) {
        spans::refused(&self.span, error.kind, &error.adapter);
        self.tell(|| EventKind::Restarted { problems: error.problems_text() });
    }

    /// Notes how a predictor has ended.
    pub(crate) fn predictor_ended(mut self, result: Result<&Values, &Error>, usage: Usage, attempts: usize) {
        self.ended = true;
        spans::attempts(&self.span, attempts);
        match result {
            Ok(outputs) if self.content => spans::show_values(&self.span, super::gen_ai::OUTPUTS, outputs),
            Ok(_) => {}
            Err(error) => {
                let (error_type, text) = class(error);
                self.failed(error_type, &self.described(error, text));
            }
        }
        self.tell(|| match result {
            Ok(outputs) => EventKind::Finished { outputs: outputs.clone(), usage },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// A tool that is called, where it is observed or `watched`.
pub(crate) fn tool(name: &str, arguments: &Value, watched: bool) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let scope = (*Scope::current()).clone();
    let operation = Operation::observed(scope, name.into(), spans::tool(name), watched)?;
    if operation.content {
        spans::show_value(&operation.span, super::gen_ai::TOOL_ARGUMENTS, arguments);
    }
    operation.tell(|| EventKind::ToolStarted { arguments: arguments.clone() });
    Some(operation)
}

impl Operation {
    /// Notes how a tool has ended.
    pub(crate) fn tool_ended(mut self, result: Result<&Value, &ToolError>) {
        self.ended = true;
        match result {
            Ok(value) if self.content => spans::show_value(&self.span, super::gen_ai::TOOL_RESULT, value),
            Ok(_) => {}
            Err(error) => {
                let (error_type, text) = spans::tool_error(error);
                self.failed(error_type, &self.described(error, text.to_owned()));
            }
        }
        self.tell(|| match result {
            Ok(result) => EventKind::ToolFinished { result: result.clone() },
            Err(error) => EventKind::Failed { error: error.to_string() },
        });
    }
}

/// Tells observers what a program says of its progress.
pub(crate) fn status(id: CallId, text: &str) {
    let observers = Scope::current().observers();
    if !observers.is_empty() {
        observers.tell(&id.event("status".into(), EventKind::Status(text.to_owned())));
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.failed("cancelled", "the call was dropped before its end");
        let lm = self.lm.take();
        self.tell(|| lm.map_or(EventKind::Cancelled, |call| EventKind::LmCancelled { call }));
    }
}
