//! Calls of models: what is known of them before they are answered, and how they are observed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use tracing::Span;

use super::observer::{Observer, Observers};
use super::operation::{CallId, Operation};
use super::scope::{Scope, may_be_observed};
use super::spans;
use crate::lm::{BoxFuture, Lm, LmError, Next, Origin, Request, Response};
use crate::program::EventKind;

/// A request that is sent to a model: what the events of [`EventKind`](crate::program::EventKind) say of it.
///
/// The model and its endpoint are named without anything secret. Requests hold no keys.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LmCall {
    /// The model that is asked, e.g. `openai/gpt-4o-mini`.
    pub model: Arc<str>,
    /// Where it is served; empty for models in this process.
    pub endpoint: Arc<str>,
    /// The path of the predictor that asks, e.g. `generate_query.predict`; nothing if none does.
    pub predictor: Option<Arc<str>>,
    /// What is asked, with the parameters of the handle.
    pub request: Arc<Request>,
    /// Whether the reply is shown while it arrives.
    pub streamed: bool,
}

impl LmCall {
    pub(super) fn new(lm: &Lm, request: &Request, predictor: Option<Arc<str>>, streamed: bool) -> Self {
        let mut request = request.clone();
        // Who made it is of no use to observers, and would live as long as what they keep.
        request.origin = Origin::default();
        let request = Arc::new(request);
        LmCall { model: lm.id().into(), endpoint: lm.endpoint().into(), predictor, request, streamed }
    }
}

/// What happens below a call of a model, in its transport.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "the transport asks for it"))]
pub(crate) struct LmProgress {
    id: CallId,
    source: Arc<str>,
    observers: Observers,
    /// Made where somebody observes.
    call: Option<Arc<LmCall>>,
    retries: AtomicU32,
    /// Whether others were asked on its behalf, whose spans have the usage.
    in_parts: AtomicBool,
    outer: Option<Arc<LmProgress>>,
}

/// A request that is sent to a model, where it is observed. What a model or a layer asks in its turn is a part of it.
pub(crate) fn lm_call(lm: &Lm, request: &Request, streamed: bool) -> Option<Operation> {
    if !may_be_observed() {
        return None;
    }
    let scope = Scope::current();
    if scope.lm.is_some() {
        return lm_part(lm, request, streamed);
    }
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

/// A request that a model made of models sends to one of them. It leaves a span; observers know the whole call.
pub(crate) fn lm_part(lm: &Lm, request: &Request, streamed: bool) -> Option<Operation> {
    if !may_be_observed() {
        return None;
    }
    let scope = Scope::current();
    let span = spans::lm(lm, request, scope.predictor.as_deref(), streamed);
    if span.is_disabled() {
        return None;
    }
    if let Some(whole) = &scope.lm {
        whole.in_parts.store(true, Ordering::Relaxed);
    }
    Some(lm_operation(&scope, Observers::default(), span, lm, request, streamed))
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
        in_parts: AtomicBool::new(false),
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
        let (retries, in_parts) = self.scope.lm.as_ref().map_or((0, false), |lm| {
            (lm.retries.load(Ordering::Relaxed), lm.in_parts.load(Ordering::Relaxed))
        });
        match result {
            Ok(response) => {
                spans::answered(&self.span, response, first, retries);
                // Backends add up the tokens of all spans.
                if !response.cached && !in_parts {
                    spans::used(&self.span, &response.usage);
                }
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
#[cfg(feature = "http")]
pub(crate) fn retried(error: &LmError, wait: std::time::Duration) {
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
