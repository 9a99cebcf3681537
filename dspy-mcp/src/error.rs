//! Errors of the protocol.

use std::time::Duration;

use crate::Challenge;

/// An error of a client or a server of the protocol. As the error of a [`Tool`](dspy_core::tools::Tool), it is the source of
/// [`ToolError::Failed`](dspy_core::tools::ToolError::Failed).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// The settings of the client or server contradict each other.
    #[error("{message}")]
    Settings {
        /// The contradiction, and the remedy.
        message: String,
    },
    /// The server cannot be started or reached, or the handshake failed.
    #[error("cannot connect to `{server}`: {message}")]
    Connect {
        /// The server.
        server: String,
        /// The cause.
        message: String,
    },
    /// The server requires authorization.
    #[error("`{server}` requires authorization ({}): set a valid token with `bearer`", .challenge.header)]
    Unauthorized {
        /// The server.
        server: String,
        /// The challenge.
        challenge: Challenge,
    },
    /// The time limit expired. The server may have done the work.
    #[error(
        "`{server}` did not answer within {limit:?} ({doing}); the request was cancelled and is not repeated"
    )]
    Timeout {
        /// The server.
        server: String,
        /// The operation.
        doing: String,
        /// The limit.
        limit: Duration,
    },
    /// The connection ended during the operation. The server may have done the work.
    #[error("the connection to `{server}` ended ({doing}): {cause}; the request is not repeated")]
    Closed {
        /// The server.
        server: String,
        /// The operation.
        doing: String,
        /// The cause, as far as it is known, such as the exit status of the process and the end of its error output.
        cause: String,
    },
    /// The server sent more than the limit allows.
    #[error("`{server}` exceeded a limit ({doing}): {what}")]
    Limit {
        /// The server.
        server: String,
        /// The operation.
        doing: String,
        /// The limit.
        what: String,
    },
    /// The server violated the protocol.
    #[error("`{server}` violated the protocol ({doing}): {message}")]
    Protocol {
        /// The server.
        server: String,
        /// The operation.
        doing: String,
        /// The violation.
        message: String,
    },
    /// The server refused the request with an error of JSON-RPC.
    #[error("`{server}` refused ({doing}): {message} (code {code})")]
    Refused {
        /// The server.
        server: String,
        /// The operation.
        doing: String,
        /// The code.
        code: i32,
        /// The message.
        message: String,
    },
    /// The tool ran and failed.
    #[error("{message}")]
    Tool {
        /// The name of the tool at its server.
        tool: String,
        /// The message of the tool.
        message: String,
    },
    /// The server lists a tool that cannot be used.
    #[error("the tool `{tool}` of `{server}` cannot be used: {problem}; leave it out with `only`")]
    BadTool {
        /// The server.
        server: String,
        /// The name of the tool.
        tool: String,
        /// The reason.
        problem: String,
    },
    /// Two tools have the same name.
    #[error("duplicate tool `{name}`; rename one, or leave it out")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A tool was enabled that the server does not have.
    #[error("`{server}` has no tool {}; it has {}", names(.unknown), names(.known))]
    UnknownTools {
        /// The server.
        server: String,
        /// The names that were enabled.
        unknown: Vec<String>,
        /// The tools of the server.
        known: Vec<String>,
    },
}

fn names(names: &[String]) -> String {
    const MOST: usize = 50;
    let mut shown: Vec<_> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => return "none".into(),
        count if count > MOST => shown.push(format!("{} more", count - MOST)),
        _ => {}
    }
    shown.join(", ")
}
