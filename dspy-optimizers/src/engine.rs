//! Running candidate programs: shared concurrency, budget, journal.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dspy_core::evaluate::{Evaluate, Item, ItemError, Metric};
use dspy_core::lm::{
    BoxFuture, Layer, Lm, LmError, LmErrorKind, Next, Request, RequestDigest, Response, with_layer,
};
use dspy_core::program::{HasPredictors, Module};
use dspy_core::signature::{Example, FieldError};
use dspy_core::state::ProgramState;
use dspy_core::{Error, Seed};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};

use crate::budget::Meter;
use crate::journal::{Header, Journal, Rollout};
use crate::{Budget, OptimizeError};

/// How often an item is tried while the model cannot be reached. The transport has its own retries below that.
const TRIES: usize = 3;

/// What all optimizers let their users choose.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) budget: Budget,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) concurrency: usize,
    pub(crate) seed: u64,
    pub(crate) progress: bool,
    pub(crate) max_errors: usize,
}

impl Default for Common {
    fn default() -> Self {
        Common {
            budget: Budget::unlimited(),
            run_dir: None,
            concurrency: 8,
            seed: 0,
            progress: false,
            max_errors: 10,
        }
    }
}

/// Why an evaluation stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The budget is spent: the optimizer returns the best program so far.
    Budget(String),
    /// The run ends without a program.
    Failed(OptimizeError),
}

impl From<OptimizeError> for Stop {
    fn from(error: OptimizeError) -> Self {
        Stop::Failed(error)
    }
}

/// What one optimization runs with.
pub(crate) struct Engine<'m, M> {
    metric: &'m M,
    common: Common,
    journal: Arc<Journal>,
    meter: Arc<Meter>,
    bar: ProgressBar,
    metric_failures: Mutex<(usize, String)>,
}

impl<'m, M> Engine<'m, M> {
    /// Opens the journal of the run that these things identify.
    pub(crate) fn start<P: HasPredictors, E: Example>(
        metric: &'m M,
        common: &Common,
        optimizer: &str,
        options: &impl std::fmt::Debug,
        program: &P,
        data: &[&[E]],
    ) -> Result<Self, OptimizeError> {
        let mut digest = blake3::Hasher::new();
        for rows in data {
            digest.update(&(rows.len() as u64).to_le_bytes());
            for row in *rows {
                digest.update(format!("{:?}", row.values()?).as_bytes());
            }
        }
        let hex = |text: &str| blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
        let header = Header {
            format: 1,
            optimizer: optimizer.into(),
            options: format!("{options:?}"),
            data: digest.finalize().to_hex()[..16].to_owned(),
            program: hex(&ProgramState::of(program).to_json()),
            seed: common.seed,
        };
        let journal = Journal::open(common.run_dir.as_deref(), &header)?;
        let meter = Arc::new(Meter::new(common.budget, journal.paid()));
        let bar = if common.progress {
            let style = ProgressStyle::with_template("{prefix}  {bar:24} {pos}/{len}  {msg}  {elapsed}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        } else {
            ProgressBar::hidden()
        };
        Ok(Engine {
            metric,
            common: common.clone(),
            journal: Arc::new(journal),
            meter,
            bar,
            metric_failures: Mutex::default(),
        })
    }

    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.common.seed)
    }

    pub(crate) fn usage(&self) -> dspy_core::lm::Usage {
        self.meter.usage()
    }

    /// Shows a new phase on the terminal.
    pub(crate) fn phase(&self, name: &str, steps: usize, message: String) {
        self.bar.set_length(steps as u64);
        self.bar.set_position(0);
        self.bar.set_prefix(name.to_owned());
        self.bar.set_message(message);
    }

    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Runs a program on one example, or finds in the journal what came of it. `scope` names the rollout in the run.
    pub(crate) async fn rollout<P, E>(
        &self,
        program: &P,
        scope: &str,
        index: usize,
        example: &E,
        keep_steps: bool,
    ) -> Result<Rollout, Stop>
    where
        P: Module,
        P::Output: Sync,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        if let Some(known) = self.journal.rollout(scope) {
            self.note_metric_failure(&known)?;
            return Ok(known);
        }
        let metric = ByReference(self.metric);
        let evaluate = Evaluate::new(metric).traced(true);
        let mut tries = 0;
        loop {
            tries += 1;
            let recorder = Recorder::new(scope, self.journal.clone(), self.meter.clone());
            let spent = recorder.spent.clone();
            let item = with_layer(Arc::new(recorder), evaluate.item(program, index, example)).await;
            if let Some(limit) = spent.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return Err(Stop::Budget(limit));
            }
            if let Err(error) = &item.score
                && error.is_outage()
            {
                if tries < TRIES {
                    continue;
                }
                return Err(self.outage(item));
            }
            let rollout = to_rollout(item, keep_steps);
            self.journal.add_rollout(scope, &rollout)?;
            self.note_metric_failure(&rollout)?;
            return Ok(rollout);
        }
    }

    /// Runs a program on all examples. The result is in their order.
    pub(crate) async fn evaluate<P, E>(
        &self,
        program: &P,
        scope: &str,
        examples: &[E],
    ) -> Result<Vec<Rollout>, Stop>
    where
        P: Module,
        P::Output: Sync,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output>,
    {
        let mut rollouts: Vec<Option<Rollout>> = vec![None; examples.len()];
        let stopping = AtomicBool::new(false);
        let mut running = stream::iter(examples.iter().enumerate())
            .map(|(index, example)| {
                let stopping = &stopping;
                async move {
                    // Nothing new is begun once the run has to stop.
                    if stopping.load(Ordering::Relaxed) {
                        return None;
                    }
                    let scope = format!("{scope}/example-{index}");
                    Some((index, self.rollout(program, &scope, index, example, false).await))
                }
            })
            .buffer_unordered(self.common.concurrency.max(1));
        let mut stop = None;
        while let Some(done) = running.next().await {
            match done {
                Some((index, Ok(rollout))) => rollouts[index] = Some(rollout),
                Some((_, Err(reason))) => {
                    // What is under way is let finish: it has been paid for and belongs into the journal.
                    stopping.store(true, Ordering::Relaxed);
                    stop.get_or_insert(reason);
                }
                None => {}
            }
            self.step();
        }
        match stop {
            Some(reason) => Err(reason),
            None => Ok(rollouts.into_iter().flatten().collect()),
        }
    }

    fn outage<O>(&self, item: Item<O>) -> Stop {
        let source = match item.score {
            Err(ItemError::Program(error)) => error,
            Err(other) => Error::other(other),
            Ok(_) => Error::NoLm,
        };
        Stop::Failed(OptimizeError::Outage { source, journalled: self.journal.is_durable() })
    }

    /// Counts failures of the metric and ends the run when there are too many: scores without it mean nothing.
    fn note_metric_failure(&self, rollout: &Rollout) -> Result<(), OptimizeError> {
        if rollout.score.is_some() {
            return Ok(());
        }
        let mut failures = self.metric_failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.0 += 1;
        failures.1 = rollout.error.clone().unwrap_or_default();
        if failures.0 > self.common.max_errors {
            return Err(OptimizeError::Metric { failures: failures.0, message: failures.1.clone() });
        }
        Ok(())
    }
}

/// The mean score: failures of the program count as 0, failures of the metric not at all.
pub(crate) fn mean(rollouts: &[Rollout]) -> f64 {
    let scores: Vec<f64> = rollouts.iter().filter_map(|rollout| rollout.score).collect();
    if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 }
}

fn to_rollout<O>(item: Item<O>, keep_steps: bool) -> Rollout {
    let steps = item.trace.filter(|_| keep_steps).map(|trace| trace.steps).unwrap_or_default();
    match item.score {
        Ok(score) => Rollout { score: Some(score.value), feedback: score.feedback, error: None, steps },
        Err(error) => {
            let programs_fault = !matches!(error, ItemError::Metric(_) | ItemError::Example(_));
            let score = programs_fault.then_some(0.0);
            Rollout { score, feedback: None, error: Some(error.to_string()), steps }
        }
    }
}

/// A metric that is borrowed.
struct ByReference<'m, M>(&'m M);

impl<E: Sync, O: Sync, M: Metric<E, O>> Metric<E, O> for ByReference<'_, M> {
    async fn score(
        &self,
        judged: dspy_core::evaluate::Judged<'_, E, O>,
    ) -> Result<dspy_core::evaluate::Score, dspy_core::error::BoxError> {
        self.0.score(judged).await
    }
}

/// The layer that all calls of a rollout pass: from the journal if it has them, else within the budget and into it.
struct Recorder {
    scope: String,
    journal: Arc<Journal>,
    meter: Arc<Meter>,
    seen: Mutex<HashMap<RequestDigest, u32>>,
    /// The limit that refused a call.
    spent: Arc<Mutex<Option<String>>>,
}

impl Recorder {
    fn new(scope: &str, journal: Arc<Journal>, meter: Arc<Meter>) -> Self {
        Recorder { scope: scope.into(), journal, meter, seen: Mutex::default(), spent: Arc::default() }
    }
}

impl Layer for Recorder {
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let digest = request.digest();
            let nth = {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                let count = seen.entry(digest).or_default();
                *count += 1;
                *count
            };
            let mut identity = digest.to_string();
            let _ = write!(identity, " {} {}", lm.id(), lm.endpoint());
            let key = (self.scope.clone(), identity, nth);
            if let Some(known) = self.journal.call(&key) {
                return Ok(known);
            }
            let reservation = self.meter.reserve(request).map_err(|limit| {
                let message = format!("the budget of {limit} is used up");
                *self.spent.lock().unwrap_or_else(PoisonError::into_inner) = Some(limit);
                LmError::new(LmErrorKind::Budget, lm.id(), message)
            })?;
            let response = next.run(lm, request).await?;
            let noted = self.journal.add_call(key, &response);
            reservation.settle(&response);
            noted.map_err(|error| LmError::new(LmErrorKind::Other, lm.id(), error.to_string()))?;
            Ok(response)
        })
    }
}

/// The values of examples, for demonstrations.
pub(crate) fn values_of<E: Example>(examples: &[E]) -> Result<Vec<dspy_core::signature::Values>, FieldError> {
    examples.iter().map(Example::values).collect()
}
