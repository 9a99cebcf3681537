//! Models by name, such as `openai/gpt-4o-mini`, `ollama/llama3.2` and `builtin`.

mod from_env;

use crate::environment::{Lookup, environment};
use crate::providers;
use crate::{BuiltinLm, Embedder, Endpoint, Lm, LmError, LmErrorKind};

impl Lm {
    /// Creates a handle to a model by its name, `provider/model`: `openai/gpt-4o-mini`, `ollama/llama3.2`,
    /// `openrouter/meta-llama/llama-3.3-70b-instruct`. `builtin` is the model inside this library.
    ///
    /// The provider's key and, if set, its base URL come from the environment. No request is sent yet. Anthropic and
    /// Gemini are used by their native [protocols](crate::Protocol), all others by chat completions. For Azure, the
    /// model is the name of a deployment; `AZURE_OPENAI_API_VERSION` or `OPENAI_API_VERSION` selects the dated API
    /// instead of v1. For a custom server, another protocol, or other timeouts and retries, see [`Endpoint`].
    ///
    /// | provider | key | variables for another base URL |
    /// |---|---|---|
    /// | `openai` | `OPENAI_API_KEY` | `OPENAI_BASE_URL` or `OPENAI_API_BASE` |
    /// | `anthropic` | `ANTHROPIC_API_KEY` | `ANTHROPIC_BASE_URL` |
    /// | `gemini` | `GEMINI_API_KEY` or `GOOGLE_API_KEY` | `GEMINI_BASE_URL` |
    /// | `azure` | `AZURE_OPENAI_API_KEY` or `AZURE_API_KEY` | `AZURE_OPENAI_ENDPOINT` or `AZURE_API_BASE`, required |
    /// | `openrouter` | `OPENROUTER_API_KEY` | `OPENROUTER_BASE_URL` |
    /// | `groq` | `GROQ_API_KEY` | `GROQ_BASE_URL` |
    /// | `together` | `TOGETHER_API_KEY` or `TOGETHERAI_API_KEY` | `TOGETHER_BASE_URL` |
    /// | `fireworks` | `FIREWORKS_API_KEY` | `FIREWORKS_BASE_URL` |
    /// | `deepseek` | `DEEPSEEK_API_KEY` | `DEEPSEEK_BASE_URL` |
    /// | `mistral` | `MISTRAL_API_KEY` | `MISTRAL_BASE_URL` |
    /// | `xai` | `XAI_API_KEY` | `XAI_BASE_URL` |
    /// | `ollama` | none | `OLLAMA_BASE_URL` or `OLLAMA_HOST` |
    /// | `vllm`, `sglang`, `lmstudio`, `llamacpp` | none | `VLLM_BASE_URL` and so on |
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::Lm;
    /// let lm = Lm::new("ollama/llama3.2")?;
    /// assert_eq!(lm.id(), "ollama/llama3.2");
    /// let error = Lm::new("gpt-4o-mini").unwrap_err();
    /// assert!(error.message.contains("openai"));
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) if the provider is unknown, the key is missing (the message
    /// names the variable to set), the base URL is malformed, or the feature `http` is disabled.
    pub fn new(name: impl AsRef<str>) -> Result<Self, LmError> {
        named(name.as_ref().trim(), &environment)
    }
}

impl Embedder {
    /// Creates a handle to a model by its name, `provider/model` as for [`Lm::new`]. Requests
    /// use OpenAI's `/embeddings`, which Gemini, Azure, Mistral, Together, Fireworks, OpenRouter, Ollama,
    /// vLLM, LM Studio and llama.cpp also support.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) for an unknown provider, a missing key, a malformed base
    /// URL, or without the feature `http`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, LmError> {
        let (endpoint, model) = served(name.as_ref().trim(), &environment)?;
        endpoint.embedder(model)
    }
}

/// Returns the model with this name, with its provider's variables read from `lookup`.
fn named(name: &str, lookup: Lookup<'_>) -> Result<Lm, LmError> {
    if name == "builtin" {
        return Ok(Lm::custom(BuiltinLm::new()));
    }
    let (endpoint, model) = served(name, lookup)?;
    endpoint.model(model)
}

/// Splits a name into its provider, as an endpoint, and the name of the model.
fn served<'a>(name: &'a str, lookup: Lookup<'_>) -> Result<(Endpoint, &'a str), LmError> {
    let fail = |message: String| Err(LmError::new(LmErrorKind::Configuration, name, message));
    match name.split_once('/') {
        None => fail(format!(
            "a model is written `provider/model`, e.g. `openai/gpt-4o-mini`; known providers are {}",
            providers::names()
        )),
        Some((_, "")) => fail("the model's name is missing after the slash".into()),
        Some((provider, model)) => match providers::provider(provider) {
            Some(provider) => Ok((Endpoint::of(provider, name, lookup)?, model)),
            None => fail(format!(
                "unknown provider `{provider}`; known are {}; for another server use `Endpoint::new(base_url)`",
                providers::names()
            )),
        },
    }
}

#[cfg(all(test, not(feature = "http")))]
mod tests {
    use super::*;

    #[test]
    fn without_http_the_feature_is_named() {
        let error = Lm::new("ollama/llama3.2").unwrap_err();
        assert_eq!(error.kind, LmErrorKind::Configuration);
        assert!(error.message.contains("feature `http`"), "{error}");
    }
}
