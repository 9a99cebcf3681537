//! Traces of programs: every predictor call with its path, inputs and outputs.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::lazy;
use serde::{Deserialize, Serialize};

use super::paths::{Paths, PredictorRef};
use super::watch::Watched;
use crate::lm::Usage;
use crate::locks::MutexExt as _;
use crate::signature::Values;

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

/// The collector of the steps of one trace.
#[derive(Debug, Default)]
pub(crate) struct TraceScope {
    pub(super) paths: Paths,
    next: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    steps: Vec<(u64, TraceStep)>,
    dropped: u64,
}

impl TraceScope {
    /// Returns the position of a call that starts now in the order of calls.
    pub(crate) fn start(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn record(&self, order: u64, predictor: PredictorRef, mut step: TraceStep) {
        let mut inner = self.inner.lock_any();
        if inner.steps.len() >= LONGEST {
            inner.dropped += 1;
            return;
        }
        self.paths.of(predictor).as_ref().clone_into(&mut step.predictor);
        inner.steps.push((order, step));
    }

    fn finish(&self) -> Trace {
        let mut inner = self.inner.lock_any();
        let mut steps = std::mem::take(&mut inner.steps);
        steps.sort_by_key(|(order, _)| *order);
        Trace { steps: steps.into_iter().map(|(_, step)| step).collect(), dropped: inner.dropped }
    }
}
