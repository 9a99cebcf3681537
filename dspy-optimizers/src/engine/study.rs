//! Studies: the execution of an optimization.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use dspy_base::digest::Digest;
use dspy_base::locks::MutexExt as _;
use dspy_core::Seed;
use dspy_core::error::BoxError;
use dspy_core::evaluate::Evaluate;
use dspy_core::lm::{Budget, Limit, Tally, Usage};

use super::failures::Failures;
use super::found::Found;
use super::phase::CurrentPhase;
use super::running::Running;
use super::{ExampleFor, Program, Stop, StudyBuilder};
use crate::budget::{Closed, Ledger};
use crate::component::Candidate;
use crate::data::{Data, RowSet, Rows};
use crate::error::OptimizeError;
use crate::events::{Events, StudyEvent};
use crate::fruitless::Fruitless;
use crate::headroom::few_rows;
use crate::identity::program_identity;
use crate::journal::Journal;
use crate::options::Options;
use crate::report::{Parameters, Trial};
use crate::verify::Verify;
use dspy_core::evaluate::SharedMetric;

/// The phase of [`Study::score`].
const SEARCH: &str = "search";
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
    pub(super) failures: Mutex<Failures>,
    pub(super) running: Arc<Running>,
    /// The names of the studies whose rollouts are also those of this one.
    pub(super) shares: Mutex<Vec<String>>,
    pub(super) found: Mutex<Found<P>>,
    pub(super) phase: Mutex<CurrentPhase>,
    pub(super) started: Instant,
    /// A warning of a budget that may not pay for the verification.
    pub(super) shortage: Option<String>,
    /// The limits of this study.
    pub(super) budget: Budget,
    /// The number of rows that the original program runs on first.
    pub(super) first_rows: u64,
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
        self.part(SEARCH, &label, self.val.len());
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

    /// Records a trial with its program and returns its index in the report. The result of the study is the
    /// trial with the highest score, the first one in case of ties, unless another one is
    /// [chosen](Self::choose).
    ///
    /// Trials share equal states of predictors. Only a limited number of programs is kept; others are made again
    /// from the parameters of their trials when they are needed.
    pub fn record(&self, mut trial: Trial, program: P) -> usize {
        let (study, label, score, rows) =
            (self.name.clone(), trial.label.clone(), trial.score, trial.items.len());
        let (index, best, result) = {
            let mut found = self.found();
            trial.parameters = found.states.share(&trial.parameters);
            let (index, best) = found.add(trial, program, &self.program);
            let is_result = best && found.chosen.is_none() && found.announce(index);
            (index, best, is_result.then(|| self.best_event(&found, index)))
        };
        self.events.emit(&StudyEvent::Trial { study, index, label, score, rows, best });
        result.iter().for_each(|event| self.events.emit(event));
        index
    }

    /// Sets the result of the study to a recorded trial, regardless of its score. An index out of range has
    /// no effect.
    pub fn choose(&self, trial: usize) {
        let event = {
            let mut found = self.found();
            if trial >= found.trials.len() {
                return;
            }
            found.chosen = Some(trial);
            found.announce(trial).then(|| self.best_event(&found, trial))
        };
        event.iter().for_each(|event| self.events.emit(event));
    }

    fn best_event(&self, found: &Found<P>, trial: usize) -> StudyEvent {
        let Trial { label, score, .. } = &found.trials[trial];
        StudyEvent::Best { study: self.name.clone(), trial, label: label.clone(), score: *score }
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
    pub fn has_valset(&self) -> bool {
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
        let warning = warning.into();
        {
            let mut found = self.found();
            if found.warnings.contains(&warning) {
                return;
            }
            found.warnings.push(warning.clone());
        }
        self.warn_early(warning);
    }

    /// Reports a warning of something that may not happen, so that the report does not have it.
    pub(super) fn warn_early(&self, message: String) {
        self.events.emit(&StudyEvent::Warning { study: self.name.clone(), message });
    }

    /// Warns that only large gains can be told from luck on so many rows, if so.
    pub(crate) fn warn_of_few(&self, rows: usize) {
        let warning = few_rows(rows, self.options.best_score).filter(|_| self.name.is_empty());
        warning.into_iter().for_each(|warning| self.warn(warning));
    }

    /// Adds a [decision](crate::Report::decisions) with its reason to the report.
    pub fn decide(&self, decision: impl Into<String>) {
        self.found().decisions.push(decision.into());
    }

    /// Counts answers of a proposer for the predictor at a path that were no candidates.
    pub(crate) fn fruitless(&self, path: &str, answers: Fruitless) {
        if answers != Fruitless::default() {
            *self.found().fruitless.entry(path.to_owned()).or_default() += answers;
        }
    }

    /// Returns warnings about the answers counted so far, and forgets them.
    pub(crate) fn take_fruitless(&self) -> Vec<String> {
        let all = std::mem::take(&mut self.found().fruitless);
        all.iter().filter_map(|(path, answers)| answers.warning(path)).collect()
    }

    pub(crate) fn tally(&self) -> Tally {
        self.journal.total(&self.name)
    }

    /// Flushes the journal to disk, so that a power failure loses nothing; a killed process loses nothing
    /// without it. [`evaluate`](Self::evaluate) and [`race`](Self::race) do so at their ends.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn sync(&self) -> Result<(), Stop> {
        Ok(self.journal.sync()?)
    }

    /// Returns the limit that this many more rollouts would exceed, each at the highest cost so far.
    ///
    /// On resume, everything in the journal counts as spent from the start, so the result may differ from the
    /// first run. Use it only to decide whether to begin work that is [not in the journal](Self::knows).
    pub fn would_exceed(&self, rollouts: usize) -> Option<Limit> {
        let peak_cost = self.found().peak_cost;
        self.ledger.lacks(&|left| peak_cost.exceeds(rollouts, 0, left))
    }

    /// Returns the limit of the budget of this study that has ended work, its own or that of a nested study. A
    /// nested study that was ended by its own budget does not count.
    pub fn exhausted(&self) -> Option<Limit> {
        self.ledger.exhausted()
    }

    /// Returns the folder of the journal, which belongs to the outermost study.
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
        let fruitless = self.take_fruitless();
        let failures = self.failures.lock_any().warnings(self.options.best_score, self.val.len());
        let listener = self.events.listener_panic().filter(|_| self.name.is_empty()).map(|message| {
            format!("the function of `on_event` panicked, so it has received no further events: {message}")
        });
        unpriced
            .map(warning)
            .into_iter()
            .chain(listener)
            .chain(self.journal.loss())
            .chain(own)
            .chain(fruitless)
            .chain(failures)
            .collect()
    }

    /// Returns the reason why calls are refused, if they are.
    /// Checks that calls can still be made.
    ///
    /// # Errors
    /// If the budget has ended.
    pub(crate) fn check_open(&self) -> Result<(), Stop> {
        let is_over = self.ledger.remaining().time.is_some_and(|time| time.is_zero());
        self.closed().or(is_over.then_some(Stop::Budget(Limit::Time))).map_or(Ok(()), Err)
    }

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
        OptimizeError::Outage { source, run_dir: self.run_dir.clone(), online: false }.into()
    }

    /// Returns the error of a panic of a function that the search has called.
    pub(super) fn panicked(&self, callback: String, panic: &(dyn std::any::Any + Send)) -> Stop {
        self.ledger.abort();
        OptimizeError::panicked(callback, panic, self.run_dir.clone()).into()
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
