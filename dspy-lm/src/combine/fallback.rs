//! Fallback to the next of several models when one fails.

use std::fmt;

use super::Members;
use crate::{DeltaSink, Lm, LmError, LmErrorKind, Request, Response};

type Decide = Box<dyn Fn(&LmError) -> bool + Send + Sync>;

/// A model that calls the first of several models, and the next one if that fails. [`Lm::fallback`] creates
/// one with the default rule for the errors after which the next model is called; [`when`](Self::when) sets
/// another rule.
///
/// ```
/// use dspy_lm::{Fallback, Lm, LmErrorKind};
/// let careful = Fallback::new([Lm::builtin(), Lm::builtin()]).when(|error| error.kind == LmErrorKind::RateLimit);
/// let lm = Lm::custom(careful);
/// assert_eq!(lm.id(), "fallback(builtin, builtin)");
/// ```
pub struct Fallback {
    members: Members,
    goes_on: Decide,
}

/// Returns whether the next model is called after this error: after an outage, and if the prompt is too long
/// for the model. Refused content, spent budgets, exhausted scripts, missing recordings and denied requests
/// are final.
fn may_help(error: &LmError) -> bool {
    use LmErrorKind::{Budget, ContextWindow, Denied, Exhausted, Unrecorded};
    let meant = matches!(error.kind, Budget | Denied | Exhausted | Unrecorded);
    error.kind == ContextWindow || error.is_outage() && !meant
}

impl Fallback {
    /// Creates a fallback over these models, in order of preference.
    pub fn new(models: impl IntoIterator<Item = Lm>) -> Self {
        Fallback { members: Members::new("fallback", models), goes_on: Box::new(may_help) }
    }

    /// Sets the rule for the errors after which the next model is called. A reply that a content filter
    /// stopped is passed to it as an error, too.
    #[must_use]
    pub fn when(mut self, goes_on: impl Fn(&LmError) -> bool + Send + Sync + 'static) -> Self {
        self.goes_on = Box::new(goes_on);
        self
    }

    async fn ask(&self, request: &Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        self.members.not_empty()?;
        let mut errors = Vec::new();
        for lm in &self.members.models {
            let answer = lm.pass(request.clone(), sink).await;
            // A reply that a filter stopped counts as an error if the rule goes on after that error.
            let stopped = answer.as_ref().ok().and_then(|response| response.refusal(lm.id()));
            let answer = match stopped.filter(|error| (self.goes_on)(error)) {
                Some(error) => Err(error),
                None => answer,
            };
            match answer {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let goes_on = (self.goes_on)(&error);
                    tracing::warn!(model = lm.id(), %error, goes_on, "a model of a fallback failed");
                    errors.push(error);
                    if !goes_on {
                        return Err(self.members.stopped(errors));
                    }
                }
            }
        }
        Err(self.members.failed(errors))
    }
}

model_of_members!([] Fallback);

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("models", &self.members.models).finish_non_exhaustive()
    }
}

impl Lm {
    /// Creates a model that calls the first of these models, and the next one if that fails.
    ///
    /// The next model is called after outages of all kinds (no connection, no answer, an open
    /// [circuit](crate::Circuit), rate limits, a refused key, an account without credit) and if the prompt is
    /// too long for a model, but not if the content of the request is refused. [`Fallback::when`] sets
    /// another rule. Each model completes its own retries first, so set a short
    /// [deadline](crate::Endpoint::deadline) for all but the last. The [`model`](Response::model) of the
    /// response names the model that answered; if all fail, the error lists all their errors.
    ///
    /// Parameters that neither the request nor this handle sets are taken from the handle that is called. The
    /// [capabilities](crate::Capabilities) are those that all models have. If a stream fails midway, the next
    /// model's reply follows after a [`Restart`](crate::Delta::Restart).
    ///
    /// ```
    /// use dspy_lm::{Lm, LmError, LmErrorKind, Reply};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let busy = Lm::scripted([Reply::from(LmError::new(LmErrorKind::RateLimit, "busy", "slow down"))]);
    /// let lm = Lm::fallback([busy, Lm::scripted(["Paris"])]);
    /// assert_eq!(lm.ask("Capital of France?").await?, "Paris");
    /// # Ok::<(), LmError>(()) }).unwrap();
    /// ```
    pub fn fallback(models: impl IntoIterator<Item = Lm>) -> Lm {
        Lm::custom(Fallback::new(models))
    }
}
