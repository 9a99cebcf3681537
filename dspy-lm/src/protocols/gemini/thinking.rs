//! Parameters that control the reasoning of models, as data.

use serde_json::{Value, json};

use crate::ReasoningEffort;

/// Prefixes of model names, and how their reasoning is controlled. The first matching row applies.
///
/// Source: Gemini API, "Gemini thinking", "Thinking levels and budgets" (November 2026).
const FAMILIES: &[(&str, Way)] = &[
    ("gemini-1", Way::None),
    ("gemini-2.0", Way::None),
    // Pro always reasons.
    ("gemini-2.5-pro", Way::Budget { least: 128 }),
    ("gemini-2", Way::Budget { least: 0 }),
    ("gemini-3-flash", Way::Level { least: "minimal" }),
    ("gemini-3.1-flash", Way::Level { least: "minimal" }),
    ("gemini-3.5-flash", Way::Level { least: "minimal" }),
    ("gemini-3.6-flash", Way::Level { least: "minimal" }),
    ("gemini-", Way::Level { least: "low" }),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The model does not reason.
    None,
    /// A budget of tokens.
    Budget { least: u32 },
    /// A named level.
    Level { least: &'static str },
}

/// Returns the `thinkingConfig` for a model. `shown` requests the reasoning even if no effort is set.
pub(super) fn config(model: &str, effort: Option<ReasoningEffort>, shown: bool) -> Option<Value> {
    if effort.is_none() && !shown {
        return None;
    }
    let name = model.rsplit('/').next().unwrap_or(model);
    let way = FAMILIES.iter().find(|(start, _)| name.starts_with(start)).map_or(Way::None, |(_, way)| *way);
    let mut config = match (way, effort) {
        (Way::None, _) => return None,
        (_, None) => json!({}),
        (Way::Budget { least }, Some(effort)) => json!({"thinkingBudget": match effort {
            ReasoningEffort::None => least,
            ReasoningEffort::Minimal => 512,
            ReasoningEffort::Low => 1_024,
            ReasoningEffort::Medium => 8_192,
            ReasoningEffort::High | ReasoningEffort::XHigh => 24_576,
        }}),
        (Way::Level { least }, Some(effort)) => json!({"thinkingLevel": match effort {
            ReasoningEffort::None | ReasoningEffort::Minimal => least,
            ReasoningEffort::Low => "low",
            ReasoningEffort::Medium => "medium",
            ReasoningEffort::High | ReasoningEffort::XHigh => "high",
        }}),
    };
    if effort != Some(ReasoningEffort::None) {
        config["includeThoughts"] = true.into();
    }
    Some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_has_its_own_words() {
        let high = Some(ReasoningEffort::High);
        let off = Some(ReasoningEffort::None);
        for (model, effort, expected) in [
            ("gemini-3.5-flash-lite", high, Some(json!({"thinkingLevel": "high", "includeThoughts": true}))),
            ("gemini-3.5-flash-lite", off, Some(json!({"thinkingLevel": "minimal"}))),
            ("gemini-3.8-flash", off, Some(json!({"thinkingLevel": "low"}))),
            (
                "models/gemini-2.5-flash",
                high,
                Some(json!({"thinkingBudget": 24576, "includeThoughts": true})),
            ),
            ("gemini-2.5-pro", off, Some(json!({"thinkingBudget": 128}))),
            ("gemini-2.0-flash", high, None),
            ("gemma-3-27b-it", high, None),
            ("gemini-3.5-flash", None, None),
        ] {
            assert_eq!(config(model, effort, false), expected, "{model}");
        }
        assert_eq!(config("gemini-3.5-flash", None, true), Some(json!({"includeThoughts": true})));
    }
}
