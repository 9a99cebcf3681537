//! Layers: what stands between a request and the model, for all calls of a scope or all of a handle (caches, budgets,
//! journals, recorders).

use std::sync::Arc;
use std::time::Instant;

use crate::money::budget::BudgetNode;
use crate::{DeltaSink, Lm, LmFuture, Request, dispatch};

/// Something that sees every request of a scope or a handle on its way to the model and every answer on its way back.
///
/// A layer may answer itself, refuse, change the request or look at the answer. Enter one for a task with
/// [`with_layer`](crate::with_layer), or bind it to a handle with [`Lm::layer`]. Streamed requests pass layers like all others: what arrives goes past them to
/// the reader, the answer at the end goes through them.
pub trait Layer: Send + Sync + 'static {
    /// Handles one request; `next.run(lm, request)` passes it on.
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a>;
}

/// One layer over those of the enclosing scope.
pub(crate) struct Node {
    pub(crate) layer: Arc<dyn Layer>,
    pub(crate) outer: Option<Arc<Node>>,
}

/// The rest of the way to the model.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    pub(crate) rest: Option<&'a Arc<Node>>,
    /// The layers of the handle still lie behind those of the scope.
    pub(crate) outside: bool,
    /// Who wants to see the reply while it arrives.
    pub(crate) sink: Option<&'a DeltaSink>,
    /// What the model is paid from.
    pub(crate) budgets: Option<&'a Arc<BudgetNode>>,
}

impl<'a> Next<'a> {
    /// Passes the request on to the enclosing layers, then to those of the handle, and at last to the model.
    pub fn run(self, lm: &'a Lm, request: &'a Request) -> LmFuture<'a> {
        let Next { rest, outside, sink, budgets } = self;
        let (node, outside) = match rest {
            None if outside => (lm.layers(), false),
            _ => (rest, outside),
        };
        match node {
            Some(node) => {
                node.layer.call(lm, request, Next { rest: node.outer.as_ref(), outside, sink, budgets })
            }
            None => dispatch::ask(lm, request, budgets.map(|budgets| &**budgets), sink),
        }
    }
}

impl Next<'_> {
    /// Whether somebody wants to see the reply while it arrives.
    pub(crate) fn is_streamed(&self) -> bool {
        self.sink.is_some()
    }

    /// When the first of a streamed reply came.
    pub(crate) fn first_piece(&self) -> Option<Instant> {
        self.sink?.first()
    }
}

/// The rest of the way without the call that it belongs to, for work that may outlive its caller.
pub(crate) struct Onward {
    rest: Option<Arc<Node>>,
    outside: bool,
    budgets: Option<Arc<BudgetNode>>,
}

impl Onward {
    pub(crate) fn of(next: &Next<'_>) -> Self {
        Onward { rest: next.rest.cloned(), outside: next.outside, budgets: next.budgets.cloned() }
    }

    pub(crate) fn next<'a>(&'a self, sink: Option<&'a DeltaSink>) -> Next<'a> {
        Next { rest: self.rest.as_ref(), outside: self.outside, sink, budgets: self.budgets.as_ref() }
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}
