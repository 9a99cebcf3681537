//! The journal: every paid effect of a run, written down before it counts.
//!
//! The algorithms are deterministic functions of their seed and of the results of their effects: calls of a model, and
//! rollouts (a program run on an example and scored). Each effect has a name that the algorithm gives it, its *scope*.
//! A run that starts with a journal gets the effects that stand there from it and goes on with the rest. Because
//! effects are found by name, it does not matter in which order they came in, nor at which one the run was killed.
//!
//! What is read back equals what was written to the last bit; for numbers serde_json's `float_roundtrip` sees to that.

mod error;
mod event;
mod file;
mod header;
mod layer;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dspy_core::lm::{BudgetLog, LmError, Response, Tally, Usage};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::error::JournalError;
use self::event::{CallId, Cost, Event, Outcome};
use self::file::JournalFile;
pub(crate) use self::header::{Header, model_identity, program_identity};
pub(crate) use self::layer::CallScope;
use crate::budget::Experience;

/// The effects of a run so far, in memory and, with a `run_dir`, in a file.
pub(crate) struct Journal {
    file: Option<Mutex<JournalFile>>,
    known: Mutex<Known>,
    failure: Mutex<Option<JournalError>>,
    /// The number of the next call that is about to be made.
    next_call: AtomicU64,
    /// When this process started, and how long earlier ones took.
    started: Instant,
    earlier: Duration,
}

/// Effects that nobody has asked for yet.
#[derive(Default)]
struct Known {
    done: HashMap<String, (usize, serde_json::Value)>,
    calls: HashMap<String, HashMap<CallId, Outcome>>,
    /// What the calls of earlier processes tell about those to come.
    experience: Experience,
    total: Tally,
    /// What calls of earlier processes have taken of the budget, and what those may have taken whose end is not known.
    settled: Cost,
    in_flight: BTreeMap<u64, Cost>,
    /// The number of the next call.
    next_call: u64,
}

impl Journal {
    /// A journal that is forgotten with the process.
    pub(crate) fn in_memory() -> Self {
        Self::with(None, Known::default(), Duration::ZERO)
    }

    /// The journal of a folder: a new one, or that of the same run.
    pub(crate) fn open(folder: &Path, header: &Header) -> Result<Self, JournalError> {
        let mut known = Known::default();
        let mut earlier = 0;
        let file = JournalFile::open(folder, header, |line, event| {
            earlier = earlier.max(event.at());
            match event {
                Event::Call { scope, id, outcome, .. } => known.call(scope, id, outcome),
                Event::Done { scope, value, .. } => known.done(scope, line, value),
                Event::Reserved { call, cost, .. } => known.reserved(call, cost),
                Event::Settled { call, cost, .. } => known.settled(call, cost),
            }
        })?;
        let lost = known.in_flight.len();
        if lost > 0 {
            tracing::warn!(
                calls = lost,
                "calls were in flight when an earlier process ended; they count as made"
            );
        }
        Ok(Self::with(Some(Mutex::new(file)), known, Duration::from_millis(earlier)))
    }

    fn with(file: Option<Mutex<JournalFile>>, known: Known, earlier: Duration) -> Self {
        let (failure, next_call) = (Mutex::default(), AtomicU64::new(known.next_call));
        Journal { file, known: Mutex::new(known), failure, next_call, started: Instant::now(), earlier }
    }

    /// How long the run has taken, that of killed processes included.
    pub(crate) fn elapsed(&self) -> Duration {
        self.earlier + self.started.elapsed()
    }

    /// What the calls of earlier processes tell about those to come. Nothing from the second time on.
    pub(crate) fn take_experience(&self) -> Experience {
        std::mem::take(&mut self.known().experience)
    }

    /// What all calls of the run have cost.
    pub(crate) fn total(&self) -> Tally {
        self.known().total
    }

    /// What earlier processes have taken of the budget, calls included that were in flight when they ended.
    pub(crate) fn spent_before(&self) -> Usage {
        let known = self.known();
        let mut spent = known.settled;
        known.in_flight.values().for_each(|cost| spent.add(*cost));
        // Of calls that were answered, nothing else need be known: journals from before there were reservations.
        let answered = Cost { calls: known.total.calls, ..Cost::of(&known.total.usage()) };
        spent.max(answered).usage()
    }

    /// The result of a finished effect.
    pub(crate) fn done<T: DeserializeOwned>(&self, scope: &str) -> Result<Option<T>, JournalError> {
        let Some((line, value)) = self.known().done.remove(scope) else { return Ok(None) };
        let read = serde_json::from_value(value);
        read.map(Some).map_err(|error| self.corrupt(line, format!("the result of `{scope}`: {error}")))
    }

    /// Writes the result of an effect down. Its calls are no longer needed.
    pub(crate) fn finish(&self, scope: &str, result: &impl Serialize) -> Result<(), JournalError> {
        let value = serde_json::to_value(result).map_err(JournalError::Encode)?;
        self.append(&Event::Done { at: self.now(), scope: scope.to_owned(), value })?;
        self.known().calls.remove(scope);
        Ok(())
    }

    /// Makes what was written safe against a power cut. What a killed process wrote is safe anyway.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.file.as_ref().map_or(Ok(()), |file| lock(file).sync())
    }

    /// Why what was written is lost, if it is: the folder was removed, or another file was put in its place.
    pub(crate) fn loss(&self) -> Option<String> {
        let file = lock(self.file.as_ref()?);
        let lost = || {
            format!(
                "`{}` was removed or replaced while the run went on: the run cannot be resumed, and what it has paid for \
                 is written down nowhere",
                file.path().display()
            )
        };
        (!file.is_there()).then(lost)
    }

    /// The first error at writing a call, which the program that made the call may have swallowed.
    pub(crate) fn take_failure(&self) -> Option<JournalError> {
        lock(&self.failure).take()
    }

    fn answer(&self, scope: &str, id: &CallId) -> Option<Result<Response, LmError>> {
        self.known().calls.get(scope)?.get(id).map(|outcome| outcome.replay(&id.model))
    }

    fn record(&self, scope: &str, id: CallId, outcome: Outcome) -> Result<(), JournalError> {
        let event = Event::Call { at: self.now(), scope: scope.to_owned(), id, outcome };
        self.append(&event)?;
        if let Event::Call { scope, id, outcome, .. } = event {
            let mut known = self.known();
            known.count(&outcome);
            known.calls.entry(scope).or_default().insert(id, outcome);
        }
        Ok(())
    }

    fn append(&self, event: &Event) -> Result<(), JournalError> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut line = serde_json::to_string(event).map_err(JournalError::Encode)?;
        line.push('\n');
        lock(file).append(&line)
    }

    fn record_cost(&self, event: &Event) -> Result<(), String> {
        self.append(event).map_err(|error| {
            let message = format!("it cannot be written to the journal: {error}");
            lock(&self.failure).get_or_insert(error);
            message
        })
    }

    fn corrupt(&self, line: usize, problem: String) -> JournalError {
        let path = self.file.as_ref().map(|file| lock(file).path().to_owned()).unwrap_or_default();
        JournalError::Corrupt { path, line, problem }
    }

    fn now(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

impl BudgetLog for Journal {
    fn reserved(&self, worst: &Usage) -> Result<u64, String> {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        self.record_cost(&Event::Reserved { at: self.now(), call, cost: Cost::of(worst) })?;
        Ok(call)
    }

    fn settled(&self, call: u64, cost: &Usage) {
        // The run fails by `take_failure`.
        let _ = self.record_cost(&Event::Settled { at: self.now(), call, cost: Cost::of(cost) });
    }
}

impl Known {
    fn reserved(&mut self, call: u64, cost: Cost) {
        self.next_call = self.next_call.max(call.saturating_add(1));
        self.in_flight.insert(call, cost);
    }

    fn settled(&mut self, call: u64, cost: Cost) {
        self.in_flight.remove(&call);
        self.settled.add(cost);
    }

    fn call(&mut self, scope: String, id: CallId, outcome: Outcome) {
        self.count(&outcome);
        if let Outcome::Answered(response) = &outcome {
            self.experience.learn(&id.model, response);
        }
        if !self.done.contains_key(&scope) {
            self.calls.entry(scope).or_default().insert(id, outcome);
        }
    }

    fn done(&mut self, scope: String, line: usize, value: serde_json::Value) {
        self.calls.remove(&scope);
        self.done.insert(scope, (line, value));
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Answered(response) => self.total.add(Tally::answered(response)),
            Outcome::Refused(_) => self.total.add(Tally::refused()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
