//! The journal of a run: a log of every paid effect, written before the result is used.
//!
//! An algorithm is a deterministic function of its seed and of the results of its effects. An effect is a
//! call of a model or a rollout (a program run on an example and scored). The algorithm assigns each effect a
//! unique name, its *scope*. A resumed run reads the results of recorded effects from the journal and
//! executes the others. Effects are found by name, so neither their order in the file nor the point at which
//! the run was killed matters. Each effect is executed once; later requests for it return the recorded
//! result.
//!
//! Nested studies write to the journal of the enclosing study. The names of their effects and of their
//! accounts begin with the name of the nested study.
//!
//! Values are read back exactly as they were written; for floating-point numbers, serde_json's
//! `float_roundtrip` ensures this.

mod error;
mod event;
mod file;
mod header;
mod layer;
mod packed;
mod seal;
mod spend;
mod vectors;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{BudgetLog, LmError, Response, Tally, Usage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::error::JournalError;
use self::event::{CallId, Cost, Event, Outcome};
use self::file::JournalFile;
pub(crate) use self::header::Header;
pub(crate) use self::layer::{CallScope, MetOutage};
use self::packed::{Key, Packed, Packer};
use self::spend::SpendBook;
use self::vectors::Vectors;
pub(crate) use self::vectors::write as write_vectors;
use crate::budget::{Experience, History};
use crate::report::{CallKind, Spend, WrittenOff};

/// The member of the result of a run that has failed for a reason that no prompt can change.
const BROKEN: &str = "broken";

/// The effects of a run so far, in memory and, with a `run_dir`, in a file.
pub(crate) struct Journal {
    file: Option<Mutex<JournalFile>>,
    known: Mutex<Known>,
    failure: Mutex<Option<JournalError>>,
    /// The number of the next call.
    next_call: AtomicU64,
    /// The start time of this process, followed by the total duration of earlier ones.
    started: Instant,
    earlier: Duration,
}

/// The contents of the journal, indexed.
#[derive(Default)]
struct Known {
    /// The results of finished effects by scope, with the line number in the file. There are as many as rollouts in
    /// a run, so they are packed.
    done: HashMap<Key, (u32, Packed)>,
    packer: Packer,
    /// The calls of unfinished effects, by scope.
    calls: HashMap<String, HashMap<CallId, Outcome>>,
    /// The answers of embedding models.
    vectors: Vectors,
    /// The calls of finished effects whose result may be voided, by scope. Only while a journal is read.
    broken: HashMap<String, HashMap<CallId, Outcome>>,
    /// The headers of nested studies, by name.
    began: HashMap<String, Map<String, Value>>,
    /// The usage of calls of earlier processes, for cost estimates.
    experience: Experience,
    /// The total cost of calls, by the name of the study.
    totals: BTreeMap<String, Tally>,
    /// The same at the start of this process.
    earlier: BTreeMap<String, Tally>,
    spend: SpendBook,
    /// The most tokens and US dollars of a call that an earlier process has paid.
    dearest: Cost,
    /// The cost of completed calls of earlier processes by account, followed by the worst-case cost of calls
    /// without a recorded end.
    settled: HashMap<String, Cost>,
    in_flight: BTreeMap<u64, (String, Cost)>,
    /// The number of the next call.
    next_call: u64,
}

impl Journal {
    /// Creates a journal in memory, without a file.
    pub(crate) fn in_memory() -> Self {
        Self::with(None, Known::default(), Duration::ZERO)
    }

    /// Opens the journal in `folder`, or creates it if there is none. A journal of another run is an error.
    pub(crate) fn open(folder: &Path, header: &Header) -> Result<Self, JournalError> {
        let mut known = Known::default();
        let mut earlier = 0;
        let file = JournalFile::open(folder, header, |line, event| {
            earlier = earlier.max(event.at());
            match event {
                Event::Call { scope, phase, kind, id, outcome, .. } => {
                    known.call(&scope, (&phase, kind), id, outcome);
                }
                Event::Done { scope, value, .. } => {
                    if value.get(BROKEN) == Some(&Value::Bool(true)) {
                        let calls = known.calls.get(&scope).cloned().unwrap_or_default();
                        known.broken.insert(scope.clone(), calls);
                    }
                    known.done(&scope, line, &value);
                }
                Event::Began { scope, header, .. } => known.began(scope, header),
                Event::Voided { scope, .. } => known.void(&scope),
                Event::Reserved { call, account, cost, .. } => known.reserved(call, account, cost),
                Event::Settled { call, cost, .. } => known.settled(call, cost),
            }
        })?;
        known.earlier.clone_from(&known.totals);
        known.broken.clear();
        if let Some(lost) = known.written_off("") {
            tracing::warn!(
                calls = lost.calls,
                "calls were in flight when an earlier process ended; they count as made"
            );
        }
        Ok(Self::with(Some(Mutex::new(file)), known, Duration::from_millis(earlier)))
    }

    fn with(file: Option<Mutex<JournalFile>>, known: Known, earlier: Duration) -> Self {
        let (failure, next_call) = (Mutex::default(), AtomicU64::new(known.next_call));
        Journal { file, known: Mutex::new(known), failure, next_call, started: Instant::now(), earlier }
    }

    /// Returns the duration of the run, including earlier processes.
    pub(crate) fn elapsed(&self) -> Duration {
        self.earlier + self.started.elapsed()
    }

    /// Returns the history of an account: `account` is its name, which is empty for that of the whole study,
    /// and `elapsed` the time that counts against its time limit already.
    pub(crate) fn history(self: &Arc<Self>, account: &str, elapsed: Duration) -> History {
        let known = self.known();
        History {
            spent: known.spent(account),
            elapsed,
            experience: known.experience.clone(),
            log: Arc::new(AccountLog { journal: self.clone(), account: account.to_owned() }),
        }
    }

    /// Returns the cost of all calls of a study, including its nested studies.
    pub(crate) fn total(&self, study: &str) -> Tally {
        self.known().totals.get(study).copied().unwrap_or_default()
    }

    /// Returns the part of [`total`](Self::total) that earlier processes have paid.
    pub(crate) fn paid_earlier(&self, study: &str) -> Tally {
        self.known().earlier.get(study).copied().unwrap_or_default()
    }

    /// Returns the calls of an account that were in flight when an earlier process ended, with their worst-case cost.
    pub(crate) fn written_off(&self, account: &str) -> Option<WrittenOff> {
        self.known().written_off(account)
    }

    /// Returns the cost of a study by phase, kind and model.
    pub(crate) fn spend(&self, study: &str) -> Spend {
        self.known().spend.of(study)
    }

    /// Returns the duration of earlier processes.
    pub(crate) fn earlier(&self) -> Duration {
        self.earlier
    }

    /// Records the start of a nested study, or checks that it has the header that was recorded before.
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

    /// Returns the result of a finished effect.
    pub(crate) fn done<T: DeserializeOwned>(&self, scope: &str) -> Result<Option<T>, JournalError> {
        let (line, value) = {
            let known = self.known();
            match known.done.get(&Key::of(scope)) {
                Some((line, packed)) => (*line, known.packer.unpack(packed)),
                None => return Ok(None),
            }
        };
        serde_json::from_value(value).map(Some).map_err(|error| {
            let (path, problem) = (self.path(), format!("the result of `{scope}`: {error}"));
            JournalError::Corrupt { path, line: line as usize, problem }
        })
    }

    /// Returns whether an effect is finished or was begun.
    pub(crate) fn knows(&self, scope: &str) -> bool {
        let known = self.known();
        known.done.contains_key(&Key::of(scope)) || known.calls.contains_key(scope)
    }

    /// Writes the result of an effect, whose calls are no longer needed.
    pub(crate) fn finish(&self, scope: &str, result: &impl Serialize) -> Result<(), JournalError> {
        let value = serde_json::to_value(result).map_err(JournalError::Encode)?;
        let event = Event::Done { at: self.now(), scope: scope.to_owned(), value };
        self.append(&event)?;
        if let Event::Done { value, .. } = event {
            self.known().done(scope, 0, &value);
        }
        Ok(())
    }

    /// Writes that the results of failed runs in a study no longer count when the run is resumed. Their calls do.
    pub(crate) fn void(&self, study: &str) -> Result<(), JournalError> {
        self.append(&Event::Voided { at: self.now(), scope: study.to_owned() })?;
        self.sync()
    }

    /// Flushes the file to disk, so that a power failure loses nothing. Writes survive a killed process
    /// without this.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.file.as_ref().map_or(Ok(()), |file| file.lock_any().sync())
    }

    /// Returns a warning if the journal is lost, because its folder was removed or the file was replaced.
    pub(crate) fn loss(&self) -> Option<String> {
        let file = self.file.as_ref()?.lock_any();
        let lost = || {
            format!(
                "`{}` was removed or replaced during the run, so the run cannot be resumed; keep the `run_dir` until a \
                 run has ended",
                file.path().display()
            )
        };
        (!file.is_there()).then(lost)
    }

    /// Takes the first error of writing a call. The program that made the call may have ignored it.
    pub(crate) fn take_failure(&self) -> Option<JournalError> {
        self.failure.lock_any().take()
    }

    fn answer(&self, scope: &str, id: &CallId) -> Option<Result<Response, LmError>> {
        self.known().calls.get(scope)?.get(id).map(|outcome| outcome.replay(&id.model))
    }

    /// Returns the vector of the text with this digest, if an embedding in this scope was answered.
    pub(crate) fn vector(&self, scope: &str, digest: &str) -> Option<Vec<f32>> {
        self.known().vectors.get(scope, digest).map(<[f32]>::to_vec)
    }

    fn record(
        &self,
        scope: &str,
        (phase, kind): (&str, CallKind),
        id: CallId,
        outcome: Outcome,
    ) -> Result<(), JournalError> {
        let (at, scope, phase) = (self.now(), scope.to_owned(), phase.to_owned());
        let event = Event::Call { at, scope, phase, kind, id, outcome };
        self.append(&event)?;
        if let Event::Call { scope, phase, id, outcome, .. } = event {
            let mut known = self.known();
            known.count(&scope, (&phase, kind), &id.model, &outcome);
            known.keep(&scope, kind, id, outcome);
        }
        Ok(())
    }

    fn append(&self, event: &Event) -> Result<(), JournalError> {
        let Some(file) = &self.file else { return Ok(()) };
        let line = serde_json::to_string(event).map_err(JournalError::Encode)?;
        file.lock_any().append(line)
    }

    fn record_cost(&self, event: &Event) -> Result<(), String> {
        self.append(event).map_err(|error| {
            let message = format!("the call cannot be written to the journal: {error}");
            self.failure.lock_any().get_or_insert(error);
            message
        })
    }

    fn path(&self) -> PathBuf {
        self.file.as_ref().map(|file| file.lock_any().path().to_owned()).unwrap_or_default()
    }

    fn now(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock_any()
    }
}

/// A log of the reserved and the actual cost of the calls of one account.
struct AccountLog {
    journal: Arc<Journal>,
    account: String,
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
        // `take_failure` returns the error later, which ends the run.
        let at = self.journal.now();
        let _ = self.journal.record_cost(&Event::Settled { at, call, cost: Cost::of(cost) });
    }
}

impl Known {
    /// Returns the amount that earlier processes spent from an account, including the worst-case cost of
    /// calls that were in flight when a process ended.
    fn spent(&self, account: &str) -> Usage {
        let mut spent = self.settled.get(account).copied().unwrap_or_default();
        spent.add(self.in_flight(account));
        if account.is_empty() {
            // Answered calls count even if their reservation is not in the journal.
            let total = self.totals.get("").copied().unwrap_or_default();
            let answered = Cost { calls: total.calls, ..Cost::of(&total.usage()) };
            spent = spent.max(answered);
        }
        spent.usage()
    }

    /// Returns the cost of each call of an account that was in flight. An amount that was not recorded is 0.
    fn open(&self, account: &str) -> impl Iterator<Item = Cost> {
        self.in_flight.values().filter(move |(name, _)| name == account).map(|(_, cost)| *cost)
    }

    fn in_flight(&self, account: &str) -> Cost {
        let dearest = self.dearest;
        // Tokens and US dollars are recorded if a limit needed them. Without, a limit that was set later counts the
        // highest ones that are known.
        let known = |amount: u64, highest: u64| if amount == 0 { highest } else { amount };
        self.open(account).fold(Cost::default(), |mut sum, cost| {
            let tokens = known(cost.tokens, dearest.tokens);
            let picodollars = known(cost.picodollars, dearest.picodollars);
            sum.add(Cost { calls: cost.calls, tokens, picodollars });
            sum
        })
    }

    fn written_off(&self, account: &str) -> Option<WrittenOff> {
        let open: Vec<Cost> = self.open(account).collect();
        let sum = |amount: fn(&Cost) -> u64| {
            open.iter()
                .map(amount)
                .try_fold(0_u64, |sum, amount| (amount > 0).then(|| sum.saturating_add(amount)))
        };
        let calls = open.iter().fold(0_u64, |sum, cost| sum.saturating_add(cost.calls));
        let cost_usd = sum(|cost| cost.picodollars)
            .and_then(|picodollars| Cost { picodollars, ..Cost::default() }.usage().cost_usd);
        (calls > 0).then(|| WrittenOff { calls, tokens: sum(|cost| cost.tokens), cost_usd })
    }

    fn reserved(&mut self, call: u64, account: String, cost: Cost) {
        self.next_call = self.next_call.max(call.saturating_add(1));
        self.in_flight.insert(call, (account, cost));
    }

    fn settled(&mut self, call: u64, cost: Cost) {
        let account = self.in_flight.remove(&call).map(|(account, _)| account).unwrap_or_default();
        self.settled.entry(account).or_default().add(cost);
    }

    fn call(&mut self, scope: &str, label: (&str, CallKind), id: CallId, outcome: Outcome) {
        self.count(scope, label, &id.model, &outcome);
        if let Outcome::Answered(response) = &outcome {
            self.experience.learn(&id.model, response);
            self.dearest = self.dearest.max(Cost::of(&response.usage));
        }
        if !self.done.contains_key(&Key::of(scope)) {
            self.keep(scope, label.1, id, outcome);
        }
    }

    /// Keeps the outcome of a call for its repetitions.
    fn keep(&mut self, scope: &str, kind: CallKind, id: CallId, outcome: Outcome) {
        match outcome {
            Outcome::Answered(response) if kind == CallKind::Embedding => {
                let answer = response.completions.first().map_or("", |reply| reply.text.as_str());
                self.vectors.add(scope, answer);
            }
            outcome => {
                self.calls.entry(scope.to_owned()).or_default().insert(id, outcome);
            }
        }
    }

    fn done(&mut self, scope: &str, line: usize, value: &Value) {
        self.calls.remove(scope);
        let packed = self.packer.pack(value);
        self.done.insert(Key::of(scope), (u32::try_from(line).unwrap_or(u32::MAX), packed));
    }

    /// Forgets the results of failed runs in a study, but not their calls.
    fn void(&mut self, study: &str) {
        for (scope, calls) in self.broken.extract_if(|scope, _| scope.starts_with(study)) {
            self.done.remove(&Key::of(&scope));
            if !calls.is_empty() {
                self.calls.insert(scope, calls);
            }
        }
    }

    fn began(&mut self, study: String, header: Map<String, Value>) {
        self.totals.entry(study.clone()).or_default();
        self.began.insert(study, header);
    }

    fn count(&mut self, scope: &str, (phase, kind): (&str, CallKind), model: &str, outcome: &Outcome) {
        let cost = spend::cost(outcome);
        self.totals.entry(String::new()).or_default().add(cost);
        let mut innermost = "";
        for (study, total) in &mut self.totals {
            if !study.is_empty() && scope.starts_with(&**study) {
                total.add(cost);
                if study.len() > innermost.len() {
                    innermost = study;
                }
            }
        }
        self.spend.add(innermost, phase, kind, model, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_flight_without_a_known_cost_counts_as_the_dearest_one() {
        let mut known = Known::default();
        known.reserved(0, String::new(), Cost { calls: 1, ..Cost::default() });
        assert_eq!(known.written_off(""), Some(WrittenOff { calls: 1, ..WrittenOff::default() }));
        let id = CallId { model: "m".into(), endpoint: String::new(), request: "r".into(), repeat: 0 };
        let usage = Usage::tokens(50, 10).at_cost(0.25);
        let outcome = Outcome::Answered(Response::text("yes").with_usage(usage));
        known.call("effect", ("search", CallKind::Program), id, outcome);
        known.reserved(1, String::new(), Cost { calls: 1, tokens: 70, picodollars: 0 });
        let spent = known.spent("");
        assert_eq!((spent.requests, spent.total_tokens(), spent.cost_usd), (2, 130, Some(0.5)));
        let off = known.written_off("").unwrap();
        assert_eq!((off.calls, off.tokens, off.cost_usd), (2, None, None), "the report does not guess");
        assert_eq!(known.written_off("other"), None);
    }

    #[test]
    fn an_answered_call_without_a_reservation_counts_as_made() {
        let mut known = Known::default();
        let id = CallId { model: "m".into(), endpoint: String::new(), request: "r".into(), repeat: 0 };
        let usage = Usage::tokens(5, 1).at_cost(0.25);
        let outcome = Outcome::Answered(Response::text("yes").with_usage(usage));
        known.call("effect", ("search", CallKind::Program), id, outcome);
        let spent = known.spent("");
        assert_eq!((spent.requests, spent.total_tokens(), spent.cost_usd), (1, 6, Some(0.25)));
    }
}
