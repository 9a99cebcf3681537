//! The next model when one fails.

use std::fmt;

use super::Members;
use crate::{DeltaSink, Lm, LmError, LmErrorKind, Request, Response};

type Decide = Box<dyn Fn(&LmError) -> bool + Send + Sync>;

/// A model that asks the first of several, and the next one where that fails; made by [`Lm::fallback`] or, to decide
/// oneself after which errors to go on, by [`new`](Self::new) and [`when`](Self::when).
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

/// Whether another model may fare better: after outages of all kinds, and after prompts that are too long for one.
/// Refusals of what is asked would only be got round, and budgets, scripts, recordings and denied requests mean
/// what they say.
fn may_help(error: &LmError) -> bool {
    use LmErrorKind::{Budget, ContextWindow, Denied, Exhausted, Unrecorded};
    let meant = matches!(error.kind, Budget | Denied | Exhausted | Unrecorded);
    error.kind == ContextWindow || error.is_outage() && !meant
}

impl Fallback {
    /// These models, the first choice first.
    pub fn new(models: impl IntoIterator<Item = Lm>) -> Self {
        Fallback { members: Members::new("fallback", models), goes_on: Box::new(may_help) }
    }

    /// The same, with another decision after which errors to ask the next model.
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
            // A reply that a filter stopped is an answer; whether another model is asked is decided as after an error.
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
    /// A model that asks the first of these, and the next one where that fails.
    ///
    /// It goes on after outages of all kinds (no connection, no answer, an open [circuit](crate::Circuit),
    /// rate limits, a refused key, an empty account) and where the prompt is too long for a model; not where what is
    /// asked is refused. [`Fallback::when`] decides otherwise. Each model first has its own retries, so give those that
    /// are not the last a short [deadline](crate::Endpoint::deadline). The
    /// [`model`](Response::model) of the answer tells who gave it; if all fail, the error lists all their errors.
    ///
    /// What the request and this handle leave open is taken from the handle that is asked. Only what all models can do
    /// is [asked of them](crate::Capabilities). A reply that breaks off while it is shown is followed by
    /// [`Restart`](crate::Delta::Restart) and the reply of the next model.
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
