//! The connection to a server.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use dspy_core::decode::Plan;
#[cfg(feature = "http")]
use dspy_core::lm::Secret;
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest,
    ErrorData, Extensions, Implementation, JsonObject, ListToolsRequest, ListToolsRequestMethod,
    PaginatedRequestParams, ServerResult,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError, serve_client};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::McpError;
use crate::challenge::shorten;
use crate::guard::{Fault, Guarded, Watch};
use crate::listing::Listed;
use crate::process::Process;

/// The longest message of a server in an error.
const LONGEST: usize = 4 * 1024;

/// The way to a server.
#[derive(Clone)]
pub(crate) enum Way {
    Process(Arc<std::sync::Mutex<Command>>),
    #[cfg(feature = "http")]
    Http {
        url: String,
        token: Option<Secret>,
        headers: Vec<(String, Secret)>,
    },
}

/// Limits of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) connect_timeout: Duration,
    pub(crate) max_message_bytes: usize,
    pub(crate) max_tools: usize,
    pub(crate) max_pages: usize,
    pub(crate) max_tool_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect_timeout: Duration::from_secs(30),
            max_message_bytes: 4 * 1024 * 1024,
            max_tools: 500,
            max_pages: 50,
            max_tool_bytes: 64 * 1024,
        }
    }
}

/// A server, with one session for all who use it.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) limits: Limits,
    session: Mutex<Option<Arc<Session>>>,
    listed: Mutex<Option<Arc<Vec<Listed>>>>,
    /// The readings of structured results, of the tools that were listed last.
    outputs: std::sync::Mutex<HashMap<String, Arc<Plan>>>,
}

/// An initialised connection.
struct Session {
    service: RunningService<RoleClient, ClientConfig>,
    watch: Arc<Watch>,
}

impl Source {
    pub(crate) fn new(name: String, way: Way, limits: Limits) -> Self {
        Source {
            name,
            way,
            limits,
            session: Mutex::default(),
            listed: Mutex::default(),
            outputs: std::sync::Mutex::default(),
        }
    }

    /// Returns the session; opens one if there is none or it has ended.
    async fn session(&self) -> Result<Arc<Session>, McpError> {
        let open = async {
            let mut session = self.session.lock().await;
            match &*session {
                Some(session) if !session.service.is_closed() && session.watch.fault().is_none() => {
                    Ok(session.clone())
                }
                _ => {
                    *session = None;
                    Ok(session.insert(Arc::new(self.connect().await?)).clone())
                }
            }
        };
        let limit = self.limits.connect_timeout;
        timeout(limit, open).await.unwrap_or_else(|_| Err(self.late("connecting", limit)))
    }

    async fn connect(&self) -> Result<Session, McpError> {
        let watch = Watch::new();
        let failed = |message: String| McpError::Connect { server: self.name.clone(), message };
        let client = Implementation::new("dspy", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(ClientCapabilities::default(), client);
        let started = match &self.way {
            Way::Process(command) => {
                let process = Process::start(
                    &mut command.lock_any(),
                    watch.clone(),
                    self.limits.max_message_bytes,
                    self.limits.connect_timeout,
                );
                let inner = process.map_err(|error| failed(error.to_string()))?;
                serve_client(config, Guarded { inner, watch: watch.clone() }).await
            }
            #[cfg(feature = "http")]
            Way::Http { url, token, headers } => {
                let inner = crate::http::transport(
                    url,
                    token.as_ref(),
                    headers,
                    self.limits.max_message_bytes,
                    &watch,
                )
                .map_err(failed)?;
                serve_client(config, Guarded { inner, watch: watch.clone() }).await
            }
        };
        match started {
            Ok(service) => Ok(Session { service, watch }),
            Err(error) => Err(self.not_started(&error, &watch)),
        }
    }

    fn not_started(&self, error: &ClientInitializeError, watch: &Watch) -> McpError {
        let server = self.name.clone();
        #[cfg(feature = "http")]
        if let Some(header) = error.auth_challenge() {
            return McpError::Unauthorized { server, challenge: crate::Challenge::read(&self.clean(header)) };
        }
        match (watch.fault(), error) {
            (Some(Fault::Limit(what)), _) => {
                McpError::Limit { server, doing: "connecting".into(), what: what.clone() }
            }
            (Some(Fault::Ended(cause)), _) => McpError::Connect { server, message: self.clean(cause) },
            (Some(Fault::Broken(problem)), _) => {
                let doing = "connecting".into();
                McpError::Protocol { server, doing, message: self.clean(problem) }
            }
            (None, ClientInitializeError::TransportError { error, .. }) => {
                McpError::Connect { server, message: self.clean(&chain(&*error.error)) }
            }
            (None, error) => McpError::Connect { server, message: self.clean(&chain(error)) },
        }
    }

    /// Returns the tools that the server lists. They are kept until the server reports a change.
    pub(crate) async fn listed(&self, again: bool) -> Result<Arc<Vec<Listed>>, McpError> {
        let limit = self.limits.connect_timeout;
        let list = async {
            let mut listed = self.listed.lock().await;
            let changed = match &*self.session.lock().await {
                Some(session) => session.watch.take_changed(),
                None => false,
            };
            match &*listed {
                Some(listed) if !again && !changed => Ok(listed.clone()),
                _ => {
                    *listed = None;
                    let new = self.list().await?;
                    let outputs =
                        new.iter().filter_map(|tool| Some((tool.name.clone(), tool.output.clone()?)));
                    *self.outputs.lock_any() = outputs.collect();
                    Ok(listed.insert(Arc::new(new)).clone())
                }
            }
        };
        // A session that has to be opened has the time for that in addition.
        timeout(limit * 2, list).await.unwrap_or_else(|_| Err(self.late("listing tools", limit)))
    }

    async fn list(&self) -> Result<Vec<Listed>, McpError> {
        let session = self.session().await?;
        let doing = "listing tools";
        let limit = |what: String| McpError::Limit { server: self.name.clone(), doing: doing.into(), what };
        let (mut listed, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..self.limits.max_pages {
            let request = ListToolsRequest {
                params: cursor
                    .take()
                    .map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor))),
                method: ListToolsRequestMethod,
                extensions: Extensions::default(),
            };
            let request = ClientRequest::ListToolsRequest(request);
            let work = until_fault(&session.watch, session.service.send_request(request));
            let page = timeout(self.limits.connect_timeout, work)
                .await
                .map_err(|_| self.late(doing, self.limits.connect_timeout))?
                .map_err(|error| self.failed(doing, &error, &session.watch))?;
            // Lists with malformed tools are no `ListToolsResult`; the others of their tools can be used.
            let mut page = match page {
                ServerResult::ListToolsResult(page) => serde_json::to_value(page).unwrap_or_default(),
                ServerResult::CustomResult(page) => page.0,
                _ => Value::Null,
            };
            let Some(Value::Array(tools)) = page.get("tools") else {
                let message = "the list has no `tools`".to_owned();
                return Err(McpError::Protocol { server: self.name.clone(), doing: doing.into(), message });
            };
            if listed.len() + tools.len() > self.limits.max_tools {
                return Err(limit(format!("more than {} tools; raise `max_tools`", self.limits.max_tools)));
            }
            listed.extend(tools.iter().map(|tool| Listed::read(tool, &self.limits)));
            match page.get_mut("nextCursor").map(Value::take) {
                Some(Value::String(next)) => cursor = Some(next),
                _ => return Ok(listed),
            }
        }
        Err(limit(format!("the list of tools has more than {} pages", self.limits.max_pages)))
    }

    /// Calls a tool, once.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        limit: Duration,
    ) -> Result<CallToolResult, McpError> {
        let session = self.session().await?;
        let doing = format!("calling `{tool}`");
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let unsupported = |what: &str| McpError::Protocol {
            server: self.name.clone(),
            doing: doing.clone(),
            message: format!("it answered with {what}, which is not supported"),
        };
        let work = until_fault(&session.watch, session.service.peer().call_tool_once(params));
        match timeout(limit, work).await {
            Err(_) => Err(self.late(&doing, limit)),
            Ok(Err(error)) => Err(self.failed(&doing, &error, &session.watch)),
            Ok(Ok(CallToolResponse::Complete(result))) => Ok(result),
            Ok(Ok(CallToolResponse::InputRequired(_))) => Err(unsupported("a request for input")),
            Ok(Ok(CallToolResponse::Task(_))) => Err(unsupported("a task")),
            Ok(Ok(_)) => Err(unsupported("something unknown")),
        }
    }

    /// Returns the reading of the structured results of a tool that was listed with a schema of them.
    pub(crate) fn output(&self, tool: &str) -> Option<Arc<Plan>> {
        self.outputs.lock_any().get(tool).cloned()
    }

    /// Ends the session. The next operation opens another one.
    pub(crate) async fn close(&self) {
        let session = self.session.lock().await.take();
        if let Some(mut session) = session.and_then(Arc::into_inner) {
            // The result says how it ended, which does not matter.
            let _ = session.service.close_with_timeout(Duration::from_secs(5)).await;
        }
    }

    fn late(&self, doing: &str, limit: Duration) -> McpError {
        McpError::Timeout { server: self.name.clone(), doing: doing.to_owned(), limit }
    }

    fn failed(&self, doing: &str, error: &ServiceError, watch: &Watch) -> McpError {
        let (server, doing) = (self.name.clone(), doing.to_owned());
        #[cfg(feature = "http")]
        if let Some(header) = error.auth_challenge() {
            return McpError::Unauthorized { server, challenge: crate::Challenge::read(&self.clean(header)) };
        }
        match (watch.fault(), error) {
            (_, ServiceError::McpError(error)) if is_marked(error, watch) => {
                McpError::Protocol { server, doing, message: self.clean(&error.message) }
            }
            (_, ServiceError::McpError(error)) => {
                McpError::Refused { server, doing, code: error.code.0, message: self.clean(&error.message) }
            }
            (Some(Fault::Limit(what)), _) => McpError::Limit { server, doing, what: what.clone() },
            (Some(Fault::Ended(cause)), _) => McpError::Closed { server, doing, cause: self.clean(cause) },
            (Some(Fault::Broken(problem)), _) => {
                McpError::Protocol { server, doing, message: self.clean(problem) }
            }
            (None, ServiceError::TransportSend(error)) => self.not_sent(server, doing, &*error.error),
            (None, ServiceError::TransportClosed) => {
                let cause = match self.way {
                    Way::Process(_) => "the server closed it",
                    #[cfg(feature = "http")]
                    Way::Http { .. } => {
                        "the server closed it, or sent an event of more than `max_message_bytes`"
                    }
                };
                McpError::Closed { server, doing, cause: cause.into() }
            }
            (None, error) => McpError::Protocol { server, doing, message: self.clean(&chain(error)) },
        }
    }

    /// Returns the error of a transport.
    fn not_sent(&self, server: String, doing: String, error: &(dyn StdError + 'static)) -> McpError {
        #[cfg(feature = "http")]
        if let Some(error) = crate::http::find(error) {
            use crate::http::HttpError as E;
            if let E::UnexpectedServerResponse(answer) = error
                && let Some((code, answer)) = status_of(answer)
            {
                let note = if (300..400).contains(&code) { "; redirects are not followed" } else { "" };
                let message = self.clean(&format!("HTTP status {answer}{note}"));
                return McpError::Refused { server, doing, code, message };
            }
            match error {
                E::ResponseBodyTooLarge { max_size } => {
                    let what = format!("a response of more than {max_size} bytes; raise `max_message_bytes`");
                    return McpError::Limit { server, doing, what };
                }
                E::HttpStatus(failure) => {
                    let after = failure.retry_after.as_deref().map(|after| format!(", retry after {after}"));
                    let message = format!("HTTP status {}{}", failure.status, after.unwrap_or_default());
                    return McpError::Refused { server, doing, code: failure.status.into(), message };
                }
                E::UnexpectedServerResponse(_)
                | E::UnexpectedContentType(_)
                | E::Deserialize(_)
                | E::Sse(_) => {
                    return McpError::Protocol { server, doing, message: self.clean(&chain(error)) };
                }
                _ => {}
            }
        }
        McpError::Closed { server, doing, cause: self.clean(&chain(error)) }
    }

    /// Returns a message of a server within the limit, without the credentials of the connection.
    fn clean(&self, text: &str) -> String {
        let text = match &self.way {
            Way::Process(_) => text.to_owned(),
            #[cfg(feature = "http")]
            Way::Http { url, token, headers } => {
                let mut text = text.replace(url.as_str(), &self.name);
                for secret in token.iter().chain(headers.iter().map(|(_, value)| value)) {
                    if secret.expose().len() > 3 {
                        text = text.replace(secret.expose(), "***");
                    }
                }
                text
            }
        };
        let text = dspy_core::lm::internal::hide_live(&text);
        shorten(&text, LONGEST).to_owned()
    }
}

/// Returns whether an error stands for an answer that cannot be read.
fn is_marked(error: &ErrorData, watch: &Watch) -> bool {
    error.data.as_ref().and_then(Value::as_str) == Some(watch.mark())
}

/// Waits for an answer, or the end of the session.
async fn until_fault<T>(
    watch: &Watch,
    answer: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, ServiceError> {
    tokio::select! {
        // An answer that came before the end counts.
        biased;
        result = answer => result,
        () = watch.faulted() => Err(ServiceError::TransportClosed),
    }
}

/// Returns the status in words of the SDK such as `HTTP 403 Forbidden: …`, and them without the beginning.
#[cfg(feature = "http")]
fn status_of(answer: &str) -> Option<(i32, &str)> {
    let answer = answer.strip_prefix("HTTP ")?;
    Some((answer.get(..3)?.parse().ok()?, answer.trim_end_matches([':', ' '])))
}

/// Returns a message with its causes.
fn chain(error: &(dyn StdError + 'static)) -> String {
    #[cfg(feature = "http")]
    if let Some(crate::http::HttpError::Client(client)) = error.downcast_ref::<crate::http::HttpError>() {
        // It does not name its cause as its source.
        return chain(client);
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
