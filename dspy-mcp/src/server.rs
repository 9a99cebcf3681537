//! The server.

use std::fmt;
use std::sync::Arc;

use dspy_core::tools::{Tool, ToolContext, ToolError};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer, ServerInitializeError, serve_server};
use rmcp::transport::async_rw::AsyncRwTransport;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use crate::{McpError, outcome};

/// Serves tools over the input and output of the process, until the input ends.
///
/// Nothing else may be written to the output, such as by `println!`.
///
/// ```no_run
/// # use dspy_core::tools::Tool;
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # struct City { city: String }
/// # async fn serve() -> Result<(), dspy_mcp::McpError> {
/// # let rain = Tool::new("rain", "", |City { city }: City| async move { city.len() });
/// # let expert = rain.clone();
/// dspy_mcp::serve_stdio([rain, expert]).await
/// # }
/// ```
///
/// # Errors
/// The same as those of [`McpServer::serve`].
pub async fn serve_stdio(tools: impl IntoIterator<Item = Tool>) -> Result<(), McpError> {
    McpServer::new(tools).serve_stdio().await
}

/// A server that offers tools. Programs are tools by [`Tool::of_program`].
///
/// All calls run in the task that serves, concurrently, so the settings and budgets of that task apply.
#[derive(Clone)]
pub struct McpServer {
    tools: Vec<Tool>,
    name: String,
    version: String,
    instructions: Option<String>,
    pub(crate) concurrency: usize,
    pub(crate) max_message_bytes: usize,
    approved: bool,
    /// The token that clients over HTTP must have.
    #[cfg(feature = "http-server")]
    pub(crate) token: Option<dspy_core::lm::Secret>,
}

impl McpServer {
    /// Creates a server.
    pub fn new(tools: impl IntoIterator<Item = Tool>) -> Self {
        McpServer {
            tools: tools.into_iter().collect(),
            name: "dspy".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            instructions: None,
            concurrency: 32,
            max_message_bytes: 4 * 1024 * 1024,
            approved: false,
            #[cfg(feature = "http-server")]
            token: None,
        }
    }

    /// Sets the name and version that clients see.
    pub fn name(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        (self.name, self.version) = (name.into(), version.into());
        self
    }

    /// Sets instructions for the use of the tools, which clients show to their models.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// Sets the maximum number of calls in flight, at least 1; 32 by default. Further calls wait.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// Sets the largest message that is received; 4 MiB by default. Larger ones are dropped.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Runs calls that [need approval](Tool::with_approval), too. They are refused by default, because a server cannot know
    /// whether its client has asked a person.
    pub fn approved_by_client(mut self) -> Self {
        self.approved = true;
        self
    }

    /// Serves over the input and output of the process; see [`serve_stdio`].
    ///
    /// # Errors
    /// The same as those of [`serve`](Self::serve).
    pub async fn serve_stdio(self) -> Result<(), McpError> {
        self.serve(tokio::io::stdin(), tokio::io::stdout()).await
    }

    /// Serves one client over a pair of streams, until `reader` ends.
    ///
    /// # Errors
    /// If two tools have the same name, or the client violates the protocol.
    pub async fn serve<R, W>(self, reader: R, writer: W) -> Result<(), McpError>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (concurrency, max_message_bytes) = (self.concurrency, self.max_message_bytes);
        let (jobs, queue) = mpsc::channel::<Job>(concurrency);
        let handler = Handler::new(self, jobs)?;
        let transport = AsyncRwTransport::new_server(reader, writer).with_max_line_length(max_message_bytes);
        let service = match serve_server(handler, transport).await {
            Ok(service) => service,
            // The client left before it began.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => {
                return Err(McpError::Protocol {
                    server: "the client".into(),
                    doing: "connecting".into(),
                    message: crate::challenge::shorten(&error.to_string(), 1000).to_owned(),
                });
            }
        };
        tokio::select! {
            _ = service.waiting() => Ok(()),
            () = work(queue, concurrency) => Ok(()),
        }
    }
}

/// Runs the calls of clients, as many at once as the server allows, until nothing can call any more.
pub(crate) async fn work(mut queue: mpsc::Receiver<Job>, concurrency: usize) {
    let mut running = FuturesUnordered::new();
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            job = queue.recv(), if open && running.len() < concurrency => match job {
                Some(job) => running.push(job.run()),
                None => open = false,
            },
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer")
            .field("name", &self.name)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// A call that waits to be run.
pub(crate) struct Job {
    tool: Tool,
    arguments: Value,
    reply: oneshot::Sender<CallToolResult>,
}

impl Job {
    async fn run(mut self) {
        let result = tokio::select! {
            result = self.tool.call_with(&self.arguments, ToolContext::new()) => result,
            // The client has cancelled the call.
            () = self.reply.closed() => return,
        };
        let result = match result {
            Ok(value) => outcome::write(&value),
            Err(error) => {
                let text = match error {
                    // Clients name the tool.
                    ToolError::Failed { source, .. } => source.to_string(),
                    error => error.to_string(),
                };
                CallToolResult::error(vec![ContentBlock::text(text)])
            }
        };
        // If the client has just left, the result has no receiver.
        let _ = self.reply.send(result);
    }
}

#[derive(Clone)]
pub(crate) struct Handler {
    tools: Arc<[Tool]>,
    listed: Arc<Vec<rmcp::model::Tool>>,
    config: ServerConfig,
    approved: bool,
    jobs: mpsc::Sender<Job>,
}

impl Handler {
    pub(crate) fn new(server: McpServer, jobs: mpsc::Sender<Job>) -> Result<Self, McpError> {
        let mut listed: Vec<rmcp::model::Tool> = Vec::new();
        for tool in &server.tools {
            let spec = tool.spec();
            if listed.iter().any(|other| other.name == spec.name) {
                return Err(McpError::Duplicate { name: spec.name.clone() });
            }
            let schema = match &spec.parameters {
                Value::Object(schema) if schema.get("type").is_some_and(|kind| kind == "object") => schema,
                _ => {
                    return Err(McpError::BadTool {
                        server: server.name,
                        tool: spec.name.clone(),
                        problem: "its arguments are not a struct with named fields".into(),
                    });
                }
            };
            let schema: Map<String, Value> = schema.clone();
            listed.push(rmcp::model::Tool::new(spec.name.clone(), spec.description.clone(), schema));
        }
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        config.server_info = Implementation::new(server.name, server.version);
        config.instructions = server.instructions;
        let (tools, listed) = (server.tools.into(), Arc::new(listed));
        Ok(Handler { tools, listed, config, approved: server.approved, jobs })
    }
}

impl rmcp::ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.config.clone()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut result = ListToolsResult::default();
        result.tools.clone_from(&self.listed);
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.tools.iter().find(|tool| tool.name() == request.name) else {
            let name = crate::challenge::shorten(&request.name, 200);
            return Err(ErrorData::invalid_params(format!("there is no tool `{name}`"), None));
        };
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        if !self.approved && tool.needs_approval(&arguments) {
            let refusal =
                format!("`{}` needs the approval of a person, which this server cannot obtain", tool.name());
            return Ok(CallToolResult::error(vec![ContentBlock::text(refusal)]).into());
        }
        let (reply, result) = oneshot::channel();
        let job = Job { tool: tool.clone(), arguments, reply };
        let gone = || ErrorData::internal_error("the server is stopping", None);
        tokio::select! {
            result = async {
                self.jobs.send(job).await.map_err(|_| gone())?;
                result.await.map_err(|_| gone())
            } => Ok(result?.into()),
            () = context.ct.cancelled() => Err(ErrorData::internal_error("the call was cancelled", None)),
        }
    }
}
