//! The client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http")]
use dspy_core::lm::Secret;
use dspy_core::tools::{Tool, ToolValue};
use serde_json::Value;
use tokio::process::Command;

use crate::outcome::Most;
use crate::session::{Limits, Source, Way};
use crate::{McpError, listing, outcome};

/// A client of a server that offers tools. Clones share one session, which is opened by the first operation.
///
/// Settings of the view (`prefix`, `only`, `call_timeout`, `max_result_bytes`,
/// `max_media_bytes`) apply to the clone they are set on. Settings of the
/// connection (all others) make a separate session.
///
/// ```no_run
/// use dspy_mcp::McpClient;
/// use std::process::Command;
///
/// # async fn tools() -> Result<(), dspy_mcp::McpError> {
/// let files = McpClient::stdio(Command::new("files-server"));
/// let reading = files.clone().only(["read", "list"]).tools().await?;
/// let all = files.prefix("files_").tools().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct McpClient {
    source: Arc<Source>,
    prefix: String,
    only: Option<Vec<String>>,
    call_timeout: Duration,
    most: Most,
    /// A contradiction of the settings.
    problem: Option<String>,
}

impl McpClient {
    fn new(name: String, way: Way) -> Self {
        McpClient {
            source: Arc::new(Source::new(name, way, Limits::default())),
            prefix: String::new(),
            only: None,
            call_timeout: Duration::from_mins(1),
            most: Most { text: 256 * 1024, media: 4 * 1024 * 1024 },
            problem: None,
        }
    }

    /// Creates a client of a server process that reads messages from its input and writes them to its output. The process
    /// starts with the session and is killed when the last clone and the last tool are dropped.
    pub fn stdio(command: impl Into<Command>) -> Self {
        let command = command.into();
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        Self::new(name, Way::Process(Arc::new(command.into())))
    }

    /// Creates a client of a server over streamable HTTP.
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn http(url: impl Into<String>) -> Self {
        let url = url.into();
        let name = dspy_core::lm::internal::public_url(&url);
        Self::new(name, Way::Http { url, token: None, headers: Vec::new() })
    }

    /// Sets the token that is sent to an HTTP server.
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn bearer(mut self, token: impl Into<Secret>) -> Self {
        let mut way = self.source.way.clone();
        match &mut way {
            Way::Http { token: known, .. } => *known = Some(token.into()),
            Way::Process(_) => self.problem = Some(no_headers()),
        }
        let limits = self.source.limits.clone();
        self.connection(way, limits)
    }

    /// Adds a header that is sent to an HTTP server.
    #[cfg(feature = "http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http")))]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        let mut way = self.source.way.clone();
        match &mut way {
            Way::Http { headers, .. } => headers.push((name.into(), value.into())),
            Way::Process(_) => self.problem = Some(no_headers()),
        }
        let limits = self.source.limits.clone();
        self.connection(way, limits)
    }

    /// Sets the time to connect, and to list the tools; 30 seconds by default.
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.limits(|limits| limits.connect_timeout = limit)
    }

    /// Sets the largest message that is received; 4 MiB by default. A larger one ends the session.
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.limits(|limits| limits.max_message_bytes = bytes)
    }

    /// Sets the largest number of tools that the server may list; 500 by default.
    pub fn max_tools(self, tools: usize) -> Self {
        self.limits(|limits| limits.max_tools = tools)
    }

    /// Sets the largest description and schema of a tool; 64 KiB by default. A tool with a larger one cannot be used.
    pub fn max_tool_bytes(self, bytes: usize) -> Self {
        self.limits(|limits| limits.max_tool_bytes = bytes)
    }

    /// Sets a prefix of the names of the tools, against collisions with those of other servers.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Enables only these tools, by their names at the server. A name that the server does not have is an error of
    /// [`tools`](Self::tools).
    pub fn only<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the time limit of a call; 60 seconds by default.
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.call_timeout = limit;
        self
    }

    /// Sets the largest text or structured content of a result; 256 KiB by default. A larger one loses its middle.
    pub fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.most.text = bytes;
        self
    }

    /// Sets the largest size of the images, audio and binary resources of a result together, before they are encoded;
    /// 4 MiB by default. Those beyond it are described. [`max_message_bytes`](Self::max_message_bytes) limits them, too.
    pub fn max_media_bytes(mut self, bytes: usize) -> Self {
        self.most.media = bytes;
        self
    }

    fn limits(self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.source.limits.clone();
        change(&mut limits);
        let way = self.source.way.clone();
        self.connection(way, limits)
    }

    fn connection(self, way: Way, limits: Limits) -> Self {
        let source = Arc::new(Source::new(self.source.name.clone(), way, limits));
        McpClient { source, ..self }
    }

    /// Returns the enabled tools in the order of the server. The list is requested once and kept, until the server reports
    /// that it has changed.
    ///
    /// Characters that models do not accept in names are replaced by `_`.
    ///
    /// # Errors
    /// If the server cannot be reached, an enabled tool cannot be used, or a name is unknown or occurs twice.
    pub async fn tools(&self) -> Result<Vec<Tool>, McpError> {
        self.ready()?;
        let listed = self.source.listed(false).await?;
        let server = &self.source.name;
        let mut tools: Vec<Tool> = Vec::new();
        for tool in listing::enabled(&listed, self.only.as_deref(), server)? {
            let spec = tool.spec(&self.prefix, server)?;
            if tools.iter().any(|other| other.name() == spec.name) {
                return Err(McpError::Duplicate { name: spec.name });
            }
            let (client, name) = (self.clone(), tool.name.clone());
            tools.push(Tool::from_spec_with_context(spec, move |arguments, _| {
                let (client, name) = (client.clone(), name.clone());
                async move { Ok(client.call_with_media(&name, arguments).await?) }
            }));
        }
        Ok(tools)
    }

    /// Requests the list of tools again. Returns the enabled ones.
    ///
    /// # Errors
    /// The same as those of [`tools`](Self::tools).
    pub async fn refresh(&self) -> Result<Vec<Tool>, McpError> {
        self.ready()?;
        self.source.listed(true).await?;
        self.tools().await
    }

    /// Calls a tool by its name at the server, enabled or not. The arguments are sent unchecked.
    ///
    /// A call is sent once. Only if an HTTP server answers that the session has expired, which means that it has not run the
    /// tool, a new session is opened and the call is sent again, once.
    ///
    /// # Errors
    /// If the tool fails, the server cannot be reached or does not answer in time, or a limit is exceeded.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, McpError> {
        self.call_with_media(tool, arguments).await.map(ToolValue::into_value)
    }

    /// Does the same as [`call`](Self::call) and returns the result with the images, audio and files in it, as models see
    /// it.
    ///
    /// # Errors
    /// The same as those of [`call`](Self::call).
    pub async fn call_with_media(&self, tool: &str, arguments: Value) -> Result<ToolValue, McpError> {
        self.ready()?;
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            Value::Null => serde_json::Map::new(),
            _ => return Err(McpError::Settings { message: "the arguments of a tool are an object".into() }),
        };
        let result = self.source.call(tool, arguments, self.call_timeout).await?;
        if let Some(output) = self.source.output(tool) {
            outcome::check(&result, &output, self.most).map_err(|message| McpError::Protocol {
                server: self.source.name.clone(),
                doing: format!("calling `{tool}`"),
                message,
            })?;
        }
        outcome::read(tool, result, self.most)
    }

    /// Ends the session of all clones once no call is in flight any more. The next operation opens another one.
    pub async fn close(&self) {
        self.source.close().await;
    }

    fn ready(&self) -> Result<(), McpError> {
        self.problem.clone().map_or(Ok(()), |message| Err(McpError::Settings { message }))
    }
}

#[cfg(feature = "http")]
fn no_headers() -> String {
    "a server process has no headers; set environment variables of its command".into()
}

impl fmt::Debug for McpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpClient")
            .field("server", &self.source.name)
            .field("prefix", &self.prefix)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}
