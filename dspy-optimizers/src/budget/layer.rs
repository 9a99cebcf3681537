//! The layer that keeps calls within the budget.

use std::sync::Arc;

use dspy_core::lm::{BoxFuture, Layer, Lm, LmError, LmErrorKind, Next, Request, Response};

use super::{Closed, Ledger};

tokio::task_local! {
    /// Set inside of a call. A model that is made of other models is one effect, and paid as one: what it calls is
    /// its own business.
    static NESTED: ();
}

/// Whether the current task answers a call, so that the calls it makes are a part of that one.
pub(crate) fn is_nested() -> bool {
    NESTED.try_get().is_ok()
}

/// Asks the [`Ledger`] before every call.
pub(crate) struct BudgetLayer(pub(crate) Arc<Ledger>);

impl BudgetLayer {
    async fn pay(&self, lm: &Lm, request: &Request, next: Next<'_>) -> Result<Response, LmError> {
        let reservation = self.0.reserve(lm, request).await.map_err(|closed| {
            let message = match closed {
                Closed::Limit(limit) => format!("the limit of {limit} is reached"),
                Closed::UnknownPrice(model) => format!("`{model}` reports no price"),
                Closed::Aborted => "the run ends because of an error".into(),
            };
            LmError::new(LmErrorKind::Budget, lm.id(), message)
        })?;
        let result = NESTED.scope((), next.run(lm, request)).await;
        match &result {
            Ok(response) => reservation.answered(lm, response),
            Err(error) if !error.is_outage() => reservation.refused(lm),
            Err(_) => drop(reservation),
        }
        result
    }
}

impl Layer for BudgetLayer {
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        if is_nested() {
            return next.run(lm, request);
        }
        Box::pin(self.pay(lm, request, next))
    }
}
