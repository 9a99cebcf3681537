//! Layers: interceptors between a request and the model, for all calls of a scope or of a handle (caches, budgets,
//! journals, recorders).

use std::sync::Arc;

use super::dispatch;
use super::hooks::Payer;
use crate::{DeltaSink, Lm, LmFuture, Request};

/// An interceptor for the requests of a scope or a handle and for their answers.
///
/// A layer may answer the request itself, refuse it, change it or inspect the answer. Enter one for a task with
/// [`with_layer`](crate::with_layer), or bind it to a handle with [`Lm::layer`]. Streamed requests pass layers too:
/// the deltas go directly to the reader, the complete answer passes through the layers.
pub trait Layer: Send + Sync + 'static {
    /// Handles one request; `next.run(lm, request)` passes it on.
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a>;
}

/// A layer and those of the enclosing scope.
pub(super) struct Node {
    pub(super) layer: Arc<dyn Layer>,
    pub(super) outer: Option<Arc<Node>>,
}

/// The remaining layers of a call and the model.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    pub(super) rest: Option<&'a Arc<Node>>,
    /// Whether the layers of the handle are still to come, after those of the scope.
    pub(super) outside: bool,
    /// The receiver of the reply's deltas, for streamed calls.
    pub(crate) sink: Option<&'a DeltaSink>,
    /// The account that the call is charged to.
    pub(super) payer: Option<&'a Arc<dyn Payer>>,
}

impl<'a> Next<'a> {
    /// Passes the request to the remaining layers of the scope, then to those of the handle, and finally to the
    /// model.
    pub fn run(self, lm: &'a Lm, request: &'a Request) -> LmFuture<'a> {
        let Next { rest, outside, sink, payer } = self;
        let (node, outside) = match rest {
            None if outside => (lm.layers(), false),
            _ => (rest, outside),
        };
        match node {
            Some(node) => {
                node.layer.call(lm, request, Next { rest: node.outer.as_ref(), outside, sink, payer })
            }
            None => dispatch::ask(lm, request, payer.map(|payer| &**payer), sink),
        }
    }
}

/// The remaining layers as an owned value, for work that may outlive its caller.
pub(crate) struct Onward {
    rest: Option<Arc<Node>>,
    outside: bool,
    payer: Option<Arc<dyn Payer>>,
}

impl Onward {
    pub(crate) fn of(next: &Next<'_>) -> Self {
        Onward { rest: next.rest.cloned(), outside: next.outside, payer: next.payer.cloned() }
    }

    pub(crate) fn next<'a>(&'a self, sink: Option<&'a DeltaSink>) -> Next<'a> {
        Next { rest: self.rest.as_ref(), outside: self.outside, sink, payer: self.payer.as_ref() }
    }
}

impl std::fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}
