//! Running tool calls, and their results.

use futures_util::{StreamExt as _, stream};

use super::{Tool, ToolCall, ToolContext, ToolError, ToolValue};
use crate::lm::Message;
use crate::types::ToolCalls;

/// The default number of tools that run concurrently.
const CONCURRENCY: usize = 8;

impl ToolCalls {
    /// Runs the calls on `tools`, eight at a time, and returns the results in the order of the calls. A
    /// failed call is a result that holds the error.
    pub async fn run(&self, tools: &[Tool]) -> Vec<ToolResult> {
        self.run_at_most(CONCURRENCY, tools).await
    }

    /// Does the same as [`run`](Self::run) with another maximum, at least 1, of calls in flight.
    pub async fn run_at_most(&self, concurrency: usize, tools: &[Tool]) -> Vec<ToolResult> {
        // Each future is created before it is polled, so that its type does not depend on a borrowed closure
        // argument.
        let calls: Vec<_> = self.0.iter().map(|call| run_one(call, tools)).collect();
        stream::iter(calls).buffered(concurrency.max(1)).collect().await
    }
}

async fn run_one(call: &ToolCall, tools: &[Tool]) -> ToolResult {
    let mut named = tools.iter().filter(|tool| tool.name() == call.name);
    let outcome = match (named.next(), named.next()) {
        (Some(_), Some(_)) => Err(ToolError::Duplicate { name: call.name.clone() }),
        (Some(tool), None) => {
            let context = call.id.as_deref().map(|id| ToolContext::new().with_call_id(id));
            tool.call_with(&call.arguments, context.unwrap_or_default()).await
        }
        (None, _) => {
            let known = tools.iter().map(|tool| tool.name().to_owned()).collect();
            Err(ToolError::Unknown { name: call.name.clone(), known })
        }
    };
    ToolResult { id: call.id.clone(), name: call.name.clone(), outcome }
}

/// The result of one call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolResult {
    /// The id of the call, if it had one.
    pub id: Option<String>,
    /// The name of the tool.
    pub name: String,
    /// The value, or the error.
    pub outcome: Result<ToolValue, ToolError>,
}

impl ToolResult {
    /// Returns the result as text: strings unchanged, any other value as JSON, media as placeholders, an error as
    /// its message.
    pub fn text(&self) -> String {
        match &self.outcome {
            Ok(value) => value.text().into_owned(),
            Err(error) => format!("error: {error}"),
        }
    }

    /// Returns the message that answers a native call; `None` for a call without an id.
    pub fn to_message(&self) -> Option<Message> {
        let id = self.id.as_deref()?;
        Some(match &self.outcome {
            Ok(value) => value.to_message(id),
            Err(_) => Message::tool_result(id, self.text()),
        })
    }
}
