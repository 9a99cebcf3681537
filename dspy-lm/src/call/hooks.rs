//! Hooks by which higher modules pay for the calls of a scope and count them.

use std::any::Any;

use crate::{DeltaSink, Lm, LmFuture, Request, Response};

/// An account that the calls of a scope are charged to.
pub(crate) trait Payer: Any + Send + Sync {
    /// Runs the model by [`answer`](super::dispatch::answer), as often as necessary, or refuses to.
    fn pay<'a>(&'a self, lm: &'a Lm, request: &'a Request, sink: Option<&'a DeltaSink>) -> LmFuture<'a>;
}

/// A counter of the calls of a scope.
pub(crate) trait Tracker: Any + Send + Sync {
    /// Counts an answer, charged or cached.
    fn answered(&self, lm: &Lm, response: &Response);
}
