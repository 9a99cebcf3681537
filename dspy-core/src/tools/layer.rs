//! Layers around the execution of tools.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::lazy;
use serde_json::Value;

use super::{Tool, ToolError, ToolValue};
use crate::lm::BoxFuture;
use crate::observe::Watched;

/// The result of a tool as it passes the layers.
pub type ToolFuture<'a> = BoxFuture<'a, Result<ToolValue, ToolError>>;

/// A layer around the tools that a program runs, whoever calls them: an agent, code in an interpreter, the program
/// itself. It may answer a call in place of the tool.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use dspy_core::tools::{NextTool, Tool, ToolFuture, ToolLayer, with_tool_layer};
/// use serde_json::{Value, json};
///
/// /// Counts the calls and the failures among them.
/// #[derive(Default)]
/// struct Count(AtomicUsize, AtomicUsize);
///
/// impl ToolLayer for Count {
///     fn call<'a>(&'a self, _: &'a Tool, _: &'a Value, next: NextTool<'a>) -> ToolFuture<'a> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         Box::pin(async move {
///             let result = next.run().await;
///             self.1.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
///             result
///         })
///     }
/// }
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Sum { a: i64, b: i64 }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let sum = Tool::new("sum", "Adds two numbers.", |Sum { a, b }: Sum| async move { a + b });
/// let count = Arc::new(Count::default());
/// let work = async { (sum.call(&json!({"a": 1, "b": 2})).await, sum.call(&json!({})).await) };
/// with_tool_layer(count.clone(), work).await.1.unwrap_err();
/// assert_eq!((count.0.load(Ordering::Relaxed), count.1.load(Ordering::Relaxed)), (2, 1));
/// # });
/// ```
pub trait ToolLayer: Send + Sync + 'static {
    /// Answers a call, or passes it on to `next`. The arguments are those that the caller passed, before they are
    /// checked.
    fn call<'a>(&'a self, tool: &'a Tool, arguments: &'a Value, next: NextTool<'a>) -> ToolFuture<'a>;
}

/// The layers around the tools of a task, the innermost first.
pub(super) type ToolLayers = Arc<Vec<Arc<dyn ToolLayer>>>;

/// The rest of the way of a call: the outer layers, then the tool.
pub struct NextTool<'a> {
    tool: &'a Tool,
    arguments: &'a Value,
    run: ToolFuture<'a>,
    layers: ToolLayers,
    /// The layers of the tools that this one calls, so far.
    inside: Vec<Arc<dyn ToolLayer>>,
}

impl<'a> NextTool<'a> {
    /// Passes the call on. Tools that the tool itself calls pass this layer too.
    pub fn run(self) -> ToolFuture<'a> {
        let own = self.layers.get(self.inside.len()).cloned();
        self.pass(own)
    }

    /// Passes the call on. Tools that the tool itself calls pass `layer` instead of this one.
    pub fn run_under(self, layer: Arc<dyn ToolLayer>) -> ToolFuture<'a> {
        self.pass(Some(layer))
    }

    fn pass(mut self, inside: Option<Arc<dyn ToolLayer>>) -> ToolFuture<'a> {
        self.inside.extend(inside);
        self.go()
    }

    fn go(self) -> ToolFuture<'a> {
        let Some(layer) = self.layers.get(self.inside.len()).cloned() else {
            let watched = Watched { tools: Some(Arc::new(self.inside)), ..Watched::current() };
            return Box::pin(watched.enter(self.run));
        };
        let (tool, arguments) = (self.tool, self.arguments);
        Box::pin(async move { layer.call(tool, arguments, self).await })
    }
}

impl std::fmt::Debug for NextTool<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NextTool").field("tool", &self.tool.name()).finish_non_exhaustive()
    }
}

/// Runs `future` so that all its tools pass through `layer` first. Tasks that are spawned with
/// [`spawn`](crate::program::spawn) have the layer, too.
pub fn with_tool_layer<F: Future>(layer: Arc<dyn ToolLayer>, future: F) -> impl Future<Output = F::Output> {
    let made_in = Watched::current();
    lazy(move |_| {
        let watched = Watched::current().or(made_in);
        let outer = layers_of(&watched);
        let outer = outer.iter().flat_map(|layers| layers.iter().cloned());
        let tools: Vec<_> = std::iter::once(layer).chain(outer).collect();
        Watched { tools: Some(Arc::new(tools)), ..watched }.enter(future)
    })
    .flatten()
}

fn layers_of(watched: &Watched) -> Option<ToolLayers> {
    watched.tools.clone()?.downcast().ok()
}

/// Returns the layers of the current task, if there are any.
pub(super) fn current_layers() -> Option<ToolLayers> {
    layers_of(&Watched::current())
}

/// Runs a call through layers.
pub(super) fn pass<'a>(
    layers: ToolLayers,
    tool: &'a Tool,
    arguments: &'a Value,
    run: ToolFuture<'a>,
) -> ToolFuture<'a> {
    NextTool { tool, arguments, run, layers, inside: Vec::new() }.go()
}
