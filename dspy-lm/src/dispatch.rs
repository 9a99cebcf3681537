//! The last step of a call: the model itself. Here it is paid for, and here its answer gets its price; what stands
//! before, caches and journals, see answers that carry their cost.

use crate::money::budget::BudgetNode;
use crate::{DeltaSink, FinishReason, Lm, LmError, LmErrorKind, LmFuture, Request, Response};

/// An answer, and the token limit at which a budget had it cut off, if it did.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) cut: Option<u32>,
}

/// Has the model answer, within the budgets.
pub(crate) fn ask<'a>(
    lm: &'a Lm,
    request: &'a Request,
    budgets: Option<&'a BudgetNode>,
    sink: Option<&'a DeltaSink>,
) -> LmFuture<'a> {
    match budgets {
        Some(budgets) => Box::pin(budgets.pay(lm, request, sink)),
        None => Box::pin(async move { Ok(answer(lm, request, None, sink).await?.response) }),
    }
}

/// Has the model answer with at most `cap` tokens a completion. Requests with a limit of their own get none: what they
/// say is set aside.
pub(crate) async fn answer(
    lm: &Lm,
    request: &Request,
    cap: Option<u32>,
    sink: Option<&DeltaSink>,
) -> Result<Answer, LmError> {
    let capped = cap.map(|cap| {
        let mut capped = request.clone();
        capped.params.max_tokens = Some(cap);
        Box::new(capped)
    });
    let sent = capped.as_deref().unwrap_or(request);
    let price = lm.price_of(request);
    if let Some(Err(why)) = price.map(|price| price.check()) {
        return Err(LmError::new(LmErrorKind::Configuration, lm.id(), why));
    }
    let mut response = match sink {
        None => lm.model().complete(sent).await?,
        Some(sink) => {
            // A layer may ask again.
            sink.begin().await;
            lm.model().stream(sent, sink).await?
        }
    };
    if !response.cached && response.usage.cost_usd.is_none() {
        response.usage.cost_usd = price.and_then(|price| price.cost(&response.usage));
    }
    let cut = cap.filter(|cap| was_cut(&response, *cap));
    Ok(Answer { response, cut })
}

/// Whether a reply ended because of this token limit.
fn was_cut(response: &Response, cap: u32) -> bool {
    let generated = response.usage.completion_tokens;
    let ended = response.completions.iter().any(|completion| completion.finish == FinishReason::Length);
    // The model may have a lower limit of its own.
    ended && (generated == 0 || generated >= u64::from(cap))
}
