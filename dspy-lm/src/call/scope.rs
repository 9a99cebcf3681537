//! The task-local scope of LM calls: the layers that they pass, the trackers that count them, and the budgets that
//! they are charged to.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::lazy;

use super::hooks::{Payer, Tracker};
use super::layer::{Layer, Next, Node};
use crate::{DeltaSink, Lm, LmError, PriceTable, Request, Response, observe};

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
    tracker: Option<Arc<dyn Tracker>>,
    payer: Option<Arc<dyn Payer>>,
    prices: Option<Arc<PriceTable>>,
    /// Whether requests over the network are refused.
    offline: bool,
}

impl LmScope {
    /// Runs `future` in this scope.
    pub fn enter<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        SCOPE.scope(self, future)
    }

    /// Runs `future` in the scope that `change` makes of the present one when the future is first polled. Parts that
    /// the present scope lacks then are those of the scope in which this method was called.
    pub(crate) fn enter_changed<F: Future>(
        change: impl FnOnce(LmScope) -> LmScope,
        future: F,
    ) -> impl Future<Output = F::Output> {
        let made_in = current_scope();
        lazy(move |_| change(current_scope().or(made_in)).enter(future)).flatten()
    }

    /// Returns this scope with the parts of `other` that it lacks.
    #[doc(hidden)]
    #[must_use]
    pub fn or(self, other: LmScope) -> Self {
        LmScope {
            layers: self.layers.or(other.layers),
            tracker: self.tracker.or(other.tracker),
            payer: self.payer.or(other.payer),
            prices: self.prices.or(other.prices),
            offline: self.offline || other.offline,
        }
    }

    /// Adds a layer, which sees a request before the other layers of the scope.
    #[must_use]
    pub fn layered(mut self, layer: Arc<dyn Layer>) -> Self {
        self.layers = Some(Arc::new(Node { layer, outer: self.layers.take() }));
        self
    }

    /// Sets the prices, instead of the default ones.
    #[must_use]
    pub fn priced(mut self, prices: Arc<PriceTable>) -> Self {
        self.prices = Some(prices);
        self
    }

    /// Returns the prices, if they are not the default ones.
    pub(super) fn prices(&self) -> Option<&Arc<PriceTable>> {
        self.prices.as_ref()
    }

    /// Charges calls to `payer` instead of the present one.
    pub(crate) fn paid_by(mut self, payer: Arc<dyn Payer>) -> Self {
        self.payer = Some(payer);
        self
    }

    /// Returns what calls are charged to, if it is a `P`.
    pub(crate) fn payer<P: Payer>(&self) -> Option<Arc<P>> {
        let payer: Arc<dyn Any + Send + Sync> = self.payer.clone()?;
        payer.downcast().ok()
    }

    /// Lets `tracker` count calls instead of the present one.
    pub(crate) fn tracked_by(mut self, tracker: Arc<dyn Tracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    /// Returns what counts calls, if it is a `T`.
    pub(crate) fn tracker<T: Tracker>(&self) -> Option<Arc<T>> {
        let tracker: Arc<dyn Any + Send + Sync> = self.tracker.clone()?;
        tracker.downcast().ok()
    }

    /// Denies requests over the network.
    pub(crate) fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Returns whether requests over the network are denied.
    #[cfg(feature = "http")]
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    pub(super) async fn send(
        &self,
        lm: &Lm,
        request: &Request,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        let payer = self.payer.as_ref();
        let next = Next { rest: self.layers.as_ref(), outside: true, sink, payer };
        let inside = LmScope { prices: self.prices.clone(), offline: self.offline, ..LmScope::default() };
        let work = inside.enter(next.run(lm, request));
        let response = match observe::lm_call(lm.model(), request, sink.is_some()).map(Box::new) {
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
        if let Some(tracker) = &self.tracker {
            tracker.answered(lm, &response);
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
pub(super) fn with_scope<T>(look: impl FnOnce(&LmScope) -> T) -> Option<T> {
    SCOPE.try_with(look).ok()
}

/// Runs `future` so that all its LM calls pass through `layer` first.
pub fn with_layer<F: Future>(layer: Arc<dyn Layer>, future: F) -> impl Future<Output = F::Output> {
    LmScope::enter_changed(move |scope| scope.layered(layer), future)
}

impl PriceTable {
    /// Runs `future` with this table.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        current_scope().priced(Arc::new(self)).enter(future).await
    }
}
