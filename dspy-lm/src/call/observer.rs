//! Observers of calls that are used as layers.

use std::sync::Arc;

use super::layer::Next;
use crate::observe::{self, CallObserver};
use crate::{DeltaSink, Lm, LmFuture, Request};

/// Reports a request to an observer that is used as a layer.
pub fn layer_call<'a>(
    observer: Arc<dyn CallObserver>,
    lm: &'a Lm,
    request: &'a Request,
    next: Next<'a>,
) -> LmFuture<'a> {
    Box::pin(async move {
        let sink = next.sink;
        let operation = observe::lm_layer(observer, lm.model(), request, sink.is_some());
        let result = operation.run(next.run(lm, request)).await;
        operation.end(&result, sink.and_then(DeltaSink::first));
        result
    })
}
