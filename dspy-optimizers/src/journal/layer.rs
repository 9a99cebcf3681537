//! A model layer that answers recorded calls from the journal and records all others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Layer, Lm, LmError, LmErrorKind, LmFuture, Next, Request, Response, Tally};
use tokio::sync::watch;

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
    /// The number of calls that are being made.
    in_flight: AtomicUsize,
    /// The events of the effect; `None` for one whose refused calls return their error at once.
    halt: Option<watch::Sender<Halt>>,
}

/// The end of an effect whose budget is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    /// It goes on.
    None,
    /// A call was refused.
    Refused,
    /// Its work was dropped.
    Ended,
}

/// The number of refused calls after which the calls of tasks that have outlived their effect never return, so that a
/// task that retries for ever does not keep a thread busy.
const MOST_REFUSED: usize = 100;

#[derive(Default)]
struct State {
    repeats: HashMap<CallId, u32>,
    tally: Tally,
    refused: usize,
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
        let (state, in_flight) = (Mutex::default(), AtomicUsize::new(0));
        CallScope { journal, ledger, name: name.into(), phase, kind, state, in_flight, halt: None }
    }

    /// Sets that a refused call does not return to the work, which could retry it for ever:
    /// [`halted`](Self::halted) says when to drop the work instead.
    pub(crate) fn halting(mut self) -> Self {
        self.halt = Some(watch::Sender::new(Halt::None));
        self
    }

    /// Waits until a call was refused and no other call is in flight, so that nothing that is paid is lost when the
    /// work is dropped.
    pub(crate) async fn halted(&self) {
        let Some(halt) = &self.halt else { return std::future::pending().await };
        let mut changes = halt.subscribe();
        while *changes.borrow_and_update() == Halt::None || self.in_flight.load(Ordering::SeqCst) > 0 {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Releases the calls of tasks that outlive the work.
    pub(crate) fn end(&self) {
        self.halt.iter().for_each(|halt| {
            halt.send_replace(Halt::Ended);
        });
    }

    /// Waits until the work was dropped after a refusal, if this scope is [halting](Self::halting).
    pub(crate) async fn hold(&self) {
        let Some(halt) = &self.halt else { return };
        if self.state.lock_any().refused > MOST_REFUSED {
            return std::future::pending().await;
        }
        let mut changes = halt.subscribe();
        halt.send_if_modified(|halt| {
            let first = *halt == Halt::None;
            *halt = if first { Halt::Refused } else { *halt };
            first
        });
        // The sender is a part of this scope, so it is not closed before.
        let _ = changes.wait_for(|halt| *halt == Halt::Ended).await;
    }

    /// Returns whether the work has made a call, or one was answered from the journal.
    pub(crate) fn was_used(&self) -> bool {
        !self.state.lock_any().repeats.is_empty()
    }

    /// Returns the cost of its calls, including those of earlier processes.
    pub(crate) fn tally(&self) -> Tally {
        self.state.lock_any().tally
    }

    /// Returns whether a call was refused by a budget.
    pub(crate) fn was_refused(&self) -> bool {
        self.state.lock_any().refused > 0
    }

    /// Returns the last outage that a call has met.
    pub(crate) fn outage(&self) -> Option<MetOutage> {
        self.state.lock_any().outage.clone()
    }

    /// Notes an error of work beside the calls of this effect, such as an embedding.
    pub(crate) fn note(&self, error: &LmError) {
        let mut state = self.state.lock_any();
        if error.kind == LmErrorKind::Budget {
            state.refused += 1;
        } else if error.is_outage() {
            state.outage = Some(MetOutage { error: error.clone(), endpoint: String::new() });
        }
    }

    /// Notes work beside the calls of this effect, such as an embedding, until the result is dropped:
    /// [`halted`](Self::halted) waits for it.
    pub(crate) fn busy(&self) -> InFlight<'_> {
        InFlight::new(self)
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
        let call = InFlight::new(self);
        let mut result = next.run(lm, request).await;
        if let Some(outcome) = Outcome::of(&result)
            && let Err(error) = self.journal.record(&self.name, (&self.phase, self.kind), id, outcome)
        {
            let message = format!("the reply cannot be written to the journal: {error}");
            self.journal.failure.lock_any().get_or_insert(error);
            result = Err(LmError::new(LmErrorKind::Other, lm.id(), message));
        }
        self.look_at(lm, &result);
        drop(call);
        if result.as_ref().is_err_and(|error| error.kind == LmErrorKind::Budget) {
            self.hold().await;
        }
        result
    }

    fn look_at(&self, lm: &Lm, result: &Result<Response, LmError>) {
        let mut state = self.state.lock_any();
        match result {
            Ok(response) => state.tally.add(Tally::answered(response)),
            Err(error) if error.kind == LmErrorKind::Budget => {
                state.refused += 1;
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

/// A call that is being made.
pub(crate) struct InFlight<'s>(&'s CallScope);

impl<'s> InFlight<'s> {
    fn new(scope: &'s CallScope) -> Self {
        scope.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(scope)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        // Wakes `halted`, which looks at the number again.
        self.0.halt.iter().for_each(|halt| {
            halt.send_if_modified(|halt| *halt == Halt::Refused);
        });
    }
}
