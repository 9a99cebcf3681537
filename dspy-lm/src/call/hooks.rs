//! What higher modules do with the calls of a scope: pay for them and count them.

use std::any::Any;

use crate::{DeltaSink, Lm, LmFuture, Request, Response};

/// What the calls of a scope are charged to.
pub(crate) trait Payer: Any + Send + Sync {
    /// Runs the model by [`answer`](super::dispatch::answer), as often as necessary, or refuses to.
    fn pay<'a>(&'a self, lm: &'a Lm, request: &'a Request, sink: Option<&'a DeltaSink>) -> LmFuture<'a>;
}

/// What counts the calls of a scope.
pub(crate) trait Tracker: Any + Send + Sync {
    /// Counts an answer, charged or cached.
    fn answered(&self, lm: &Lm, response: &Response);
}
