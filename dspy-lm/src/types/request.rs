//! Requests to models.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::types::media::Detail;
use crate::types::message::{Content, Message, Part};
use crate::{Extensions, ToolCall, ToolChoice, ToolSpec};

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

/// The requested form of a reply, for endpoints that can enforce it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// A JSON object that conforms to a schema.
    JsonSchema {
        /// The name of the schema, which some endpoints require.
        name: Arc<str>,
        /// The JSON Schema.
        schema: Arc<Value>,
    },
}

/// One request to a model.
///
/// ```
/// use dspy_lm::{Message, Request};
/// let request = Request::new(vec![Message::user("Say hello.")]);
/// let again = Request::new(vec![Message::user("Say hello.")]);
/// assert_eq!(request.digest(), again.digest());
/// assert_ne!(request.digest(), again.with_rollout(1).digest());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// Sampling parameters.
    pub params: Params,
    /// The requested form of the reply.
    pub format: ResponseFormat,
    /// Tools that the model may call natively; only for models with that
    /// [capability](crate::Capabilities::tools).
    pub tools: Vec<ToolSpec>,
    /// Whether the model may, must or must not call them.
    pub tool_choice: ToolChoice,
    /// A number that distinguishes samples of the same request: part of every cache and journal key, never
    /// sent.
    pub rollout: Option<u64>,
    /// Values attached to the request within this process; not part of what is sent.
    pub extensions: Extensions,
}

/// The name of the signature of a request, one of its [extensions](Request::extensions).
#[doc(hidden)]
#[derive(Debug)]
pub struct SignatureName(pub Arc<str>);

impl Request {
    /// Creates a request for free text with the endpoint's default parameters.
    pub fn new(messages: Vec<Message>) -> Self {
        Request { messages, ..Request::default() }
    }

    /// Sets the [`rollout`](field@Self::rollout), to request another sample.
    #[must_use]
    pub fn with_rollout(mut self, rollout: u64) -> Self {
        self.rollout = Some(rollout);
        self
    }

    /// Returns whether a message contains audio.
    pub(crate) fn has_audio(&self) -> bool {
        self.messages.iter().any(|message| match &message.content {
            Content::Parts(parts) => parts
                .iter()
                .any(|part| matches!(part, Part::Media(media) if media.kind == crate::MediaKind::Audio)),
            _ => false,
        })
    }

    /// Returns the name of the signature of the predictor that made this request, for layers and test models
    /// that distinguish the steps of a program; `None` for a request made by hand.
    pub fn signature(&self) -> Option<&str> {
        self.extensions.get().map(|SignatureName(name)| &**name)
    }

    /// Returns a digest of everything that can change the reply. Equal requests have equal digests in every
    /// process.
    pub fn digest(&self) -> RequestDigest {
        let mut hash = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        // Every list is preceded by its length and every choice by its name, so that different requests hash
        // different bytes.
        put(b"request/3");
        put(&self.messages.len().to_le_bytes());
        for message in &self.messages {
            put(message.role.as_str().as_bytes());
            match &message.content {
                Content::Calls { text, calls, opaque } => {
                    put(b"calls");
                    put(text.as_bytes());
                    put(&(calls.len() as u64).to_le_bytes());
                    for ToolCall { id, name, arguments } in calls.iter() {
                        put(id.as_deref().unwrap_or_default().as_bytes());
                        put(name.as_bytes());
                        put(arguments.to_string().as_bytes());
                    }
                    if let Some(opaque) = opaque {
                        put(b"opaque");
                        put(opaque.to_string().as_bytes());
                    }
                }
                Content::ToolResult { id, text } => {
                    put(b"result");
                    put(id.as_bytes());
                    put(text.as_bytes());
                }
                Content::Text(text) => {
                    put(b"text");
                    put(text.as_bytes());
                }
                Content::Parts(parts) => {
                    put(b"parts");
                    put(&parts.len().to_le_bytes());
                    for part in parts.iter() {
                        match part {
                            Part::Text(text) => {
                                put(b"text");
                                put(text.as_bytes());
                            }
                            Part::Media(media) => {
                                put(media.kind.as_str().as_bytes());
                                put(media.url.as_bytes());
                                put(media.detail.map(Detail::as_str).unwrap_or_default().as_bytes());
                                put(&[u8::from(media.name.is_some())]);
                                put(media.name.as_deref().unwrap_or_default().as_bytes());
                            }
                        }
                    }
                }
            }
        }
        // Without `..`, so that a new field does not compile until it is considered here.
        let Params {
            temperature: _,
            top_p: _,
            max_tokens: _,
            n: _,
            seed: _,
            reasoning_effort: _,
            logprobs: _,
            top_logprobs: _,
            prompt_cache: _,
            stop: _,
            extra: _,
        } = &self.params;
        let params = &self.params;
        let fractions = [params.temperature, params.top_p].map(|number| number.map(f64::to_bits));
        let counts = [params.max_tokens.map(u64::from), params.n.map(u64::from), params.seed, self.rollout];
        for number in fractions.into_iter().chain(counts) {
            // A leading tag distinguishes `None` from `Some(0)`.
            put(&number.map(|n| [&[1u8][..], &n.to_le_bytes()].concat()).unwrap_or_default());
        }
        put(&params.stop.len().to_le_bytes());
        for stop in &params.stop {
            put(stop.as_bytes());
        }
        put(&params.extra.len().to_le_bytes());
        // The order of the body's members does not matter; the order within a member may.
        let mut extra: Vec<_> = params.extra.iter().collect();
        extra.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in extra {
            put(key.as_bytes());
            put(value.to_string().as_bytes());
        }
        match &self.format {
            ResponseFormat::Text => put(b"text"),
            ResponseFormat::JsonObject => put(b"json"),
            ResponseFormat::JsonSchema { name, schema } => {
                put(b"schema");
                put(name.as_bytes());
                put(schema.to_string().as_bytes());
            }
        }
        // Rare parameters are hashed only if set, so that the digests of other requests stay the same.
        if let Some(effort) = params.reasoning_effort {
            put(b"effort");
            put(effort.as_str().as_bytes());
        }
        if let Some(logprobs) = params.logprobs {
            put(if logprobs { b"logprobs".as_slice() } else { b"no logprobs" });
        }
        if let Some(count) = params.top_logprobs {
            put(b"top logprobs");
            put(&count.to_le_bytes());
        }
        match &params.prompt_cache {
            None => {}
            Some(PromptCache::Prefix) => put(b"cached prefix"),
            Some(PromptCache::Keyed(key)) => {
                put(b"cache key");
                put(key.as_bytes());
            }
        }
        for tool in &self.tools {
            put(b"tool");
            put(tool.name.as_bytes());
            put(tool.description.as_bytes());
            put(tool.parameters.to_string().as_bytes());
        }
        match &self.tool_choice {
            ToolChoice::Auto => {}
            ToolChoice::None => put(b"no tools"),
            ToolChoice::Required => put(b"any tool"),
            ToolChoice::Named(name) => {
                put(b"this tool");
                put(name.as_bytes());
            }
        }
        RequestDigest(*hash.finalize().as_bytes())
    }
}

/// The digest of a [`Request`]; printed as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestDigest([u8; 32]);

impl RequestDigest {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns a number that distributes requests evenly.
    pub(crate) fn spread(self) -> usize {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d]) as usize
    }
}

impl fmt::Display for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Media, MediaKind, Role};

    fn digest(contents: &[Content]) -> RequestDigest {
        let messages = contents.iter().map(|content| Message { role: Role::User, content: content.clone() });
        Request::new(messages.collect()).digest()
    }

    #[test]
    fn no_two_requests_run_together() {
        let text = |text: &str| Part::Text(text.into());
        let media = |kind, url: &str| Part::Media(Media::new(kind, url));
        let named = |name: &str| Part::Media(Media::new(MediaKind::File, "u").with_name(name));
        let parts = |parts: &[Part]| Content::Parts(parts.into());
        let mut digests = vec![
            digest(&[Content::Text("ab".into())]),
            digest(&[Content::Text("a".into()), Content::Text("b".into())]),
            digest(&[parts(&[text("a"), text("b")])]),
            digest(&[parts(&[text("ab")])]),
            digest(&[parts(&[text("a")]), parts(&[text("b")])]),
            digest(&[parts(&[text("image"), text("u")])]),
            digest(&[parts(&[media(MediaKind::Image, "u")])]),
            digest(&[parts(&[media(MediaKind::Audio, "u")])]),
            digest(&[parts(&[media(MediaKind::File, "u")])]),
            digest(&[parts(&[named("")])]),
            digest(&[parts(&[named("u")])]),
            digest(&[parts(&[Part::Media(Media::new(MediaKind::Image, "u").with_detail(Detail::Low))])]),
        ];
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 12);
    }

    #[test]
    fn stops_are_not_options() {
        let mut stop = Request::default();
        stop.params.stop = vec!["k".into(), "1".into()];
        let mut extra = Request::default();
        extra.params.extra.insert("k".into(), 1.into());
        assert_ne!(stop.digest(), extra.digest());
    }

    #[test]
    fn every_parameter_has_its_own_digest() {
        let changes: [fn(&mut Params); 6] = [
            |_| {},
            |params| params.logprobs = Some(true),
            |params| params.logprobs = Some(false),
            |params| params.top_logprobs = Some(2),
            |params| params.prompt_cache = Some(PromptCache::Prefix),
            |params| params.prompt_cache = Some(PromptCache::Keyed("k".into())),
        ];
        let mut digests: Vec<_> = changes
            .iter()
            .map(|change| {
                let mut request = Request::default();
                change(&mut request.params);
                assert_eq!(request.params.clone().or(&Params::default()), request.params);
                assert_eq!(Params::default().or(&request.params), request.params);
                request.digest()
            })
            .collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 6);
        let call = || ToolCall::new("f", Value::Null);
        let opaque =
            |opaque: Option<Value>| digest(&[Message::calls("", [call()]).with_opaque(opaque).content]);
        assert_ne!(opaque(None), opaque(Some(1.into())));
        assert_ne!(opaque(Some(2.into())), opaque(Some(1.into())));
    }

    #[test]
    fn members_of_the_body_have_no_order_but_what_is_in_them_has() {
        let digest = |extra: &str| {
            let mut request = Request::default();
            request.params.extra = serde_json::from_str(extra).unwrap();
            request.digest()
        };
        assert_eq!(digest(r#"{"a": 1, "b": 2}"#), digest(r#"{"b": 2, "a": 1}"#));
        assert_ne!(digest(r#"{"a": {"x": 1, "y": 2}}"#), digest(r#"{"a": {"y": 2, "x": 1}}"#));
    }

    #[test]
    fn debug_shows_no_payload() {
        let message = Message {
            role: Role::User,
            content: Content::Parts([Part::image("data:image/png;base64,SECRET==")].into()),
        };
        let shown = format!("{message:?}");
        assert!(shown.contains("image/png, 8 bytes") && !shown.contains("SECRET"), "{shown}");
    }
}
