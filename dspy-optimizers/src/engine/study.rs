//! Studies: the execution of an optimization.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dspy_base::digest::Digest;
use dspy_base::locks::MutexExt as _;
use dspy_core::Seed;
use dspy_core::error::BoxError;
use dspy_core::evaluate::Evaluate;
use dspy_core::lm::{Budget, Limit, Tally, Usage};

use super::running::Running;
use super::{ExampleFor, Program, Stop, StudyBuilder};
use crate::budget::{Closed, Ledger};
use crate::component::Candidate;
use crate::data::{Data, RowSet, Rows};
use crate::error::OptimizeError;
use crate::events::{Events, StudyEvent};
use crate::headroom::Headroom;
use crate::identity::program_identity;
use crate::journal::Journal;
use crate::metric::SharedMetric;
use crate::options::Options;
use crate::report::{Parameters, Trial};
use crate::verify::Verify;

/// The beginning of a scope that is derived from the content of a program.
pub(super) const PROGRAM: &str = "program-";

/// An optimization of one program: its rows, metric, journal, budget and the trials so far.
///
/// The [module](super) has an overview and an example.
pub struct Study<'d, P: Program, E> {
    pub(super) optimizer: String,
    /// The name within the enclosing study, with a trailing separator; empty for the outermost study.
    pub(super) name: String,
    pub(super) options: Options,
    /// The folder of the journal, which belongs to the outermost study.
    pub(super) run_dir: Option<PathBuf>,
    pub(super) program: P,
    pub(super) initial: Parameters,
    pub(super) teacher: Option<P>,
    pub(super) train: Rows<'d, E>,
    pub(super) val: Rows<'d, E>,
    pub(super) given_val: bool,
    /// The rows to verify on, or their number if there are too few.
    pub(super) holdout: Result<Rows<'d, E>, usize>,
    pub(super) verify: Option<Verify>,
    pub(super) journal: Arc<Journal>,
    /// The ledger of the search.
    pub(super) ledger: Arc<Ledger>,
    /// The ledger of the whole study.
    pub(super) overall: Arc<Ledger>,
    pub(super) events: Arc<Events>,
    pub(super) evaluate: Evaluate<SharedMetric<E, P::Output>>,
    /// The number of examples on which the metric has failed.
    pub(super) metric_failures: AtomicUsize,
    pub(super) running: Running,
    /// The names of the studies whose rollouts are also those of this one.
    pub(super) shares: Mutex<Vec<String>>,
    pub(super) found: Mutex<Found<P>>,
}

/// The trials so far.
pub(super) struct Found<P> {
    pub(super) trials: Vec<Trial>,
    /// The program of each trial.
    pub(super) programs: Vec<P>,
    /// The index of the trial that the algorithm has chosen.
    pub(super) chosen: Option<usize>,
    pub(super) peak_cost: PeakCost,
    /// The warnings of the algorithm.
    pub(super) warnings: Vec<String>,
    /// The headroom that the original program leaves, once it is known.
    pub(super) headroom: Option<Headroom>,
    /// The decisions of the algorithm with their reasons.
    pub(super) decisions: Vec<String>,
}

impl<P> Default for Found<P> {
    fn default() -> Self {
        Found {
            trials: Vec::new(),
            programs: Vec::new(),
            chosen: None,
            peak_cost: PeakCost::default(),
            warnings: Vec::new(),
            headroom: None,
            decisions: Vec::new(),
        }
    }
}

/// The highest cost of a rollout so far, per unit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PeakCost {
    calls: u64,
    tokens: u64,
    usd: f64,
}

impl PeakCost {
    pub(super) fn look_at(&mut self, usage: &Usage) {
        self.calls = self.calls.max(usage.requests);
        self.tokens = self.tokens.max(usage.total_tokens());
        self.usd = self.usd.max(usage.cost_usd.unwrap_or_default());
    }

    /// Returns the limit that this many rollouts at the peak cost would exceed.
    fn exceeds(self, rollouts: usize, left: Budget) -> Option<Limit> {
        let count = rollouts as u64;
        let over = |left: Option<u64>, each: u64| left.is_some_and(|left| each.saturating_mul(count) > left);
        if over(left.calls, self.calls) {
            Some(Limit::Calls)
        } else if over(left.tokens, self.tokens) {
            Some(Limit::Tokens)
        } else {
            left.usd.filter(|left| self.usd * rollouts as f64 > *left).map(|_| Limit::Usd)
        }
    }
}

impl<'d, P: Program, E: ExampleFor<P>> Study<'d, P, E> {
    /// Creates a builder for a study of the named optimizer.
    pub fn builder<T: RowSet<E>>(
        optimizer: impl Into<String>,
        program: P,
        data: &'d Data<P, T>,
    ) -> StudyBuilder<'d, P, T> {
        StudyBuilder::new(optimizer.into(), program, data)
    }

    /// Scores a candidate on the [valset](Self::val), records it as a trial with this label, and returns its
    /// mean score.
    ///
    /// # Errors
    /// If the candidate cannot be applied to the program, or the search has to stop.
    pub async fn score(&self, label: impl Into<String>, candidate: &Candidate) -> Result<f64, Stop> {
        let label = label.into();
        let program = candidate.applied_to(&self.program)?;
        self.phase(&label, self.val.len());
        let scores = self.evaluate(&self.scope_of(&program), &program, &self.val).await?;
        let trial = Trial::new(label, &program).scored(&scores);
        self.record(trial, program);
        Ok(scores.mean)
    }

    /// Returns a scope derived from the content of a program: its prompts, models and parameters. Equal
    /// programs have equal scopes, so no program is run twice on a row.
    pub fn scope_of(&self, program: &P) -> String {
        format!("{PROGRAM}{}", Digest::new().add_value(&program_identity(program)).short())
    }

    /// Reports the start of a phase with this many steps to the progress bar and to listeners.
    pub fn phase(&self, name: &str, steps: usize) {
        self.events.emit(&StudyEvent::Phase { name: name.to_owned(), steps });
    }

    /// Records a trial with its program and returns its index in the report. The result of the study is the
    /// trial with the highest score, the first one in case of ties, unless another one is
    /// [chosen](Self::choose).
    pub fn record(&self, trial: Trial, program: P) -> usize {
        let (index, event) = {
            let mut found = self.found();
            let index = found.trials.len();
            let event = StudyEvent::Trial { index, label: trial.label.clone(), score: trial.score };
            found.trials.push(trial);
            found.programs.push(program);
            (index, event)
        };
        self.events.emit(&event);
        index
    }

    /// Sets the result of the study to a recorded trial, regardless of its score. An index out of range has
    /// no effect.
    pub fn choose(&self, trial: usize) {
        let mut found = self.found();
        if trial < found.trials.len() {
            found.chosen = Some(trial);
        }
    }
}

impl<'d, P: Program, E> Study<'d, P, E> {
    /// Returns the original program.
    pub fn program(&self) -> &P {
        &self.program
    }

    /// Returns the teacher, if the data has one.
    pub fn teacher(&self) -> Option<&P> {
        self.teacher.as_ref()
    }

    /// Returns the rows to learn from.
    pub fn train(&self) -> &Rows<'d, E> {
        &self.train
    }

    /// Returns the rows to score candidates on: the valset, or the trainset if there is none.
    pub fn val(&self) -> &Rows<'d, E> {
        &self.val
    }

    /// Returns whether the data has a valset. Otherwise [`val`](Self::val) is the trainset.
    pub(crate) fn has_valset(&self) -> bool {
        self.given_val
    }

    /// Returns the seed of all random decisions.
    pub fn seed(&self) -> Seed {
        Seed::new(self.options.seed)
    }

    /// Returns the largest number of examples in flight.
    pub fn concurrency(&self) -> usize {
        self.options.concurrency
    }

    /// Returns the options that the study was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns the cost of all calls so far, including those of earlier processes.
    pub fn spent(&self) -> Usage {
        self.tally().usage()
    }

    /// Adds a [warning](crate::Report::warnings) to the report, unless it has an equal one.
    pub fn warn(&self, warning: impl Into<String>) {
        let (warning, mut found) = (warning.into(), self.found());
        if !found.warnings.contains(&warning) {
            found.warnings.push(warning);
        }
    }

    /// Adds a [decision](crate::Report::decisions) with its reason to the report.
    pub fn decide(&self, decision: impl Into<String>) {
        self.found().decisions.push(decision.into());
    }

    pub(crate) fn tally(&self) -> Tally {
        self.journal.total(&self.name)
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Flushes the journal to disk, at the end of each phase.
    pub(crate) fn sync(&self) -> Result<(), Stop> {
        Ok(self.journal.sync()?)
    }

    /// Returns the limit that this many more rollouts would exceed, each at the highest cost so far.
    ///
    /// On resume, everything in the journal counts as spent from the start, so the result may differ from the
    /// first run. Use it only to decide whether to begin work that is not in the journal.
    pub(crate) fn would_exceed(&self, rollouts: usize) -> Option<Limit> {
        let peak_cost = self.found().peak_cost;
        peak_cost.exceeds(rollouts, self.ledger.remaining())
    }

    /// Returns the folder of the journal, which belongs to the outermost study.
    #[cfg(feature = "http")]
    pub(crate) fn run_dir(&self) -> Option<&std::path::Path> {
        self.run_dir.as_deref()
    }

    /// Returns the warnings of the report.
    pub(super) fn warnings(&self) -> Vec<String> {
        let unpriced = self.ledger.unpriced();
        let warning = |model| {
            format!(
                "the price of `{model}` is unknown, so the limit in US dollars was not enforced; set it with `Lm::price`"
            )
        };
        let own = std::mem::take(&mut self.found().warnings);
        unpriced.map(warning).into_iter().chain(self.journal.loss()).chain(own).collect()
    }

    /// Returns the reason why calls are refused, if they are.
    pub(super) fn closed(&self) -> Option<Stop> {
        match self.ledger.closed()? {
            Closed::Limit(limit) => Some(Stop::Budget(limit)),
            Closed::UnknownPrice(model) => Some(OptimizeError::UnknownPrice { model }.into()),
            // The effect that met the error returns it.
            Closed::Aborted => None,
        }
    }

    pub(crate) fn outage(&self, source: BoxError) -> Stop {
        self.ledger.abort();
        OptimizeError::Outage { source, run_dir: self.run_dir.clone() }.into()
    }

    /// Counts a failure of the metric.
    ///
    /// # Errors
    /// If there are more than `max_errors`.
    pub(super) fn metric_failed(&self, last: &str) -> Result<(), Stop> {
        let failed = self.metric_failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failed > self.options.max_errors { Err(self.metric_error(failed, last)) } else { Ok(()) }
    }

    pub(super) fn metric_error(&self, failed: usize, last: &str) -> Stop {
        self.ledger.abort();
        let run_dir = self.run_dir.clone();
        OptimizeError::Metric { failed, last: last.to_owned(), run_dir }.into()
    }

    pub(super) fn found(&self) -> MutexGuard<'_, Found<P>> {
        self.found.lock_any()
    }
}

impl<P: Program, E> std::fmt::Debug for Study<'_, P, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Study")
            .field("optimizer", &self.optimizer)
            .field("name", &self.name)
            .field("options", &self.options)
            .field("trials", &self.found().trials.len())
            .finish_non_exhaustive()
    }
}
