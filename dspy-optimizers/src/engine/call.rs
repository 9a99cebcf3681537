//! Work whose calls of models are those of one named effect.

use std::sync::Arc;

use dspy_core::lm::{LmError, Usage, current_scope};
use dspy_core::program::Settings;

use super::nested::outside;
use super::{Program, Stop, Study};
use crate::journal::CallScope;

/// How often an effect is tried again that an outage has cut off. The model's transport has waited and retried before
/// that, and answers that were paid come from the journal.
pub(super) const RETRIES: usize = 2;

/// The output of the work, and what its calls have met with.
pub(super) struct Made<T> {
    pub(super) output: T,
    pub(super) usage: Usage,
    /// The last failure of the world outside.
    pub(super) outage: Option<LmError>,
}

impl<P: Program, E> Study<'_, P, E> {
    /// The full name of an effect in the journal.
    pub(super) fn effect_name(&self, name: &str) -> String {
        format!("{}{name}", self.name)
    }

    /// Does the work with its calls answered from the journal, as far as they stand there, and paid from the budget.
    /// `name` is the full name of the effect; `sample` tells attempts at the same requests apart.
    pub(super) async fn make<F: Future>(
        &self,
        name: &str,
        sample: Option<u64>,
        work: F,
    ) -> Result<Made<F::Output>, Stop> {
        let calls = Arc::new(CallScope::new(self.journal.clone(), self.ledger.clone(), name));
        // First the journal, then what the user has set, at last the budget.
        let scope = self.ledger.paying(current_scope()).layered(calls.clone());
        let settings = sample.map_or_else(Settings::new, |sample| Settings::new().rollout(sample));
        let output = scope.enter(settings.scope(outside(work))).await;
        if let Some(failure) = self.journal.take_failure() {
            self.ledger.abort();
            return Err(failure.into());
        }
        if calls.was_refused() && self.ledger.closed().is_some() {
            // Whatever the work made of it, its result would not be that of the whole study.
            return Err(self.closed().unwrap_or_else(|| self.outage("the study was stopped".into())));
        }
        Ok(Made { output, usage: calls.tally().usage(), outage: calls.outage() })
    }
}
