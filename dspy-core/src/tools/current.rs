//! The call of a tool that the current task works on.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use super::ToolSpec;
use crate::observe::Watched;

/// The caller of a tool. Strategies decide by it whether an agent inside the tool can wait for a decision.
pub(super) type Caller = Arc<dyn Any + Send + Sync>;

/// The innermost call of a tool around the current task, and the tasks that it starts by [`spawn`](crate::program::spawn).
#[derive(Clone)]
pub struct CurrentCall {
    spec: Arc<ToolSpec>,
    caller: Option<Caller>,
    pauses: bool,
}

impl CurrentCall {
    /// Returns the call, or `None` outside of tools.
    pub fn get() -> Option<Self> {
        Watched::current().call?.downcast_ref().cloned()
    }

    /// Returns the name of the tool.
    pub fn tool(&self) -> &str {
        &self.spec.name
    }

    /// Returns the caller, if it has this type.
    pub fn caller<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.caller.clone()?.downcast().ok()
    }

    /// Returns whether the tool is a program that [pauses](crate::program::Module::pauses), and nothing else.
    pub fn pauses(&self) -> bool {
        self.pauses
    }

    pub(super) fn enter<F: Future>(
        spec: &Arc<ToolSpec>,
        caller: Option<Caller>,
        pauses: bool,
        work: F,
    ) -> impl Future<Output = F::Output> {
        let call = CurrentCall { spec: spec.clone(), caller, pauses };
        Watched { call: Some(Arc::new(call)), ..Watched::current() }.enter(work)
    }
}

impl std::fmt::Debug for CurrentCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurrentCall").field("tool", &self.tool()).finish_non_exhaustive()
    }
}
