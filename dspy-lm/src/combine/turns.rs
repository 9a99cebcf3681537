//! Distribution of requests over several models.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Members;
use crate::{DeltaSink, Lm, LmError, LmErrorKind, Request, Response};

/// A model that distributes requests over several models, created by [`Lm::round_robin`] or
/// [`new`](Self::new).
pub struct RoundRobin {
    members: Members,
    turn: AtomicUsize,
    by_request: bool,
}

impl RoundRobin {
    /// Creates a model that calls these models in turn.
    pub fn new(models: impl IntoIterator<Item = Lm>) -> Self {
        RoundRobin {
            members: Members::new("round_robin", models),
            turn: AtomicUsize::new(0),
            by_request: false,
        }
    }

    /// Selects the model by a hash of the request instead of in turn: the same request goes to the same
    /// model, whatever the order and concurrency of requests. Use it if the models differ and runs must be
    /// repeatable.
    ///
    /// ```
    /// use dspy_lm::{Lm, RoundRobin};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::custom(RoundRobin::new([Lm::builtin(), Lm::builtin()]).by_request());
    /// # let _ = lm; });
    /// ```
    #[must_use]
    pub fn by_request(mut self) -> Self {
        self.by_request = true;
        self
    }

    async fn ask(&self, request: &Request, sink: Option<&DeltaSink>) -> Result<Response, LmError> {
        self.members.not_empty()?;
        let models = &self.members.models;
        let first = if self.by_request {
            request.digest().spread()
        } else {
            self.turn.fetch_add(1, Ordering::Relaxed)
        };
        let mut errors = Vec::new();
        for lm in (0..models.len()).map(|step| &models[first.wrapping_add(step) % models.len()]) {
            match lm.pass(request.clone(), sink).await {
                Err(error) if error.kind == LmErrorKind::CircuitOpen => errors.push(error),
                result => return result,
            }
        }
        Err(self.members.failed(errors))
    }
}

model_of_members!([] RoundRobin);

impl fmt::Debug for RoundRobin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundRobin").field("models", &self.members.models).finish_non_exhaustive()
    }
}

impl Lm {
    /// Creates a model that calls these models in turn, to distribute requests over several keys, regions or
    /// servers.
    ///
    /// Requests take turns in the order of their arrival. A model whose [circuit](crate::Circuit) is open is
    /// skipped; other errors are returned. To call another model after those too, put it into a
    /// [`fallback`](Self::fallback), or fallbacks into it.
    ///
    /// ```
    /// use dspy_lm::Lm;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let lm = Lm::round_robin([Lm::scripted(["a", "c"]), Lm::scripted(["b"])]);
    /// for letter in ["a", "b", "c"] {
    ///     assert_eq!(lm.ask("Next letter?").await?, letter);
    /// }
    /// # Ok::<(), dspy_lm::LmError>(()) }).unwrap();
    /// ```
    pub fn round_robin(models: impl IntoIterator<Item = Lm>) -> Lm {
        Lm::custom(RoundRobin::new(models))
    }
}
