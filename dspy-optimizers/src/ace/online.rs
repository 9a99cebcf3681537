//! Playbooks that learn while their program is in use.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Mutex;

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Budget, Usage};
use dspy_core::program::Trace;
use dspy_core::signature::Playbook;

use super::acceptance::{Blocks, Comparison};
use super::feedback::{Feedback, Learned, Snapshot};
use super::lesson::{Lesson, Playbooks, Question, Teacher, playbooks_of, used, with_playbooks};
use super::settings::Settings;
use crate::OptimizeError;
use crate::data::{Data, Rows};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::options::Options;
use crate::proposer::{Record, SharedProposer};
use dspy_core::evaluate::SharedMetric;

/// The largest number of snapshots that are kept besides the first; the oldest ones go.
const MOST_SNAPSHOTS: usize = 100;

/// The number of batches, and of runs, that may wait; beyond both, the oldest runs go.
const MOST_BATCHES: usize = 10;
const MOST_RUNS: usize = 200;

/// The largest number of calls of a predictor in one run that are kept: the last ones.
const MOST_CALLS: usize = 8;

/// A program in use whose playbooks learn from finished runs, by the rules of [`Ace`](crate::Ace); made by
/// [`Ace::online`](crate::Ace::online).
///
/// [`program`](Self::program) returns the program as it is now, and [`learn`](Self::learn) takes the trace of a run with
/// feedback on it. After each [batch](crate::Ace::batch) of runs, the call that completes it changes the playbooks. A
/// handle can be shared by any number of tasks: updates run one after the other, the program can be used meanwhile, and
/// it changes at once when an update was adopted. If the future of an update is dropped, nothing has changed and its
/// runs wait for the next one.
///
/// Every adopted state is a [snapshot](Self::snapshots) that can be [restored](Self::roll_back).
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::{HasPredictors, Module as _};
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_core::program::trace;
/// use dspy_optimizers::{Ace, ace::Feedback};
/// # #[derive(Clone)]
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> { self.input() }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # dspy_core::program::configure(Lm::builtin());
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let rows = vec![Row("I love it", "good"), Row("Again this rain", "bad")];
/// let online = Ace::builder()
///     .metric(|row: &Row, output: &Values| output["mood"] == row.1)
///     .batch(1)
///     .build()
///     .online(program, rows)?;
/// // For each request:
/// # let input = Row("Such rain", "bad").input()?;
/// let (answer, trace) = trace(online.program().call(input)).await;
/// println!("{:?}", answer?["mood"]);
/// let learned = online.learn(trace, Feedback::new("Rain is bad.").score(0.0)).await?;
/// println!("{learned:?}\n{:?}", online.snapshots());
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
pub struct OnlineAce<P: Program, E> {
    settings: Settings,
    proposer: SharedProposer,
    options: Options,
    metric: SharedMetric<E, P::Output>,
    /// The rows to compare playbooks on.
    data: Data<P, Vec<E>>,
    paths: Vec<String>,
    state: Mutex<State<P>>,
    /// Held by the update that is in flight.
    updating: tokio::sync::Mutex<()>,
}

struct State<P> {
    program: P,
    snapshots: VecDeque<Snapshot>,
    /// The version of the current snapshot.
    current: u64,
    /// The version of the next snapshot.
    next: u64,
    /// The playbooks with the counters so far.
    playbooks: Playbooks,
    /// The runs that no update has used, by number.
    waiting: VecDeque<(u64, Waiting)>,
    /// The lessons of batches since the last adopted playbook, by the number of their run, which the curator sees again.
    kept: VecDeque<(u64, Lesson)>,
    /// The number of the next run, and of the next comparison.
    run: u64,
    compared: usize,
    spent: Usage,
    /// The number of updates in a row that have failed, and of runs that wait before `learn` tries the next one.
    failed: u32,
    least: usize,
}

/// A finished run, by the path of the predictor: the items that it has used and its calls.
#[derive(Clone)]
struct Waiting {
    right: bool,
    calls: BTreeMap<String, (Playbook, Vec<Record>)>,
}

/// Adds the cost of an update to the total, also if it is dropped.
struct Spending<'s, 'd, P: Program, E> {
    study: &'s Study<'d, P, E>,
    state: &'s Mutex<State<P>>,
}

impl<P: Program, E> Drop for Spending<'_, '_, P, E> {
    fn drop(&mut self) {
        self.state.lock_any().spent += self.study.spent();
    }
}

/// The state that an update begins with.
struct Base<P> {
    program: P,
    version: u64,
    playbooks: Playbooks,
    runs: Vec<(u64, Waiting)>,
    /// The lessons of earlier batches.
    kept: Vec<Lesson>,
    budget: Budget,
    compared: usize,
}

/// The end of an update.
enum Change<P> {
    Counters(Playbooks, Vec<Lesson>, Vec<String>),
    Rejected(Playbooks, Vec<Lesson>, Vec<String>),
    Adopted(P, Playbooks, String, Vec<String>),
}

impl<P: Program, E: ExampleFor<P>> OnlineAce<P, E> {
    pub(super) fn new(
        settings: Settings,
        proposer: SharedProposer,
        mut options: Options,
        metric: SharedMetric<E, P::Output>,
        program: P,
        rows: Vec<E>,
    ) -> Result<Self, OptimizeError> {
        if let Some(folder) = &options.run_dir {
            let (value, expected) =
                (format!("`{}`", folder.display()), "none, as the program is saved instead");
            return Err(OptimizeError::Option { option: "run_dir", value, expected });
        }
        options.verify = None;
        Rows::new("set of rows", &rows)?;
        let paths = settings.paths(&program)?;
        if paths.is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        let playbooks = playbooks_of(&program, &paths);
        let first = Snapshot { version: 0, playbooks: playbooks.clone(), note: "as given".into() };
        let state = State {
            program,
            snapshots: VecDeque::from([first]),
            current: 0,
            next: 1,
            playbooks,
            waiting: VecDeque::new(),
            kept: VecDeque::new(),
            run: 0,
            compared: 0,
            spent: Usage::default(),
            failed: 0,
            least: settings.batch,
        };
        let (data, state) = (Data::new(rows), Mutex::new(state));
        let updating = tokio::sync::Mutex::default();
        Ok(OnlineAce { settings, proposer, options, metric, data, paths, state, updating })
    }

    /// Takes a finished run with feedback on it. The run that completes a batch changes the playbooks.
    ///
    /// A run whose replies cite no items counts for all items of the playbook at the time of this call, so give the
    /// feedback soon after the run.
    ///
    /// # Errors
    /// If the score is not a number, feedback is for a path that no predictor has, the trace has no call of a predictor
    /// with a playbook, the proposer or the model cannot be reached, or the metric fails on every row. The runs are kept in
    /// the last two cases, and tried again when a further batch is complete, after another failure when two are, then four,
    /// and so on. [`update`](Self::update) tries at once.
    pub async fn learn(&self, trace: Trace, feedback: impl Into<Feedback>) -> Result<Learned, OptimizeError> {
        self.keep(&trace, &feedback.into())?;
        let least = self.state.lock_any().least;
        self.update_from(least).await
    }

    /// Changes the playbooks by the runs that wait, although they are no whole batch.
    ///
    /// # Errors
    /// As [`learn`](Self::learn).
    pub async fn update(&self) -> Result<Learned, OptimizeError> {
        self.update_from(1).await
    }

    fn keep(&self, trace: &Trace, feedback: &Feedback) -> Result<(), OptimizeError> {
        if let Some(score) = feedback.score.filter(|score| !score.is_finite()) {
            let (value, expected) = (score.to_string(), "a finite number");
            return Err(OptimizeError::Option { option: "score", value, expected });
        }
        let mut state = self.state.lock_any();
        let known = state.program.named_predictors();
        let unknown = |path: &&String| known.iter().all(|(known, _)| known != *path);
        if let Some(value) = feedback.predictors.keys().find(unknown).cloned() {
            return Err(OptimizeError::Option { option: "feedback", value, expected: "paths of predictors" });
        }
        let mut calls = BTreeMap::new();
        for path in &self.paths {
            let own = trace.steps.iter().filter(|step| step.predictor == *path);
            let mut records: Vec<Record> = own.rev().take(MOST_CALLS).map(Record::of).collect();
            records.reverse();
            for record in &mut records {
                record.score = feedback.score;
                record.feedback = feedback.predictors.get(path).or(feedback.text.as_ref()).cloned();
                let labels = feedback.expected.iter().filter(|(name, _)| !record.inputs.contains_key(*name));
                record.expected = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
            }
            let Some(playbook) = state.playbooks.get(path).filter(|_| !records.is_empty()) else { continue };
            calls.insert(path.clone(), (used(playbook, path, trace.steps.iter()), records));
        }
        if calls.is_empty() {
            let (value, expected) =
                ("without such calls".to_owned(), "calls of predictors that have a playbook");
            return Err(OptimizeError::Option { option: "trace", value, expected });
        }
        let right = feedback.score.is_some_and(|score| score >= self.settings.perfect_score);
        let number = state.run;
        state.run += 1;
        state.waiting.push_back((number, Waiting { right, calls }));
        while state.waiting.len() > self.most_waiting() {
            state.waiting.pop_front();
        }
        Ok(())
    }

    async fn update_from(&self, least: usize) -> Result<Learned, OptimizeError> {
        let waiting = |runs: usize| Learned::Waiting { runs };
        // Checked before the turn as well, so that a run that completes no batch does not wait for an update.
        let runs = self.waiting();
        if runs < least {
            return Ok(waiting(runs));
        }
        let _turn = self.updating.lock().await;
        let base = {
            let state = self.state.lock_any();
            if state.waiting.len() < least {
                return Ok(waiting(state.waiting.len()));
            }
            Base {
                program: state.program.clone(),
                version: state.current,
                playbooks: state.playbooks.clone(),
                runs: state.waiting.iter().take(self.settings.batch).cloned().collect(),
                kept: state.kept.iter().map(|(_, lesson)| lesson.clone()).collect(),
                budget: rest(self.options.budget, &state.spent),
                compared: state.compared,
            }
        };
        let mut options = self.options.clone();
        options.budget = base.budget;
        let study = Study::builder("OnlineAce", base.program.clone(), &self.data)
            .options(&options)
            .start(&self.metric)?;
        let change = {
            let _spending = Spending { study: &study, state: &self.state };
            self.change(&study, &base).await
        };
        match change {
            Ok(change) => Ok(self.settle(&base, change)),
            Err(Stop::Budget(limit)) => Ok(Learned::OutOfBudget(limit)),
            // It runs no search whose start could leave no headroom.
            Err(Stop::NoHeadroom | Stop::ConstantMetric) => Ok(Learned::Unchanged { notes: Vec::new() }),
            Err(Stop::Error(error)) => {
                self.postpone();
                Err(error.of_update())
            }
        }
    }

    /// Lets `learn` wait for more runs before the next update, as this one has failed and its cost would be paid again.
    fn postpone(&self) {
        let mut state = self.state.lock_any();
        let more = self.settings.batch.saturating_mul(1 << state.failed.min(16));
        state.failed = state.failed.saturating_add(1);
        // No more runs than this can wait.
        state.least = state.waiting.len().saturating_add(more).min(self.most_waiting());
    }

    fn most_waiting(&self) -> usize {
        self.settings.batch.saturating_mul(MOST_BATCHES).max(MOST_RUNS)
    }

    /// Finds the lessons of a batch, and compares the program with changed playbooks with the present one.
    async fn change(&self, study: &Study<'_, P, E>, base: &Base<P>) -> Result<Change<P>, Stop> {
        let teacher = Teacher::new(study, &self.settings, &self.proposer, &self.paths);
        let lessons = base.runs.iter().map(|(number, run)| Self::lesson(&teacher, base, *number, run));
        let lessons = study.several(lessons.collect()).await?;
        let first = base.runs.first().map_or(0, |(number, _)| *number);
        // Runs that went right need no changes.
        let again = if lessons.iter().all(|lesson| lesson.right) { &[][..] } else { &base.kept };
        let all: Vec<Lesson> = again.iter().chain(&lessons).cloned().collect();
        let group = self.settings.rows_per_curation();
        let mut update = teacher.curate(&first.to_string(), &base.playbooks, &all, group).await?;
        update.notes.extend(study.take_fruitless());
        if update.is_empty() {
            return Ok(Change::Counters(update.counted, lessons, update.notes));
        }
        let program = with_playbooks(&base.program, &update.merged)?;
        let rows = Blocks::new(study.val(), self.settings.acceptance_rows, &self.settings.race, study.seed());
        let (before, after) = (study.scope_of(&base.program), study.scope_of(&program));
        let rows = rows.get(base.compared);
        let compared = Comparison::run(study, (&before, &base.program), (&after, &program), &rows).await?;
        let mut notes = vec![compared.note(compared.is_accepted())];
        notes.extend(update.notes);
        Ok(if compared.is_accepted() {
            Change::Adopted(program, update.merged, update.summary, notes)
        } else {
            Change::Rejected(update.counted, lessons, notes)
        })
    }

    async fn lesson(
        teacher: &Teacher<'_, '_, P, E>,
        base: &Base<P>,
        number: u64,
        run: &Waiting,
    ) -> Result<Lesson, Stop> {
        let mut lesson = Lesson { right: run.right, ..Lesson::default() };
        for (path, (used, records)) in &run.calls {
            lesson.records.insert(path.clone(), records.clone());
            let counted = |id: &str| {
                let item = base.playbooks.get(path).and_then(|playbook| playbook.get(id));
                item.is_none_or(|item| item.helpful() > 0 || item.harmful() > 0)
            };
            if run.right && used.items().iter().all(|item| counted(item.id())) {
                continue;
            }
            let (name, playbook) = (format!("diagnose-{number}"), used.clone());
            let question = Question { name, path, playbook, records: records.clone(), tried: None };
            if let Some(found) = teacher.diagnose(question, &mut lesson).await? {
                lesson.diagnoses.insert(path.clone(), found);
            }
        }
        Ok(lesson)
    }

    /// Applies the end of an update at once.
    fn settle(&self, base: &Base<P>, change: Change<P>) -> Learned {
        let mut state = self.state.lock_any();
        if state.current != base.version {
            return Learned::Overtaken;
        }
        (state.failed, state.least) = (0, self.settings.batch);
        let last = base.runs.last().map_or(0, |(number, _)| *number);
        state.waiting.retain(|(number, _)| *number > last);
        match change {
            Change::Counters(playbooks, lessons, notes) => {
                self.keep_lessons(&mut state, base, lessons);
                state.count(playbooks);
                Learned::Unchanged { notes }
            }
            Change::Rejected(playbooks, lessons, notes) => {
                self.keep_lessons(&mut state, base, lessons);
                state.compared += 1;
                state.count(playbooks);
                Learned::Rejected { notes }
            }
            Change::Adopted(program, playbooks, summary, notes) => {
                state.compared += 1;
                state.kept.clear();
                state.program = program;
                state.playbooks = playbooks;
                let version = state.push(summary);
                Learned::Adopted { version, notes }
            }
        }
    }

    /// Keeps the lessons of a batch that has led to no other playbook for the next call of the curator, as
    /// [`Ace`](crate::Ace) does: those of the last batches.
    fn keep_lessons(&self, state: &mut State<P>, base: &Base<P>, lessons: Vec<Lesson>) {
        let numbers = base.runs.iter().map(|(number, _)| *number);
        state.kept.extend(numbers.zip(lessons.into_iter().map(Lesson::recalled)));
        let most = self.settings.kept_batches.saturating_mul(self.settings.batch).min(MOST_RUNS);
        let old = state.kept.len().saturating_sub(most);
        state.kept.drain(..old);
    }

    /// Restores the playbooks of a snapshot, as a new one, and returns its version; `None` if there is no such snapshot
    /// any more, which is also logged as a warning. An update in flight does not apply.
    #[must_use = "`None` means that there is no such snapshot, and nothing was restored"]
    pub fn roll_back(&self, version: u64) -> Option<u64> {
        let mut state = self.state.lock_any();
        let Some(snapshot) = state.snapshots.iter().find(|known| known.version == version) else {
            tracing::warn!(version, "there is no such snapshot, so nothing was rolled back");
            return None;
        };
        let mut playbooks = snapshot.playbooks.clone();
        for (path, playbook) in &mut playbooks {
            state.playbooks.get(path).into_iter().for_each(|now| playbook.avoid_ids_of(now));
        }
        state.program = with_playbooks(&state.program, &playbooks).ok()?;
        state.playbooks = playbooks;
        // Their diagnoses are of the playbooks before.
        state.kept.clear();
        Some(state.push(format!("version {version} again")))
    }
}

impl<P: Program, E> OnlineAce<P, E> {
    /// Returns the program as it is now. It does not change when later updates are adopted.
    pub fn program(&self) -> P {
        self.state.lock_any().program.clone()
    }

    /// Returns the version of the playbooks as they are now.
    pub fn version(&self) -> u64 {
        self.state.lock_any().current
    }

    /// Returns the snapshots that are kept, the oldest one first: the first one and the latest 100.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.state.lock_any().snapshots.iter().cloned().collect()
    }

    /// Returns the number of runs that wait for an update.
    pub fn waiting(&self) -> usize {
        self.state.lock_any().waiting.len()
    }

    /// Returns the cost of all updates so far.
    pub fn usage(&self) -> Usage {
        self.state.lock_any().spent
    }
}

impl<P: Program> State<P> {
    /// Sets the counters of the present playbooks, also in the program and its snapshot.
    fn count(&mut self, playbooks: Playbooks) {
        if let Ok(program) = with_playbooks(&self.program, &playbooks) {
            self.program = program;
        }
        let current = self.current;
        if let Some(snapshot) =
            self.snapshots.iter_mut().find(|known| known.version == current && current > 0)
        {
            snapshot.playbooks.clone_from(&playbooks);
        }
        self.playbooks = playbooks;
    }

    /// Makes the present playbooks a snapshot and returns its version.
    fn push(&mut self, note: String) -> u64 {
        let version = self.next;
        (self.current, self.next) = (version, version + 1);
        self.snapshots.push_back(Snapshot { version, playbooks: self.playbooks.clone(), note });
        if self.snapshots.len() > MOST_SNAPSHOTS + 1 {
            self.snapshots.remove(1);
        }
        version
    }
}

impl<P: Program, E> fmt::Debug for OnlineAce<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnlineAce")
            .field("version", &self.version())
            .field("waiting", &self.waiting())
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

/// Returns what is left of the limits of a budget. A limit of time applies to each update.
fn rest(budget: Budget, spent: &Usage) -> Budget {
    let mut rest = budget;
    rest.calls = budget.calls.map(|calls| calls.saturating_sub(spent.requests));
    rest.tokens = budget.tokens.map(|tokens| tokens.saturating_sub(spent.total_tokens()));
    rest.usd = budget.usd.map(|usd| (usd - spent.cost_usd.unwrap_or_default()).max(0.0));
    rest
}
