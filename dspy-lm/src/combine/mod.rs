//! Combined models: fallback, round robin, and a router by request.
//!
//! Each is a [`LanguageModel`](crate::LanguageModel) like any other. Inner calls pass through the layers of
//! their own handles, not through those of the scope: usage, budgets and journals count the outer call once.

/// Implements [`LanguageModel`](crate::LanguageModel) for a type with `members` and `ask`; `ask` selects the
/// models.
macro_rules! model_of_members {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> $crate::LanguageModel for $type {
            fn id(&self) -> &str {
                &self.members.id
            }

            fn endpoint(&self) -> &str {
                &self.members.endpoint
            }

            fn capabilities(&self) -> $crate::Capabilities {
                self.members.capabilities
            }

            fn price(&self) -> Option<$crate::Price> {
                self.members.price()
            }

            fn complete<'a>(
                &'a self,
                request: &'a $crate::Request,
            ) -> $crate::LmFuture<'a> {
                Box::pin(self.ask(request, None))
            }

            fn stream<'a>(
                &'a self,
                request: &'a $crate::Request,
                sink: &'a $crate::DeltaSink,
            ) -> $crate::LmFuture<'a> {
                Box::pin(self.ask(request, Some(sink)))
            }
        }
    };
}

mod fallback;
mod router;
mod turns;

use crate::{Capabilities, Lm, LmError, LmErrorKind, Params, Price, Request};
pub use fallback::Fallback;
pub use turns::RoundRobin;

/// The maximum length of each error in the message of a combined error, in bytes.
const EXCERPT: usize = 500;

/// The handles that a model combines.
struct Members {
    models: Vec<Lm>,
    id: String,
    endpoint: String,
    capabilities: Capabilities,
}

impl Members {
    fn new(kind: &str, models: impl IntoIterator<Item = Lm>) -> Self {
        let models: Vec<Lm> = models.into_iter().collect();
        let ids = models.iter().map(Lm::id).collect::<Vec<_>>().join(", ");
        let endpoint = models.iter().map(address).collect::<Vec<_>>().join(", ");
        let capabilities = models.iter().map(Lm::capabilities).reduce(Capabilities::and).unwrap_or_default();
        Members { id: format!("{kind}({ids})"), endpoint, capabilities, models }
    }

    /// Returns the highest of their prices, because the model that will answer is not known in advance.
    fn price(&self) -> Option<Price> {
        Price::highest(self.models.iter().map(Lm::unit_price))
    }

    /// Returns a [`Configuration`](LmErrorKind::Configuration) error if there are no models.
    fn not_empty(&self) -> Result<(), LmError> {
        if self.models.is_empty() {
            return Err(LmError::new(LmErrorKind::Configuration, &self.id, "it is made of no models"));
        }
        Ok(())
    }

    /// Combines the errors of all models. The first choice for the kind is the last retryable error, then the
    /// last outage, then the last error.
    fn failed(&self, errors: Vec<LmError>) -> LmError {
        // If one of them can be retried, so can the combination.
        let telling = errors.iter().rposition(LmError::is_retryable);
        let telling = telling.or_else(|| errors.iter().rposition(LmError::is_outage));
        let telling = telling.unwrap_or(errors.len().saturating_sub(1));
        let waits = errors.iter().filter(|error| error.is_retryable()).map(|error| error.retry_after);
        let retry_after = waits.reduce(Option::min).flatten();
        LmError { retry_after, ..self.sum(errors, telling) }
    }

    /// Combines the errors up to one after which no other model was called; the kind is that of the last.
    fn stopped(&self, errors: Vec<LmError>) -> LmError {
        let last = errors.len().saturating_sub(1);
        self.sum(errors, last)
    }

    /// Combines errors into one: the kind and details of the error at `telling`, a message about all of them,
    /// and the attempts and time of all.
    fn sum(&self, mut errors: Vec<LmError>, telling: usize) -> LmError {
        let list = errors.iter().map(|error| {
            let text = error.to_string();
            text[..text.floor_char_boundary(EXCERPT)].to_owned()
        });
        let list = list.collect::<Vec<_>>().join("; ");
        let message = format!("{} of {} models failed: {list}", errors.len(), self.models.len());
        if telling >= errors.len() {
            return LmError::new(LmErrorKind::Other, &self.id, message);
        }
        let mut sum = LmError { model: self.id.clone(), message, ..errors.swap_remove(telling) };
        for error in errors {
            sum.add_effort(error.attempts, error.elapsed);
        }
        sum
    }
}

/// Returns a member's endpoint, with a digest of its own parameters if it has any, so that replies under
/// other parameters have other cache keys.
fn address(lm: &Lm) -> String {
    let own = Request { params: lm.params().clone(), rollout: lm.own_rollout(), ..Request::default() };
    if own.params == Params::default() && own.rollout.is_none() {
        return lm.endpoint().to_owned();
    }
    format!("{}#{}", lm.endpoint(), &own.digest().to_string()[..16])
}
