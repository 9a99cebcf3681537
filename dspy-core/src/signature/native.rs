//! Fields that some models support natively, outside the text of prompts and replies.

use dspy_base::keyword;
use serde_json::Value;

/// The native counterpart of a field. Types declare it by `x-native` in their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Native {
    /// Tools that the model may call.
    Tools,
    /// Calls of tools by the model.
    ToolCalls,
    /// Earlier turns with tool calls.
    Trajectory,
    /// The text beside tool calls.
    Thought,
    /// The model's own reasoning.
    Reasoning,
}

impl Native {
    pub(super) fn of(schema: &Value) -> Option<Self> {
        let of_items = || schema.get("items")?.get(keyword::NATIVE);
        match schema.get(keyword::NATIVE).or_else(of_items)?.as_str()? {
            "tool" => Some(Native::Tools),
            "tool_calls" => Some(Native::ToolCalls),
            "trajectory" => Some(Native::Trajectory),
            "thought" => Some(Native::Thought),
            "reasoning" => Some(Native::Reasoning),
            _ => None,
        }
    }
}
