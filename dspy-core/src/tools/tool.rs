//! A tool.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::read_arguments;
use super::watch::watch_tool;
use super::{ToolError, ToolOutput, ToolSpec};
use crate::decode::Plan;
use crate::lm::BoxFuture;
use crate::types::root_schema;
use dspy_base::error::BoxError;

type Run = dyn Fn(Value) -> BoxFuture<'static, Result<Value, ToolError>> + Send + Sync;

/// A function that a model may call. Clones share the function.
///
/// ```
/// use dspy_core::tools::Tool;
/// use serde_json::json;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Search {
///     /// What to look for.
///     query: String,
///     #[serde(default)]
///     limit: Option<u8>,
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let search = Tool::new("search", "Searches the archive.", |args: Search| async move {
///     if args.query.is_empty() { Err("the query is empty") } else { Ok(vec![args.query]) }
/// });
/// assert_eq!(search.call(&json!({"query": "rust"})).await.unwrap(), json!(["rust"]));
///
/// let error = search.call(&json!({"limit": 300})).await.unwrap_err();
/// assert!(error.to_string().contains("query: missing; expected a string"), "{error}");
/// # });
/// ```
#[derive(Clone)]
pub struct Tool {
    spec: Arc<ToolSpec>,
    /// The plan by which arguments are decoded, or the reason why the tool cannot be called at all.
    plan: Arc<Result<Plan, String>>,
    run: Arc<Run>,
}

impl Tool {
    /// Creates a tool. The fields of the struct `Args` are the parameters, their doc comments the
    /// descriptions. A tool without parameters takes an empty struct.
    pub fn new<Args, Out, F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Self
    where
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Out: ToolOutput,
        F: Fn(Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Out> + Send + 'static,
    {
        let mut parameters = root_schema::<Args>();
        if let Some(members) = parameters.as_object_mut() {
            // The name of the Rust type is of no use to a model.
            members.shift_remove("title");
        }
        let spec = Arc::new(ToolSpec::new(name, description, parameters));
        let (called, function) = (spec.clone(), Arc::new(function));
        let run = move |arguments: Value| -> BoxFuture<'static, Result<Value, ToolError>> {
            let (spec, function) = (called.clone(), function.clone());
            Box::pin(async move {
                let failed =
                    |source: BoxError| ToolError::Failed { name: spec.name.clone(), source: source.into() };
                let arguments = serde_json::from_value(arguments).map_err(|error| failed(error.into()))?;
                // The call itself is inside, because it may panic before it returns a future.
                let work = AssertUnwindSafe(async { function(arguments).await.into_result() }).catch_unwind();
                match work.await {
                    Ok(result) => result.map_err(failed),
                    Err(panic) => {
                        Err(ToolError::Panicked { name: spec.name.clone(), message: message(&*panic) })
                    }
                }
            })
        };
        let is_struct = spec.parameters.get("type").is_some_and(|kind| kind == "object");
        let plan = match Plan::new(&spec.parameters) {
            Ok(plan) if is_struct => Ok(plan),
            Ok(_) => Err("its arguments are not a struct with named fields".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Tool { spec, plan: Arc::new(plan), run: Arc::new(run) }
    }

    /// Returns the description of the tool for models.
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the descriptions of the tools for models: the value of an input `tools: Vec<ToolSpec>`.
    pub fn specs<'t>(tools: impl IntoIterator<Item = &'t Tool>) -> Vec<ToolSpec> {
        tools.into_iter().map(|tool| tool.spec().clone()).collect()
    }

    /// Runs the tool. The arguments are an object, or its JSON text, and are decoded as leniently as replies:
    /// `"41"` is accepted where a number is expected. Anything but an object is refused, even for a single
    /// argument.
    ///
    /// # Errors
    /// If the arguments do not fit, or the tool fails or panics.
    pub async fn call(&self, arguments: &Value) -> Result<Value, ToolError> {
        watch_tool(self.name(), arguments, self.run(arguments)).await
    }

    async fn run(&self, arguments: &Value) -> Result<Value, ToolError> {
        let arguments = match &*self.plan {
            Ok(plan) => read_arguments(plan, arguments.clone()).map(|read| read.value),
            Err(error) => {
                let source = BoxError::from(format!("it cannot be called: {error}"));
                return Err(ToolError::Failed { name: self.spec.name.clone(), source: source.into() });
            }
        };
        let arguments =
            arguments.map_err(|source| ToolError::Arguments { name: self.spec.name.clone(), source })?;
        (self.run)(arguments).await
    }
}

/// Returns the message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    crate::panics::message(panic).unwrap_or("no message").to_owned()
}

impl From<&Tool> for ToolSpec {
    fn from(tool: &Tool) -> Self {
        tool.spec().clone()
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("spec", &self.spec).finish_non_exhaustive()
    }
}
