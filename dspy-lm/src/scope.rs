//! The task-local scope of LM calls: the layers they pass, the trackers that count them, the budgets that they are paid
//! from.

use std::future::Future;
use std::sync::Arc;

use crate::layer::{Layer, Next, Node};
use crate::money::budget::{BudgetNode, BudgetScope};
use crate::observe;
use crate::{DeltaSink, Lm, LmError, PriceTable, Request, Response, UsageScope};

tokio::task_local! {
    static SCOPE: LmScope;
}

/// What the LM calls of the current task pass through. Cheap to clone; carry it into spawned tasks with
/// [`enter`](Self::enter).
///
/// A call is one call, whatever is done to answer it. What a model or a layer calls in its turn, as models do that are
/// made of models, is a part of it: such calls pass neither the layers nor the trackers nor the budgets of the scope,
/// only the layers of their own handles.
#[derive(Clone, Default)]
pub struct LmScope {
    layers: Option<Arc<Node>>,
    usage: Option<Arc<UsageScope>>,
    budgets: Option<Arc<BudgetNode>>,
    prices: Option<Arc<PriceTable>>,
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

    /// This scope with calls that are paid from one more budget, beside those that hold already.
    #[must_use]
    pub fn within(mut self, budget: &BudgetScope) -> Self {
        self.budgets = Some(Arc::new(budget.node(self.budgets.take())));
        self
    }

    /// This scope with these prices instead of the default ones.
    #[must_use]
    pub fn priced(mut self, prices: Arc<PriceTable>) -> Self {
        self.prices = Some(prices);
        self
    }

    pub(crate) fn prices(&self) -> Option<&Arc<PriceTable>> {
        self.prices.as_ref()
    }

    /// This scope with calls whose usage is added up there.
    #[doc(hidden)]
    #[must_use]
    pub fn tracking(mut self, usage: Arc<UsageScope>) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Where the usage of its calls is added up.
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
            // Boxed, like all that few calls need, so that the others stay small.
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

/// The scope of the current task; an empty one outside of any.
pub fn current_scope() -> LmScope {
    SCOPE.try_with(LmScope::clone).unwrap_or_default()
}

/// Looks at the scope of the current task, if there is one.
pub(crate) fn with_scope<T>(look: impl FnOnce(&LmScope) -> T) -> Option<T> {
    SCOPE.try_with(look).ok()
}

/// Runs `future` so that all its LM calls pass through `layer` first.
pub fn with_layer<F: Future>(layer: Arc<dyn Layer>, future: F) -> impl Future<Output = F::Output> {
    current_scope().layered(layer).enter(future)
}
