//! The server over streamable HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use dspy_core::lm::Secret;
use dspy_core::tools::Tool;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::server::{Handler, work};
use crate::{McpError, McpServer};

/// The maximum number of connections at a time. Further ones wait.
const CONNECTIONS: usize = 1000;
/// The time in which a client has to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);

type Service = StreamableHttpService<Handler, NeverSessionManager>;
type Reply = Response<BoxBody<Bytes, Infallible>>;

/// Serves tools over streamable HTTP at an address of this machine, such as `127.0.0.1:8080`, until the future is dropped.
///
/// ```no_run
/// # use dspy_core::tools::Tool;
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct City { city: String }
/// # async fn serve() -> Result<(), dspy_mcp::McpError> {
/// # let rain = Tool::new("rain", "", |City { city }: City| async move { city.len() });
/// dspy_mcp::serve_http("127.0.0.1:8080", [rain]).await
/// # }
/// ```
///
/// # Errors
/// If the address cannot be listened at, and the same as those of [`McpServer::serve_http`].
pub async fn serve_http(address: &str, tools: impl IntoIterator<Item = Tool>) -> Result<(), McpError> {
    let listener = TcpListener::bind(address).await;
    McpServer::new(tools).serve_http(listener.map_err(|error| cannot_listen(address, &error))?).await
}

impl McpServer {
    /// Sets the token that clients over HTTP must have, by the header `Authorization: Bearer …`.
    pub fn bearer(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Serves clients over streamable HTTP, at any path, until the future is dropped. It has no sessions: each request is
    /// answered by itself, and a client that leaves stops its calls.
    ///
    /// Without a token, only requests to `localhost` are answered, and only at an address that other machines cannot reach.
    /// Requests of web pages, which have an `Origin`, are refused. There is no TLS; let a proxy in front have it.
    ///
    /// # Errors
    /// If two tools have the same name, or other machines can reach the address and there is no [token](Self::bearer).
    pub async fn serve_http(self, listener: TcpListener) -> Result<(), McpError> {
        let address = listener.local_addr().map_err(|error| cannot_listen("its address", &error))?;
        let token = self.token.clone();
        let settings = |message: String| Err(McpError::Settings { message });
        match &token {
            None if !address.ip().is_loopback() => {
                return settings(format!(
                    "other machines can reach a server at {address}: set a token with `bearer`, or listen at 127.0.0.1"
                ));
            }
            Some(token) if token.expose().is_empty() => {
                return settings("the token is empty; set another with `bearer`".into());
            }
            _ => {}
        }
        let mut config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(self.max_message_bytes)
            .enforce_origin_validation();
        if token.is_some() {
            // A page that lets its name point to this machine does not have the token.
            config = config.disable_allowed_hosts();
        }
        let concurrency = self.concurrency;
        let (jobs, queue) = mpsc::channel(concurrency);
        let handler = Handler::new(self, jobs)?;
        let service = Service::new(move || Ok(handler.clone()), Arc::default(), config);
        let mut connections = FuturesUnordered::new();
        let mut working = std::pin::pin!(work(queue, concurrency));
        loop {
            tokio::select! {
                stream = accept(&listener), if connections.len() < CONNECTIONS => {
                    connections.push(converse(stream, service.clone(), token.clone()));
                }
                Some(()) = connections.next(), if !connections.is_empty() => {}
                // Not before the service ends, which has the other end of the queue.
                () = &mut working => return Ok(()),
            }
        }
    }
}

fn cannot_listen(address: &str, error: &std::io::Error) -> McpError {
    McpError::Connect { server: address.to_owned(), message: format!("cannot listen: {error}") }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Such as too many open files, which pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, service: Service, token: Option<Secret>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, token) = (service.clone(), token.clone());
        async move {
            let is_authorized = token.is_none_or(|token| authorized(request.headers(), token.expose()));
            Ok::<_, Infallible>(if is_authorized { service.handle(request).await } else { unauthorized() })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    // A client that leaves or sends no HTTP concerns nothing else.
    let _ = connection.await;
}

fn authorized(headers: &HeaderMap, token: &str) -> bool {
    let Some(value) = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes) else { return false };
    let Some((scheme, given)) = value.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && same(given, token.as_bytes())
}

/// Compares in a time that does not depend on the place of the first difference.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

fn unauthorized() -> Reply {
    let mut reply = Response::new(Empty::new().boxed());
    *reply.status_mut() = StatusCode::UNAUTHORIZED;
    reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    reply
}
