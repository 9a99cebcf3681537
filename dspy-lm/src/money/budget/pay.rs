//! One call and the budgets that pay for it.

use std::future::pending;

use tokio::time::sleep_until;

use super::account::{Account, Amount, Settlement};
use super::ask::Ask;
use super::scope::BudgetNode;
use crate::call::dispatch::{self, Answer};
use crate::call::hooks::Payer;
use crate::{
    BoxFuture, BudgetRefusal, DeltaSink, Limit, Lm, LmError, LmErrorKind, LmFuture, Request, Response,
};

/// A call that the budgets are to pay for.
struct Call<'a> {
    lm: &'a Lm,
    request: &'a Request,
    sink: Option<&'a DeltaSink>,
    ask: Ask<'a>,
}

impl Payer for BudgetNode {
    fn pay<'a>(&'a self, lm: &'a Lm, request: &'a Request, sink: Option<&'a DeltaSink>) -> LmFuture<'a> {
        Box::pin(self.charged(lm, request, sink))
    }
}

impl BudgetNode {
    /// Calls the model once all budgets have reserved the worst-case cost. A reply that was truncated by a
    /// budget is retried with more room. If there is no more room, that is an error, because such a reply is
    /// not the model's.
    async fn charged(
        &self,
        lm: &Lm,
        request: &Request,
        sink: Option<&DeltaSink>,
    ) -> Result<Response, LmError> {
        let counted = self.accounts().any(|account| account.budget.counts_tokens());
        let ask = if counted { Ask::new(lm, request) } else { Ask::uncounted(lm) };
        let mut call = Call { lm, request, sink, ask };
        loop {
            let Answer { response, cut } = self.attempt(&call, None).await?;
            if cut.is_none() {
                return Ok(response);
            }
            call.ask.cut = cut;
        }
    }

    /// Runs the budgets in order, the innermost first, and then the model.
    fn attempt<'a>(&'a self, call: &'a Call<'a>, cap: Option<u32>) -> BoxFuture<'a, Result<Answer, LmError>> {
        Box::pin(async move {
            let account = &self.account;
            let model = call.lm.id();
            // Listening starts before the account is checked, so that no notification is missed.
            let mut aborted = std::pin::pin!(account.aborted.notified());
            let over = async {
                match account.ends {
                    Some(ends) => sleep_until(ends).await,
                    None => pending().await,
                }
            };
            let given_up = |why| Err(account.refusal(why, Amount::default(), None).into_error(model));
            tokio::select! {
                biased;
                answer = self.paid(account, call, cap) => answer,
                () = &mut aborted => given_up(BudgetRefusal::Closed),
                () = over => given_up(BudgetRefusal::Limit(Limit::Time)),
            }
        })
    }

    async fn paid(
        &self,
        account: &std::sync::Arc<Account>,
        call: &Call<'_>,
        cap: Option<u32>,
    ) -> Result<Answer, LmError> {
        let Call { lm, request, sink, ask } = call;
        let mut reservation = account.reserve(ask).await.map_err(|over| over.into_error(lm.id()))?;
        reservation.log().map_err(|message| LmError::new(LmErrorKind::Other, lm.id(), message))?;
        let cap = [cap, reservation.cap()].into_iter().flatten().min();
        let answer = match &self.outer {
            Some(outer) => outer.attempt(call, cap).await,
            None => dispatch::answer(lm, request, cap, *sink).await,
        };
        let outcome = match &answer {
            Ok(Answer { response, .. }) if response.cached => Settlement::Free,
            Ok(Answer { response, cut }) => Settlement::Answered(&response.usage, *cut),
            Err(error) => failed(error, sink.is_some_and(DeltaSink::is_used)),
        };
        reservation.settle(lm.id(), &outcome);
        answer
    }
}

/// Returns the charge for a failed call: the worst case if the model may have generated something.
fn failed(error: &LmError, begun: bool) -> Settlement<'static> {
    use LmErrorKind::{ContentFilter, ContextWindow, Decode, InvalidRequest, Server, Timeout, Transport};
    match error.kind {
        ContextWindow | ContentFilter | InvalidRequest => Settlement::Refused,
        Timeout | Decode => Settlement::InDoubt,
        // A part of the reply had arrived.
        Transport | Server if begun => Settlement::InDoubt,
        _ => Settlement::Free,
    }
}
