//! Tools as models see them: specifications and calls.

use std::sync::Arc;

use dspy_base::keyword;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The specification of a tool for a model.
///
/// As a field type it is a tool that the model may call: an input `tools: Vec<ToolSpec>` beside an output
/// `ToolCalls` of `dspy`.
///
/// ```
/// use dspy_lm::ToolSpec;
/// let parameters = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}});
/// let tool = ToolSpec::new("weather", "The weather in a city.", parameters);
/// assert_eq!(tool.name, "weather");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name by which the model calls it.
    pub name: String,
    /// The description of its effect and use, for the model.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of the object that holds the arguments.
    #[serde(default = "no_parameters")]
    pub parameters: Value,
}

fn no_parameters() -> Value {
    serde_json::json!({"type": "object", "properties": {}})
}

impl ToolSpec {
    /// Creates the specification of a tool whose arguments conform to the JSON Schema `parameters`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        ToolSpec { name: name.into(), description: description.into(), parameters }
    }
}

impl JsonSchema for ToolSpec {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ToolSpec".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "description": {"type": "string"},
                "parameters": {"type": "object", "additionalProperties": true},
            },
            "required": ["name"],
            (keyword::NATIVE): "tool",
        })
    }
}

/// A call of a tool by a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// The endpoint's id of the call; the result is returned under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of the tool.
    pub name: String,
    /// The arguments, usually an object. If the model wrote invalid JSON, a string with the text as it is.
    #[serde(default, alias = "args", alias = "input", alias = "parameters")]
    pub arguments: Value,
}

impl ToolCall {
    /// Creates a call without an id.
    pub fn new(name: impl Into<String>, arguments: Value) -> Self {
        ToolCall { id: None, name: name.into(), arguments }
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

/// Whether the model may, must or must not call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool call is allowed.
    None,
    /// At least one tool call is required.
    Required,
    /// A call of the tool with this name is required.
    Named(Arc<str>),
}
