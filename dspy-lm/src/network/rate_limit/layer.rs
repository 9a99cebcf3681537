//! Limits for a single handle.

use super::fifo_queue::far;
use super::{AttemptOutcome, Estimate, Limits, RateLimiter};
use crate::{Layer, Lm, LmFuture, Next, Request};

/// A layer that limits the requests of a handle.
struct Limited(RateLimiter);

impl Layer for Limited {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        Box::pin(async move {
            let entered = self.0.enter(Estimate::of(request), far()).await;
            let pass = entered.map_err(|refusal| refusal.error(lm.id()))?;
            let result = next.run(lm, request).await;
            pass.settle(&AttemptOutcome::of_result(&result));
            result
        })
    }
}

impl Lm {
    /// Limits this handle. Its clones share the limits; other handles to the same model do not.
    ///
    /// Use it for custom models, and to give one model of an endpoint a lower limit than the others; the limits of a
    /// whole endpoint are set at the [`Endpoint`](crate::Endpoint). As for an endpoint, requests wait in the order of
    /// arrival and slow down if the model reports a [rate limit](crate::LmErrorKind::RateLimit).
    ///
    /// ```
    /// use dspy_lm::{Limits, Lm};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let lm = Lm::scripted(["Paris", "Rome"]).limited(Limits::new().max_concurrent(1));
    /// let (france, italy) = tokio::join!(lm.ask("Capital of France?"), lm.ask("Capital of Italy?"));
    /// assert_eq!((france?.as_str(), italy?.as_str()), ("Paris", "Rome"));
    /// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        self.layer(Limited(RateLimiter::private(&limits)))
    }
}
