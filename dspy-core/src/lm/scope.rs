//! The task-local scope of LM calls: the layers they pass and the trackers that count them.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use super::layer::{Layer, Next, Node};
use super::{DeltaSink, Lm, LmError, Request, Response, Usage};

tokio::task_local! {
    static SCOPE: LmScope;
}

/// What the LM calls of the current task pass through. Cheap to clone; carry it into spawned tasks with
/// [`enter`](Self::enter).
#[derive(Clone, Default)]
pub struct LmScope {
    layers: Option<Arc<Node>>,
    usage: Option<Arc<UsageScope>>,
    /// Nothing may be sent over the network.
    offline: bool,
}

impl LmScope {
    /// Runs `future` in this scope.
    pub fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        SCOPE.scope(self, future)
    }

    /// This scope with one more layer, the first that a request meets.
    #[must_use]
    pub fn layered(mut self, layer: Arc<dyn Layer>) -> Self {
        self.layers = Some(Arc::new(Node { layer, outer: self.layers.take() }));
        self
    }

    pub(crate) fn tracking(mut self, usage: Arc<UsageScope>) -> Self {
        self.usage = Some(usage);
        self
    }

    pub(crate) fn usage(&self) -> Option<&Arc<UsageScope>> {
        self.usage.as_ref()
    }

    pub(super) fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    #[cfg(feature = "http")]
    pub(super) fn is_offline(&self) -> bool {
        self.offline
    }

    pub(super) async fn send(
        &self,
        lm: &Lm,
        request: &Request,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        let response = Next { rest: self.layers.as_ref(), outside: true, sink }.run(lm, request).await?;
        if let Some(sink) = sink {
            sink.catch_up(&response).await;
        }
        if !response.cached
            && let Some(tracker) = &self.usage
        {
            tracker.add(response.usage);
        }
        Ok(response)
    }
}

impl std::fmt::Debug for LmScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LmScope").finish_non_exhaustive()
    }
}

/// The scope of the current task; an empty one outside of any.
pub fn current_scope() -> LmScope {
    SCOPE.try_with(LmScope::clone).unwrap_or_default()
}

/// Runs `future` so that all its LM calls pass through `layer` first.
pub fn with_layer<F: Future>(layer: Arc<dyn Layer>, future: F) -> impl Future<Output = F::Output> {
    current_scope().layered(layer).enter(future)
}

/// Sums the usage of all calls made below it, those of spawned tasks included.
#[derive(Default)]
pub(crate) struct UsageScope {
    total: Mutex<Usage>,
    outer: Option<Arc<UsageScope>>,
}

impl UsageScope {
    pub(crate) fn below(outer: Option<Arc<UsageScope>>) -> Self {
        UsageScope { total: Mutex::default(), outer }
    }

    fn add(&self, usage: Usage) {
        let mut scope = Some(self);
        while let Some(tracker) = scope {
            *tracker.total.lock().unwrap_or_else(PoisonError::into_inner) += usage;
            scope = tracker.outer.as_deref();
        }
    }

    pub(crate) fn total(&self) -> Usage {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
