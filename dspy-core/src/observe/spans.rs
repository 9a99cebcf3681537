//! The spans that programs leave, named by the conventions. Each is made only where a subscriber wants it.

use std::time::Duration;

use serde_json::{Map, Value};
use tracing::{Level, Span, debug_span, event, field, info_span};

use super::content;
#[allow(clippy::wildcard_imports, reason = "fifty names of one kind")]
use super::gen_ai::*;
use crate::adapter::ParseErrorKind;
use crate::lm::{FinishReason, Lm, LmError, LmErrorKind, Request, Response, ResponseFormat, Usage};
use crate::tools::ToolError;

/// A call of a module.
pub(super) fn module(name: &str) -> Span {
    info_span!(
        target: "dspy",
        "invoke_workflow",
        { OTEL_NAME } = format!("{INVOKE_WORKFLOW} {name}"),
        { OPERATION } = INVOKE_WORKFLOW,
        { WORKFLOW } = name,
        { MODULE } = name,
        { ERROR_TYPE } = field::Empty,
        { OTEL_STATUS } = field::Empty,
        { OTEL_DESCRIPTION } = field::Empty,
    )
}

/// A call of a predictor.
pub(super) fn predictor(path: &str, signature: &str) -> Span {
    info_span!(
        target: "dspy",
        "predict",
        { OTEL_NAME } = format!("predict {path}"),
        { PREDICTOR } = path,
        { SIGNATURE } = signature,
        { ATTEMPTS } = field::Empty,
        { INPUTS } = field::Empty,
        { OUTPUTS } = field::Empty,
        { ERROR_TYPE } = field::Empty,
        { OTEL_STATUS } = field::Empty,
        { OTEL_DESCRIPTION } = field::Empty,
    )
}

/// The making of a prompt.
pub(crate) fn render(adapter: &str) -> Span {
    debug_span!(target: "dspy", "render", { ADAPTER } = adapter)
}

/// The reading of a reply.
pub(crate) fn parse(adapter: &str) -> Span {
    debug_span!(
        target: "dspy",
        "parse",
        { ADAPTER } = adapter,
        { REPAIRS } = field::Empty,
        { ERROR_TYPE } = field::Empty,
    )
}

/// Notes in the span of [`parse`] how the reading went: how many repairs it took, or why it failed.
pub(crate) fn parsed(span: &Span, outcome: Result<usize, ParseErrorKind>) {
    match outcome {
        Ok(repairs) => span.record(REPAIRS, int(repairs as u64)),
        Err(kind) => span.record(ERROR_TYPE, parse_error_type(kind)),
    };
}

/// A call of a tool.
pub(super) fn tool(name: &str) -> Span {
    info_span!(
        target: "dspy",
        "execute_tool",
        { OTEL_NAME } = format!("{EXECUTE_TOOL} {name}"),
        { OPERATION } = EXECUTE_TOOL,
        { TOOL } = name,
        { TOOL_TYPE } = "function",
        { TOOL_ARGUMENTS } = field::Empty,
        { TOOL_RESULT } = field::Empty,
        { ERROR_TYPE } = field::Empty,
        { OTEL_STATUS } = field::Empty,
        { OTEL_DESCRIPTION } = field::Empty,
    )
}

/// A request to a model, all attempts included.
pub(super) fn lm(lm: &Lm, request: &Request, predictor: Option<&str>, streamed: bool) -> Span {
    let (provider, model) = provider_and_model(lm.id());
    let server = host_and_port(lm.endpoint());
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

/// One attempt to send a request; `resend` counts those before it.
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

/// Notes the HTTP status in the span of the current [`attempt`].
#[cfg(feature = "http")]
pub(crate) fn http_status(status: u16) {
    Span::current().record(STATUS, i64::from(status));
}

/// Notes in the span of an [`attempt`] that it failed.
#[cfg(feature = "http")]
pub(crate) fn attempt_failed(span: &Span, error: &LmError) {
    failed(span, lm_error_type(error.kind), &lm_error_text(error));
}

/// Notes that a request will be sent again.
#[cfg(feature = "http")]
pub(super) fn retried(error: &LmError, wait: Duration, message: impl FnOnce() -> Option<String>) {
    event!(
        target: "dspy",
        Level::DEBUG,
        message = "request failed, will be sent again",
        { ERROR_TYPE } = lm_error_type(error.kind),
        { STATUS } = error.status.map(i64::from),
        wait = wait.as_secs_f64(),
        error = message(),
    );
}

/// Notes that a reply was refused and that the model is asked again.
pub(super) fn refused(span: &Span, kind: ParseErrorKind, adapter: &str) {
    event!(
        target: "dspy",
        parent: span,
        Level::DEBUG,
        message = "reply refused, the model is asked again",
        { ERROR_TYPE } = parse_error_type(kind),
        { ADAPTER } = adapter,
    );
}

pub(super) fn failed(span: &Span, error_type: &str, description: &str) {
    span.record(ERROR_TYPE, error_type);
    span.record(OTEL_STATUS, "ERROR");
    if !description.is_empty() {
        span.record(OTEL_DESCRIPTION, description);
    }
}

pub(super) fn attempts(span: &Span, attempts: usize) {
    span.record(ATTEMPTS, int(attempts as u64));
}

/// Notes an answer in the span of [`lm`].
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

/// Notes in the span of [`lm`] what it cost.
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

pub(super) fn show_values(span: &Span, name: &str, values: &Map<String, Value>) {
    span.record(name, &*content::values(values));
}

pub(super) fn show_value(span: &Span, name: &str, value: &Value) {
    span.record(name, &*content::value(value));
}

/// OpenTelemetry has signed integers only.
fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The conventions' word for why a model stopped.
pub(super) const fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::Other => "other",
    }
}

/// A word for the class of a failure, of which there are few.
pub(crate) const fn lm_error_type(kind: LmErrorKind) -> &'static str {
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

/// What can be said of a failure without quoting the endpoint, which may quote the prompt.
pub(super) fn lm_error_text(error: &LmError) -> String {
    let status = error.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    format!("{}{status}", error.kind.describe())
}

pub(super) const fn parse_error_type(kind: ParseErrorKind) -> &'static str {
    match kind {
        ParseErrorKind::Empty => "empty_reply",
        ParseErrorKind::Truncated => "truncated_reply",
        ParseErrorKind::Malformed => "malformed_reply",
        ParseErrorKind::Check => "failed_check",
        ParseErrorKind::Schema => "schema",
    }
}

pub(super) const fn tool_error(error: &ToolError) -> (&'static str, &'static str) {
    match error {
        ToolError::Unknown { .. } => ("unknown_tool", "there is no such tool"),
        ToolError::Arguments { .. } => ("tool_arguments", "the arguments do not fit"),
        ToolError::Failed { .. } => ("tool_failed", "the tool failed"),
        ToolError::Panicked { .. } => ("tool_panicked", "the tool panicked"),
    }
}
