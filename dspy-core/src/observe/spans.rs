//! The spans of programs, named by the conventions. Each is made only where a subscriber wants it.

use serde_json::{Map, Value};
use tracing::{Level, Span, debug_span, event, field, info_span};

use crate::adapter::ParseErrorKind;
use crate::tools::ToolError;
use dspy_lm::observe as content;
#[allow(clippy::wildcard_imports, reason = "fifty names of one kind")]
use dspy_lm::observe::gen_ai::*;
use dspy_lm::observe::spans::int;

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

pub(super) fn attempts(span: &Span, attempts: usize) {
    span.record(ATTEMPTS, int(attempts as u64));
}

pub(super) fn show_values(span: &Span, name: &str, values: &Map<String, Value>) {
    span.record(name, &*content::values(values));
}

pub(super) fn show_value(span: &Span, name: &str, value: &Value) {
    span.record(name, &*content::value(value));
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
