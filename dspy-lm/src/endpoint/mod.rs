//! Endpoints: the address, protocol and credentials of a server. Its retry policy and limits are in `settings`, its
//! models in `model`, the other methods of its API in `api`.

#[cfg(feature = "http")]
pub(crate) mod api;
mod model;
mod settings;

use std::fmt;

use crate::environment::{Lookup, environment};
use crate::network::server::Server;
use crate::protocols::dialect::{Dialect, PLAIN};
use crate::providers::{self, AzureAddress, Provider};
use crate::secret::public_url;
use crate::{Capabilities, LmError, LmErrorKind, Price, Protocol, Secret};

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
    server: Server,
    /// The name of the provider, which precedes the model's name in the handle's id.
    provider: Option<&'static str>,
    capabilities: Option<Capabilities>,
    pub(crate) dialect: Dialect,
    price: Option<Price>,
    /// The header that holds the key, if not that of the protocol.
    key_header: Option<&'static str>,
    /// Whether models are deployments named in the path: Azure with a dated version of its API.
    deployments: bool,
    /// The deployment that the address named; used for every model name.
    deployment: Option<String>,
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
            server: Server::new(base_url),
            provider: None,
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
            self.server.base_url = AzureAddress::new(&self.server.base_url).base_url(Some(version.as_ref()));
            self.deployments = true;
        } else {
            let sign = if self.server.base_url.contains('?') { '&' } else { '?' };
            self.server.base_url = format!("{}{sign}api-version={}", self.server.base_url, version.as_ref());
        }
        self
    }

    /// Selects the protocol. If it is not the default protocol of the server, it is a part of the handle's
    /// [`endpoint`](crate::Lm::endpoint), so that caches keep the answers of each protocol apart.
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
                if spoken.iter().any(|(known, _)| *known == self.server.base_url) {
                    self.server.base_url = (*base_url).to_owned();
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
            endpoint.server.key = Some(key.into());
            endpoint.server.key_var = Some(var);
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
        self.server.key = Some(key.into());
        self.server.key_var = None;
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
    /// in the handle's [`endpoint`](crate::Lm::endpoint) as a digest, and so in every key of caches, cassettes and journals.
    /// Not included are credentials (`authorization`, `x-api-key`, `cookie`, and names that end in `key`, `token`,
    /// `secret` or `auth`) and headers that only accompany a request (`user-agent`, `traceparent`, `x-request-id`);
    /// see [`vary_by_header`](Self::vary_by_header).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.server.headers.push((name.into(), value.into()));
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
        self.server.varying.push(name.into());
        self
    }

    /// Sets the tenant that requests are sent for. Answers for one tenant are never returned to another, regardless
    /// of their keys: the name is included in the handle's [`endpoint`](crate::Lm::endpoint) as a digest, and so in every
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
        self.server.tenant = Some(name.into());
        self
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

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &public_url(&self.server.base_url))
            .field("key", &self.server.key)
            .field("headers", &self.server.headers)
            .field("tenant", &self.server.tenant)
            .field("timeout", &self.server.timeout)
            .field("deadline", &self.server.deadline)
            .field("retries", &self.server.retries)
            .field("limits", &self.server.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests;
