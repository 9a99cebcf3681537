//! Fields that some models give or take beside the text.

use serde_json::Value;

/// What a field is to a model that handles it natively. The types say so by `x-native` in their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Native {
    /// Tools that may be called.
    Tools,
    /// Tools that are called.
    ToolCalls,
    /// The model's own reasoning.
    Reasoning,
}

impl Native {
    pub(super) fn of(schema: &Value) -> Option<Self> {
        match schema.get("x-native").or_else(|| schema.pointer("/items/x-native"))?.as_str()? {
            "tool" => Some(Native::Tools),
            "tool_calls" => Some(Native::ToolCalls),
            "reasoning" => Some(Native::Reasoning),
            _ => None,
        }
    }
}
