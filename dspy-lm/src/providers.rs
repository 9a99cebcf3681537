//! The table of the providers that are known by name. A new provider is a new row.

use crate::environment::{Lookup, variable};
use crate::protocols::dialect::{
    ANTHROPIC_SCHEMA, BARE_SCHEMA, Dialect, EffortMember, GEMINI_SCHEMA, OPENAI_SCHEMA, PLAIN, SchemaRules,
    Seed, XAI_SCHEMA, XGRAMMAR_SCHEMA,
};
use crate::{Capabilities, Protocol};

/// A provider that is known by name.
#[derive(Debug)]
pub(crate) struct Provider {
    /// The part of a model string before the first slash.
    pub(crate) name: &'static str,
    /// The default base URL.
    pub(crate) base_url: &'static str,
    /// Environment variables that override the base URL; the first one set is used.
    pub(crate) url_vars: &'static [&'static str],
    /// Environment variables that hold the key; the first one set is used.
    pub(crate) key_vars: &'static [&'static str],
    /// Whether requests require a key.
    pub(crate) needs_key: bool,
    /// The small model that [`Lm::from_env`](crate::Lm::from_env) selects if only the key is set.
    pub(crate) small_model: &'static str,
    /// The request features that the default protocol supports.
    pub(crate) dialect: Dialect,
    /// The other protocols of the provider.
    pub(crate) also: &'static [Also],
}

/// A protocol of a provider beside its default one.
#[derive(Debug)]
pub(crate) struct Also {
    /// The base URL for this protocol.
    pub(crate) base_url: &'static str,
    /// The protocol and the request features that it supports.
    pub(crate) dialect: Dialect,
}

const OBJECT: Capabilities = Capabilities::NONE.json_object(true);
const SCHEMA: Capabilities = OBJECT.json_schema(true);
/// The capabilities of Claude from version 4.5 on.
const CLAUDE: Capabilities = Capabilities::NONE.json_schema(true).tools(true).n(false).logprobs(false);
/// The capabilities of Claude before version 4.5.
const OLD_CLAUDE: Capabilities = CLAUDE.json_schema(false);
const OPENAI: Dialect = Dialect { cache_key: true, ..able(SCHEMA.strict(true).tools(true), OPENAI_SCHEMA) };
const OPENAI_RESPONSES: Dialect =
    Dialect { protocol: Protocol::Responses, capabilities: OPENAI.capabilities.n(false), ..OPENAI };

/// Returns the plain dialect with these capabilities and schema rules.
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
    Provider { name, base_url, url_vars, key_vars, needs_key: true, small_model, dialect, also: &[] }
}

const fn local(
    name: &'static str,
    base_url: &'static str,
    key_vars: &'static [&'static str],
    url_vars: &'static [&'static str],
    dialect: Dialect,
) -> Provider {
    Provider { name, base_url, url_vars, key_vars, needs_key: false, small_model: "", dialect, also: &[] }
}

/// All known providers. [`Lm::from_env`](crate::Lm::from_env) tries those with a key variable in this order.
///
/// Providers retire models every few months; the small models were looked up in November 2026. Enforced formats and
/// native tools are only listed where every current model of the provider supports them. For tools, self-hosted
/// servers need a command-line flag (vLLM, SGLang, llama.cpp) or a model with tool support (Ollama, LM Studio), so
/// none are listed for them.
pub(crate) const PROVIDERS: &[Provider] = &[
    Provider {
        also: &[Also { base_url: "https://api.openai.com/v1", dialect: OPENAI_RESPONSES }],
        ..hosted(
            "openai",
            "https://api.openai.com/v1",
            &["OPENAI_API_KEY"],
            &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
            "gpt-6-luna",
            OPENAI,
        )
    },
    Provider {
        // The compatibility layer ignores `response_format`, has no parameter for the effort and returns one
        // completion, but supports tools (Anthropic, "OpenAI SDK compatibility").
        also: &[Also {
            base_url: "https://api.anthropic.com/v1",
            dialect: Dialect { effort: EffortMember::None, capabilities: OLD_CLAUDE, ..PLAIN },
        }],
        ..hosted(
            "anthropic",
            "https://api.anthropic.com/v1",
            &["ANTHROPIC_API_KEY"],
            &["ANTHROPIC_BASE_URL"],
            "claude-haiku-4-5",
            Dialect {
                protocol: Protocol::Anthropic,
                abler: &[
                    ("claude-3", OLD_CLAUDE),
                    ("claude-opus-4-0", OLD_CLAUDE),
                    ("claude-opus-4-2", OLD_CLAUDE),
                    ("claude-sonnet-4-0", OLD_CLAUDE),
                    ("claude-sonnet-4-2", OLD_CLAUDE),
                ],
                ..able(CLAUDE, ANTHROPIC_SCHEMA)
            },
        )
    },
    Provider {
        also: &[Also {
            base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
            dialect: able(SCHEMA.tools(true), GEMINI_SCHEMA),
        }],
        ..hosted(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            &["GEMINI_BASE_URL"],
            "gemini-3.5-flash-lite",
            Dialect { protocol: Protocol::Gemini, ..able(SCHEMA.tools(true), GEMINI_SCHEMA) },
        )
    },
    // The model name is the name of a deployment, which the user chooses (Azure OpenAI, "v1 API").
    Provider {
        also: &[Also { base_url: "", dialect: OPENAI_RESPONSES }],
        ..hosted(
            AZURE,
            "",
            &["AZURE_OPENAI_API_KEY", "AZURE_API_KEY"],
            &["AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"],
            "",
            OPENAI,
        )
    },
    hosted(
        "openrouter",
        "https://openrouter.ai/api/v1",
        &["OPENROUTER_API_KEY"],
        &["OPENROUTER_BASE_URL"],
        "openai/gpt-6-luna",
        // `n` is not among the documented parameters (OpenRouter, "API parameters").
        Dialect {
            effort: EffortMember::Nested,
            shows_reasoning: true,
            capabilities: Capabilities::NONE.n(false),
            ..PLAIN
        },
    ),
    hosted(
        "groq",
        "https://api.groq.com/openai/v1",
        &["GROQ_API_KEY"],
        &["GROQ_BASE_URL"],
        "openai/gpt-oss-20b",
        // Constrained decoding exists for gpt-oss only, and never together with tools (Groq, "Structured outputs").
        Dialect {
            // Neither several completions nor log-probabilities are supported (Groq, "OpenAI compatibility").
            abler: &[("gpt-oss", SCHEMA.strict(true).tools(true).n(false).logprobs(false))],
            shows_reasoning: true,
            format_with_tools: false,
            ..able(OBJECT.tools(true).n(false).logprobs(false), BARE_SCHEMA)
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
        // `oneOf`, lengths and patterns are not supported (Fireworks, "Structured outputs", "JSON Schema support").
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
            // `n` is not supported either (DeepSeek, "Create chat completion").
            capabilities: OBJECT.tools(true).n(false),
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
            ..able(SCHEMA.strict(true).tools(true).logprobs(false), OPENAI_SCHEMA)
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
        // `n` is ignored (Ollama, "OpenAI compatibility").
        Dialect { capabilities: SCHEMA.n(false), shows_reasoning: true, ..PLAIN },
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
    // LM Studio refuses the plain JSON mode but supports schemas.
    local(
        "lmstudio",
        "http://localhost:1234/v1",
        &["LMSTUDIO_API_KEY"],
        &["LMSTUDIO_BASE_URL"],
        Dialect { capabilities: Capabilities::NONE.json_schema(true).n(false), ..PLAIN },
    ),
    local(
        "llamacpp",
        "http://localhost:8080/v1",
        &["LLAMACPP_API_KEY"],
        &["LLAMACPP_BASE_URL"],
        Dialect { capabilities: SCHEMA.n(false), shows_reasoning: true, ..PLAIN },
    ),
];

/// Aliases of providers, as used by DSPy in Python.
const ALIASES: &[(&str, &str)] = &[
    ("together_ai", "together"),
    ("fireworks_ai", "fireworks"),
    ("ollama_chat", "ollama"),
    ("hosted_vllm", "vllm"),
    ("lm_studio", "lmstudio"),
    ("google", "gemini"),
    ("azure_openai", AZURE),
    ("claude", "anthropic"),
];

/// The name of the provider whose base URLs contain the user's resource.
pub(crate) const AZURE: &str = "azure";

/// The header that Azure expects keys in.
pub(crate) const AZURE_KEY: &str = "api-key";

/// Environment variables for the dated version of Azure's API, for resources without the v1 API.
const AZURE_VERSION_VARS: &[&str] = &["AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION", "AZURE_API_VERSION"];

/// Returns the provider with this name or alias.
pub(crate) fn provider(name: &str) -> Option<&'static Provider> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    let name = alias.map_or(name, |(_, name)| name);
    PROVIDERS.iter().find(|provider| provider.name.eq_ignore_ascii_case(name))
}

/// Returns the names of all providers, for error messages.
pub(crate) fn names() -> String {
    PROVIDERS.iter().map(|provider| provider.name).collect::<Vec<_>>().join(", ")
}

impl Provider {
    /// Returns the base URL: from the environment if set there, otherwise the default.
    pub(crate) fn base_url(&self, lookup: Lookup<'_>) -> String {
        let Some((var, url)) = self.url_vars.iter().find_map(|var| Some((*var, variable(lookup, var)?)))
        else {
            return self.base_url.into();
        };
        match var {
            "OLLAMA_HOST" => ollama_url(&url),
            _ if self.name == AZURE => AzureAddress::new(&url).base_url(self.api_version(lookup).as_deref()),
            _ => url,
        }
    }

    /// Returns the address set in the environment, unchanged.
    pub(crate) fn given_url(&self, lookup: Lookup<'_>) -> Option<String> {
        self.url_vars.iter().find_map(|var| variable(lookup, var))
    }

    /// Returns the dated API version set in the environment.
    pub(crate) fn api_version(&self, lookup: Lookup<'_>) -> Option<String> {
        AZURE_VERSION_VARS.iter().filter(|_| self.name == AZURE).find_map(|var| variable(lookup, var))
    }

    /// Returns the key and the name of the variable that holds it.
    pub(crate) fn key(&self, lookup: Lookup<'_>) -> Option<(&'static str, String)> {
        self.key_vars.iter().find_map(|var| Some((*var, variable(lookup, var)?)))
    }
}

/// A parsed address of an Azure resource: `https://NAME.openai.azure.com` or any address below it, up to the target
/// URI of a deployment as shown by Azure's portal.
#[derive(Debug, PartialEq)]
pub(crate) struct AzureAddress<'a> {
    resource: &'a str,
    /// The deployment, if the address names one.
    pub(crate) deployment: Option<&'a str>,
    /// The dated version of the API, if the address has one.
    pub(crate) version: Option<&'a str>,
}

impl<'a> AzureAddress<'a> {
    pub(crate) fn new(address: &'a str) -> Self {
        let (path, query) = address.trim().split_once('?').unwrap_or((address.trim(), ""));
        let path = path.trim_end_matches('/');
        let (resource, below) = path
            .split_once("/openai/")
            .or_else(|| Some((path.strip_suffix("/openai").or_else(|| path.strip_suffix("/v1"))?, "")))
            .unwrap_or((path, ""));
        let deployment = below.strip_prefix("deployments/").and_then(|rest| rest.split('/').next());
        let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
        // The v1 API needs no version, and accepts only `preview`.
        let dated = |version: &&str| version.starts_with(|c: char| c.is_ascii_digit());
        AzureAddress {
            resource,
            deployment: deployment.filter(|name| !name.is_empty()),
            version: version.filter(dated),
        }
    }

    /// Returns the base URL.
    ///
    /// Source: Azure OpenAI, "v1 API" and "API version lifecycle": the v1 API needs no version, and requests name the
    /// deployment in the body; with a version, the path names it.
    pub(crate) fn base_url(&self, version: Option<&str>) -> String {
        match version.or(self.version) {
            None => format!("{}/openai/v1", self.resource),
            Some(version) => format!("{}/openai?api-version={version}", self.resource),
        }
    }
}

/// Returns whether a URL is on an Azure domain, where keys are sent in the `api-key` header.
pub(crate) fn is_azure(url: &str) -> bool {
    let rest = url.trim().split_once("://").map_or("", |(_, rest)| rest);
    let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"]
        .iter()
        .any(|end| host.ends_with(end))
}

/// Returns the base URL for a value of `OLLAMA_HOST`. The variable also configures the server, so that it may be a
/// bare host, lack the port or be a wildcard address.
fn ollama_url(host: &str) -> String {
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let authority = authority.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = match authority.as_str() {
        "" => "localhost:11434".into(),
        port if port.starts_with(':') => format!("localhost{port}"),
        // With a scheme, the port defaults to that of the scheme.
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
    fn every_way_to_write_an_azure_resource() {
        let resource = "https://r.openai.azure.com";
        let versioned = |version: &str| format!("{resource}/openai?api-version={version}");
        for (below, deployment, version) in [
            ("", None, None),
            ("/", None, None),
            ("/openai", None, None),
            ("/openai/v1/", None, None),
            ("/openai/v1/chat/completions", None, None),
            ("/openai/v1/responses?api-version=preview", None, None),
            ("/openai/responses?api-version=2025-04-01-preview", None, Some("2025-04-01-preview")),
            ("/openai/deployments/d/chat/completions?api-version=2024-10-21", Some("d"), Some("2024-10-21")),
            ("/openai/deployments/d/embeddings?x=1&api-version=2024-10-21", Some("d"), Some("2024-10-21")),
            ("/openai/deployments/d", Some("d"), None),
        ] {
            let given = format!("{resource}{below}");
            let address = AzureAddress::new(&given);
            assert_eq!(address, AzureAddress { resource, deployment, version }, "{given}");
            assert_eq!(
                address.base_url(Some("2025-01-01")),
                versioned("2025-01-01"),
                "what is asked for counts"
            );
            let usual = version.map_or_else(|| format!("{resource}/openai/v1"), versioned);
            assert_eq!(address.base_url(None), usual);
            assert!(is_azure(&given));
        }
        for other in [
            "https://openai.azure.com.example.org/v1",
            "https://h/r.openai.azure.com",
            "r.openai.azure.com",
            "",
        ] {
            assert!(!is_azure(other), "{other}");
        }
    }

    #[test]
    fn hosted_providers_can_be_chosen_by_their_key_alone() {
        // Azure also needs a resource and a deployment.
        for provider in PROVIDERS.iter().filter(|provider| provider.name != AZURE) {
            assert_eq!(provider.needs_key, !provider.small_model.is_empty(), "{}", provider.name);
            assert_eq!(provider.needs_key, provider.base_url.starts_with("https://"), "{}", provider.name);
        }
    }
}
