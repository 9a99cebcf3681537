//! Spans of model calls, named by the conventions. Each is created only if a subscriber is interested in it.

use std::time::Duration;

use serde_json::Value;
#[cfg(feature = "http")]
use tracing::{Level, debug_span, event};
use tracing::{Span, field, info_span};

use super::content;
#[allow(clippy::wildcard_imports, reason = "fifty names of one kind")]
use super::gen_ai::*;
use crate::{FinishReason, LanguageModel, LmError, LmErrorKind, Request, Response, ResponseFormat, Usage};

/// Creates the span of a request to a model, including all attempts.
pub(super) fn lm(
    model: &dyn LanguageModel,
    request: &Request,
    predictor: Option<&str>,
    streamed: bool,
) -> Span {
    let server = host_and_port(model.endpoint());
    let (provider, model) = provider_and_model(model.id());
    let params = &request.params;
    let output = match request.format {
        ResponseFormat::Text => "text",
        _ => "json",
    };
    info_span!(
        target: "dspy",
        "chat",
        { OTEL_NAME } = format!("{CHAT} {model}"),
        { OTEL_KIND } = if server.is_some() { "client" } else { "internal" },
        { OPERATION } = CHAT,
        { PROVIDER } = provider,
        { REQUEST_MODEL } = model,
        { TEMPERATURE } = params.temperature,
        { TOP_P } = params.top_p,
        { MAX_TOKENS } = params.max_tokens.map(i64::from),
        { SEED } = params.seed.map(int),
        { CHOICES } = params.n.filter(|n| *n != 1).map(i64::from),
        { STREAM } = streamed.then_some(true),
        { OUTPUT_TYPE } = output,
        { SERVER } = server.map(|(host, _)| host),
        { PORT } = server.map(|(_, port)| i64::from(port)),
        { PREDICTOR } = predictor,
        { RESPONSE_MODEL } = field::Empty,
        { RESPONSE_ID } = field::Empty,
        { FINISH_REASONS } = field::Empty,
        { FIRST_CHUNK } = field::Empty,
        { INPUT_TOKENS } = field::Empty,
        { OUTPUT_TOKENS } = field::Empty,
        { CACHE_READ } = field::Empty,
        { CACHE_WRITE } = field::Empty,
        { REASONING_TOKENS } = field::Empty,
        { CACHED } = field::Empty,
        { RETRIES } = field::Empty,
        { COST } = field::Empty,
        { SYSTEM } = field::Empty,
        { INPUT } = field::Empty,
        { OUTPUT } = field::Empty,
        { ERROR_TYPE } = field::Empty,
        { OTEL_STATUS } = field::Empty,
        { OTEL_DESCRIPTION } = field::Empty,
    )
}

/// Creates the span of one attempt to send a request; `resend` is the number of earlier attempts.
#[cfg(feature = "http")]
pub(crate) fn attempt(resend: u32) -> Span {
    debug_span!(
        target: "dspy",
        "POST",
        { OTEL_KIND } = "client",
        { METHOD } = "POST",
        { RESEND } = (resend > 0).then_some(i64::from(resend)),
        { STATUS } = field::Empty,
        { ERROR_TYPE } = field::Empty,
        { OTEL_STATUS } = field::Empty,
        { OTEL_DESCRIPTION } = field::Empty,
    )
}

/// Records the HTTP status in the span of the current [`attempt`].
#[cfg(feature = "http")]
pub(crate) fn http_status(status: u16) {
    Span::current().record(STATUS, i64::from(status));
}

/// Records a failure in the span of an [`attempt`].
#[cfg(feature = "http")]
pub(crate) fn attempt_failed(span: &Span, error: &LmError) {
    failed(span, lm_error_type(error.kind), &lm_error_text(error));
}

/// Records that a request will be sent again.
#[cfg(feature = "http")]
pub(super) fn retried(error: &LmError, wait: Duration, message: impl FnOnce() -> Option<String>) {
    event!(
        target: "dspy",
        Level::DEBUG,
        message = "request failed, will be retried",
        { ERROR_TYPE } = lm_error_type(error.kind),
        { STATUS } = error.status.map(i64::from),
        wait = wait.as_secs_f64(),
        error = message(),
    );
}

pub fn failed(span: &Span, error_type: &str, description: &str) {
    span.record(ERROR_TYPE, error_type);
    span.record(OTEL_STATUS, "ERROR");
    if !description.is_empty() {
        span.record(OTEL_DESCRIPTION, description);
    }
}

/// Records an answer in the span of [`lm`].
pub(super) fn answered(span: &Span, response: &Response, first: Option<Duration>, retries: u32) {
    if span.is_disabled() {
        return;
    }
    if !response.model.is_empty() {
        span.record(RESPONSE_MODEL, &*response.model);
    }
    if let Some(id) = &response.request_id {
        span.record(RESPONSE_ID, &**id);
    }
    let reasons: Vec<_> = response.completions.iter().map(|one| finish(one.finish)).collect();
    span.record(FINISH_REASONS, &*Value::from(reasons).to_string());
    if let Some(first) = first {
        span.record(FIRST_CHUNK, first.as_secs_f64());
    }
    span.record(CACHED, response.cached);
    if retries > 0 {
        span.record(RETRIES, i64::from(retries));
    }
}

/// Records the usage in the span of [`lm`].
pub(super) fn used(span: &Span, usage: &Usage) {
    span.record(INPUT_TOKENS, int(usage.prompt_tokens));
    span.record(OUTPUT_TOKENS, int(usage.completion_tokens));
    for (name, count) in [
        (CACHE_READ, usage.cache_read_tokens),
        (CACHE_WRITE, usage.cache_write_tokens),
        (REASONING_TOKENS, usage.reasoning_tokens),
    ] {
        if count > 0 {
            span.record(name, int(count));
        }
    }
    if let Some(cost) = usage.cost_usd {
        span.record(COST, cost);
    }
}

pub(super) fn show_request(span: &Span, request: &Request) {
    let (system, messages) = content::input(&request.messages);
    if let Some(system) = system {
        span.record(SYSTEM, &*system);
    }
    span.record(INPUT, &*messages);
}

pub(super) fn show_response(span: &Span, response: &Response) {
    span.record(OUTPUT, &*content::output(&response.completions));
}

/// Converts a count to a signed integer, because OpenTelemetry has no unsigned ones.
pub fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the conventions' name for the reason why a model stopped.
pub const fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::Other => "other",
    }
}

/// Returns a name for the class of a failure, one of a small set.
pub const fn lm_error_type(kind: LmErrorKind) -> &'static str {
    match kind {
        LmErrorKind::Configuration => "configuration",
        LmErrorKind::Auth => "auth",
        LmErrorKind::RateLimit => "rate_limit",
        LmErrorKind::Billing => "billing",
        LmErrorKind::NotFound => "not_found",
        LmErrorKind::ContextWindow => "context_window",
        LmErrorKind::ContentFilter => "content_filter",
        LmErrorKind::InvalidRequest => "invalid_request",
        LmErrorKind::Server => "server",
        LmErrorKind::Timeout => "timeout",
        LmErrorKind::Transport => "transport",
        LmErrorKind::Decode => "decode",
        LmErrorKind::Budget => "budget",
        LmErrorKind::CircuitOpen => "circuit_open",
        LmErrorKind::Denied => "denied",
        LmErrorKind::Unrecorded => "unrecorded",
        LmErrorKind::Exhausted => "exhausted",
        LmErrorKind::Other => "_OTHER",
    }
}

/// Returns a description of a failure without the endpoint's message, which may quote the prompt.
pub fn lm_error_text(error: &LmError) -> String {
    let status = error.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    format!("{}{status}", error.kind.describe())
}
