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

/// A server that supports one of the [protocols](Protocol), by default OpenAI's chat completions. Its
/// [`model`](Self::model) creates handles.
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
/// The base URL may be copied from the server's documentation: a trailing slash is accepted, and so is the full
/// address of a method, `…/chat/completions`, `…/responses`, `…/messages` or `…:generateContent`, which also selects
/// the protocol. The target URI that Azure's portal shows for a deployment is accepted too. If the URL has no path,
/// `/v1` is added, or `/v1beta` for Gemini's protocol.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) base_url: String,
    /// The name of the provider, which precedes the model's name in the handle's id.
    pub(crate) provider: Option<&'static str>,
    pub(crate) key: Option<Secret>,
    /// The variable that the key was read from, named in the error if the key is refused.
    pub(crate) key_var: Option<&'static str>,
    pub(crate) headers: Vec<(String, Secret)>,
    /// Headers set by [`vary_by_header`](Endpoint::vary_by_header), in addition to those recognized by name.
    pub(crate) varying: Vec<String>,
    /// The tenant that requests are sent for.
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
    /// The header that holds the key, if not that of the protocol.
    pub(crate) key_header: Option<&'static str>,
    /// Whether models are deployments named in the path: Azure with a dated version of its API.
    pub(crate) deployments: bool,
    /// The deployment that the address named; used for every model name.
    pub(crate) deployment: Option<String>,
}

impl Endpoint {
    /// Creates an endpoint for the server at `base_url`, without a key.
    ///
    /// The server is not assumed to support enforced JSON; see [`capabilities`](Self::capabilities).
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

    /// Creates an endpoint for an Azure OpenAI resource, `https://NAME.openai.azure.com`, with its v1 API. The model
    /// names are the names of its deployments. See [`api_version`](Self::api_version) for resources without the v1
    /// API. A key is sent as Azure's `api-key`; set an Entra token with [`header`](Self::header) as `authorization`.
    ///
    /// The target URI of a deployment, as shown by Azure's portal, is accepted too. If it contains a dated version,
    /// that version is used, and its deployment answers for every model name.
    ///
    /// ```
    /// # #[cfg(feature = "http")] {
    /// use dspy_lm::{Capabilities, Endpoint};
    /// let azure = Endpoint::azure("https://my-resource.openai.azure.com").api_key("…");
    /// assert_eq!(azure.model("my-gpt")?.endpoint(), "https://my-resource.openai.azure.com/openai/v1");
    ///
    /// // The name of a deployment does not show that it is a reasoning model.
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

    /// Sets the version and the deployment that an Azure address contains.
    fn at(&mut self, address: &AzureAddress<'_>) {
        self.deployments |= address.version.is_some();
        self.deployment = address.deployment.map(str::to_owned);
    }

    /// Selects the protocol that an address names.
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

    /// Selects this dated version of Azure's API, in which the path names the deployment. For other servers the
    /// version is added to the query.
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

    /// Selects the protocol. If it is not the default protocol of the server, it is a part of the handle's
    /// [`endpoint`](Lm::endpoint), so that caches keep the answers of each protocol apart.
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
                // A custom address is kept.
                if spoken.iter().any(|(known, _)| *known == self.base_url) {
                    self.base_url = (*base_url).to_owned();
                }
                self.dialect = *dialect;
            }
        }
        self.dialect.protocol = protocol;
        self
    }

    /// Creates an endpoint for a provider that is known by name, with the key and base URL from the environment.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) if the name is unknown or the key is missing.
    pub fn provider(name: &str) -> Result<Self, LmError> {
        let Some(provider) = providers::provider(name) else {
            let message = format!("unknown provider `{name}`; known are {}", providers::names());
            return Err(LmError::new(LmErrorKind::Configuration, name, message));
        };
        Self::of(provider, name, &environment)
    }

    /// Creates an endpoint for a provider. `asked` is the name that the caller used, for error messages.
    pub(crate) fn of(provider: &'static Provider, asked: &str, lookup: Lookup<'_>) -> Result<Self, LmError> {
        let key = provider.key(lookup);
        let base_url = provider.base_url(lookup);
        // A server at another base URL may need no key; if it does, it refuses the request.
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

    /// Sets the key, sent as the protocol requires: as a bearer token, `x-api-key` or `x-goog-api-key`.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.key = Some(key.into());
        self.key_var = None;
        self
    }

    /// Adds a header to every request. It replaces a header of the same name that the library would send, including
    /// `authorization`.
    ///
    /// The value is treated as a secret: if a server returns it, in any encoding, errors show `***`. Values shorter
    /// than six characters, or eight if the header's name does not mark it as a credential, are not hidden because
    /// they occur in ordinary text.
    ///
    /// A header that may change the answer, such as `anthropic-beta`, `api-version` or `OpenAI-Project`, is included
    /// in the handle's [`endpoint`](Lm::endpoint) as a digest, and so in every key of caches, cassettes and journals.
    /// Not included are credentials (`authorization`, `x-api-key`, `cookie`, and names that end in `key`, `token`,
    /// `secret` or `auth`) and headers that only accompany a request (`user-agent`, `traceparent`, `x-request-id`);
    /// see [`vary_by_header`](Self::vary_by_header).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Keeps the answers for different values of a header apart in caches, cassettes, journals and deduplicated calls
    /// in flight. The header may be one that holds the key. Only a digest of its value is stored.
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
    /// [`model`](Self::model) returns an error if the header is not sent.
    #[must_use]
    pub fn vary_by_header(mut self, name: impl Into<String>) -> Self {
        self.varying.push(name.into());
        self
    }

    /// Sets the tenant that requests are sent for. Answers for one tenant are never returned to another, regardless
    /// of their keys: the name is included in the handle's [`endpoint`](Lm::endpoint) as a digest, and so in every
    /// key of caches, cassettes and journals. It is not sent. [`Cache::tenant`](crate::Cache::tenant) does the same
    /// for one cache.
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

    /// Creates a handle to a model of this server. No request is sent yet.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) if the base URL is malformed, a key or header is not valid in
    /// HTTP, or the feature `http` is disabled.
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

    /// Creates a handle to an embedding model of this server, with OpenAI's `/embeddings`. No request is sent yet.
    ///
    /// # Errors
    /// The errors of [`model`](Self::model).
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

    /// Returns the dialect of the model with this name.
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
    /// Sets the price of this endpoint on the handle.
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

/// Returns `url` without user, password, query and fragment, any of which may hold a secret, and without path
/// segments that look like keys. It need not be well-formed: everything before an `@` is treated as a password.
pub fn public_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let rest = rest.rsplit('@').next().unwrap_or_default();
    // The host is never hidden.
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path: Vec<&str> = path_parts(path).map(|(part, is_key)| if is_key { HIDDEN } else { part }).collect();
    let path = path.join("/");
    scheme.map_or_else(|| format!("{host}{path}"), |scheme| format!("{scheme}://{host}{path}"))
}

/// Returns an identifier of an endpoint without secrets: the [public URL](public_url) and, if that is not the whole
/// endpoint, a digest of the whole.
pub(crate) fn deployment(endpoint: &str) -> Cow<'_, str> {
    let is_digest = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (url, marks) = endpoint.split_once('#').unwrap_or((endpoint, ""));
    if (marks.is_empty() || marks.split('#').all(is_digest)) && public_url(url) == url {
        return endpoint.into();
    }
    format!("{}#{}", public_url(url), mark([endpoint])).into()
}

/// Returns a short digest of these parts.
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
