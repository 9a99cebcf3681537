//! Access to the methods of an endpoint's API other than completions.

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method};
use serde::de::DeserializeOwned;

use super::Endpoint;
use crate::network::transport::{Answer, Failure, Transport, looks_like_html};
use crate::{Lm, LmError, LmErrorKind, secret};

/// A client for the API of an endpoint. Errors name `asker` as the model.
#[derive(Debug, Clone)]
pub struct Api {
    endpoint: Endpoint,
    asker: &'static str,
}

/// A request body that can be created again for each attempt.
#[derive(Debug)]
pub struct Payload {
    /// The media type.
    pub content_type: String,
    /// The length in bytes.
    pub length: u64,
    /// The body.
    pub body: Body,
}

impl Api {
    /// Creates a client for the API of this endpoint. `asker` takes the place of the model in errors.
    pub fn new(endpoint: Endpoint, asker: &'static str) -> Self {
        Api { endpoint, asker }
    }

    /// Returns the identity of this API, without secrets.
    pub fn address(&self) -> String {
        secret::deployment(&self.endpoint.server.base_url).into_owned()
    }

    /// Creates a handle to a model of the endpoint.
    ///
    /// # Errors
    /// [`Configuration`](crate::LmErrorKind::Configuration) if the endpoint is misconfigured.
    pub fn model(&self, name: &str) -> Result<Lm, LmError> {
        self.endpoint.model(name)
    }

    /// Sends a GET request and decodes the reply; retries after transient failures.
    ///
    /// # Errors
    /// The errors of any request to the endpoint.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, LmError> {
        self.exchange(Method::GET, path, query, None).await
    }

    /// Sends a DELETE request and decodes the reply; retries after transient failures, as a second deletion does no
    /// harm.
    ///
    /// # Errors
    /// The errors of any request to the endpoint.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, LmError> {
        self.exchange(Method::DELETE, path, &[], None).await
    }

    /// Sends a POST request, which has an effect, and decodes the reply. It is retried only after a refusal for too
    /// many requests: after other failures it is unknown whether the effect took place.
    ///
    /// # Errors
    /// The errors of any request to the endpoint.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        payload: &(dyn Fn() -> Payload + Send + Sync),
    ) -> Result<T, LmError> {
        self.exchange(Method::POST, path, &[], Some(payload)).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        payload: Option<&(dyn Fn() -> Payload + Send + Sync)>,
    ) -> Result<T, LmError> {
        let route = self.endpoint.chat_route(path.to_owned());
        let transport = Transport::new(&self.endpoint.server, self.asker, &route)?;
        let again = |kind: LmErrorKind| method != Method::POST || kind == LmErrorKind::RateLimit;
        let make = |mut request: reqwest::Request| {
            *request.method_mut() = method.clone();
            if !query.is_empty() {
                request.url_mut().query_pairs_mut().extend_pairs(query);
            }
            match payload.map(|payload| payload()) {
                Some(Payload { content_type, length, body }) => {
                    if let Ok(content_type) = HeaderValue::from_str(&content_type) {
                        request.headers_mut().insert(CONTENT_TYPE, content_type);
                    }
                    request.headers_mut().insert(CONTENT_LENGTH, length.into());
                    *request.body_mut() = Some(body);
                }
                None => drop(request.headers_mut().remove(CONTENT_TYPE)),
            }
            request
        };
        transport.exchange(make, again, read).await
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let found = if looks_like_html(&answer.body) { "an HTML page" } else { "something else" };
        Failure::new(LmErrorKind::Decode, format!("the endpoint answered with {found}: {error}"))
    })
}
