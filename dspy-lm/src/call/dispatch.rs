//! The last step of a call, which runs the model. Here budgets are charged and the answer gets its cost. The layers
//! before, such as caches and journals, see answers that include it.

use super::hooks::Payer;
use crate::{DeltaSink, FinishReason, Lm, LmError, LmErrorKind, LmFuture, Request, Response};

/// An answer, and the token limit at which it was truncated because of a budget, if it was.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) cut: Option<u32>,
}

/// Runs the model, at the expense of `payer` if there is one.
pub(super) fn ask<'a>(
    lm: &'a Lm,
    request: &'a Request,
    payer: Option<&'a dyn Payer>,
    sink: Option<&'a DeltaSink>,
) -> LmFuture<'a> {
    match payer {
        Some(payer) => payer.pay(lm, request, sink),
        None => Box::pin(async move { Ok(answer(lm, request, None, sink).await?.response) }),
    }
}

/// Runs the model with at most `cap` tokens per completion. Requests that set their own limit are not capped: that
/// limit is reserved.
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
            // A layer may send the request a second time.
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

/// Returns whether a reply ended because of this token limit.
fn was_cut(response: &Response, cap: u32) -> bool {
    let generated = response.usage.completion_tokens;
    let ended = response.completions.iter().any(|completion| completion.finish == FinishReason::Length);
    // The model may have a lower limit.
    ended && (generated == 0 || generated >= u64::from(cap))
}
