//! What is known of a request to a model before it is answered.

use std::sync::Arc;

use crate::lm::{Lm, Origin, Request};

/// A request that is sent to a model: what the events of [`EventKind`](crate::program::EventKind) say of it.
///
/// The model and its endpoint are named without anything secret. Requests hold no keys.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LmCall {
    /// The model that is asked, e.g. `openai/gpt-4o-mini`.
    pub model: Arc<str>,
    /// Where it is served; empty for models in this process.
    pub endpoint: Arc<str>,
    /// The path of the predictor that asks, e.g. `generate_query.predict`; nothing if none does.
    pub predictor: Option<Arc<str>>,
    /// What is asked, with the parameters of the handle.
    pub request: Arc<Request>,
    /// Whether the reply is shown while it arrives.
    pub streamed: bool,
}

impl LmCall {
    pub(super) fn new(lm: &Lm, request: &Request, predictor: Option<Arc<str>>, streamed: bool) -> Self {
        let mut request = request.clone();
        // Who made it is of no use to observers, and would live as long as what they keep.
        request.origin = Origin::default();
        let request = Arc::new(request);
        LmCall { model: lm.id().into(), endpoint: lm.endpoint().into(), predictor, request, streamed }
    }
}
