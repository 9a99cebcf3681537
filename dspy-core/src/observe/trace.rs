//! Traces of programs: every predictor call with its path, inputs and outputs.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::lazy;
use serde::{Deserialize, Serialize};

use super::paths::{Named, Paths, PredictorRef};
use super::watch::Watched;
use crate::lm::Usage;
use crate::locks::MutexExt as _;
use crate::signature::{Demo, Values};

/// The largest number of steps in a trace; later ones are only counted.
const LONGEST: usize = 10_000;

/// One call of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceStep {
    /// The path of the predictor in the program that was run, e.g. `generate_query.predict`.
    pub predictor: String,
    /// The input values.
    pub inputs: Values,
    /// The demonstrations of a [training row](crate::finetune::TrainingSet::add_trace) of the call, if the program
    /// selects them for each input, as `NearestDemos` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demos: Option<Vec<Demo>>,
    /// The output values; empty if the call failed.
    pub outputs: Values,
    /// The last reply of the model, unmodified.
    pub reply: String,
    /// The usage of the call, all attempts included.
    pub usage: Usage,
    /// The error, if the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The predictor calls of a run, in the order in which they started.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trace {
    /// The calls.
    pub steps: Vec<TraceStep>,
    /// The number of calls beyond the limit of a trace (10,000), which are not in `steps`.
    #[serde(default)]
    pub dropped: u64,
}

/// Runs `future` and returns its output together with a trace of the predictor calls made in it, concurrent
/// and [spawned](crate::program::spawn) ones included.
///
/// Paths are relative to the program that is called inside `future`.
pub fn trace<F: Future>(future: F) -> impl Future<Output = (F::Output, Trace)> {
    let (scope, made_in) = (Arc::new(TraceScope::default()), Watched::current());
    let traced = scope.clone();
    // An async block would hold the future twice.
    let work = lazy(move |_| Watched::current().or(made_in).traced(traced).enter(future)).flatten();
    work.map(move |output| (output, scope.finish()))
}

/// Runs `future` and returns its output together with its trace, which is held back: the enclosing trace has these steps
/// only if they are [kept](HeldTrace::keep). For strategies that run a program several times and return the best
/// result, so that no optimizer learns from the others.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{Module, Settings, hold_trace, trace};
/// use dspy_core::signature::Values;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let program = DynPredict::new("question -> answer".parse()?)
///     .with_lm(Lm::scripted(["[[ ## answer ## ]]\nno", "[[ ## answer ## ]]\nyes"]));
/// let ask = || program.call(Values::from_iter([("question".to_owned(), "Is it?".into())]));
/// let (best, trace) = trace(async {
///     let (first, _) = hold_trace(ask()).await;
///     let (second, steps) = hold_trace(Settings::new().sample(1).scope(ask())).await;
///     steps.keep();
///     second
/// })
/// .await;
/// assert_eq!(best?["answer"], "yes");
/// assert_eq!(trace.steps.len(), 1);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
pub fn hold_trace<F: Future>(future: F) -> impl Future<Output = (F::Output, HeldTrace)> {
    let made_in = Watched::current();
    lazy(move |_| {
        let watched = Watched::current().or(made_in);
        let outer = watched.trace.clone();
        let scope = Arc::new(TraceScope { outer, ..TraceScope::default() });
        let held = scope.clone();
        watched.traced(scope).enter(future).map(move |output| (output, HeldTrace { scope: held }))
    })
    .flatten()
}

/// The trace of a part of a program, of which the enclosing trace knows nothing yet; see [`hold_trace`]. Dropping it
/// discards the steps.
#[derive(Debug)]
#[must_use = "the steps are in no trace unless they are kept"]
pub struct HeldTrace {
    scope: Arc<TraceScope>,
}

impl HeldTrace {
    /// Returns the steps, with paths relative to the program that was called.
    pub fn trace(&self) -> Trace {
        self.scope.trace()
    }

    /// Adds the steps to the enclosing trace, as if they had been made there now, one after the other.
    pub fn keep(self) {
        let Some(outer) = &self.scope.outer else { return };
        let Inner { mut steps, dropped } = std::mem::take(&mut *self.scope.inner.lock_any());
        steps.sort_by_key(|step| step.order);
        for Recorded { mut outer_paths, mut step, .. } in steps {
            if outer_paths.is_empty() {
                continue;
            }
            outer_paths.remove(0).as_ref().clone_into(&mut step.predictor);
            outer.push(Recorded { order: outer.start(), outer_paths, step });
        }
        outer.inner.lock_any().dropped += dropped;
    }
}

/// The trace of a task while it runs, for strategies that have to know what a call can depend on.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{Module, RunningTrace, hold_trace};
/// use dspy_core::signature::Values;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let program = DynPredict::new("question -> answer".parse()?)
///     .with_lm(Lm::scripted(["[[ ## answer ## ]]\nyes"]));
/// let question = Values::from_iter([("question".to_owned(), "Is it?".into())]);
/// let (ended, steps) = hold_trace(async {
///     let trace = RunningTrace::current();
///     program.call(question).await?;
///     Ok::<_, dspy_core::Error>(trace.map(|trace| trace.ended().len()))
/// })
/// .await;
/// steps.keep();
/// assert_eq!(ended?, Some(1));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RunningTrace(Arc<TraceScope>);

impl RunningTrace {
    /// Returns the innermost trace of the current task, such as that of [`hold_trace`].
    pub fn current() -> Option<Self> {
        Watched::current().trace.map(RunningTrace)
    }

    /// Returns the paths of the predictors of which a call has ended, also where its step is held back further inside.
    pub fn ended(&self) -> Arc<BTreeSet<Arc<str>>> {
        self.0.ended.lock_any().paths.clone()
    }

    /// Returns the path of the predictor whose call ended last, also where its step is held back further inside.
    pub fn latest(&self) -> Option<Arc<str>> {
        self.0.ended.lock_any().latest.clone()
    }
}

/// The collector of the steps of one trace.
#[derive(Debug, Default)]
pub(crate) struct TraceScope {
    /// The predictors of which a call has ended.
    ended: Mutex<Ended>,
    paths: Paths,
    next: AtomicU64,
    inner: Mutex<Inner>,
    /// The trace that these steps are held back from.
    outer: Option<Arc<TraceScope>>,
}

#[derive(Debug, Default)]
struct Ended {
    paths: Arc<BTreeSet<Arc<str>>>,
    latest: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Inner {
    steps: Vec<Recorded>,
    dropped: u64,
}

#[derive(Debug)]
struct Recorded {
    order: u64,
    /// The paths of the predictor in the traces that the step is held back from, the innermost first. They are
    /// determined at once, since the predictor may be gone when the step is kept.
    outer_paths: Vec<Arc<str>>,
    step: TraceStep,
}

impl TraceScope {
    /// Returns the position of a call that starts now in the order of calls.
    pub(crate) fn start(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds the paths of a program's predictors, here and in the traces that the steps are held back from.
    pub(super) fn register(&self, named: Named<'_>) {
        self.chain().for_each(|scope| scope.paths.register(named));
    }

    pub(super) fn register_copies(&self, pairs: &[(PredictorRef, PredictorRef)]) {
        self.chain().for_each(|scope| scope.paths.register_copies(pairs));
    }

    fn chain(&self) -> impl Iterator<Item = &TraceScope> {
        std::iter::successors(Some(self), |scope| scope.outer.as_deref())
    }

    pub(crate) fn record(&self, order: u64, predictor: PredictorRef, mut step: TraceStep) {
        let path_in = |scope: &TraceScope| {
            let path = scope.paths.of(predictor);
            let mut ended = scope.ended.lock_any();
            if !ended.paths.contains(&path) {
                Arc::make_mut(&mut ended.paths).insert(path.clone());
            }
            ended.latest = Some(path.clone());
            path
        };
        path_in(self).as_ref().clone_into(&mut step.predictor);
        let outer_paths = self.chain().skip(1).map(path_in).collect();
        self.push(Recorded { order, outer_paths, step });
    }

    fn push(&self, recorded: Recorded) {
        let mut inner = self.inner.lock_any();
        if inner.steps.len() >= LONGEST {
            inner.dropped += 1;
            return;
        }
        inner.steps.push(recorded);
    }

    fn trace(&self) -> Trace {
        let inner = self.inner.lock_any();
        let mut steps: Vec<_> = inner.steps.iter().map(|step| (step.order, &step.step)).collect();
        steps.sort_by_key(|(order, _)| *order);
        Trace { steps: steps.into_iter().map(|(_, step)| step.clone()).collect(), dropped: inner.dropped }
    }

    fn finish(&self) -> Trace {
        let mut inner = self.inner.lock_any();
        let mut steps = std::mem::take(&mut inner.steps);
        steps.sort_by_key(|step| step.order);
        Trace { steps: steps.into_iter().map(|recorded| recorded.step).collect(), dropped: inner.dropped }
    }
}
