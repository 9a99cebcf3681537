//! Events of tool calls for observers.

use serde_json::Value;

use super::{ToolError, ToolValue};
use crate::observe::{self, EventKind, Watched};

/// Runs a tool between its start and end events, if there is an observer.
pub(super) async fn watch_tool(
    name: &str,
    arguments: &Value,
    run: impl Future<Output = Result<ToolValue, ToolError>>,
) -> Result<ToolValue, ToolError> {
    let watched = Watched::current();
    let Some(operation) = observe::tool(name, arguments, watched.events.is_some()) else { return run.await };
    let (id, source) = (operation.id(), operation.source().clone());
    if let Some(events) = &watched.events {
        events.send(id, source.clone(), EventKind::ToolStarted { arguments: arguments.clone() }).await;
    }
    let result = operation.run(run).await;
    operation.tool_ended(match &result {
        Ok(result) => Ok(result.value()),
        Err(error) => Err(error),
    });
    if let Some(events) = &watched.events {
        let end = match &result {
            Ok(result) => EventKind::ToolFinished { result: result.value().clone() },
            Err(error) => EventKind::Failed { error: error.to_string() },
        };
        events.send(id, source, end).await;
    }
    result
}
