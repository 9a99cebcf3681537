//! The study: one optimization of one program.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dspy_core::Seed;
use dspy_core::error::BoxError;
use dspy_core::evaluate::Evaluate;
use dspy_core::lm::{Budget, Limit, Tally, Usage};

use super::{ExampleFor, Program, Stop, StudyBuilder};
use crate::budget::{Closed, Ledger};
use crate::data::{Data, RowSet, Rows};
use crate::events::{Events, StudyEvent};
use crate::journal::{Journal, program_identity};
use crate::options::{Options, SharedMetric};
use crate::report::{Parameters, Trial};
use crate::verify::Verify;
use crate::{Candidate, OptimizeError, digest};

/// One optimization of one program: its rows, its metric, its journal, its budget, and what it has found.
///
/// See the [module](super) for what it does and for an example.
pub struct Study<'d, P: Program, E> {
    pub(super) optimizer: String,
    /// The name inside of another study, with the separator at its end; empty for the outermost.
    pub(super) name: String,
    pub(super) options: Options,
    /// The folder of the journal, that of the outermost study.
    pub(super) run_dir: Option<PathBuf>,
    pub(super) program: P,
    pub(super) initial: Parameters,
    pub(super) teacher: Option<P>,
    pub(super) train: Rows<'d, E>,
    pub(super) val: Rows<'d, E>,
    /// Rows to verify on, or how many there are where these are too few.
    pub(super) holdout: Result<Rows<'d, E>, usize>,
    pub(super) verify: Option<Verify>,
    pub(super) journal: Arc<Journal>,
    /// Pays for the search.
    pub(super) ledger: Arc<Ledger>,
    /// Pays for everything.
    pub(super) whole: Arc<Ledger>,
    pub(super) events: Arc<Events>,
    pub(super) evaluate: Evaluate<SharedMetric<E, P::Output>>,
    /// On how many examples the metric has failed.
    pub(super) metric_failures: AtomicUsize,
    pub(super) found: Mutex<Found<P>>,
}

/// What a study has found so far.
pub(super) struct Found<P> {
    pub(super) trials: Vec<Trial>,
    /// The program of each trial.
    pub(super) programs: Vec<P>,
    /// The trial that the algorithm has chosen itself.
    pub(super) chosen: Option<usize>,
    /// The most that a rollout has cost, of each amount.
    pub(super) dearest: Dearest,
}

impl<P> Default for Found<P> {
    fn default() -> Self {
        Found { trials: Vec::new(), programs: Vec::new(), chosen: None, dearest: Dearest::default() }
    }
}

/// The most that one rollout has cost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dearest {
    calls: u64,
    tokens: u64,
    usd: f64,
}

impl Dearest {
    pub(super) fn look_at(&mut self, usage: &Usage) {
        self.calls = self.calls.max(usage.requests);
        self.tokens = self.tokens.max(usage.total_tokens());
        self.usd = self.usd.max(usage.cost_usd.unwrap_or_default());
    }

    /// The limit that so many such rollouts would reach.
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
    /// Begins to set up a study of that optimizer.
    pub fn builder<T: RowSet<E>>(
        optimizer: impl Into<String>,
        program: P,
        data: &'d Data<P, T>,
    ) -> StudyBuilder<'d, P, T> {
        StudyBuilder::new(optimizer.into(), program, data)
    }

    /// Scores a candidate on the [valset](Self::val) and records it as a trial of that label. Returns its mean score.
    ///
    /// # Errors
    /// If it cannot be applied to the program, or the search has to stop.
    pub async fn score(&self, label: impl Into<String>, candidate: &Candidate) -> Result<f64, Stop> {
        let label = label.into();
        let program = candidate.applied_to(&self.program)?;
        self.phase(&label, self.val.len());
        let scores = self.evaluate(&self.scope_of(&program), &program, &self.val).await?;
        let trial = Trial::new(label, &program).scored(&scores);
        self.record(trial, program);
        Ok(scores.mean)
    }

    /// Returns a scope for a program that is named by its content: its prompts, models and parameters. Equal programs
    /// have equal scopes, so that none is run twice on a row.
    pub fn scope_of(&self, program: &P) -> String {
        format!("program-{}", digest::of_value(&program_identity(program)))
    }

    /// Announces a phase of so many steps, to the progress bar and to listeners.
    pub fn phase(&self, name: &str, steps: usize) {
        self.events.tell(&StudyEvent::Phase { name: name.to_owned(), steps });
    }

    /// Records a trial and its program, and returns its place in the report. The trial with the highest score is the
    /// result, of equals the first, unless another one is [chosen](Self::choose).
    pub fn record(&self, trial: Trial, program: P) -> usize {
        let (index, event) = {
            let mut found = self.found();
            let index = found.trials.len();
            let event = StudyEvent::Trial { index, label: trial.label.clone(), score: trial.score };
            found.trials.push(trial);
            found.programs.push(program);
            (index, event)
        };
        self.events.tell(&event);
        index
    }

    /// Makes a recorded trial the result, whatever its score.
    pub fn choose(&self, trial: usize) {
        let mut found = self.found();
        if trial < found.trials.len() {
            found.chosen = Some(trial);
        }
    }
}

impl<'d, P: Program, E> Study<'d, P, E> {
    /// Returns the program as it was given.
    pub fn program(&self) -> &P {
        &self.program
    }

    /// Returns the teacher that was given, if one was.
    pub fn teacher(&self) -> Option<&P> {
        self.teacher.as_ref()
    }

    /// Returns the rows to learn from.
    pub fn train(&self) -> &Rows<'d, E> {
        &self.train
    }

    /// Returns the rows to select by: the valset, or the trainset where none was given.
    pub fn val(&self) -> &Rows<'d, E> {
        &self.val
    }

    /// Returns the root of all random decisions.
    pub fn seed(&self) -> Seed {
        Seed::new(self.options.seed)
    }

    /// Returns how many examples are worked on at a time.
    pub fn concurrency(&self) -> usize {
        self.options.concurrency
    }

    /// Returns the options that the study was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns what all calls so far have cost, those of killed processes included.
    pub fn spent(&self) -> Usage {
        self.tally().usage()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.journal.total(&self.name)
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Makes what was written safe against a power cut; at the end of each phase.
    pub(crate) fn sync(&self) -> Result<(), Stop> {
        Ok(self.journal.sync()?)
    }

    /// The limit that so many more rollouts would reach, if each costs what the dearest so far has cost.
    ///
    /// What it says depends on what was spent, and after a resume all of that was spent before. So it may only decide
    /// whether something is begun of which nothing is in the journal.
    pub(crate) fn lacks(&self, rollouts: usize) -> Option<Limit> {
        let dearest = self.found().dearest;
        dearest.exceeds(rollouts, self.ledger.remaining())
    }

    /// What a reader of the report should know about the study.
    pub(super) fn warnings(&self) -> Vec<String> {
        let unpriced = self.ledger.unpriced();
        let warning = |model| {
            format!("`{model}` reports no price and has none, so the limit in US dollars was not enforced")
        };
        unpriced.map(warning).into_iter().chain(self.journal.loss()).collect()
    }

    /// The reason for which calls are refused.
    pub(super) fn closed(&self) -> Option<Stop> {
        match self.ledger.closed()? {
            Closed::Limit(limit) => Some(Stop::Budget(limit)),
            Closed::UnknownPrice(model) => Some(OptimizeError::UnknownPrice { model }.into()),
            // The error itself comes out of the effect that has met it.
            Closed::Aborted => None,
        }
    }

    pub(super) fn outage(&self, source: BoxError) -> Stop {
        self.ledger.abort();
        OptimizeError::Outage { source, run_dir: self.run_dir.clone() }.into()
    }

    /// Counts a failure of the metric; too many end the study.
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
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
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
