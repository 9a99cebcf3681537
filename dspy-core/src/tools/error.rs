//! Errors of tool calls.

use std::sync::Arc;

use crate::decode::DecodeError;
use crate::observe::Failure;
use dspy_base::error::BoxError;

/// The error of a tool call, worded so that a model can act on it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// There is no tool of that name.
    #[error("there is no tool `{name}`; there are {}", list(.known))]
    Unknown {
        /// The name in the call.
        name: String,
        /// The names of the available tools.
        known: Vec<String>,
    },
    /// Several tools have that name.
    #[error("several tools are named `{name}`, so that none is called; rename all but one")]
    Duplicate {
        /// The name in the call.
        name: String,
    },
    /// The arguments do not fit the parameters of the tool.
    #[error("the arguments of `{name}` do not fit: {source}")]
    Arguments {
        /// The name of the tool.
        name: String,
        /// The problems, by argument.
        source: DecodeError,
    },
    /// The tool ran and failed.
    #[error("`{name}` failed: {source}")]
    Failed {
        /// The name of the tool.
        name: String,
        /// Its error.
        source: Arc<BoxError>,
    },
    /// The tool panicked, which is a bug in its code.
    #[error("`{name}` panicked: {message}")]
    Panicked {
        /// The name of the tool.
        name: String,
        /// The message of the panic.
        message: String,
    },
}

impl Failure for ToolError {
    fn class(&self) -> (&'static str, String) {
        let (class, text) = match self {
            ToolError::Unknown { .. } => ("unknown_tool", "there is no such tool"),
            ToolError::Duplicate { .. } => ("duplicate_tool", "several tools have that name"),
            ToolError::Arguments { .. } => ("tool_arguments", "the arguments do not fit"),
            ToolError::Failed { .. } => ("tool_failed", "the tool failed"),
            ToolError::Panicked { .. } => ("tool_panicked", "the tool panicked"),
        };
        (class, text.to_owned())
    }
}

pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
