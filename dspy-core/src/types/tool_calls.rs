//! Tool calls as the output of a model.

use std::borrow::Cow;
use std::ops::Deref;

use dspy_base::keyword;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::lm::ToolCall;

/// The tool calls that a model requests, in order: the type of an output field. Dereferences to a slice.
///
/// ```
/// use dspy_core::tools::{ToolCall, ToolCalls};
/// let calls: ToolCalls = serde_json::from_str(r#"[{"name": "search", "args": {"query": "rust"}}]"#)?;
/// assert_eq!(calls[0], ToolCall::new("search", serde_json::json!({"query": "rust"})));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct ToolCalls(pub Vec<ToolCall>);

/// The accepted JSON forms: a list, or an object that wraps it, as in Python DSPy.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    List(Vec<ToolCall>),
    Wrapped { tool_calls: Vec<ToolCall> },
}

impl From<Written> for ToolCalls {
    fn from(written: Written) -> Self {
        match written {
            Written::List(calls) | Written::Wrapped { tool_calls: calls } => ToolCalls(calls),
        }
    }
}

impl Deref for ToolCalls {
    type Target = [ToolCall];

    fn deref(&self) -> &[ToolCall] {
        &self.0
    }
}

impl FromIterator<ToolCall> for ToolCalls {
    fn from_iter<I: IntoIterator<Item = ToolCall>>(calls: I) -> Self {
        ToolCalls(calls.into_iter().collect())
    }
}

impl IntoIterator for ToolCalls {
    type Item = ToolCall;
    type IntoIter = std::vec::IntoIter<ToolCall>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl JsonSchema for ToolCalls {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ToolCalls".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "name": {"type": "string", (keyword::ALIASES): ["tool", "function"]},
                    "arguments": {
                        "type": "object",
                        "additionalProperties": true,
                        (keyword::ALIASES): ["args", "input", "parameters"],
                    },
                },
                "required": ["name", "arguments"],
            },
            (keyword::NATIVE): "tool_calls",
        })
    }
}
