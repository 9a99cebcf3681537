//! The context of a call.

use std::sync::Arc;

use crate::observe;

/// The context of one call of a tool: an argument that the model does not see.
///
/// A function with [`#[tool]`](https://docs.rs/dspy/latest/dspy/attr.tool.html) takes it as `cx: &ToolContext` or
/// `cx: ToolContext`, a closure by [`Tool::new_with_context`](super::Tool::new_with_context).
///
/// ```
/// use dspy_core::tools::{Tool, ToolContext};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Payment { amount: u32 }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let pay = Tool::new_with_context("pay", "Pays.", |Payment { amount }: Payment, cx: ToolContext| async move {
///     cx.status(format!("paying {amount}")).await;
///     format!("paid as {}", cx.call_id().unwrap_or("unnamed"))
/// });
/// let context = ToolContext::new().with_call_id("call_7");
/// let result = pay.call_with(&json!({"amount": 3}), context).await.unwrap();
/// assert_eq!(result.text(), "paid as call_7");
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct ToolContext {
    call_id: Option<Arc<str>>,
    run_id: Option<Arc<str>>,
}

impl ToolContext {
    /// Creates the context of a call without an id.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the id of the call.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.call_id = Some(id.into());
        self
    }

    /// Returns the id of the call; `None` if the tool is called without one, as by [`Tool::call`](super::Tool::call).
    ///
    /// In the run of an agent the id is unique, and the same when a stored run is resumed. Together with the
    /// [`run_id`](Self::run_id) it makes a key by which a tool recognises a call that it has executed.
    pub fn call_id(&self) -> Option<&str> {
        self.call_id.as_deref()
    }

    /// Sets the id of the run.
    #[must_use]
    pub fn with_run_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.run_id = Some(id.into());
        self
    }

    /// Returns the id of the agent's run that makes the call; `None` outside of agents.
    ///
    /// It is random, and stays the same when a stored run is resumed. That of an agent inside a tool is the id of the
    /// outer run with the call, such as `9f…/call_1_1`.
    pub fn run_id(&self) -> Option<&str> {
        self.run_id.as_deref()
    }

    /// Reports progress to observers and to the stream of [`events`](crate::program::Module::events), if there is one.
    pub async fn status(&self, text: impl Into<String>) {
        observe::status(text).await;
    }
}
