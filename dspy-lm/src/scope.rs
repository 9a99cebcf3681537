//! The task-local scope of LM calls: the layers that they pass, the trackers that count them, and the budgets that
//! they are charged to.

use std::future::Future;
use std::sync::Arc;

use crate::layer::{Layer, Next, Node};
use crate::money::budget::{BudgetNode, BudgetScope};
use crate::observe;
use crate::{DeltaSink, Lm, LmError, PriceTable, Request, Response, UsageScope};

tokio::task_local! {
    static SCOPE: LmScope;
}

/// The layers, trackers, budgets and prices of the LM calls of a task. Cheap to clone; pass it to spawned tasks with
/// [`enter`](Self::enter).
///
/// Nested calls are a part of the outer call: if a model is composed of other models, or a layer calls a model, those
/// calls pass only the layers of their own handles, not the layers, trackers and budgets of the scope.
#[derive(Clone, Default)]
pub struct LmScope {
    layers: Option<Arc<Node>>,
    usage: Option<Arc<UsageScope>>,
    budgets: Option<Arc<BudgetNode>>,
    prices: Option<Arc<PriceTable>>,
    /// Whether requests over the network are refused.
    offline: bool,
}

impl LmScope {
    /// Runs `future` in this scope.
    pub fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        SCOPE.scope(self, future)
    }

    /// Adds a layer, which sees a request before the other layers of the scope.
    #[must_use]
    pub fn layered(mut self, layer: Arc<dyn Layer>) -> Self {
        self.layers = Some(Arc::new(Node { layer, outer: self.layers.take() }));
        self
    }

    /// Adds a budget that calls are charged to, beside the existing ones.
    #[must_use]
    pub fn within(mut self, budget: &BudgetScope) -> Self {
        self.budgets = Some(Arc::new(budget.node(self.budgets.take())));
        self
    }

    /// Sets the prices, instead of the default ones.
    #[must_use]
    pub fn priced(mut self, prices: Arc<PriceTable>) -> Self {
        self.prices = Some(prices);
        self
    }

    pub(crate) fn prices(&self) -> Option<&Arc<PriceTable>> {
        self.prices.as_ref()
    }

    /// Adds a tracker that sums up the usage of the calls.
    #[doc(hidden)]
    #[must_use]
    pub fn tracking(mut self, usage: Arc<UsageScope>) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Returns the tracker that sums up the usage of the calls.
    #[doc(hidden)]
    pub fn usage(&self) -> Option<&Arc<UsageScope>> {
        self.usage.as_ref()
    }

    pub(crate) fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    #[cfg(feature = "http")]
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    pub(crate) async fn send(
        &self,
        lm: &Lm,
        request: &Request,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        let budgets = self.budgets.as_ref();
        let next = Next { rest: self.layers.as_ref(), outside: true, sink, budgets };
        let inside = LmScope { prices: self.prices.clone(), offline: self.offline, ..LmScope::default() };
        let work = inside.enter(next.run(lm, request));
        let response = match observe::lm_call(lm, request, sink.is_some()).map(Box::new) {
            None => work.await?,
            // Boxed because few calls need it; the future of the others stays small.
            Some(operation) => {
                Box::pin(async move {
                    let result = operation.run(work).await;
                    operation.end(&result, sink.and_then(DeltaSink::first));
                    result
                })
                .await?
            }
        };
        if let Some(sink) = sink {
            Box::pin(sink.catch_up(&response)).await;
        }
        if let Some(tracker) = &self.usage {
            tracker.add(lm, &response);
        }
        Ok(response)
    }
}

impl std::fmt::Debug for LmScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LmScope").finish_non_exhaustive()
    }
}

/// Returns the scope of the current task, or an empty one if there is none.
pub fn current_scope() -> LmScope {
    SCOPE.try_with(LmScope::clone).unwrap_or_default()
}

/// Calls `look` with the scope of the current task, if there is one.
pub(crate) fn with_scope<T>(look: impl FnOnce(&LmScope) -> T) -> Option<T> {
    SCOPE.try_with(look).ok()
}

/// Runs `future` so that all its LM calls pass through `layer` first.
pub fn with_layer<F: Future>(layer: Arc<dyn Layer>, future: F) -> impl Future<Output = F::Output> {
    current_scope().layered(layer).enter(future)
}
