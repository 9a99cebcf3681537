//! Fields that some models give or take beside the text.

use dspy_base::keyword;
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
        let of_items = || schema.get("items")?.get(keyword::NATIVE);
        match schema.get(keyword::NATIVE).or_else(of_items)?.as_str()? {
            "tool" => Some(Native::Tools),
            "tool_calls" => Some(Native::ToolCalls),
            "reasoning" => Some(Native::Reasoning),
            _ => None,
        }
    }
}
