//! The providers that are known by name. Adding one is adding a row.

use super::dialect::{
    BARE_SCHEMA, Dialect, EffortMember, GEMINI_SCHEMA, OPENAI_SCHEMA, PLAIN, SchemaRules, Seed, XAI_SCHEMA,
    XGRAMMAR_SCHEMA,
};
use super::{Capabilities, Lookup, variable};

/// One provider.
#[derive(Debug)]
pub(super) struct Provider {
    /// The part of a model string before the first slash.
    pub(super) name: &'static str,
    /// Where it is served unless the environment says otherwise.
    pub(super) base_url: &'static str,
    /// Environment variables that give another base URL; the first that is set counts.
    pub(super) url_vars: &'static [&'static str],
    /// Environment variables that hold the key; the first that is set counts.
    pub(super) key_vars: &'static [&'static str],
    /// Whether it answers nothing without a key.
    pub(super) needs_key: bool,
    /// The small model to use when only the key is known.
    pub(super) small_model: &'static str,
    /// What it takes.
    pub(super) dialect: Dialect,
}

const OBJECT: Capabilities = Capabilities::NONE.json_object(true);
const SCHEMA: Capabilities = OBJECT.json_schema(true);

/// A dialect that departs from the plain one in what can be enforced.
const fn able(capabilities: Capabilities, schema: SchemaRules) -> Dialect {
    Dialect { capabilities, schema, ..PLAIN }
}

const fn hosted(
    name: &'static str,
    base_url: &'static str,
    key_vars: &'static [&'static str],
    url_vars: &'static [&'static str],
    small_model: &'static str,
    dialect: Dialect,
) -> Provider {
    Provider { name, base_url, url_vars, key_vars, needs_key: true, small_model, dialect }
}

const fn local(
    name: &'static str,
    base_url: &'static str,
    key_vars: &'static [&'static str],
    url_vars: &'static [&'static str],
    dialect: Dialect,
) -> Provider {
    Provider { name, base_url, url_vars, key_vars, needs_key: false, small_model: "", dialect }
}

/// All known providers; those with a key variable are tried in this order by [`Lm::from_env`](super::Lm::from_env).
///
/// Providers retire models every few months; the small ones were looked up in November 2026.
/// Enforced formats and native tools are only claimed where every current model of the provider has them; servers of
/// one's own need a flag for tools (vLLM, SGLang, llama.cpp) or a model that knows them (Ollama, LM Studio), so they
/// claim none.
pub(super) const PROVIDERS: &[Provider] = &[
    hosted(
        "openai",
        "https://api.openai.com/v1",
        &["OPENAI_API_KEY"],
        &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
        "gpt-6-luna",
        able(SCHEMA.strict(true).tools(true), OPENAI_SCHEMA),
    ),
    hosted(
        "anthropic",
        "https://api.anthropic.com/v1",
        &["ANTHROPIC_API_KEY"],
        &["ANTHROPIC_BASE_URL"],
        "claude-haiku-4-5",
        // The compatibility layer ignores `response_format` and has no word for the effort, but takes tools
        // (Anthropic, "OpenAI SDK compatibility").
        Dialect { effort: EffortMember::None, capabilities: Capabilities::NONE.tools(true), ..PLAIN },
    ),
    hosted(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        &["GEMINI_BASE_URL"],
        "gemini-3.5-flash-lite",
        // Models before the third generation refuse function calling together with a JSON reply.
        Dialect { format_with_tools: false, ..able(SCHEMA.tools(true), GEMINI_SCHEMA) },
    ),
    hosted(
        "openrouter",
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY"],
        &["OPENROUTER_BASE_URL"],
        "openai/gpt-6-luna",
        Dialect { effort: EffortMember::Nested, shows_reasoning: true, ..PLAIN },
    ),
    hosted(
        "groq",
        "https://api.groq.com/openai/v1",
        &["GROQ_API_KEY"],
        &["GROQ_BASE_URL"],
        "openai/gpt-oss-20b",
        // Constrained decoding exists for gpt-oss only, and never together with tools (Groq, "Structured outputs").
        Dialect {
            abler: &[("gpt-oss", SCHEMA.strict(true).tools(true))],
            shows_reasoning: true,
            format_with_tools: false,
            ..able(OBJECT.tools(true), BARE_SCHEMA)
        },
    ),
    hosted(
        "together",
        "https://api.together.xyz/v1",
        &["TOGETHER_API_KEY", "TOGETHERAI_API_KEY"],
        &["TOGETHER_BASE_URL"],
        "openai/gpt-oss-20b",
        Dialect { shows_reasoning: true, ..PLAIN },
    ),
    hosted(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        &["FIREWORKS_API_KEY"],
        &["FIREWORKS_BASE_URL"],
        "accounts/fireworks/models/gpt-oss-20b",
        // Neither `oneOf` nor lengths nor patterns (Fireworks, "Structured outputs", "JSON Schema support").
        Dialect { shows_reasoning: true, ..able(SCHEMA, BARE_SCHEMA) },
    ),
    hosted(
        "deepseek",
        "https://api.deepseek.com/v1",
        &["DEEPSEEK_API_KEY"],
        &["DEEPSEEK_BASE_URL"],
        "deepseek-flash",
        // `json_schema` is refused with "This response_format type is unavailable now".
        Dialect {
            effort: EffortMember::Switch,
            capabilities: OBJECT.tools(true),
            shows_reasoning: true,
            ..PLAIN
        },
    ),
    hosted(
        "mistral",
        "https://api.mistral.ai/v1",
        &["MISTRAL_API_KEY"],
        &["MISTRAL_BASE_URL"],
        "mistral-small-latest",
        // The official client marks schemas `strict` and closes their objects (Mistral, "Custom Structured Outputs").
        Dialect {
            seed: Seed::RandomSeed,
            stream_usage: false,
            ..able(SCHEMA.strict(true).tools(true), OPENAI_SCHEMA)
        },
    ),
    hosted(
        "xai",
        "https://api.x.ai/v1",
        &["XAI_API_KEY"],
        &["XAI_BASE_URL"],
        "grok-4.3",
        able(SCHEMA.tools(true), XAI_SCHEMA),
    ),
    local(
        "ollama",
        "http://localhost:11434/v1",
        &["OLLAMA_API_KEY"],
        &["OLLAMA_BASE_URL", "OLLAMA_HOST"],
        Dialect { capabilities: SCHEMA, shows_reasoning: true, ..PLAIN },
    ),
    local(
        "vllm",
        "http://localhost:8000/v1",
        &["VLLM_API_KEY"],
        &["VLLM_BASE_URL"],
        able(SCHEMA, XGRAMMAR_SCHEMA),
    ),
    local(
        "sglang",
        "http://localhost:30000/v1",
        &["SGLANG_API_KEY"],
        &["SGLANG_BASE_URL"],
        able(SCHEMA, XGRAMMAR_SCHEMA),
    ),
    // LM Studio refuses the plain JSON mode but takes schemas.
    local(
        "lmstudio",
        "http://localhost:1234/v1",
        &["LMSTUDIO_API_KEY"],
        &["LMSTUDIO_BASE_URL"],
        Dialect { capabilities: Capabilities::NONE.json_schema(true), ..PLAIN },
    ),
    local(
        "llamacpp",
        "http://localhost:8080/v1",
        &["LLAMACPP_API_KEY"],
        &["LLAMACPP_BASE_URL"],
        Dialect { capabilities: SCHEMA, shows_reasoning: true, ..PLAIN },
    ),
];

/// Other names for providers, as users of DSPy in Python know them.
const ALIASES: &[(&str, &str)] = &[
    ("together_ai", "together"),
    ("fireworks_ai", "fireworks"),
    ("ollama_chat", "ollama"),
    ("hosted_vllm", "vllm"),
    ("lm_studio", "lmstudio"),
    ("google", "gemini"),
];

/// The provider of that name.
pub(super) fn provider(name: &str) -> Option<&'static Provider> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    let name = alias.map_or(name, |(_, name)| name);
    PROVIDERS.iter().find(|provider| provider.name.eq_ignore_ascii_case(name))
}

/// The names of all providers, for messages.
pub(super) fn names() -> String {
    PROVIDERS.iter().map(|provider| provider.name).collect::<Vec<_>>().join(", ")
}

impl Provider {
    /// The base URL to use: the environment's, else the provider's own.
    pub(super) fn base_url(&self, lookup: Lookup<'_>) -> String {
        let Some((var, url)) = self.url_vars.iter().find_map(|var| Some((*var, variable(lookup, var)?)))
        else {
            return self.base_url.into();
        };
        if var == "OLLAMA_HOST" { ollama_url(&url) } else { url }
    }

    /// The key and the variable that holds it.
    pub(super) fn key(&self, lookup: Lookup<'_>) -> Option<(&'static str, String)> {
        self.key_vars.iter().find_map(|var| Some((*var, variable(lookup, var)?)))
    }
}

/// `OLLAMA_HOST` configures the server too and so may be a bare host, lack the port or be a wildcard address.
fn ollama_url(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let authority = authority.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = match authority.as_str() {
        "" => "localhost:11434".into(),
        port if port.starts_with(':') => format!("localhost{port}"),
        // With a scheme, the scheme's own port is meant.
        _ if has_port || host.contains("://") => authority,
        _ => format!("{authority}:11434"),
    };
    let path = if path.is_empty() { "v1" } else { path };
    format!("{scheme}://{authority}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_ollama_host() {
        for (host, url) in [
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("box:8080", "http://box:8080/v1"),
            ("[::]:11434", "http://[::1]:11434/v1"),
            (":9999", "http://localhost:9999/v1"),
            ("http://box:11434/", "http://box:11434/v1"),
            ("https://ollama.example.org", "https://ollama.example.org/v1"),
            ("http://box:11434/v1", "http://box:11434/v1"),
        ] {
            assert_eq!(ollama_url(host), url, "{host}");
        }
    }

    #[test]
    fn hosted_providers_can_be_chosen_by_their_key_alone() {
        for provider in PROVIDERS {
            assert_eq!(provider.needs_key, !provider.small_model.is_empty(), "{}", provider.name);
            assert_eq!(provider.needs_key, provider.base_url.starts_with("https://"), "{}", provider.name);
        }
    }
}
