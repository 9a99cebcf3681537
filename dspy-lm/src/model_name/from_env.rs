//! Model selection from the environment: `DSPY_MODEL`, keys such as `OPENAI_API_KEY`, and the variables of Ollama.
//!
//! The variable names of each provider are in `providers`.

use super::named;
use crate::environment::{Lookup, environment, variable};
use crate::providers::PROVIDERS;
use crate::{Lm, LmError};

impl Lm {
    /// Selects a model from the environment:
    ///
    /// 1. the model named by `DSPY_MODEL`, in the syntax of [`new`](Self::new);
    /// 2. a small model of the first provider whose key is set, in the order of the table there;
    /// 3. the model of Ollama named by `OLLAMA_MODEL`, or `llama3.2` if only `OLLAMA_HOST` is set;
    /// 4. the built-in model.
    ///
    /// No request is sent. [`chosen_because`](Self::chosen_because) and a log line state the reason for the choice.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new) for the selected model.
    pub fn from_env() -> Result<Self, LmError> {
        Self::from_vars(environment)
    }

    /// Selects a model as [`from_env`](Self::from_env) does, but reads the variables from `lookup`, for example from
    /// a `.env` file or a configuration service.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::Lm;
    /// let lm = Lm::from_vars(|name| (name == "GROQ_API_KEY").then(|| "gsk-private".into()))?;
    /// assert_eq!(lm.endpoint(), "https://api.groq.com/openai/v1");
    /// assert_eq!(lm.chosen_because(), Some("GROQ_API_KEY is set"));
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`from_env`](Self::from_env).
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, LmError> {
        let (model, reason) = choice(&lookup);
        let lm = named(&model, &lookup)?.with_chosen_because(&reason);
        tracing::info!(model = lm.id(), endpoint = lm.endpoint(), reason = %reason, "language model chosen");
        Ok(lm)
    }
}

/// Returns the name of the selected model and the reason for the choice.
fn choice(lookup: Lookup<'_>) -> (String, String) {
    if let Some(model) = variable(lookup, "DSPY_MODEL") {
        return (model, "DSPY_MODEL is set".into());
    }
    if cfg!(not(feature = "http")) {
        return ("builtin".into(), "built without HTTP, and DSPY_MODEL is not set".into());
    }
    for provider in PROVIDERS.iter().filter(|provider| !provider.small_model.is_empty()) {
        if let Some((var, _)) = provider.key(lookup) {
            return (format!("{}/{}", provider.name, provider.small_model), format!("{var} is set"));
        }
    }
    if let Some(model) = variable(lookup, "OLLAMA_MODEL") {
        return (format!("ollama/{model}"), "OLLAMA_MODEL is set".into());
    }
    if variable(lookup, "OLLAMA_HOST").is_some() {
        return ("ollama/llama3.2".into(), "OLLAMA_HOST is set".into());
    }
    ("builtin".into(), "no model or key is set in the environment".into())
}

#[cfg(all(test, not(feature = "http")))]
mod tests {
    use super::*;

    #[test]
    fn without_http_keys_choose_nothing() {
        let lookup = |name: &str| (name == "OPENAI_API_KEY").then(|| "k".to_owned());
        assert_eq!(choice(&lookup).0, "builtin");
    }
}
