//! Sampling parameters.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The amount of reasoning by a reasoning model. Each model supports some of these levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasoningEffort {
    /// No reasoning.
    None,
    /// The least possible reasoning.
    Minimal,
    /// Little reasoning.
    Low,
    /// Medium reasoning.
    Medium,
    /// Much reasoning.
    High,
    /// The most possible reasoning.
    XHigh,
}

impl ReasoningEffort {
    /// Returns the name on the wire: `none`, `minimal`, `low`, `medium`, `high` or `xhigh`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReasoningEffort::None => "none",
            ReasoningEffort::Minimal => "minimal",
            ReasoningEffort::Low => "low",
            ReasoningEffort::Medium => "medium",
            ReasoningEffort::High => "high",
            ReasoningEffort::XHigh => "xhigh",
        }
    }
}

/// Whether and how the endpoint should cache the start of the prompt, which is the same in many requests.
/// Does not change the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptCache {
    /// Caching of everything before the last message. Sent to endpoints that cache only on request
    /// (Anthropic); others cache automatically.
    Prefix,
    /// Caching as with `Prefix`; requests with this key are routed to the same machine at endpoints that
    /// support it (OpenAI).
    Keyed(Arc<str>),
}

/// Sampling parameters. `None` is not sent, and the endpoint's default applies.
///
/// `Debug` shows only the names of [`extra`](Self::extra) members, because their values may be secret.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Params {
    /// The randomness of the sampling, usually 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling: the share of probability mass to sample from, 0 to 1.
    pub top_p: Option<f64>,
    /// The most tokens of a completion.
    pub max_tokens: Option<u32>,
    /// The number of completions to sample.
    pub n: Option<u32>,
    /// The sampling seed, for endpoints that accept one.
    pub seed: Option<u64>,
    /// The amount of reasoning by a reasoning model; sent to endpoints that have such a parameter.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Whether to return the log-probabilities of the tokens; sent to endpoints that have such a parameter.
    pub logprobs: Option<bool>,
    /// The number of likeliest tokens to return at each position; implies [`logprobs`](Self::logprobs).
    pub top_logprobs: Option<u32>,
    /// Whether and how the endpoint should cache the start of the prompt.
    pub prompt_cache: Option<PromptCache>,
    /// Strings at which generation stops.
    pub stop: Vec<String>,
    /// Additional members of the request body, sent unchanged.
    pub extra: Map<String, Value>,
}

impl Params {
    /// Returns these parameters with unset ones taken from `defaults`.
    #[must_use]
    pub fn or(mut self, defaults: &Params) -> Params {
        self.temperature = self.temperature.or(defaults.temperature);
        self.top_p = self.top_p.or(defaults.top_p);
        self.max_tokens = self.max_tokens.or(defaults.max_tokens);
        self.n = self.n.or(defaults.n);
        self.seed = self.seed.or(defaults.seed);
        self.reasoning_effort = self.reasoning_effort.or(defaults.reasoning_effort);
        self.logprobs = self.logprobs.or(defaults.logprobs);
        self.top_logprobs = self.top_logprobs.or(defaults.top_logprobs);
        self.prompt_cache = self.prompt_cache.or_else(|| defaults.prompt_cache.clone());
        if self.stop.is_empty() {
            self.stop.clone_from(&defaults.stop);
        }
        for (key, value) in &defaults.extra {
            if !self.extra.contains_key(key) {
                self.extra.insert(key.clone(), value.clone());
            }
        }
        self
    }

    /// Returns whether log-probabilities are requested.
    #[cfg(feature = "http")]
    pub(crate) fn wants_logprobs(&self) -> bool {
        self.logprobs.unwrap_or(self.top_logprobs.is_some())
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Names<'a>(&'a Map<String, Value>);
        impl fmt::Debug for Names<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.keys().map(|name| (name, Hidden))).finish()
            }
        }
        struct Hidden;
        impl fmt::Debug for Hidden {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("***")
            }
        }
        let Params {
            temperature,
            top_p,
            max_tokens,
            n,
            seed,
            reasoning_effort,
            logprobs,
            top_logprobs,
            prompt_cache,
            stop,
            extra,
        } = self;
        f.debug_struct("Params")
            .field("temperature", temperature)
            .field("top_p", top_p)
            .field("max_tokens", max_tokens)
            .field("n", n)
            .field("seed", seed)
            .field("reasoning_effort", reasoning_effort)
            .field("logprobs", logprobs)
            .field("top_logprobs", top_logprobs)
            .field("prompt_cache", prompt_cache)
            .field("stop", stop)
            .field("extra", &Names(extra))
            .finish()
    }
}
