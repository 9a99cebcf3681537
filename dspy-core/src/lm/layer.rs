//! Layers: what stands between a request and the model for all calls of a scope (budgets, journals, recorders).

use std::sync::Arc;

use super::{BoxFuture, Lm, LmError, Request, Response};

/// Something that sees every request of a scope on its way to the model and every answer on its way back.
///
/// A layer may answer itself, refuse, change the request or look at the answer. Enter one with
/// [`with_layer`](super::with_layer).
pub trait Layer: Send + Sync + 'static {
    /// Handles one request; `next.run(lm, request)` passes it on.
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>>;
}

/// One layer over those of the enclosing scope.
pub(super) struct Node {
    pub(super) layer: Arc<dyn Layer>,
    pub(super) outer: Option<Arc<Node>>,
}

/// The rest of the way to the model.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    pub(super) rest: Option<&'a Node>,
}

impl<'a> Next<'a> {
    /// Passes the request on to the enclosing layers and at last to the model.
    pub fn run(self, lm: &'a Lm, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        match self.rest {
            Some(node) => node.layer.call(lm, request, Next { rest: node.outer.as_deref() }),
            None => lm.model().complete(request),
        }
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}
