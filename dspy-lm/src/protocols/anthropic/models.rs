//! The parameters that Claude models support, as data.

use crate::ReasoningEffort;

/// The parameters that a family of models supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family {
    /// The control of reasoning.
    pub(super) thinking: Thinking,
    /// Whether `temperature` and `top_p` are supported.
    pub(super) sampling: bool,
    /// The token limit of a reply if the request sets none, since the API requires one: a limit that all models of
    /// the family support and that leaves room for long reasoning.
    pub(super) max_tokens: u32,
    /// Whether a tool call can be forced.
    pub(super) forced_tools: bool,
    /// The name of the highest effort.
    pub(super) highest: &'static str,
}

/// The control of a family's reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// No reasoning.
    No,
    /// A budget of tokens; off by default.
    Budget,
    /// An effort; off by default.
    Asked,
    /// An effort; on by default.
    Unasked,
    /// An effort; cannot be turned off.
    Always,
}

/// The common settings. From the fourth generation on, replies may have at least 32,000 tokens.
const FAMILY: Family = Family {
    thinking: Thinking::Budget,
    sampling: true,
    max_tokens: 32_000,
    forced_tools: true,
    highest: "max",
};
/// The settings from Opus 4.7 on, where token budgets and sampling parameters are refused.
const ADAPTIVE: Family = Family { thinking: Thinking::Asked, sampling: false, highest: "xhigh", ..FAMILY };

/// Prefixes of model names, and the settings of such models. The first matching row applies.
///
/// Sources: Anthropic, "Models overview", "Adaptive thinking", "Effort", and the migration guides for Opus 4.7, 5 and
/// 5.5 (November 2026).
const FAMILIES: &[(&str, Family)] = &[
    ("claude-3-7", FAMILY),
    ("claude-3-5", Family { thinking: Thinking::No, max_tokens: 8_192, ..FAMILY }),
    ("claude-3", Family { thinking: Thinking::No, max_tokens: 4_096, ..FAMILY }),
    ("claude-opus-4-6", Family { thinking: Thinking::Asked, ..FAMILY }),
    ("claude-sonnet-4-6", Family { thinking: Thinking::Asked, ..FAMILY }),
    ("claude-opus-4-7", ADAPTIVE),
    ("claude-opus-4-8", ADAPTIVE),
    ("claude-opus-4", FAMILY),
    ("claude-sonnet-4", FAMILY),
    ("claude-haiku-4", FAMILY),
    ("claude-opus-5-5", Family { thinking: Thinking::Always, forced_tools: false, ..ADAPTIVE }),
    ("claude-sonnet-5-5", Family { thinking: Thinking::Always, ..ADAPTIVE }),
    ("claude-opus-5", Family { thinking: Thinking::Unasked, ..ADAPTIVE }),
    ("claude-sonnet-5", Family { thinking: Thinking::Unasked, ..ADAPTIVE }),
    ("claude-haiku-5", Family { thinking: Thinking::Unasked, ..ADAPTIVE }),
    // Fable, Mythos and their successors.
    ("claude-", Family { thinking: Thinking::Always, forced_tools: false, ..ADAPTIVE }),
];

/// Returns the settings of the model with this name. Models of other vendors with this protocol get its oldest form.
pub(super) fn family(model: &str) -> Family {
    let name = model.to_ascii_lowercase().replace('.', "-");
    // Cloud providers put the vendor and the region before the name.
    let name = name.find("claude-").map_or(name.as_str(), |start| &name[start..]);
    let row = FAMILIES.iter().find(|(start, _)| name.starts_with(start));
    row.map_or(Family { max_tokens: 8_192, ..FAMILY }, |(_, family)| *family)
}

impl Family {
    /// Returns the name of an effort.
    pub(super) const fn effort(self, effort: ReasoningEffort) -> &'static str {
        match effort {
            ReasoningEffort::None | ReasoningEffort::Minimal | ReasoningEffort::Low => "low",
            ReasoningEffort::Medium => "medium",
            ReasoningEffort::High => "high",
            ReasoningEffort::XHigh => self.highest,
        }
    }
}

/// The smallest token budget for reasoning.
pub(super) const LEAST_BUDGET: u32 = 1_024;

/// Returns the token budget for an effort, for families that expect one.
pub(super) const fn budget(effort: ReasoningEffort) -> u32 {
    match effort {
        ReasoningEffort::None => 0,
        ReasoningEffort::Minimal => LEAST_BUDGET,
        ReasoningEffort::Low => 2_048,
        ReasoningEffort::Medium => 8_192,
        ReasoningEffort::High => 16_384,
        ReasoningEffort::XHigh => 24_576,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_by_name() {
        for (model, thinking, sampling, max_tokens) in [
            ("claude-3-haiku-20240307", Thinking::No, true, 4_096),
            ("claude-3-5-sonnet-latest", Thinking::No, true, 8_192),
            ("claude-3-7-sonnet-latest", Thinking::Budget, true, 32_000),
            ("claude-haiku-4-5-20251001", Thinking::Budget, true, 32_000),
            ("anthropic/claude-sonnet-4.6", Thinking::Asked, true, 32_000),
            ("us.anthropic.claude-opus-4-7-v1:0", Thinking::Asked, false, 32_000),
            ("claude-opus-5", Thinking::Unasked, false, 32_000),
            ("claude-opus-5-5", Thinking::Always, false, 32_000),
            ("claude-fable-5-1", Thinking::Always, false, 32_000),
            ("MiniMax-M2", Thinking::Budget, true, 8_192),
        ] {
            let family = family(model);
            assert_eq!(
                (family.thinking, family.sampling, family.max_tokens),
                (thinking, sampling, max_tokens),
                "{model}"
            );
        }
    }
}
