//! Per-deployment differences in the accepted request format, as data.

use crate::{Capabilities, Protocol};

/// The features that a deployment supports beside the common core of its protocol.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a deployment")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// The body member that limits the tokens of a reply.
    pub(crate) token_limit: TokenLimit,
    /// The body member that holds the sampling seed.
    pub(crate) seed: Seed,
    /// Whether stop sequences are supported.
    pub(crate) stop: bool,
    /// Whether usage in a stream must be requested with `stream_options`.
    pub(crate) stream_usage: bool,
    /// The body member for the reasoning effort.
    pub(crate) effort: EffortMember,
    /// Whether `prompt_cache_key` is supported.
    pub(crate) cache_key: bool,
    /// The formats that can be enforced, and the other optional features.
    pub(crate) capabilities: Capabilities,
    /// Prefixes of model names, and the capabilities of such models if they differ from those of most of the
    /// provider's models. The first matching row applies.
    pub(crate) abler: &'static [(&'static str, Capabilities)],
    /// Whether reasoning models return their reasoning in the reply.
    pub(crate) shows_reasoning: bool,
    /// Whether a format can be enforced while tools are offered.
    pub(crate) format_with_tools: bool,
    /// The supported features of JSON Schema.
    pub(crate) schema: SchemaRules,
}

/// The name of the token limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenLimit {
    /// The original name, supported nearly everywhere.
    MaxTokens,
    /// The name of the limit that includes hidden reasoning.
    MaxCompletionTokens,
}

/// The name of the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seed {
    /// The usual name.
    Seed,
    /// Mistral's name.
    RandomSeed,
}

/// The body member for the reasoning effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EffortMember {
    /// `reasoning_effort`, OpenAI's name, adopted by most providers.
    Plain,
    /// `reasoning: {effort}`, OpenRouter's form.
    Nested,
    /// `thinking: {type}` to switch it on and off, with `reasoning_effort`: DeepSeek's form.
    Switch,
    /// No such member.
    None,
}

/// The features of JSON Schema that a deployment supports beside the common core: `type`, `properties`, `required`,
/// `additionalProperties`, `items`, `enum`, `anyOf`, `$ref`, `$defs` and `description`.
///
/// Parts omitted from a schema are still enforced when the reply is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchemaRules {
    /// The other supported keywords.
    pub(crate) keywords: &'static [&'static str],
    /// The supported values of `format`, if that keyword is supported.
    pub(crate) formats: &'static [&'static str],
    /// Whether recursive types are supported.
    pub(crate) recursion: bool,
    /// Whether objects may have members that the schema does not name, and values may be of any type.
    pub(crate) open: bool,
    /// The maximum size of a schema; `None` if unlimited.
    pub(crate) limits: Option<Limits>,
}

/// The maximum size of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The nesting depth of objects and lists.
    pub(crate) depth: usize,
    /// The total number of members of all objects.
    pub(crate) properties: usize,
    /// The total number of choices of all enumerations.
    pub(crate) choices: usize,
    /// The total number of bytes of all names and choices.
    pub(crate) bytes: usize,
}

/// The rules for unknown servers: bounds that every grammar engine supports (llama.cpp, xgrammar, llguidance,
/// outlines), and no regular expressions, because llama.cpp supports only anchored ones.
const COMMON: SchemaRules = SchemaRules {
    keywords: &[
        "const",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "prefixItems",
    ],
    formats: &[],
    recursion: true,
    open: true,
    limits: None,
};

/// OpenAI, guide "Structured model outputs", section "Supported schemas". `minLength` and `maxLength` are not listed
/// there, nor are `allOf`, `not`, `oneOf`, `default` and `prefixItems`.
pub(crate) const OPENAI_SCHEMA: SchemaRules = SchemaRules {
    keywords: &[
        "const",
        "pattern",
        "format",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    ],
    formats: &["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"],
    recursion: true,
    open: true,
    limits: Some(Limits { depth: 10, properties: 5000, choices: 1000, bytes: 120_000 }),
};

/// Gemini API, guide "Structured output", the table of supported keywords (November 2025). `const` is not listed
/// there.
pub(crate) const GEMINI_SCHEMA: SchemaRules = SchemaRules {
    keywords: &["format", "minimum", "maximum", "minItems", "maxItems", "prefixItems"],
    formats: &["date-time", "date", "time"],
    recursion: true,
    open: true,
    limits: None,
};

/// Anthropic, guide "Structured outputs", section "JSON Schema limitations": objects must be closed, types must not
/// be recursive, and numbers, lengths and numbers of items cannot be bounded.
pub(crate) const ANTHROPIC_SCHEMA: SchemaRules = SchemaRules {
    keywords: &["const", "format"],
    formats: &["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"],
    recursion: false,
    open: false,
    limits: None,
};

/// Groq, guide "Structured outputs": types, enumerations and references; bounds are not mentioned.
pub(crate) const BARE_SCHEMA: SchemaRules =
    SchemaRules { keywords: &["const"], formats: &[], recursion: true, open: true, limits: None };

/// xAI, guide "Structured outputs", section "JSON Schema support": references must not be circular. Lengths and
/// numbers of items are omitted because they have caused server errors.
pub(crate) const XAI_SCHEMA: SchemaRules = SchemaRules {
    keywords: &["const", "format", "minimum", "maximum"],
    formats: &["date", "time", "date-time", "email", "uuid", "ipv4", "ipv6"],
    recursion: false,
    open: true,
    limits: None,
};

/// vLLM and SGLang, whose default engine is xgrammar: it refuses `multipleOf`, `uniqueItems`, `contains`,
/// `patternProperties` and unknown formats (vLLM, `has_xgrammar_unsupported_json_features`).
pub(crate) const XGRAMMAR_SCHEMA: SchemaRules = SchemaRules {
    keywords: &[
        "const",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "prefixItems",
    ],
    ..COMMON
};

/// The dialect of an unknown server: the common core, without enforced formats.
pub(crate) const PLAIN: Dialect = Dialect {
    protocol: Protocol::Chat,
    token_limit: TokenLimit::MaxTokens,
    seed: Seed::Seed,
    stop: true,
    stream_usage: true,
    effort: EffortMember::Plain,
    cache_key: false,
    capabilities: Capabilities::NONE,
    abler: &[],
    shows_reasoning: false,
    format_with_tools: true,
    schema: COMMON,
};

/// Prefixes of model names, and whether such models are reasoning models with their parameter rules.
/// The first matching row applies.
const FAMILIES: &[(&str, bool)] =
    &[("gpt-5-chat", false), ("gpt-5", true), ("gpt-6", true), ("o1", true), ("o3", true), ("o4", true)];

/// Prefixes of model names, and the formats that such models cannot enforce although their provider can.
const FORMAT_LIMITS: &[(&str, Capabilities)] = &[
    ("gpt-3.5-turbo", Capabilities::NONE.json_object(true)),
    ("gpt-4-turbo", Capabilities::NONE.json_object(true)),
    ("gpt-4-0", Capabilities::NONE),
];

/// Models that refuse an enforced format while tools are offered (Gemini API, guide "Structured outputs", "Structured
/// outputs with tools": from the third generation on they can be combined).
const FORMAT_OR_TOOLS: &[&str] = &["gemini-1", "gemini-2"];

/// Open models that always reason, and whose servers return the reasoning apart from the reply: `reasoning_content`
/// (DeepSeek, Fireworks, llama.cpp) or `reasoning` (Groq, Together, OpenRouter, Ollama).
const THINKERS: &[&str] =
    &["deepseek-reasoner", "deepseek-r1", "gpt-oss", "qwq", "magistral", "kimi-k2-thinking", "minimax-m2"];

impl SchemaRules {
    /// Returns the rules for the arguments of tools. These are described, not enforced, so that objects may stay
    /// open.
    pub(crate) fn of_tools(self) -> Self {
        if self.open { self } else { COMMON }
    }
}

impl Protocol {
    /// Returns the schema rules for an unknown server with this protocol.
    pub(crate) fn schema(self, strict: bool) -> SchemaRules {
        match self {
            Protocol::Anthropic => ANTHROPIC_SCHEMA,
            Protocol::Gemini => GEMINI_SCHEMA,
            // For a server that is declared strict, OpenAI's rules are assumed.
            Protocol::Chat | Protocol::Responses if strict => OPENAI_SCHEMA,
            Protocol::Chat | Protocol::Responses => COMMON,
        }
    }
}

impl Dialect {
    /// Applies the parameter rules of OpenAI's reasoning models (Azure OpenAI, "Reasoning models", "Not supported";
    /// OpenAI, "Create chat completion", `stop`).
    pub(crate) fn be_reasoning(&mut self) {
        self.stop &= !matches!(self.protocol, Protocol::Chat | Protocol::Responses);
        self.capabilities.logprobs = false;
        self.capabilities.sampling = false;
        self.token_limit = TokenLimit::MaxCompletionTokens;
    }

    /// Returns the dialect narrowed to the features that `model` supports.
    pub(crate) fn for_model(mut self, model: &str) -> Self {
        // Routers put the vendor before the name (`openai/o3-mini`), fine-tuned models have the prefix `ft:`.
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.strip_prefix("ft:").unwrap_or(name).to_ascii_lowercase();
        if let Some((_, abler)) = self.abler.iter().find(|(start, _)| name.starts_with(start)) {
            self.capabilities = *abler;
        }
        if FAMILIES.iter().find(|(family, _)| belongs(&name, family)).is_some_and(|(_, reasoning)| *reasoning)
        {
            self.be_reasoning();
        }
        self.format_with_tools &= !FORMAT_OR_TOOLS.iter().any(|start| name.starts_with(start));
        if let Some((_, limit)) = FORMAT_LIMITS.iter().find(|(start, _)| name.starts_with(start)) {
            self.capabilities.json_object &= limit.json_object;
            self.capabilities.json_schema &= limit.json_schema;
            self.capabilities.strict &= limit.strict;
        }
        self.capabilities.reasoning |=
            self.shows_reasoning && THINKERS.iter().any(|family| belongs(&name, family));
        self
    }
}

/// Returns whether `name` is `family` or a variant of it: `o1` and `o1-mini`, but not `o1x`.
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
            assert!(!dialect.capabilities.sampling && !dialect.capabilities.logprobs, "{model}");
        }
        for model in ["gpt-4o-mini", "gpt-5-chat-latest", "o1x", "gpt-50", "openai/gpt-oss-120b", "llama3.2"]
        {
            assert_eq!(PLAIN.for_model(model), PLAIN, "{model}");
        }
    }

    #[test]
    fn thoughts_are_expected_of_models_that_think_on_servers_that_show_them() {
        let shows = Dialect { shows_reasoning: true, ..PLAIN };
        for (model, thinks) in [
            ("deepseek-r1:8b", true),
            ("openai/gpt-oss-20b", true),
            ("deepseek-chat", false),
            ("qwq2", false),
        ] {
            assert_eq!(shows.for_model(model).capabilities.reasoning, thinks, "{model}");
            assert!(!PLAIN.for_model(model).capabilities.reasoning, "{model}");
        }
    }
}
