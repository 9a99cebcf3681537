//! How deployments depart from one another in what they take. All of it is data.

use super::Capabilities;

/// What a deployment takes beside the common core of the chat completions API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// The body member that limits the tokens of a reply.
    pub(super) token_limit: TokenLimit,
    /// Whether `temperature` and `top_p` are taken. Reasoning models refuse the whole request for them.
    pub(super) sampling: bool,
    /// The body member that holds the sampling seed.
    pub(super) seed: Seed,
    /// Whether usage in a stream must be asked for, by `stream_options`.
    pub(super) stream_usage: bool,
    /// The reply formats that can be enforced.
    pub(super) capabilities: Capabilities,
}

/// The name of the token limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenLimit {
    /// The original name, understood nearly everywhere.
    MaxTokens,
    /// The name that counts hidden reasoning too.
    MaxCompletionTokens,
}

/// The name of the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seed {
    /// The usual name.
    Seed,
    /// Mistral's name.
    RandomSeed,
}

/// What is known of a server that nobody described: the common core, and no enforced formats.
pub(super) const PLAIN: Dialect = Dialect {
    token_limit: TokenLimit::MaxTokens,
    sampling: true,
    seed: Seed::Seed,
    stream_usage: true,
    capabilities: Capabilities { json_object: false, json_schema: false },
};

/// The start of a model's name, and whether such models are reasoning models with their parameter rules.
/// The first row that fits decides.
const FAMILIES: &[(&str, bool)] =
    &[("gpt-5-chat", false), ("gpt-5", true), ("gpt-6", true), ("o1", true), ("o3", true), ("o4", true)];

/// The start of a model's name, and the formats that such models cannot enforce although their provider can.
const FORMAT_LIMITS: &[(&str, Capabilities)] = &[
    ("gpt-3.5-turbo", Capabilities { json_object: true, json_schema: false }),
    ("gpt-4-turbo", Capabilities { json_object: true, json_schema: false }),
    ("gpt-4-0", Capabilities { json_object: false, json_schema: false }),
];

impl Dialect {
    /// The same dialect, narrowed to what `model` takes.
    pub(super) fn for_model(mut self, model: &str) -> Self {
        // Routers put the maker before the name (`openai/o3-mini`), fine-tunes put `ft:` there.
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.strip_prefix("ft:").unwrap_or(name);
        if FAMILIES.iter().find(|(family, _)| belongs(name, family)).is_some_and(|(_, reasoning)| *reasoning)
        {
            self.token_limit = TokenLimit::MaxCompletionTokens;
            self.sampling = false;
        }
        if let Some((_, limit)) = FORMAT_LIMITS.iter().find(|(start, _)| name.starts_with(start)) {
            self.capabilities.json_object &= limit.json_object;
            self.capabilities.json_schema &= limit.json_schema;
        }
        self
    }
}

/// Whether `name` is `family` or a variant of it: `o1` and `o1-mini`, but not `o1x`.
fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_are_told_by_family() {
        for model in [
            "o1",
            "o3-mini",
            "openai/o4-mini",
            "gpt-5",
            "gpt-5.1-mini",
            "gpt-6-luna",
            "gpt-6.1-terra",
            "ft:o4-mini:me",
        ] {
            let dialect = PLAIN.for_model(model);
            assert_eq!(dialect.token_limit, TokenLimit::MaxCompletionTokens, "{model}");
            assert!(!dialect.sampling, "{model}");
        }
        for model in ["gpt-4o-mini", "gpt-5-chat-latest", "o1x", "gpt-50", "openai/gpt-oss-120b", "llama3.2"]
        {
            assert_eq!(PLAIN.for_model(model), PLAIN, "{model}");
        }
    }
}
