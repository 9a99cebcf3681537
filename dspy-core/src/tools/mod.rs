//! Tools: functions that a model may call.
//!
//! A [`Tool`] is an async function with a name, a description and an argument struct. A signature with an
//! input of [`ToolSpec`]s and an output of [`ToolCalls`] asks a model which tools to call. Models with native
//! tool calling use it; others write the calls as JSON. In both cases names and arguments are checked against
//! the tools before the prediction is returned, and problems are reported to the model. Running the calls is
//! up to the caller.
//!
//! ```
//! use dspy_core::tools::{Tool, ToolCall, ToolCalls};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Sum { a: i64, b: i64 }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let tools = [Tool::new("sum", "Adds two numbers.", |Sum { a, b }: Sum| async move { a + b })];
//! let calls = ToolCalls::from_iter([ToolCall::new("sum", serde_json::json!({"a": "40", "b": 2}))]);
//! let results = calls.run(&tools).await;
//! assert_eq!(results[0].text(), "42");
//! # });
//! ```

mod calls;
mod check;
mod context;
mod current;
mod error;
#[doc(hidden)]
pub mod function;
mod layer;
mod names;
mod offered;
mod output;
pub(crate) mod text_calls;
mod tool;
mod value;
mod watch;

pub use crate::lm::{ToolCall, ToolChoice, ToolSpec};
pub use crate::types::ToolCalls;
pub use calls::ToolResult;
pub(crate) use check::{check_calls, read_arguments};
pub use context::ToolContext;
#[doc(hidden)]
pub use current::CurrentCall;
pub use error::ToolError;
pub use layer::{NextTool, ToolFuture, ToolLayer, with_tool_layer};
pub use names::{ToolNameError, check_names};
pub(crate) use offered::{LastOffered, Offered};
pub use output::{Json, ToolFailure, ToolOutput};
pub use tool::Tool;
pub use value::ToolValue;
