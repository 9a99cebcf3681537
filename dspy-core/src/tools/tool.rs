//! A tool.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::read_arguments;
use super::current::{Caller, CurrentCall};
use super::watch::watch_tool;
use super::{ToolContext, ToolError, ToolOutput, ToolSpec, ToolValue, layer};
use crate::decode::Plan;
use crate::lm::BoxFuture;
use crate::types::root_schema;
use dspy_base::error::BoxError;

type NeedsApproval = dyn Fn(&Value) -> bool + Send + Sync;
type Run = dyn Fn(Value, ToolContext) -> BoxFuture<'static, Result<ToolValue, ToolError>> + Send + Sync;

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
    /// Whether a call with these arguments has to be approved by a person first.
    needs_approval: Option<Arc<NeedsApproval>>,
    traits: Traits,
}

/// The properties of a tool that agents and strategies ask for.
#[derive(Clone, Copy, Default)]
struct Traits(u8);

impl Traits {
    /// Every call needs an approval.
    const APPROVED: Self = Traits(1);
    /// The tool is a program that pauses.
    const PAUSES: Self = Traits(2);
    /// A strategy that runs a program again runs the tool again.
    const ALWAYS_RUNS: Self = Traits(4);
    /// A second run with the same arguments changes nothing.
    const REPEATABLE: Self = Traits(8);

    fn with(self, one: Self, is: bool) -> Self {
        if is { Traits(self.0 | one.0) } else { Traits(self.0 & !one.0) }
    }

    fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
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
        Self::new_with_context(name, description, move |arguments, _| function(arguments))
    }

    /// Creates a tool whose function also receives the [`ToolContext`]: the id of the call, and a way to report
    /// progress.
    pub fn new_with_context<Args, Out, F, Fut>(
        name: impl Into<String>,
        description: impl Into<String>,
        function: F,
    ) -> Self
    where
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Out: ToolOutput,
        F: Fn(Args, ToolContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Out> + Send + 'static,
    {
        let mut parameters = root_schema::<Args>();
        if let Some(members) = parameters.as_object_mut() {
            // The name of the Rust type is of no use to a model.
            members.shift_remove("title");
        }
        let function = Arc::new(function);
        Self::from_spec_with_context(
            ToolSpec::new(name, description, parameters),
            move |arguments, context| {
                let function = function.clone();
                async move {
                    let arguments: Args = serde_json::from_value(arguments)?;
                    function(arguments, context).await.into_result()
                }
            },
        )
    }

    /// Creates a tool of a specification that is known only at run time. The function receives the arguments as an
    /// object, decoded by the schema of the parameters.
    ///
    /// ```
    /// use dspy_core::tools::{Tool, ToolSpec};
    /// use serde_json::{Value, json};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    /// let double = Tool::from_spec(ToolSpec::new("double", "Doubles a number.", parameters), async |arguments: Value| {
    ///     Ok(json!(arguments["n"].as_i64().ok_or("no number")? * 2))
    /// });
    /// assert_eq!(double.call(&json!({"n": "21"})).await.unwrap(), 42);
    /// # });
    /// ```
    pub fn from_spec<F, Fut>(spec: ToolSpec, function: F) -> Self
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Value, BoxError>> + Send + 'static,
    {
        let function = Arc::new(function);
        Self::from_spec_with_context(spec, move |arguments, _| {
            let function = function.clone();
            async move { function(arguments).await.map(Into::into) }
        })
    }

    /// Does the same as [`from_spec`](Self::from_spec) for a function that also receives the [`ToolContext`], and that
    /// returns a [`ToolValue`], which may have media.
    pub fn from_spec_with_context<F, Fut>(spec: ToolSpec, function: F) -> Self
    where
        F: Fn(Value, ToolContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ToolValue, BoxError>> + Send + 'static,
    {
        let spec = Arc::new(spec);
        let (called, function) = (spec.clone(), Arc::new(function));
        let run = move |arguments, context| -> BoxFuture<'static, Result<ToolValue, ToolError>> {
            let (spec, function) = (called.clone(), function.clone());
            Box::pin(async move {
                // The call itself is inside, because it may panic before it returns a future.
                let work = AssertUnwindSafe(async { function(arguments, context).await }).catch_unwind();
                let name = spec.name.clone();
                match work.await {
                    Ok(result) => result.map_err(|source| ToolError::Failed { name, source: source.into() }),
                    Err(panic) => Err(ToolError::Panicked { name, message: message(&*panic) }),
                }
            })
        };
        let is_struct = spec.parameters.get("type").is_some_and(|kind| kind == "object");
        let plan = match Plan::new(&spec.parameters) {
            Ok(plan) if is_struct => Ok(plan),
            Ok(_) => Err("its arguments are not a struct with named fields".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Tool {
            spec,
            plan: Arc::new(plan),
            run: Arc::new(run),
            needs_approval: None,
            traits: Traits::default(),
        }
    }

    /// Requires that every call is approved before it runs, in agents that can wait for it. [`call`](Self::call) and
    /// [`ToolCalls::run`](super::ToolCalls::run) do not ask.
    #[must_use]
    pub fn with_approval(self) -> Self {
        let mut tool = self.with_approval_if(|_| true);
        tool.traits = tool.traits.with(Traits::APPROVED, true);
        tool
    }

    /// Does the same as [`with_approval`](Self::with_approval) for calls with certain arguments only. The condition gets the
    /// arguments that the function would get: decoded, with the defaults of the schema filled in.
    ///
    /// ```
    /// # use dspy_core::tools::Tool;
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Payment { amount: f64 }
    /// let pay = Tool::new("pay", "Pays an amount.", |payment: Payment| async move { payment.amount })
    ///     .with_approval_if(|arguments| arguments["amount"].as_f64().is_none_or(|amount| amount > 100.0));
    /// assert!(pay.needs_approval(&serde_json::json!({"amount": 120})));
    /// ```
    #[must_use]
    pub fn with_approval_if(mut self, needed: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        self.needs_approval = Some(Arc::new(needed));
        self.traits = self.traits.with(Traits::APPROVED, false);
        self
    }

    /// Returns whether a call with these arguments has to be approved before it runs. The arguments may be as a model wrote
    /// them. If they do not fit, or the condition panics, the call has to be approved.
    pub fn needs_approval(&self, arguments: &Value) -> bool {
        let Some(needed) = &self.needs_approval else { return false };
        let Ok(arguments) = self.read(arguments) else { return true };
        catch_unwind(AssertUnwindSafe(|| needed(&arguments))).unwrap_or(true)
    }

    /// Returns whether any call may have to be approved.
    #[doc(hidden)]
    pub fn may_need_approval(&self) -> bool {
        self.needs_approval.is_some()
    }

    /// Marks a tool that is a program, and nothing else, if the program pauses.
    pub(crate) fn pausing(mut self, pauses: bool) -> Self {
        self.traits = self.traits.with(Traits::PAUSES, pauses);
        self
    }

    /// Returns whether the tool is a program that [pauses](crate::program::Module::pauses).
    #[doc(hidden)]
    pub fn pauses(&self) -> bool {
        self.traits.has(Traits::PAUSES)
    }

    /// Makes the tool run in every attempt of a strategy that repeats a part of a program and otherwise answers calls of
    /// tools from the attempt before, as `Backtrack` does. For tools whose purpose is a change of something that one run
    /// of the program has created, such as a list in which its `forward` collects results.
    ///
    /// ```
    /// # use dspy_core::tools::Tool;
    /// # #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// # struct Note { text: String }
    /// let (found, notes) = std::sync::mpsc::channel();
    /// let note = Tool::new("note", "Keeps a note.", move |Note { text }: Note| {
    ///     let kept = found.send(text).map_err(|error| error.to_string());
    ///     async move { kept }
    /// });
    /// assert!(note.without_replay().always_runs());
    /// # drop(notes);
    /// ```
    #[must_use]
    pub fn without_replay(mut self) -> Self {
        self.traits = self.traits.with(Traits::ALWAYS_RUNS, true);
        self
    }

    /// Returns whether the tool runs in every attempt; see [`without_replay`](Self::without_replay).
    pub fn always_runs(&self) -> bool {
        self.traits.has(Traits::ALWAYS_RUNS)
    }

    /// Declares that a second run with the same arguments changes nothing, as for a search. An agent whose process ended
    /// while such a call ran makes the call again when it is resumed; of others it is told that they may have run.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.traits = self.traits.with(Traits::REPEATABLE, true);
        self
    }

    /// Returns whether a second run with the same arguments changes nothing; see [`repeatable`](Self::repeatable).
    pub fn is_repeatable(&self) -> bool {
        self.traits.has(Traits::REPEATABLE)
    }

    /// Returns whether every call has to be approved, whatever its arguments.
    pub fn always_needs_approval(&self) -> bool {
        self.traits.has(Traits::APPROVED)
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

    /// Runs the tool. The arguments are an object, or its JSON text. Their notation is repaired as in replies, and `"41"` is
    /// a number, but nothing is interpreted: `"50%"`, `"five"`, an unknown argument, or a list in place of a string are
    /// errors. So is anything but an object, even for a single argument.
    ///
    /// # Errors
    /// If the arguments do not fit, or the tool fails or panics.
    pub async fn call(&self, arguments: &Value) -> Result<Value, ToolError> {
        self.call_with(arguments, ToolContext::new()).await.map(ToolValue::into_value)
    }

    /// Does the same as [`call`](Self::call) in a context, and returns the result with the media in it.
    ///
    /// # Errors
    /// If the arguments do not fit, or the tool fails or panics.
    pub async fn call_with(&self, arguments: &Value, context: ToolContext) -> Result<ToolValue, ToolError> {
        self.layered(arguments, context, None).await
    }

    /// Does the same as [`call_with`](Self::call_with) for a caller that the program of the tool can find.
    ///
    /// # Errors
    /// If the arguments do not fit, or the tool fails or panics.
    #[doc(hidden)]
    pub async fn call_by(
        &self,
        arguments: &Value,
        context: ToolContext,
        caller: Arc<dyn Any + Send + Sync>,
    ) -> Result<ToolValue, ToolError> {
        self.layered(arguments, context, Some(caller)).await
    }

    /// Runs the tool through the layers of the task.
    async fn layered(
        &self,
        arguments: &Value,
        context: ToolContext,
        caller: Option<Caller>,
    ) -> Result<ToolValue, ToolError> {
        let run = async {
            let run = self.run(arguments, context, caller);
            match layer::current_layers() {
                None => run.await,
                Some(layers) => layer::pass(layers, self, arguments, Box::pin(run)).await,
            }
        };
        watch_tool(self.name(), arguments, run).await
    }

    async fn run(
        &self,
        arguments: &Value,
        context: ToolContext,
        caller: Option<Caller>,
    ) -> Result<ToolValue, ToolError> {
        let arguments = self.read(arguments)?;
        CurrentCall::enter(&self.spec, caller, self.pauses(), (self.run)(arguments, context)).await
    }

    /// Returns the arguments that the function gets.
    fn read(&self, arguments: &Value) -> Result<Value, ToolError> {
        let name = || self.spec.name.clone();
        match &*self.plan {
            Ok(plan) => read_arguments(plan, &self.spec.parameters, arguments.clone())
                .map(|read| read.value)
                .map_err(|source| ToolError::Arguments { name: name(), source }),
            Err(error) => {
                let source = BoxError::from(format!("it cannot be called: {error}"));
                Err(ToolError::Failed { name: name(), source: source.into() })
            }
        }
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
