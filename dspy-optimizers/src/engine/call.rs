//! Execution of work as a named effect of the journal.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use dspy_core::lm::{Usage, current_scope};
use dspy_core::program::Settings;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};

use super::embedding::{StudyCalls, as_part_of};
use super::nested::detached;
use super::{Program, Stop, Study};
use crate::error::OptimizeError;
use crate::journal::{CallScope, MetOutage};
use crate::report::CallKind;

/// The number of retries of an effect after an outage. The transport of the model has its own retries before
/// that, and replies that were paid come from the journal.
pub(super) const RETRIES: usize = 2;

/// The output of work with a summary of its calls.
pub(super) struct Journaled<T> {
    pub(super) output: T,
    pub(super) usage: Usage,
    /// The last outage that a call has met.
    pub(super) outage: Option<MetOutage>,
    /// Whether no call of a model was seen.
    pub(super) silent: bool,
}

impl<P: Program, E> Study<'_, P, E> {
    /// Returns the full name of an effect in the journal.
    pub(crate) fn effect_name(&self, name: &str) -> String {
        format!("{}{name}", self.name)
    }

    /// Runs work whose recorded calls are answered from the journal and whose other calls are paid from the
    /// budget. `name` is the full name of the effect; `sample` distinguishes repeated samples of the same
    /// requests.
    pub(super) async fn journaled<F: Future>(
        &self,
        name: &str,
        sample: Option<u64>,
        kind: CallKind,
        work: F,
    ) -> Result<Journaled<F::Output>, Stop> {
        let (journal, ledger) = (self.journal.clone(), self.ledger.clone());
        let phase = self.phase_name();
        let calls = CallScope::new(journal.clone(), ledger.clone(), name, phase.clone(), kind);
        let calls = Arc::new(calls.halting());
        // Order of the layers: the journal, those of the caller, the budget.
        let scope = self.ledger.paying(current_scope());
        let embeddings = StudyCalls {
            journal,
            ledger,
            name: self.effect_name("embeddings"),
            phase,
            scope: scope.clone(),
            effect: calls.clone(),
            requested: self.running.clone(),
        };
        let scope = scope.layered(calls.clone());
        let work = as_part_of(Some(embeddings), detached(work));
        let settings = sample.map_or_else(Settings::new, |sample| Settings::new().rollout(sample));
        let output = {
            let work = std::pin::pin!(scope.enter(settings.scope(work)));
            match select(work, std::pin::pin!(calls.halted())).await {
                Either::Left((output, _)) => Some(output),
                // The work may retry a refused call for ever, and its result would not be used.
                Either::Right(_) => None,
            }
        };
        calls.end();
        if let Some(failure) = self.journal.take_failure() {
            self.ledger.abort();
            return Err(failure.into());
        }
        if calls.was_refused() && self.ledger.closed().is_some() {
            // The work may have handled the error, but its result would differ from that of an unlimited
            // study.
            return Err(self.closed().unwrap_or_else(|| self.outage("the study was stopped".into())));
        }
        let Some(output) = output else {
            return Err(self.outage("the study was stopped".into()));
        };
        let silent = !calls.was_used();
        Ok(Journaled { output, usage: calls.tally().usage(), outage: calls.outage(), silent })
    }
}

/// Runs a whole optimization and turns a panic, such as that of a function of the user, into an error.
pub(crate) async fn guarded<T>(
    run_dir: Option<PathBuf>,
    work: impl Future<Output = Result<T, OptimizeError>>,
) -> Result<T, OptimizeError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let callback = "the optimizer, or a function that it was given,".to_owned();
            Err(OptimizeError::panicked(callback, &*panic, run_dir))
        }
    }
}
