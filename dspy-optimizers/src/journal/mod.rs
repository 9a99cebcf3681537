//! The journal: every paid effect of a run, written down before it counts.
//!
//! The algorithms are deterministic functions of their seed and of the results of their effects: calls of a model, and
//! rollouts (a program run on an example and scored). Each effect has a name that the algorithm gives it, its *scope*.
//! A run that starts with a journal gets the effects that stand there from it and goes on with the rest. Because
//! effects are found by name, it does not matter in which order they came in, nor at which one the run was killed.
//! An effect happens once: when it is asked for again, it is known.
//!
//! Studies inside of another write to its journal. Their effects have names below that of the study; so have the accounts
//! that pay for them.
//!
//! What is read back equals what was written to the last bit; for numbers serde_json's `float_roundtrip` sees to that.

mod error;
mod event;
mod file;
mod header;
mod layer;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dspy_core::lm::{BudgetLog, BudgetScope, LmError, Response, Tally, Usage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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

/// What has happened so far.
#[derive(Default)]
struct Known {
    /// The results of finished effects, as JSON, with the line that they stand in.
    done: HashMap<String, (usize, Box<str>)>,
    /// The calls of effects that are not finished.
    calls: HashMap<String, HashMap<CallId, Outcome>>,
    /// The headers of studies inside of this one.
    began: HashMap<String, Map<String, Value>>,
    /// What the calls of earlier processes tell about those to come.
    experience: Experience,
    /// What calls have cost, by the name of the study.
    totals: BTreeMap<String, Tally>,
    /// What calls of earlier processes have taken of accounts, and what those may have taken whose end is not known.
    settled: HashMap<String, Cost>,
    in_flight: BTreeMap<u64, (String, Cost)>,
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
                Event::Done { scope, value, .. } => known.done(scope, line, &value),
                Event::Began { scope, header, .. } => known.began(scope, header),
                Event::Reserved { call, account, cost, .. } => known.reserved(call, account, cost),
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

    /// Tells an account what the calls of earlier processes tell about those to come.
    pub(crate) fn teach(&self, account: &BudgetScope) {
        self.known().experience.tell(account);
    }

    /// What all calls of a study have cost, those of the studies inside of it included.
    pub(crate) fn total(&self, study: &str) -> Tally {
        self.known().totals.get(study).copied().unwrap_or_default()
    }

    /// What earlier processes have taken of an account, calls included that were in flight when they ended.
    pub(crate) fn spent_before(&self, account: &str) -> Usage {
        let known = self.known();
        let mut spent = known.settled.get(account).copied().unwrap_or_default();
        let open = known.in_flight.values().filter(|(name, _)| name == account);
        open.for_each(|(_, cost)| spent.add(*cost));
        if account.is_empty() {
            // Of calls that were answered, nothing else need be known.
            let total = known.totals.get("").copied().unwrap_or_default();
            let answered = Cost { calls: total.calls, ..Cost::of(&total.usage()) };
            spent = spent.max(answered);
        }
        spent.usage()
    }

    /// Writes down that a study begins inside of this one, or sees to it that the same one began here before.
    pub(crate) fn begin(&self, study: &str, header: &Header) -> Result<(), JournalError> {
        if let Some(before) = self.known().began.get(study) {
            let differences = header.differences(&Value::Object(before.clone()));
            if differences.is_empty() {
                return Ok(());
            }
            return Err(JournalError::OtherRun { path: self.path(), differences });
        }
        let (scope, header) = (study.to_owned(), header.members());
        self.append(&Event::Began { at: self.now(), scope: scope.clone(), header: header.clone() })?;
        self.known().began(scope, header);
        Ok(())
    }

    /// The result of a finished effect.
    pub(crate) fn done<T: DeserializeOwned>(&self, scope: &str) -> Result<Option<T>, JournalError> {
        let (line, read) = match self.known().done.get(scope) {
            Some((line, json)) => (*line, serde_json::from_str(json)),
            None => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            let problem = format!("the result of `{scope}`: {error}");
            JournalError::Corrupt { path: self.path(), line, problem }
        })
    }

    /// Whether an effect is finished or was begun.
    pub(crate) fn knows(&self, scope: &str) -> bool {
        let known = self.known();
        known.done.contains_key(scope) || known.calls.contains_key(scope)
    }

    /// Writes the result of an effect down. Its calls are no longer needed.
    pub(crate) fn finish(&self, scope: &str, result: &impl Serialize) -> Result<(), JournalError> {
        let value = serde_json::to_value(result).map_err(JournalError::Encode)?;
        let json = value.to_string();
        self.append(&Event::Done { at: self.now(), scope: scope.to_owned(), value })?;
        self.known().finished(scope.to_owned(), 0, json);
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
            known.count(&scope, &outcome);
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

    fn path(&self) -> PathBuf {
        self.file.as_ref().map(|file| lock(file).path().to_owned()).unwrap_or_default()
    }

    fn now(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

/// Writes down what the calls of one account may cost and have cost.
pub(crate) struct AccountLog {
    pub(crate) journal: Arc<Journal>,
    /// The name of the account; none for that of the whole study.
    pub(crate) account: String,
}

impl BudgetLog for AccountLog {
    fn reserved(&self, worst: &Usage) -> Result<u64, String> {
        let AccountLog { journal, account } = self;
        let call = journal.next_call.fetch_add(1, Ordering::Relaxed);
        let (at, account) = (journal.now(), account.clone());
        journal.record_cost(&Event::Reserved { at, call, account, cost: Cost::of(worst) })?;
        Ok(call)
    }

    fn settled(&self, call: u64, cost: &Usage) {
        // The run fails by `take_failure`.
        let at = self.journal.now();
        let _ = self.journal.record_cost(&Event::Settled { at, call, cost: Cost::of(cost) });
    }
}

impl Known {
    fn reserved(&mut self, call: u64, account: String, cost: Cost) {
        self.next_call = self.next_call.max(call.saturating_add(1));
        self.in_flight.insert(call, (account, cost));
    }

    fn settled(&mut self, call: u64, cost: Cost) {
        let account = self.in_flight.remove(&call).map(|(account, _)| account).unwrap_or_default();
        self.settled.entry(account).or_default().add(cost);
    }

    fn call(&mut self, scope: String, id: CallId, outcome: Outcome) {
        self.count(&scope, &outcome);
        if let Outcome::Answered(response) = &outcome {
            self.experience.learn(&id.model, response);
        }
        if !self.done.contains_key(&scope) {
            self.calls.entry(scope).or_default().insert(id, outcome);
        }
    }

    fn done(&mut self, scope: String, line: usize, value: &Value) {
        self.finished(scope, line, value.to_string());
    }

    fn finished(&mut self, scope: String, line: usize, json: String) {
        self.calls.remove(&scope);
        self.done.insert(scope, (line, json.into()));
    }

    fn began(&mut self, study: String, header: Map<String, Value>) {
        self.totals.entry(study.clone()).or_default();
        self.began.insert(study, header);
    }

    fn count(&mut self, scope: &str, outcome: &Outcome) {
        let cost = match outcome {
            Outcome::Answered(response) => Tally::answered(response),
            Outcome::Refused(_) => Tally::refused(),
        };
        self.totals.entry(String::new()).or_default().add(cost);
        let studies =
            self.totals.iter_mut().filter(|(study, _)| !study.is_empty() && scope.starts_with(&**study));
        studies.for_each(|(_, total)| total.add(cost));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
