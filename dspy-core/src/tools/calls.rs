//! Running calls, and what came of them.

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use super::{Tool, ToolCall, ToolError};
use crate::lm::Message;
use crate::types::ToolCalls;

/// How many tools run at a time.
const CONCURRENCY: usize = 8;

impl ToolCalls {
    /// Runs the calls on `tools`, eight at a time, and gives the results in the order of the calls. A call that comes
    /// to nothing is a result that says why.
    pub async fn run(&self, tools: &[Tool]) -> Vec<ToolResult> {
        self.run_at_most(CONCURRENCY, tools).await
    }

    /// [`run`](Self::run) with another bound, at least 1, on the calls in flight.
    pub async fn run_at_most(&self, concurrency: usize, tools: &[Tool]) -> Vec<ToolResult> {
        // Each future is made before it is polled, so that its type does not depend on a borrowed closure argument.
        let calls: Vec<_> = self.0.iter().map(|call| run_one(call, tools)).collect();
        stream::iter(calls).buffered(concurrency.max(1)).collect().await
    }
}

async fn run_one(call: &ToolCall, tools: &[Tool]) -> ToolResult {
    let outcome = match tools.iter().find(|tool| tool.name() == call.name) {
        Some(tool) => tool.call(&call.arguments).await,
        None => {
            let known = tools.iter().map(|tool| tool.name().to_owned()).collect();
            Err(ToolError::Unknown { name: call.name.clone(), known })
        }
    };
    ToolResult { id: call.id.clone(), name: call.name.clone(), outcome }
}

/// What came of one call.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ToolResult {
    /// The id of the call, where it had one.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The result, or why there is none.
    pub outcome: Result<Value, ToolError>,
}

impl ToolResult {
    /// The result as a model reads it: text as it stands, anything else as JSON, an error in its words.
    pub fn text(&self) -> String {
        match &self.outcome {
            Ok(Value::String(text)) => text.clone(),
            Ok(value) => value.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    /// The message that answers a native call; `None` for a call without an id.
    pub fn to_message(&self) -> Option<Message> {
        Some(Message::tool_result(self.id.as_deref()?, self.text()))
    }
}
