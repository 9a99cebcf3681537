//! Observed calls of models.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use tracing::Span;

use super::event::{CallEvent, CallEventKind, LmCall};
use super::frame::{CallId, Frame};
use super::observer::{CallObserver, Observers};
use super::scope::{Scope, may_be_observed};
use super::spans;
use crate::{LanguageModel, LmError, Request, Response};

/// An observed call of a model. If dropped before its end, it counts as cancelled.
pub(crate) struct LmOperation {
    frame: Frame,
    /// The part of the state that its transport updates.
    progress: Arc<LmProgress>,
    ended: bool,
}

/// The state of a call of a model that its transport updates.
#[cfg_attr(not(feature = "http"), expect(dead_code, reason = "the transport asks for it"))]
pub(super) struct LmProgress {
    id: CallId,
    source: Arc<str>,
    observers: Observers,
    /// The call for observers; set only if there are observers.
    call: Option<Arc<LmCall>>,
    retries: AtomicU32,
    /// Whether the usage is in the spans of other models that were called for this one.
    in_parts: AtomicBool,
    outer: Option<Arc<LmProgress>>,
}

impl LmProgress {
    /// Sends an event to the observers; it is created only if there are any.
    fn tell(&self, kind: impl FnOnce() -> CallEventKind) {
        let Some(what) = self.call.clone() else { return };
        let CallId { call, parent, .. } = self.id;
        let (source, elapsed) = (self.source.clone(), self.id.elapsed());
        self.observers.tell(&CallEvent { source, call, parent, elapsed, what, kind: kind() });
    }
}

/// Starts the observation of a request to a model, if it is observed. Requests made within it by a model or a
/// layer are parts of it.
pub(crate) fn lm_call(model: &dyn LanguageModel, request: &Request, streamed: bool) -> Option<LmOperation> {
    if !may_be_observed() {
        return None;
    }
    let scope = Scope::current();
    if scope.lm.is_some() {
        return lm_part(model, request, streamed);
    }
    let span = spans::lm(model, request, scope.predictor.as_deref(), streamed);
    let observers = scope.observers();
    if span.is_disabled() && observers.is_empty() {
        return None;
    }
    let operation = LmOperation::new(&scope, observers, span, model, request, streamed);
    if operation.frame.content {
        spans::show_request(&operation.frame.span, request);
    }
    Some(operation)
}

/// Starts the observation of a request that a composite model sends to one of its models. It has a span, but
/// no events for observers, which see the whole call.
pub(crate) fn lm_part(model: &dyn LanguageModel, request: &Request, streamed: bool) -> Option<LmOperation> {
    if !may_be_observed() {
        return None;
    }
    let scope = Scope::current();
    let span = spans::lm(model, request, scope.predictor.as_deref(), streamed);
    if span.is_disabled() {
        return None;
    }
    if let Some(whole) = &scope.lm {
        whole.in_parts.store(true, Ordering::Relaxed);
    }
    Some(LmOperation::new(&scope, Observers::default(), span, model, request, streamed))
}

/// Starts the observation of a request for an observer that is used as a layer.
pub(crate) fn lm_layer(
    observer: Arc<dyn CallObserver>,
    model: &dyn LanguageModel,
    request: &Request,
    streamed: bool,
) -> LmOperation {
    LmOperation::new(&Scope::current(), Observers::only(observer), Span::none(), model, request, streamed)
}

impl LmOperation {
    fn new(
        scope: &Scope,
        observers: Observers,
        span: Span,
        model: &dyn LanguageModel,
        request: &Request,
        streamed: bool,
    ) -> Self {
        let mut frame = Frame::new(scope.clone(), model.id().into(), observers, span);
        let observed = !frame.observers.is_empty();
        let progress = Arc::new(LmProgress {
            id: frame.id,
            source: frame.source.clone(),
            observers: frame.observers.clone(),
            call: observed.then(|| LmCall::new(model, request, scope.predictor.clone(), streamed).into()),
            retries: AtomicU32::new(0),
            in_parts: AtomicBool::new(false),
            outer: scope.lm.clone(),
        });
        progress.tell(|| CallEventKind::Started);
        let mut inner = scope.clone();
        inner.call = Some(frame.id.call);
        inner.lm = Some(progress.clone());
        frame.scope = Arc::new(inner);
        LmOperation { frame, progress, ended: false }
    }

    /// Runs the work of the call.
    pub(crate) fn run<'w, F: Future + 'w>(&self, work: F) -> impl Future<Output = F::Output> + use<'w, F> {
        self.frame.run(work)
    }

    /// Records the outcome of the call, and the time of the first piece of a streamed reply.
    pub(crate) fn end(mut self, result: &Result<Response, LmError>, first: Option<Instant>) {
        self.ended = true;
        let LmOperation { frame, progress, .. } = &self;
        let first = first.map(|first| first.duration_since(frame.id.started));
        let retries = progress.retries.load(Ordering::Relaxed);
        match result {
            Ok(response) => {
                spans::answered(&frame.span, response, first, retries);
                // Backends add up the tokens of all spans.
                if !response.cached && !progress.in_parts.load(Ordering::Relaxed) {
                    spans::used(&frame.span, &response.usage);
                }
                if frame.content {
                    spans::show_response(&frame.span, response);
                }
            }
            Err(error) => {
                let quiet = spans::lm_error_text(error);
                frame.failed(spans::lm_error_type(error.kind), &frame.described(error, quiet));
            }
        }
        progress.tell(|| match result {
            Ok(response) => {
                CallEventKind::Finished { response: response.clone().into(), first_token: first, retries }
            }
            Err(error) => CallEventKind::Failed { error: error.clone().into(), retries },
        });
    }
}

impl Drop for LmOperation {
    fn drop(&mut self) {
        if !self.ended {
            self.frame.cancelled();
            self.progress.tell(|| CallEventKind::Cancelled);
        }
    }
}

/// Records that an attempt has failed and that the request will be sent again after `wait`.
#[cfg(feature = "http")]
pub(crate) fn retried(error: &LmError, wait: std::time::Duration) {
    let scope = Scope::current();
    let content = || scope.shows_content().then(|| error.message.clone());
    spans::retried(error, wait, content);
    for lm in std::iter::successors(scope.lm.as_deref(), |lm| lm.outer.as_deref()) {
        lm.retries.fetch_add(1, Ordering::Relaxed);
        lm.tell(|| CallEventKind::Retried { error: error.clone().into(), wait });
    }
}
