//! Models chosen by the environment: `DSPY_MODEL`, keys such as `OPENAI_API_KEY`, Ollama's variables.
//!
//! The names of the variables of each provider are in `providers`.

use crate::model_name::named;
use crate::providers::PROVIDERS;
use crate::{Lm, LmError};

/// Reads a variable of the environment.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A variable that is set to something.
pub(crate) fn variable(lookup: Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

impl Lm {
    /// The model that the environment points to:
    ///
    /// 1. the one that `DSPY_MODEL` names, written as for [`new`](Self::new);
    /// 2. a small model of the first provider whose key is set, in the order of the table there;
    /// 3. Ollama's `OLLAMA_MODEL`, or `llama3.2` if only `OLLAMA_HOST` is set;
    /// 4. the built-in one.
    ///
    /// Nothing is sent to find out. [`chosen_because`](Self::chosen_because) tells what decided, and so does a log line.
    ///
    /// # Errors
    /// As [`new`](Self::new), for the model that was chosen.
    pub fn from_env() -> Result<Self, LmError> {
        Self::from_vars(environment)
    }

    /// As [`from_env`](Self::from_env), with variables from elsewhere: a `.env` file, a configuration service.
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
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, LmError> {
        let (model, reason) = choice(&lookup);
        let lm = named(&model, &lookup)?.with_chosen_because(&reason);
        tracing::info!(model = lm.id(), endpoint = lm.endpoint(), reason = %reason, "language model chosen");
        Ok(lm)
    }
}

/// The model that the variables point to, and why.
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
