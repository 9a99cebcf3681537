//! One call that is observed: of a module, a predictor, a model or a tool.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{Instrument as _, Span};

use super::observer::{Observer, Observers};
use super::scope::{Scope, may_be_observed};
use super::{LmCall, spans};
use crate::adapter::ParseError;
use crate::error::{Error, Result};
use crate::lm::{BoxFuture, Lm, LmError, Next, Request, Response, Usage};
use crate::predict::Predictor;
use crate::program::{Event, EventKind, HasPredictors};
use crate::signature::Values;
use crate::tools::ToolError;

/// Which call it is, in which it was made, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallId {
    call: u64,
    parent: Option<u64>,
    started: Instant,
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
    id: CallId,
    source: Arc<str>,
    observers: Observers,
    span: Span,
    /// Whether the span shows what is said.
    content: bool,
    /// What the work of the call runs in.
    scope: Arc<Scope>,
    lm: Option<Arc<LmCall>>,
    ended: bool,
}

impl Operation {
    fn new(mut scope: Scope, source: Arc<str>, observers: Observers, span: Span) -> Self {
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
    fn tell(&self, kind: impl FnOnce() -> EventKind) {
        if !self.observers.is_empty() {
            self.observers.tell(&self.id.event(self.source.clone(), kind()));
        }
    }

    /// Does the work of the call.
    pub(crate) fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.scope.clone().enter(work).instrument(self.span.clone())
    }

    fn failed(&self, error_type: &str, description: &str) {
        spans::failed(&self.span, error_type, description);
    }
}

/// What an error is called in spans, and what can be said of it without quoting anybody.
fn class(error: &Error) -> (&'static str, String) {
    match error {
        Error::Lm(error) => (spans::lm_error_type(error.kind), spans::lm_error_text(error)),
        Error::Parse(error) => (spans::parse_error_type(error.kind), error.kind.describe().to_owned()),
        Error::Extraction(error) => class(&error.source),
        Error::NoLm => ("no_lm", "no language model is configured".to_owned()),
        Error::Field(_) => ("field", "a value does not fit its field".to_owned()),
        Error::Check(_) => ("check_panic", "a check of the signature panicked".to_owned()),
        Error::Grammar(_) => ("grammar", String::new()),
        Error::State(_) => ("state", String::new()),
        Error::Other(_) => ("_OTHER", String::new()),
    }
}

/// A module that begins, where it is observed or `watched`.
pub(crate) fn module(
    name: &'static str,
    module: &(impl HasPredictors + ?Sized),
    watched: bool,
) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let scope = Scope::current().registered(module);
    let operation = Operation::observed(scope, name.into(), spans::module(name), watched)?;
    operation.tell(|| EventKind::ModuleStarted);
    Some(operation)
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
    fn described(&self, error: &impl fmt::Display, quiet: String) -> String {
        if self.content { error.to_string() } else { quiet }
    }
}

/// A predictor that is called, where it is observed or `watched`.
pub(crate) fn predictor(predictor: &Predictor, inputs: &Values, watched: bool) -> Option<Operation> {
    if !may_be_observed() && !watched {
        return None;
    }
    let mut scope = (*Scope::current()).clone();
    let path = scope.path(predictor);
    scope.predictor = Some(path.clone());
    let span = spans::predictor(&path, predictor.spec().name());
    let operation = Operation::observed(scope, path, span, watched)?;
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

/// What happens below a call of a model, in its transport.
pub(crate) struct LmProgress {
    id: CallId,
    source: Arc<str>,
    observers: Observers,
    /// Made where somebody observes.
    call: Option<Arc<LmCall>>,
    retries: AtomicU32,
    outer: Option<Arc<LmProgress>>,
}

/// A request that is sent to a model, where it is observed.
pub(crate) fn lm_call(lm: &Lm, request: &Request, streamed: bool) -> Option<Operation> {
    if !may_be_observed() {
        return None;
    }
    let scope = Scope::current();
    let span = spans::lm(lm, request, scope.predictor.as_deref(), streamed);
    let observers = scope.observers();
    if span.is_disabled() && observers.is_empty() {
        return None;
    }
    let operation = lm_operation(&scope, observers, span, lm, request, streamed);
    if operation.content {
        spans::show_request(&operation.span, request);
    }
    Some(operation)
}

fn lm_operation(
    scope: &Scope,
    observers: Observers,
    span: Span,
    lm: &Lm,
    request: &Request,
    streamed: bool,
) -> Operation {
    let mut operation = Operation::new(scope.clone(), lm.id().into(), observers, span);
    if !operation.observers.is_empty() {
        operation.lm = Some(Arc::new(LmCall::new(lm, request, scope.predictor.clone(), streamed)));
    }
    let mut inner = scope.clone();
    inner.call = Some(operation.id.call);
    inner.lm = Some(Arc::new(LmProgress {
        id: operation.id,
        source: operation.source.clone(),
        observers: operation.observers.clone(),
        call: operation.lm.clone(),
        retries: AtomicU32::new(0),
        outer: inner.lm.take(),
    }));
    if let Some(call) = &operation.lm {
        operation.tell(|| EventKind::LmStarted { call: call.clone() });
    }
    operation.scope = Arc::new(inner);
    operation
}

impl Operation {
    /// Notes how a call of a model has ended, and when the first of a streamed reply came.
    pub(crate) fn lm_ended(mut self, result: &Result<Response, LmError>, first: Option<Instant>) {
        self.ended = true;
        let first = first.map(|first| first.duration_since(self.id.started));
        let retries = self.scope.lm.as_ref().map_or(0, |lm| lm.retries.load(Ordering::Relaxed));
        match result {
            Ok(response) => {
                spans::answered(&self.span, response, first, retries);
                if self.content {
                    spans::show_response(&self.span, response);
                }
            }
            Err(error) => {
                let quiet = spans::lm_error_text(error);
                self.failed(spans::lm_error_type(error.kind), &self.described(error, quiet));
            }
        }
        let Some(call) = self.lm.take() else { return };
        self.tell(|| match result {
            Ok(response) => {
                let response = Arc::new(response.clone());
                EventKind::LmFinished { call, response, first_token: first, retries }
            }
            Err(error) => EventKind::LmFailed { call, error: error.clone().into(), retries },
        });
    }
}

/// Lets one observer see a request that passes it as a layer.
pub(super) fn layer_call<'a>(
    observer: Arc<dyn Observer>,
    lm: &'a Lm,
    request: &'a Request,
    next: Next<'a>,
) -> BoxFuture<'a, Result<Response, LmError>> {
    Box::pin(async move {
        let (scope, observers) = (Scope::current(), Observers::only(observer));
        let operation = lm_operation(&scope, observers, Span::none(), lm, request, next.is_streamed());
        let result = operation.run(next.run(lm, request)).await;
        operation.lm_ended(&result, next.first_piece());
        result
    })
}

/// Notes that an attempt has failed and that the request will be sent again after a while.
pub(crate) fn retried(error: &LmError, wait: Duration) {
    let scope = Scope::current();
    let content = || scope.shows_content().then(|| error.message.clone());
    spans::retried(error, wait, content);
    for lm in std::iter::successors(scope.lm.as_deref(), |lm| lm.outer.as_deref()) {
        lm.retries.fetch_add(1, Ordering::Relaxed);
        if let Some(call) = lm.call.clone() {
            let kind = EventKind::LmRetried { call, error: error.clone().into(), wait };
            lm.observers.tell(&lm.id.event(lm.source.clone(), kind));
        }
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
