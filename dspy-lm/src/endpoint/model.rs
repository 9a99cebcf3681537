//! The models of an endpoint.

use super::Endpoint;
#[cfg(feature = "http")]
use crate::network::transport::{Route, Transport};
use crate::{Embedder, Lm, LmError, LmErrorKind};
#[cfg(feature = "http")]
use crate::{Protocol, embed, protocols, providers};

impl Endpoint {
    /// Creates a handle to a model of this server. No request is sent yet.
    ///
    /// # Errors
    /// [`Configuration`](LmErrorKind::Configuration) if the base URL is malformed, a key or header is not valid in
    /// HTTP, or the feature `http` is disabled.
    pub fn model(&self, name: impl Into<String>) -> Result<Lm, LmError> {
        let name = name.into();
        let id = self.id_of(&name);
        #[cfg(feature = "http")]
        return self.served(id, name);
        #[cfg(not(feature = "http"))]
        Err(without_http(id))
    }

    /// Creates a handle to an embedding model of this server, with OpenAI's `/embeddings`. No request is sent yet.
    ///
    /// # Errors
    /// The errors of [`model`](Self::model).
    pub fn embedder(&self, name: impl Into<String>) -> Result<Embedder, LmError> {
        let name = name.into();
        let id = self.id_of(&name);
        #[cfg(feature = "http")]
        return self.served_embedder(id, name);
        #[cfg(not(feature = "http"))]
        Err(without_http(id))
    }

    /// Returns the id of the handle to a model.
    fn id_of(&self, name: &str) -> String {
        self.provider.map_or_else(|| name.to_owned(), |provider| format!("{provider}/{name}"))
    }
}

#[cfg(not(feature = "http"))]
fn without_http(id: String) -> LmError {
    LmError::new(LmErrorKind::Configuration, id, "built without HTTP: enable the feature `http` of `dspy`")
}

#[cfg(feature = "http")]
impl Endpoint {
    fn served(&self, id: String, name: String) -> Result<Lm, LmError> {
        if let Some(Err(why)) = self.price.map(|price| price.check()) {
            return Err(LmError::new(LmErrorKind::Configuration, id, why));
        }
        let dialect = self.dialect_of(&name);
        let route = self.route(dialect.protocol, &name);
        let transport = Transport::new(&self.server, &id, &route)?;
        let usual = self
            .provider
            .and_then(providers::provider)
            .map_or_else(Protocol::default, |provider| provider.dialect.protocol);
        // The path tells protocols apart that are not the default one, so that caches and journals keep the answers of
        // two protocols at one address apart.
        let address = transport.address(if dialect.protocol == usual { "" } else { &route.path });
        let lm = protocols::wire::model(transport, id, address, dialect, name);
        Ok(match self.price {
            Some(price) => lm.price(price),
            None => lm,
        })
    }

    fn served_embedder(&self, id: String, name: String) -> Result<Embedder, LmError> {
        // Providers with a native protocol serve `/embeddings` next to their chat completions.
        let endpoint = self.clone().protocol(Protocol::Chat);
        let path = if endpoint.deployments {
            format!("/deployments/{name}/embeddings")
        } else {
            "/embeddings".into()
        };
        let transport = Transport::new(&endpoint.server, &id, &endpoint.chat_route(path))?;
        Ok(embed::served(transport, id, name))
    }

    /// Returns the route to a method of OpenAI's API.
    pub(super) fn chat_route(&self, path: String) -> Route {
        let protocol = Protocol::Chat;
        Route {
            path,
            root: protocol.root(),
            key_header: self.key_header.or(protocol.key_header()),
            ..Route::default()
        }
    }

    fn route(&self, protocol: Protocol, name: &str) -> Route {
        // Tuned models have a separate collection.
        let collection = if name.contains('/') { "" } else { "models/" };
        let path = match protocol {
            Protocol::Chat if self.deployments => {
                format!("/deployments/{}/chat/completions", self.deployment.as_deref().unwrap_or(name))
            }
            Protocol::Chat => "/chat/completions".into(),
            Protocol::Responses => "/responses".into(),
            Protocol::Anthropic => "/messages".into(),
            Protocol::Gemini => format!("/{collection}{name}:generateContent"),
        };
        let stream_path = (protocol == Protocol::Gemini)
            .then(|| format!("/{collection}{name}:streamGenerateContent?alt=sse"));
        Route {
            path,
            stream_path,
            root: protocol.root(),
            key_header: self.key_header.or(protocol.key_header()),
            headers: protocol.headers(),
        }
    }
}
