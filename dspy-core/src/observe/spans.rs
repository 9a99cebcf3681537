//! The spans of programs, named by OpenTelemetry's conventions. A span is created only if a subscriber is
//! interested in it.

use serde_json::{Map, Value};
use tracing::{Level, Span, debug_span, event, field, info_span};

use dspy_lm::observe as content;
#[allow(clippy::wildcard_imports, reason = "fifty names of one kind")]
use dspy_lm::observe::gen_ai::*;
use dspy_lm::observe::spans::int;

/// Creates the span of a module call.
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

/// Creates the span of a predictor call.
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

/// Creates the span of building a prompt.
pub(crate) fn render(adapter: &str) -> Span {
    debug_span!(target: "dspy", "render", { ADAPTER } = adapter)
}

/// Creates the span of parsing a reply.
pub(crate) fn parse(adapter: &str) -> Span {
    debug_span!(
        target: "dspy",
        "parse",
        { ADAPTER } = adapter,
        { REPAIRS } = field::Empty,
        { ERROR_TYPE } = field::Empty,
    )
}

/// Records the outcome in the span of [`parse`]: the number of repairs, or the kind of the failure.
pub(crate) fn parsed(span: &Span, outcome: Result<usize, &str>) {
    match outcome {
        Ok(repairs) => span.record(REPAIRS, int(repairs as u64)),
        Err(class) => span.record(ERROR_TYPE, class),
    };
}

/// Creates the span of a tool call.
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

/// Records that a reply was refused and that the model is re-prompted.
pub(super) fn refused(span: &Span, class: &str, adapter: &str) {
    event!(
        target: "dspy",
        parent: span,
        Level::DEBUG,
        message = "reply refused, the model is re-prompted",
        { ERROR_TYPE } = class,
        { ADAPTER } = adapter,
    );
}

pub(super) fn attempts(span: &Span, attempts: usize) {
    span.record(ATTEMPTS, int(attempts as u64));
}

pub(super) fn show_values(span: &Span, name: &str, values: &Map<String, Value>) {
    span.record(name, &*content::values(values));
}

pub(super) fn show_value(span: &Span, name: &str, value: &Value) {
    span.record(name, &*content::value(value));
}
