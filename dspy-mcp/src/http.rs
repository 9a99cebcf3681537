//! Servers over HTTP.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::Secret;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::FixedInterval;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};

type HttpTransport = StreamableHttpClientTransport<reqwest::Client>;

/// An error of the transport.
pub(crate) type HttpError = StreamableHttpError<reqwest::Error>;

/// Returns the transport to a server.
pub(crate) fn transport(
    url: &str,
    token: Option<&Secret>,
    headers: &[(String, Secret)],
    most: usize,
) -> Result<HttpTransport, String> {
    // Redirects are not followed, because they could carry the token to another host.
    if reqwest::Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
        return Err("the address holds a user or password; set a token by `bearer`, or `header`".into());
    }
    let client = dspy_core::lm::internal::client_for(url)?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url)
        .max_sse_event_size(most)
        .max_json_response_size(most)
        .reinit_on_expired_session(true);
    let mut reconnects = FixedInterval::default();
    (reconnects.max_times, reconnects.duration) = (Some(3), Duration::from_secs(1));
    config.retry_config = Arc::new(reconnects);
    if let Some(token) = token {
        HeaderValue::from_str(token.expose()).map_err(|_| "the token cannot be sent as a header")?;
        config = config.auth_header(token.expose());
    }
    let mut custom = HashMap::new();
    for (name, value) in headers {
        let malformed = || format!("the header `{name}` is malformed");
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| malformed())?;
        value.set_sensitive(true);
        custom.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?, value);
    }
    Ok(HttpTransport::with_client(client, config.custom_headers(custom)))
}

/// Returns the error of the transport in a chain of errors.
pub(crate) fn find<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e HttpError> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref())
}
