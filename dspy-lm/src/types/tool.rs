//! Tools as models see them: what is offered, and what is called.

use std::sync::Arc;

use dspy_base::keyword;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A tool as a model sees it.
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
    /// The name to call it by.
    pub name: String,
    /// What it does and when to use it.
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
    /// A tool whose arguments have that JSON Schema.
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

/// A call of a tool that a model asks for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the endpoint knows the call by; the result goes back under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments, as a rule an object. Where a model wrote something that is not JSON, the text as it stands.
    #[serde(default, alias = "args", alias = "input", alias = "parameters")]
    pub arguments: Value,
}

impl ToolCall {
    /// A call without an id.
    pub fn new(name: impl Into<String>, arguments: Value) -> Self {
        ToolCall { id: None, name: name.into(), arguments }
    }

    /// The same call under an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

/// Whether a model must call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// It must not.
    None,
    /// It must call one at least.
    Required,
    /// It must call this one.
    Named(Arc<str>),
}
