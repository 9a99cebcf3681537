//! Names from the OpenTelemetry conventions for generative AI, and this library's additions.
//!
//! The conventions are under development and have no Rust crate of their own. These are the names of
//! `open-telemetry/semantic-conventions-genai` as of September 2026 (after the split from the semantic
//! conventions 1.41). To follow a newer revision, change this file.

// The operation.
pub const OPERATION: &str = "gen_ai.operation.name";
pub const CHAT: &str = "chat";
pub const EXECUTE_TOOL: &str = "execute_tool";
pub const INVOKE_WORKFLOW: &str = "invoke_workflow";
pub const WORKFLOW: &str = "gen_ai.workflow.name";

// The provider, the model and the parameters.
pub const PROVIDER: &str = "gen_ai.provider.name";
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
pub const TEMPERATURE: &str = "gen_ai.request.temperature";
pub const TOP_P: &str = "gen_ai.request.top_p";
pub const MAX_TOKENS: &str = "gen_ai.request.max_tokens";
pub const SEED: &str = "gen_ai.request.seed";
pub const CHOICES: &str = "gen_ai.request.choice.count";
pub const STREAM: &str = "gen_ai.request.stream";
pub const OUTPUT_TYPE: &str = "gen_ai.output.type";
pub const SERVER: &str = "server.address";
pub const PORT: &str = "server.port";

// The response.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// A list; tracing has none, so the field holds it as JSON and the exporter parses it.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub const CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
pub const CACHE_WRITE: &str = "gen_ai.usage.cache_creation.input_tokens";
pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
pub const ERROR_TYPE: &str = "error.type";

// Tools.
pub const TOOL: &str = "gen_ai.tool.name";
pub const TOOL_TYPE: &str = "gen_ai.tool.type";

// Content, recorded only on request.
pub const SYSTEM: &str = "gen_ai.system_instructions";
pub const INPUT: &str = "gen_ai.input.messages";
pub const OUTPUT: &str = "gen_ai.output.messages";
pub const TOOL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
pub const TOOL_RESULT: &str = "gen_ai.tool.call.result";
/// The environment variable by which instrumentations of generative AI are set to record content.
pub const CAPTURE_VAR: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

// Attempts over HTTP.
#[cfg(feature = "http")]
mod http {
    pub const METHOD: &str = "http.request.method";
    pub const RESEND: &str = "http.request.resend_count";
    pub const STATUS: &str = "http.response.status_code";
}
#[cfg(feature = "http")]
pub use http::{METHOD, RESEND, STATUS};

// Fields by which `tracing-opentelemetry` receives properties that tracing does not have.
pub const OTEL_NAME: &str = "otel.name";
pub const OTEL_KIND: &str = "otel.kind";
pub const OTEL_STATUS: &str = "otel.status_code";
pub const OTEL_DESCRIPTION: &str = "otel.status_description";

// Additions of this library.
pub const MODULE: &str = "dspy.module";
pub const PREDICTOR: &str = "dspy.predictor";
pub const SIGNATURE: &str = "dspy.signature";
pub const ADAPTER: &str = "dspy.adapter";
pub const ATTEMPTS: &str = "dspy.attempts";
pub const REPAIRS: &str = "dspy.repairs";
pub const RETRIES: &str = "dspy.retries";
pub const CACHED: &str = "dspy.cached";
pub const COST: &str = "dspy.cost_usd";
pub const INPUTS: &str = "dspy.inputs";
pub const OUTPUTS: &str = "dspy.outputs";

// Metrics.
pub mod metric {
    pub const DURATION: &str = "gen_ai.client.operation.duration";
    pub const TOKENS: &str = "gen_ai.client.token.usage";
    pub const FIRST_CHUNK: &str = "gen_ai.client.operation.time_to_first_chunk";
    pub const TOKEN_TYPE: &str = "gen_ai.token.type";
    /// The bucket boundaries of the conventions, in seconds.
    pub const SECONDS: [f64; 14] =
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
    /// The bucket boundaries of the conventions for token counts: the powers of four up to 4^13.
    pub const COUNTS: [f64; 14] = [
        1.0,
        4.0,
        16.0,
        64.0,
        256.0,
        1024.0,
        4096.0,
        16384.0,
        65536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
        16_777_216.0,
        67_108_864.0,
    ];
}

/// Returns the provider and the provider's model name in a name like `openai/gpt-4o-mini`. The provider is
/// `dspy` if it is not known by name, because the conventions require one.
pub fn provider_and_model(id: &str) -> (&str, &str) {
    let Some((provider, model)) = id.split_once('/') else { return ("dspy", id) };
    let provider = match provider {
        "gemini" => "gcp.gemini",
        "vertex" | "vertexai" => "gcp.vertex_ai",
        "azure" => "azure.ai.openai",
        "bedrock" => "aws.bedrock",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    };
    (provider, model)
}

/// Returns the host and port of a base URL.
pub fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let default = if scheme == "http" { 80 } else { 443 };
    // An IPv6 address contains colons; the colon of a port comes after its bracket.
    match host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']')) {
        Some((name, port)) => Some((name, port.parse().ok()?)),
        None => (!host.is_empty()).then_some((host, default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(provider_and_model("openai/gpt-4o-mini"), ("openai", "gpt-4o-mini"));
        assert_eq!(provider_and_model("mistral/large"), ("mistral_ai", "large"));
        assert_eq!(provider_and_model("openrouter/meta/llama"), ("openrouter", "meta/llama"));
        assert_eq!(provider_and_model("scripted"), ("dspy", "scripted"));
    }

    #[test]
    fn hosts_are_found_in_urls() {
        assert_eq!(host_and_port("https://api.openai.com/v1"), Some(("api.openai.com", 443)));
        assert_eq!(host_and_port("http://localhost:8000/v1"), Some(("localhost", 8000)));
        assert_eq!(host_and_port("http://[::1]:80"), Some(("[::1]", 80)));
        assert_eq!(host_and_port("http://[::1]/v1"), Some(("[::1]", 80)));
        assert_eq!(host_and_port(""), None);
    }
}
