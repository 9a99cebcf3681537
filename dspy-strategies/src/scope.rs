//! Scopes of constraints: what becomes of one that does not hold, and what was noted about those that did not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::Location;
use std::sync::{Arc, Mutex, OnceLock};

use dspy_base::locks::MutexExt as _;
use dspy_core::program::{HasPredictors, HeldTrace, RunningTrace, Trace, hold_trace, part, with_part};

/// The place of a constraint in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    column: u32,
}

impl Place {
    #[track_caller]
    pub(crate) fn of_caller() -> Self {
        let at = Location::caller();
        Place { file: at.file(), line: at.line(), column: at.column() }
    }
}

/// A constraint that does not hold.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) hard: bool,
    pub(crate) place: Place,
    /// The address of the predictor that is responsible.
    pub(crate) responsible: Option<usize>,
}

/// Something was refused, and the path of the predictor that had returned last.
#[derive(Debug, Clone)]
pub(crate) struct Noticed {
    pub(crate) refused: Refused,
    pub(crate) latest: Option<Arc<str>>,
}

/// A part of a program, such as an attempt of a `Backtrack`.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// The number of further attempts that each constraint is given; `None` where nothing is attempted again.
    retries: Option<usize>,
    /// The suggestions that no longer lead to another attempt.
    exhausted: HashSet<Place>,
    /// The positions of the predictors in the program, by their address.
    positions: HashMap<usize, usize>,
    trace: OnceLock<RunningTrace>,
    noted: Mutex<Noted>,
    /// The refusals, whoever handled the errors: of each place the first by message and predictor, since calls may be
    /// concurrent.
    noticed: Mutex<BTreeMap<Place, Noticed>>,
}

impl Scope {
    /// The scope of an attempt of `program`.
    pub(crate) fn attempt(
        program: &impl HasPredictors,
        retries: usize,
        exhausted: HashSet<Place>,
    ) -> Arc<Self> {
        let named = program.named_predictors().into_iter().enumerate();
        let positions =
            named.map(|(at, (_, predictor))| (std::ptr::from_ref(predictor).addr(), at)).collect();
        Arc::new(Scope { retries: Some(retries), exhausted, positions, ..Scope::default() })
    }

    /// Runs the attempt.
    pub(crate) async fn enter<F: Future>(self: &Arc<Self>, attempt: F) -> F::Output {
        if let Some(trace) = RunningTrace::current() {
            // A scope is entered once.
            let _ = self.trace.set(trace);
        }
        with_part(self.clone(), attempt).await
    }

    /// Takes what was refused, in the order of the source.
    pub(crate) fn noticed(&self) -> Vec<Noticed> {
        std::mem::take(&mut *self.noticed.lock_any()).into_values().collect()
    }

    pub(crate) fn noted(&self) -> Noted {
        std::mem::take(&mut *self.noted.lock_any())
    }

    fn notice(&self, refused: &Refused) {
        let latest = self.trace.get().and_then(RunningTrace::latest);
        let new = Noticed { refused: refused.clone(), latest };
        let mut noticed = self.noticed.lock_any();
        let first = match noticed.remove(&refused.place) {
            Some(earlier) if self.order(&earlier) <= self.order(&new) => earlier,
            _ => new,
        };
        noticed.insert(refused.place, first);
    }

    fn order<'n>(&self, Noticed { refused, latest }: &'n Noticed) -> impl Ord + use<'n> {
        let position = refused.responsible.and_then(|address| self.positions.get(&address).copied());
        (refused.message.as_str(), position, latest.as_deref())
    }
}

/// Decides about a constraint that does not hold: whether it is an error here, or noted and passed over.
pub(crate) fn is_error(refused: &Refused) -> bool {
    let Some(scope) = part::<Scope>() else { return refused.hard };
    match scope.retries {
        Some(_) if refused.hard || !scope.exhausted.contains(&refused.place) => {
            scope.notice(refused);
            true
        }
        None if refused.hard => true,
        _ => {
            scope.noted.lock_any().failed.insert((refused.place, refused.message.clone()));
            false
        }
    }
}

/// The way in which a part of a program with a result of its own treats constraints, as the scope around it says.
pub(crate) enum Around {
    /// There is no scope.
    Nothing,
    /// Suggestions are passed over.
    Passes,
    /// Each constraint is given this number of further attempts.
    Retries(usize),
}

impl Around {
    pub(crate) fn current() -> Self {
        part::<Scope>().map_or(Around::Nothing, |scope| scope.retries.map_or(Around::Passes, Around::Retries))
    }
}

/// Runs a part of a program whose caller handles its errors and does not attempt it again: suggestions are noted there and
/// passed over.
pub(crate) async fn passing<F: Future>(work: F) -> (F::Output, Noted) {
    let scope = Arc::new(Scope::default());
    let output = with_part(scope.clone(), work).await;
    (output, scope.noted())
}

/// The notes about a part of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    pub(crate) backtracks: usize,
    /// The suggestions that were passed over: a set in the order of the source, since calls may be concurrent.
    failed: BTreeSet<(Place, String)>,
}

impl Noted {
    /// Adds this to what is noted of the part around.
    pub(crate) fn keep(self) {
        if let Some(scope) = part::<Scope>() {
            let mut noted = scope.noted.lock_any();
            noted.backtracks += self.backtracks;
            noted.failed.extend(self.failed);
        }
    }

    /// Returns the messages of the suggestions that were passed over.
    pub(crate) fn messages(&self) -> Vec<&str> {
        let mut known = HashSet::new();
        self.failed
            .iter()
            .map(|(_, message)| message.as_str())
            .filter(|message| known.insert(*message))
            .collect()
    }
}

/// The trace and the notes of a run, which count only if they are kept.
#[must_use = "nothing is in traces or noted unless it is kept"]
pub(crate) struct Held {
    trace: HeldTrace,
    noted: Noted,
}

impl Held {
    pub(crate) fn trace(&self) -> Trace {
        self.trace.trace()
    }

    pub(crate) fn keep(self) {
        self.trace.keep();
        self.noted.keep();
    }
}

/// Runs a part of a program and holds back its trace and its notes.
pub(crate) async fn held<F: Future<Output = (T, Noted)>, T>(part: F) -> (T, Held) {
    let ((output, noted), trace) = hold_trace(part).await;
    (output, Held { trace, noted })
}
