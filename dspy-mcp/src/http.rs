//! Servers over HTTP.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::Secret;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::FixedInterval;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
    StreamableHttpPostResponse, StreamableHttpResponseLimits,
};
use sse_stream::Sse;

use crate::guard::{Fault, Watch};
use crate::line::{Written, read};

type HttpTransport = StreamableHttpClientTransport<Client>;

/// An error of the transport.
pub(crate) type HttpError = StreamableHttpError<reqwest::Error>;

/// Returns the transport to a server.
pub(crate) fn transport(
    url: &str,
    token: Option<&Secret>,
    headers: &[(String, Secret)],
    most: usize,
    watch: &Arc<Watch>,
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
    let client = Client { client, watch: watch.clone() };
    Ok(HttpTransport::with_client(client, config.custom_headers(custom)))
}

/// The events of a stream.
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// A client that tells of answers in events which cannot be read. The transport would pass over them.
#[derive(Clone)]
pub(crate) struct Client {
    client: reqwest::Client,
    watch: Arc<Watch>,
}

impl Client {
    fn checked(&self, events: Events) -> Events {
        let watch = self.watch.clone();
        events.map(move |event| event.map(|event| check(event, &watch))).boxed()
    }
}

fn check(mut event: Sse, watch: &Watch) -> Sse {
    let Some(data) = &event.data else { return event };
    match read(data.as_bytes(), watch.mark()) {
        Written::Messages(messages) => {
            if let [message @ JsonRpcMessage::Error(_)] = &*messages {
                event.data = serde_json::to_string(message).ok();
            }
        }
        Written::Noise => {}
        Written::Broken(problem) => watch.end(Fault::Broken(problem)),
    }
    event
}

impl StreamableHttpClient for Client {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits)
            .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let posted = self
            .client
            .post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits)
            .await?;
        Ok(match posted {
            StreamableHttpPostResponse::Sse(events, session) => {
                StreamableHttpPostResponse::Sse(self.checked(events), session)
            }
            other => other,
        })
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        self.client.delete_session(uri, session_id, auth_header, custom_headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, HttpError> {
        let most = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            most,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max_sse_event_size: usize,
    ) -> Result<Events, HttpError> {
        let stream = self.client.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max_sse_event_size,
        );
        Ok(self.checked(stream.await?))
    }
}

/// Returns the error of the transport in a chain of errors.
pub(crate) fn find<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e HttpError> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref())
}
