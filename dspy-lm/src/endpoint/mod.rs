//! Endpoints: the address, protocol and credentials of a server. Its retry policy and limits are in `settings`.

mod settings;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::network::secret::{HIDDEN, path_parts};
use crate::protocols::dialect::{Dialect, PLAIN};
use crate::providers::{self, AzureAddress, Provider};
use crate::{
    Capabilities, Embedder, Limits, Lm, LmError, LmErrorKind, Lookup, Price, Protocol, Secret, environment,
};

/// A server that speaks one of the [protocols](Protocol), at first OpenAI's chat completions, from which
/// [`model`](Self::model) makes handles.
///
/// ```
/// # #[cfg(feature = "http")] {
/// use std::time::Duration;
/// use dspy_lm::Endpoint;
///
/// let server = Endpoint::new("http://localhost:8000/v1").timeout(Duration::from_secs(30)).retries(2);
/// let lm = server.model("Qwen/Qwen3-8B")?;
/// assert_eq!(lm.id(), "Qwen/Qwen3-8B");
/// assert_eq!(lm.endpoint(), "http://localhost:8000/v1");
/// # }
/// # Ok::<(), dspy_lm::LmError>(())
/// ```
///
/// The base URL may be given as it stands in the server's documentation: a trailing slash is fine, and so is the full
/// address of a method, `…/chat/completions`, `…/responses`, `…/messages` or `…:generateContent`, which also chooses the
/// protocol. The target URI that Azure's portal shows for a deployment is understood too. Where there is no path at all,
/// `/v1` is added, for Gemini's protocol `/v1beta`.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) base_url: String,
    /// The provider's name, put before the model's in the handle's id.
    pub(crate) provider: Option<&'static str>,
    pub(crate) key: Option<Secret>,
    /// The variable that the key came from, to name it when the key is refused.
    pub(crate) key_var: Option<&'static str>,
    pub(crate) headers: Vec<(String, Secret)>,
    /// Headers that tell deployments apart, whatever their names say.
    pub(crate) varying: Vec<String>,
    /// On whose behalf is asked.
    pub(crate) tenant: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Duration,
    pub(crate) retries: u32,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) limits: Limits,
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) dialect: Dialect,
    pub(crate) price: Option<Price>,
    /// The header that holds the key, if not the protocol's own.
    pub(crate) key_header: Option<&'static str>,
    /// Models are deployments that the address names: Azure with a dated version of its API.
    pub(crate) deployments: bool,
    /// The deployment that the address named, whatever the model is called.
    pub(crate) deployment: Option<String>,
}

impl Endpoint {
    /// The server at `base_url`, used without a key.
    ///
    /// Nothing is assumed of its ability to enforce JSON; see [`capabilities`](Self::capabilities).
    pub fn new(base_url: impl Into<String>) -> Self {
        let base_url = base_url.into();
        let protocol = Protocol::of_address(&base_url).unwrap_or_default();
        Endpoint {
            key_header: providers::is_azure(&base_url).then_some(providers::AZURE_KEY),
            base_url,
            provider: None,
            key: None,
            key_var: None,
            headers: Vec::new(),
            varying: Vec::new(),
            tenant: None,
            timeout: Duration::from_mins(5),
            deadline: Duration::from_mins(10),
            retries: 4,
            backoff: (Duration::from_millis(500), Duration::from_secs(30)),
            idle_timeout: None,
            limits: Limits::new(),
            capabilities: None,
            dialect: Dialect { protocol, ..PLAIN },
            price: None,
            deployments: false,
            deployment: None,
        }
    }

    /// An Azure OpenAI resource, `https://NAME.openai.azure.com`, by its v1 API. Its models are called by the names of
    /// their deployments. See [`api_version`](Self::api_version) for resources without the v1 API. A key is sent as
    /// Azure's `api-key`; pass an Entra token by [`header`](Self::header) as `authorization`.
    ///
    /// The target URI of a deployment, as Azure's portal shows it, is taken too. Where it holds a dated version, that
    /// version is used, and the deployment that it names answers whatever the model is called.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::{Capabilities, Endpoint};
    /// let azure = Endpoint::azure("https://my-resource.openai.azure.com").api_key("…");
    /// assert_eq!(azure.model("my-gpt")?.endpoint(), "https://my-resource.openai.azure.com/openai/v1");
    ///
    /// // The name of a deployment does not tell that a reasoning model stands behind it.
    /// let able = Capabilities::NONE.json_object(true).json_schema(true).strict(true).tools(true).sampling(false);
    /// let reasoning = azure.api_version("2024-10-21").capabilities(able).model("my-o3")?;
    /// # let _ = reasoning;
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    pub fn azure(resource: impl AsRef<str>) -> Self {
        let address = AzureAddress::new(resource.as_ref());
        let mut endpoint = Endpoint::new(address.base_url(None));
        if let Some(azure) = providers::provider(providers::AZURE) {
            endpoint.known_as(azure);
        }
        endpoint.at(&address);
        endpoint.speaking(resource.as_ref())
    }

    /// Takes over what an Azure address says beside the base URL.
    fn at(&mut self, address: &AzureAddress<'_>) {
        self.deployments |= address.version.is_some();
        self.deployment = address.deployment.map(str::to_owned);
    }

    /// The same, with the protocol that an address names.
    fn speaking(self, address: &str) -> Self {
        match Protocol::of_address(address) {
            Some(protocol) if protocol != self.dialect.protocol => self.protocol(protocol),
            _ => self,
        }
    }

    fn known_as(&mut self, provider: &'static Provider) {
        self.provider = Some(provider.name);
        self.dialect = provider.dialect;
        self.key_header = (provider.name == providers::AZURE).then_some(providers::AZURE_KEY);
    }

    /// Uses Azure's API of that dated version, where deployments are named in the address. Other servers get the
    /// version as a part of the query.
    #[must_use]
    pub fn api_version(mut self, version: impl AsRef<str>) -> Self {
        if self.provider == Some(providers::AZURE) {
            self.base_url = AzureAddress::new(&self.base_url).base_url(Some(version.as_ref()));
            self.deployments = true;
        } else {
            let sign = if self.base_url.contains('?') { '&' } else { '?' };
            self.base_url = format!("{}{sign}api-version={}", self.base_url, version.as_ref());
        }
        self
    }

    /// Chooses what is spoken. Where that is not the usual protocol of the server, the handle's
    /// [`endpoint`](Lm::endpoint) says so, and caches keep its answers apart.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::{Endpoint, Protocol};
    /// let gateway = Endpoint::new("http://localhost:4000").protocol(Protocol::Anthropic).api_key("…");
    /// assert_eq!(gateway.model("claude-haiku-4-5")?.endpoint(), "http://localhost:4000/v1/messages");
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        let known = self.provider.and_then(providers::provider);
        if let Some(provider) = known {
            let own = std::iter::once((provider.base_url, provider.dialect));
            let spoken: Vec<_> =
                own.chain(provider.also.iter().map(|also| (also.base_url, also.dialect))).collect();
            if let Some((base_url, dialect)) = spoken.iter().find(|(_, dialect)| dialect.protocol == protocol)
            {
                // An address that is the user's own stays.
                if spoken.iter().any(|(known, _)| *known == self.base_url) {
                    self.base_url = (*base_url).to_owned();
                }
                self.dialect = *dialect;
            }
        }
        self.dialect.protocol = protocol;
        self
    }

    /// A provider that is known by name, with the key and base URL of the environment.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) for an unknown name or a missing key.
    pub fn provider(name: &str) -> Result<Self, LmError> {
        let Some(provider) = providers::provider(name) else {
            let message = format!("unknown provider `{name}`; known are {}", providers::names());
            return Err(LmError::new(LmErrorKind::Configuration, name, message));
        };
        Self::of(provider, name, &environment)
    }

    /// `asked` is what the caller asked for, to be named in errors.
    pub(crate) fn of(provider: &'static Provider, asked: &str, lookup: Lookup<'_>) -> Result<Self, LmError> {
        let key = provider.key(lookup);
        let base_url = provider.base_url(lookup);
        // Behind another base URL may be a server that wants no key; it will say so if it does.
        if key.is_none() && provider.needs_key && base_url == provider.base_url {
            let vars = provider.key_vars.join(" or ");
            let message = format!("no key for {}: set the environment variable {vars}", provider.name);
            return Err(LmError::new(LmErrorKind::Configuration, asked, message));
        }
        if base_url.is_empty() {
            let vars = provider.url_vars.join(" or ");
            let message = format!("no address for {}: set the environment variable {vars}", provider.name);
            return Err(LmError::new(LmErrorKind::Configuration, asked, message));
        }
        let mut endpoint = Endpoint::new(base_url);
        endpoint.known_as(provider);
        endpoint.deployments = provider.api_version(lookup).is_some();
        if let Some((var, key)) = key {
            endpoint.key = Some(key.into());
            endpoint.key_var = Some(var);
        }
        let Some(given) = provider.given_url(lookup) else { return Ok(endpoint) };
        if provider.name == providers::AZURE {
            endpoint.at(&AzureAddress::new(&given));
        }
        Ok(endpoint.speaking(&given))
    }

    /// Sets the key, sent in the way of the protocol: as a bearer token, `x-api-key` or `x-goog-api-key`.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.key = Some(key.into());
        self.key_var = None;
        self
    }

    /// Adds a header to every request. A header of the same name that the library would send, `authorization`
    /// included, is replaced.
    ///
    /// Its value is treated as a secret: where a server sends it back, in whichever spelling, errors show `***`. Values
    /// of fewer than six characters, eight where the name does not say that the header is a credential, are left
    /// alone, because they occur in ordinary text.
    ///
    /// A header that may choose what answers, such as `anthropic-beta`, `api-version` or `OpenAI-Project`, is a part of
    /// the handle's [`endpoint`](Lm::endpoint) as a digest, and so of every key of caches, cassettes and journals.
    /// Credentials (`authorization`, `x-api-key`, `cookie`, and names that end in `key`, `token`, `secret` or `auth`) and
    /// what merely accompanies a request (`user-agent`, `traceparent`, `x-request-id`) are not; see
    /// [`vary_by_header`](Self::vary_by_header).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Keeps the answers that are given under different values of a header apart: in caches, cassettes, journals and
    /// calls that are shared while they are in flight. The header may be one that holds the key. Only a digest of its
    /// value is kept.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::Endpoint;
    /// let server = Endpoint::new("http://localhost:8000/v1").vary_by_header("authorization");
    /// let one = server.clone().api_key("key-of-one").model("m")?;
    /// let other = server.api_key("key-of-other").model("m")?;
    /// assert_ne!(one.endpoint(), other.endpoint());
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    ///
    /// [`model`](Self::model) refuses the name of a header that is not sent.
    #[must_use]
    pub fn vary_by_header(mut self, name: impl Into<String>) -> Self {
        self.varying.push(name.into());
        self
    }

    /// Names the tenant on whose behalf is asked. Answers to one tenant are never given to another, whatever their keys
    /// are: the name is a part of the handle's [`endpoint`](Lm::endpoint) as a digest, and so of every key of caches,
    /// cassettes and journals. It is not sent. [`Cache::tenant`](crate::Cache::tenant) does the same for a single cache.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::Endpoint;
    /// let server = Endpoint::new("http://localhost:8000/v1");
    /// let acme = server.clone().tenant("acme").model("m")?;
    /// let other = server.tenant("other").model("m")?;
    /// assert_ne!(acme.endpoint(), other.endpoint());
    /// # }
    /// # Ok::<(), dspy_lm::LmError>(())
    /// ```
    #[must_use]
    pub fn tenant(mut self, name: impl Into<String>) -> Self {
        self.tenant = Some(name.into());
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
        {
            if let Some(Err(why)) = self.price.map(|price| price.check()) {
                return Err(LmError::new(LmErrorKind::Configuration, id, why));
            }
            crate::protocols::wire::model(self, id, name).map(|lm| self.priced(lm))
        }
        #[cfg(not(feature = "http"))]
        Err(LmError::new(
            LmErrorKind::Configuration,
            id,
            "built without HTTP: enable the feature `http` of `dspy`",
        ))
    }

    /// A handle to a model of this server that turns texts into vectors, by OpenAI's `/embeddings`. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    pub fn embedder(&self, name: impl Into<String>) -> Result<Embedder, LmError> {
        let name = name.into();
        let id = self.provider.map_or_else(|| name.clone(), |provider| format!("{provider}/{name}"));
        #[cfg(feature = "http")]
        return crate::embed::served(self, id, name);
        #[cfg(not(feature = "http"))]
        Err(LmError::new(
            LmErrorKind::Configuration,
            id,
            "built without HTTP: enable the feature `http` of `dspy`",
        ))
    }

    /// What the model of that name takes.
    #[cfg(feature = "http")]
    pub(crate) fn dialect_of(&self, model: &str) -> Dialect {
        let mut dialect = self.dialect.for_model(model);
        if let Some(capabilities) = self.capabilities {
            let taken = dialect.capabilities.sampling;
            dialect.capabilities = capabilities;
            dialect.capabilities.sampling &= taken;
        }
        if dialect.protocol == Protocol::Anthropic {
            dialect.capabilities.sampling &= crate::protocols::anthropic::takes_sampling(model);
        }
        if dialect.schema == PLAIN.schema {
            dialect.schema = dialect.protocol.schema(dialect.capabilities.strict);
        }
        if !dialect.capabilities.sampling {
            dialect.be_reasoning();
        }
        dialect
    }
}

#[cfg(feature = "http")]
impl Endpoint {
    /// The handle at this server's price.
    fn priced(&self, lm: Lm) -> Lm {
        match self.price {
            Some(price) => lm.price(price),
            None => lm,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &public_url(&self.base_url))
            .field("key", &self.key)
            .field("headers", &self.headers)
            .field("tenant", &self.tenant)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("retries", &self.retries)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// `url` without user, password, query and fragment, any of which may hold a secret, and without what looks like a key
/// in its path. It need not be well-formed: whatever stands before an `@` is taken for a password.
pub fn public_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.rsplit('@').next().unwrap_or_default();
    // The host is none of them.
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path: Vec<&str> = path_parts(path).map(|(part, is_key)| if is_key { HIDDEN } else { part }).collect();
    let path = path.join("/");
    scheme.map_or_else(|| format!("{host}{path}"), |scheme| format!("{scheme}://{host}{path}"))
}

/// What tells endpoints apart without showing what may be secret: the [public URL](public_url) and, where that is not
/// all, a digest of the whole.
pub(crate) fn deployment(endpoint: &str) -> Cow<'_, str> {
    let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (url, marks) = endpoint.split_once('#').unwrap_or((endpoint, ""));
    if (marks.is_empty() || marks.split('#').all(is_digest)) && public_url(url) == url {
        return endpoint.into();
    }
    format!("{}#{}", public_url(url), mark([endpoint])).into()
}

/// A short digest of these parts.
pub(crate) fn mark<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests;
