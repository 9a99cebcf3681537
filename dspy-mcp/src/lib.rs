//! Tools over the Model Context Protocol.
//!
//! [`McpClient`] connects to a server, a process or an HTTP endpoint, and returns its tools for agents.
//! [`serve_stdio`] serves tools and programs to any client of the protocol, and so does `serve_http`, behind the feature
//! `http-server`.
//!
//! ```no_run
//! use dspy_mcp::McpClient;
//!
//! # async fn agent() -> Result<(), dspy_mcp::McpError> {
//! let files = McpClient::stdio(std::process::Command::new("files-server"));
//! let tools = files.prefix("files_").only(["read", "list"]).tools().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The guide `docs/mcp.md` of the repository has the limits, the errors and a server.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod challenge;
mod client;
mod error;
mod guard;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http-server")]
mod http_server;
mod line;
mod listing;
mod outcome;
mod process;
mod server;
mod session;

pub use challenge::Challenge;
pub use client::McpClient;
pub use error::McpError;
#[cfg(feature = "http-server")]
pub use http_server::serve_http;
pub use server::{McpServer, serve_stdio};

/// A test that the code of the guide compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/mcp.md")]
struct Guide;
