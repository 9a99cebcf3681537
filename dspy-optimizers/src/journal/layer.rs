//! A model layer that answers recorded calls from the journal and records all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, Lm, LmError, LmErrorKind, LmFuture, Next, Request, Response, Tally};

use super::Journal;
use super::event::{CallId, Outcome};
use crate::budget::Ledger;
use crate::report::CallKind;

/// The layer for the calls of one effect.
pub(crate) struct CallScope {
    journal: Arc<Journal>,
    ledger: Arc<Ledger>,
    name: String,
    phase: Arc<str>,
    kind: CallKind,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    repeats: HashMap<CallId, u32>,
    tally: Tally,
    refused: bool,
    outage: Option<MetOutage>,
}

/// An outage that a call has met.
#[derive(Debug, Clone)]
pub(crate) struct MetOutage {
    pub(crate) error: LmError,
    /// The address of the model, without parts that may be secret; empty if it is not known.
    pub(crate) endpoint: String,
}

impl CallScope {
    /// Creates the layer of the effect with this name. The calls are recorded as of this phase and kind.
    pub(crate) fn new(
        journal: Arc<Journal>,
        ledger: Arc<Ledger>,
        name: impl Into<String>,
        phase: Arc<str>,
        kind: CallKind,
    ) -> Self {
        CallScope { journal, ledger, name: name.into(), phase, kind, state: Mutex::default() }
    }

    /// Returns the cost of its calls, including those of earlier processes.
    pub(crate) fn tally(&self) -> Tally {
        self.state.lock_any().tally
    }

    /// Returns whether a call was refused by a budget.
    pub(crate) fn was_refused(&self) -> bool {
        self.state.lock_any().refused
    }

    /// Returns the last outage that a call has met.
    pub(crate) fn outage(&self) -> Option<MetOutage> {
        self.state.lock_any().outage.clone()
    }

    /// Notes an error of work beside the calls of this effect, such as an embedding.
    pub(crate) fn note(&self, error: &LmError) {
        let mut state = self.state.lock_any();
        if error.kind == LmErrorKind::Budget {
            state.refused = true;
        } else if error.is_outage() {
            state.outage = Some(MetOutage { error: error.clone(), endpoint: String::new() });
        }
    }

    async fn answer(&self, lm: &Lm, request: &Request, next: Next<'_>) -> Result<Response, LmError> {
        let mut id = CallId::first(lm, request);
        {
            let mut state = self.state.lock_any();
            let repeat = state.repeats.entry(id.clone()).or_default();
            id.repeat = *repeat;
            *repeat += 1;
        }
        if let Some(known) = self.journal.answer(&self.name, &id) {
            self.look_at(lm, &known);
            return known;
        }
        let mut result = next.run(lm, request).await;
        if let Some(outcome) = Outcome::of(&result)
            && let Err(error) = self.journal.record(&self.name, (&self.phase, self.kind), id, outcome)
        {
            let message = format!("the reply cannot be written to the journal: {error}");
            self.journal.failure.lock_any().get_or_insert(error);
            result = Err(LmError::new(LmErrorKind::Other, lm.id(), message));
        }
        self.look_at(lm, &result);
        result
    }

    fn look_at(&self, lm: &Lm, result: &Result<Response, LmError>) {
        let mut state = self.state.lock_any();
        match result {
            Ok(response) => state.tally.add(Tally::answered(response)),
            Err(error) if error.kind == LmErrorKind::Budget => {
                state.refused = true;
                self.ledger.refused(error);
            }
            Err(error) if error.is_outage() => {
                let endpoint = lm.deployment().into_owned();
                state.outage = Some(MetOutage { error: error.clone(), endpoint });
            }
            Err(_) => state.tally.add(Tally::refused()),
        }
    }
}

impl Layer for CallScope {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        Box::pin(self.answer(lm, request, next))
    }
}
