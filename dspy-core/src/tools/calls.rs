//! Calls as the output of a model, and what came of them.

use std::borrow::Cow;
use std::ops::Deref;

use futures_util::{StreamExt as _, stream};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Tool, ToolCall, ToolError};
use crate::lm::Message;
use dspy_base::keyword;

/// The tools that a model wants to be called, in its order: the type of an output field. Dereferences to a slice.
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

/// The calls as they may be written down: Python DSPy wraps them in an object.
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

/// How many tools run at a time.
const CONCURRENCY: usize = 8;

impl ToolCalls {
    /// Runs the calls on `tools`, eight at a time, and gives the results in the order of the calls. A call that comes
    /// to nothing is a result that says why.
    pub async fn run(&self, tools: &[Tool]) -> Vec<ToolResult> {
        self.run_at_most(CONCURRENCY, tools).await
    }

    /// [`run`](Self::run) with another bound, at least 1, on the calls in flight.
    pub async fn run_at_most(&self, concurrency: usize, tools: &[Tool]) -> Vec<ToolResult> {
        // Each future is made before it is polled, so that its type does not depend on a borrowed closure argument.
        let calls: Vec<_> = self.0.iter().map(|call| run_one(call, tools)).collect();
        stream::iter(calls).buffered(concurrency.max(1)).collect().await
    }
}

async fn run_one(call: &ToolCall, tools: &[Tool]) -> ToolResult {
    let outcome = match tools.iter().find(|tool| tool.name() == call.name) {
        Some(tool) => tool.call(&call.arguments).await,
        None => {
            let known = tools.iter().map(|tool| tool.name().to_owned()).collect();
            Err(ToolError::Unknown { name: call.name.clone(), known })
        }
    };
    ToolResult { id: call.id.clone(), name: call.name.clone(), outcome }
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

/// What came of one call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolResult {
    /// The id of the call, where it had one.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The result, or why there is none.
    pub outcome: Result<Value, ToolError>,
}

impl ToolResult {
    /// The result as a model reads it: text as it stands, anything else as JSON, an error in its words.
    pub fn text(&self) -> String {
        match &self.outcome {
            Ok(Value::String(text)) => text.clone(),
            Ok(value) => value.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    /// The message that answers a native call; `None` for a call without an id.
    pub fn to_message(&self) -> Option<Message> {
        Some(Message::tool_result(self.id.as_deref()?, self.text()))
    }
}
