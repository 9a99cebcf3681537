//! Servers: where models are reached, with which key, and how patiently.

use std::fmt;
use std::time::Duration;

use super::catalog::{self, Provider};
use super::dialect::{Dialect, PLAIN};
use super::{Capabilities, Circuit, Limits, Lm, LmError, LmErrorKind, Lookup, Secret, environment};

/// A server that speaks OpenAI's chat completions, from which [`model`](Self::model) makes handles.
///
/// ```
/// # #[cfg(feature = "http")] {
/// use std::time::Duration;
/// use dspy_core::lm::Endpoint;
///
/// let server = Endpoint::new("http://localhost:8000/v1").timeout(Duration::from_secs(30)).retries(2);
/// let lm = server.model("Qwen/Qwen3-8B")?;
/// assert_eq!(lm.id(), "Qwen/Qwen3-8B");
/// assert_eq!(lm.endpoint(), "http://localhost:8000/v1");
/// # }
/// # Ok::<(), dspy_core::lm::LmError>(())
/// ```
///
/// The base URL may be given as it stands in the server's documentation: a trailing slash is fine, and so is
/// the full address of the chat completions. Where it has no path at all, `/v1` is added.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) base_url: String,
    /// The provider's name, put before the model's in the handle's id.
    pub(super) provider: Option<&'static str>,
    pub(super) key: Option<Secret>,
    /// The variable that the key came from, to name it when the key is refused.
    pub(super) key_var: Option<&'static str>,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) timeout: Duration,
    pub(super) deadline: Duration,
    pub(super) retries: u32,
    pub(super) backoff: (Duration, Duration),
    pub(super) idle_timeout: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) capabilities: Option<Capabilities>,
    pub(super) dialect: Dialect,
}

impl Endpoint {
    /// The server at `base_url`, used without a key.
    ///
    /// Nothing is assumed of its ability to enforce JSON; see [`capabilities`](Self::capabilities).
    pub fn new(base_url: impl Into<String>) -> Self {
        Endpoint {
            base_url: base_url.into(),
            provider: None,
            key: None,
            key_var: None,
            headers: Vec::new(),
            timeout: Duration::from_mins(5),
            deadline: Duration::from_mins(10),
            retries: 4,
            backoff: (Duration::from_millis(500), Duration::from_secs(30)),
            idle_timeout: None,
            limits: Limits::new(),
            capabilities: None,
            dialect: PLAIN,
        }
    }

    /// A provider that is known by name, with the key and base URL of the environment.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) for an unknown name or a missing key.
    pub fn provider(name: &str) -> Result<Self, LmError> {
        let Some(provider) = catalog::provider(name) else {
            let message = format!("unknown provider `{name}`; known are {}", catalog::names());
            return Err(LmError::new(LmErrorKind::Configuration, name, message));
        };
        Self::of(provider, name, &environment)
    }

    /// `asked` is what the caller asked for, to be named in errors.
    pub(super) fn of(provider: &'static Provider, asked: &str, lookup: Lookup<'_>) -> Result<Self, LmError> {
        let key = provider.key(lookup);
        let base_url = provider.base_url(lookup);
        // Behind another base URL may be a server that wants no key; it will say so if it does.
        if key.is_none() && provider.needs_key && base_url == provider.base_url {
            let vars = provider.key_vars.join(" or ");
            let message = format!("no key for {}: set the environment variable {vars}", provider.name);
            return Err(LmError::new(LmErrorKind::Configuration, asked, message));
        }
        let mut endpoint = Endpoint::new(base_url);
        endpoint.provider = Some(provider.name);
        endpoint.dialect = provider.dialect;
        if let Some((var, key)) = key {
            endpoint.key = Some(key.into());
            endpoint.key_var = Some(var);
        }
        Ok(endpoint)
    }

    /// Sets the key, sent as a bearer token.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.key = Some(key.into());
        self.key_var = None;
        self
    }

    /// Adds a header to every request. Its value is treated as a secret. A header of the same name that the
    /// library would send, `authorization` included, is replaced.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets how long one attempt may take, reply included. Five minutes at first.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a request may take with all its attempts and the waits between them. Ten minutes at first.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets how often a failed request is sent again if there is hope. Four times at first.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the wait before the first repetition and the longest one; it doubles in between and is jittered.
    /// Half a second and half a minute at first. Where the server says how long to wait, that is what counts.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// Sets after which time without a byte a streamed reply is given up and asked for anew. No such time at first,
    /// as some servers say nothing while the model reasons; the [`timeout`](Self::timeout) holds in any case.
    #[must_use]
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = Some(idle);
        self
    }

    /// Sets how many requests may start in any minute; see [`Limits::requests_per_minute`]. No limit at first.
    ///
    /// This limit and the three that follow hold for all handles of the process that reach the same base URL with the
    /// same key and headers, however they were made, before or after; what was set last counts. Requests wait in the
    /// order in which they came, without holding anything, and give up at the [`deadline`](Self::deadline) with the
    /// error [`RateLimit`](LmErrorKind::RateLimit). A repetition of a failed request is a request.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_core::lm::{Endpoint, Lm};
    /// let server = Endpoint::new("http://localhost:8000/v1").requests_per_minute(500).max_concurrent(16);
    /// let (large, small) = (server.model("large")?, server.model("small")?);
    /// # }
    /// # Ok::<(), dspy_core::lm::LmError>(())
    /// ```
    ///
    /// Whatever is set, the handles slow down together where the server answers that a model is
    /// [asked too much](LmErrorKind::RateLimit): they all wait for as long as it says, go on at half the rate, and win
    /// back the rest over half a minute.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.limits = self.limits.requests_per_minute(requests);
        self
    }

    /// Sets how many tokens may be used in a minute; see [`Limits::tokens_per_minute`] and, for whom it holds,
    /// [`requests_per_minute`](Self::requests_per_minute). No limit at first.
    #[must_use]
    pub fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.limits = self.limits.tokens_per_minute(tokens);
        self
    }

    /// Sets how many requests may be under way at the same time; for whom it holds see
    /// [`requests_per_minute`](Self::requests_per_minute). 512 at first: each takes a connection.
    #[must_use]
    pub fn max_concurrent(mut self, requests: u32) -> Self {
        self.limits = self.limits.max_concurrent(requests);
        self
    }

    /// Sets when to leave a server alone that does not answer any more, and for how long; for whom it holds see
    /// [`requests_per_minute`](Self::requests_per_minute). After ten failed attempts in a row over at least half a
    /// minute, for half a minute, at first; see [`Circuit`].
    #[must_use]
    pub fn circuit(mut self, circuit: Circuit) -> Self {
        self.limits = self.limits.circuit(circuit);
        self
    }

    /// Overrides what the server can do.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = Some(capabilities);
        self
    }

    /// A handle to a model of this server. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) for a malformed base URL, for a key or header that cannot
    /// be sent, or without the feature `http`.
    pub fn model(&self, name: impl Into<String>) -> Result<Lm, LmError> {
        let name = name.into();
        let id = self.provider.map_or_else(|| name.clone(), |provider| format!("{provider}/{name}"));
        #[cfg(feature = "http")]
        return super::openai::OpenAiChat::new(self, id, name).map(Lm::custom);
        #[cfg(not(feature = "http"))]
        Err(LmError::new(
            LmErrorKind::Configuration,
            id,
            "built without HTTP: enable the feature `http` of `dspy`",
        ))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &public_url(&self.base_url))
            .field("key", &self.key)
            .field("headers", &self.headers)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("retries", &self.retries)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// `url` without user, password, query and fragment, any of which may hold a secret. It need not be well-formed:
/// whatever stands before an `@` is taken for a password.
pub(super) fn public_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.rsplit('@').next().unwrap_or_default();
    scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}"))
}
