//! The engine: carries effects out, each under its name, within the budget, written to the journal.

mod evaluate;
mod rollout;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::evaluate::{Evaluate, Metric};
use dspy_core::lm::{LmScope, Tally, current_scope};
use dspy_core::program::Module;
use dspy_core::signature::Example;
use serde_json::Value;

pub(crate) use self::rollout::{Outcome, Rollout, Step, Task};
use crate::OptimizeError;
use crate::budget::{Closed, Ledger, Limit};
use crate::journal::{CallScope, Header, Journal};
use crate::metric::Held;
use crate::options::Options;
use crate::progress::Progress;

/// Why an algorithm goes no further.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The budget is used up: what there is so far is the result.
    Budget(Limit),
    /// The run fails.
    Error(Box<OptimizeError>),
}

impl<E: Into<OptimizeError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Halt::Error(Box::new(error.into()))
    }
}

/// One run of an optimizer.
pub(crate) struct Run<M> {
    options: Options,
    journal: Arc<Journal>,
    ledger: Arc<Ledger>,
    evaluate: Evaluate<Held<M>>,
    pub(crate) progress: Progress,
    /// On how many examples the metric has failed.
    metric_failures: AtomicUsize,
}

impl<M> Run<M> {
    /// Opens the journal, if there is one, and the account. `identity` is what the journal must agree with.
    pub(crate) fn start(
        options: Options,
        metric: Arc<M>,
        optimizer: &str,
        identity: Value,
    ) -> Result<Self, OptimizeError> {
        let journal = match &options.run_dir {
            Some(folder) => Journal::open(folder, &Header::new(optimizer, options.seed, identity))?,
            None => Journal::in_memory(),
        };
        let journal = Arc::new(journal);
        Ok(Run {
            ledger: Arc::new(Ledger::new(options.budget, &journal)),
            // Demonstrations are made from traces, and metrics of optimizers may look at them.
            evaluate: Evaluate::new(Held(metric)).traced(true),
            progress: Progress::new(options.progress),
            metric_failures: AtomicUsize::new(0),
            journal,
            options,
        })
    }

    /// How many examples are worked on at a time.
    pub(crate) fn concurrency(&self) -> usize {
        self.options.concurrency
    }

    /// What all calls have cost, those of killed attempts included.
    pub(crate) fn spent(&self) -> Tally {
        self.journal.total()
    }

    /// Makes what was written safe against a power cut; at the end of each phase.
    pub(crate) fn sync(&self) -> Result<(), Halt> {
        Ok(self.journal.sync()?)
    }

    /// What a reader of the report should know about the run.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let unpriced = self.ledger.unpriced();
        let warning = |model| {
            format!("`{model}` reports no price and has none, so the limit in US dollars was not enforced")
        };
        unpriced.map(warning).into_iter().chain(self.journal.loss()).collect()
    }

    /// The scope for the calls of one effect: first the journal, then what the user has set, at last the budget.
    fn scope(&self, calls: Arc<CallScope>) -> LmScope {
        current_scope().within(self.ledger.account()).layered(calls)
    }

    /// The reason for which calls are refused.
    fn closed(&self) -> Option<Halt> {
        match self.ledger.closed()? {
            Closed::Limit(limit) => Some(Halt::Budget(limit)),
            Closed::UnknownPrice(model) => Some(OptimizeError::UnknownPrice { model }.into()),
            // The error itself comes out of the effect that has met it.
            Closed::Aborted => None,
        }
    }

    fn outage(&self, source: dspy_core::error::BoxError) -> Halt {
        self.ledger.abort();
        OptimizeError::Outage { source, run_dir: self.options.run_dir.clone() }.into()
    }

    /// Counts a failure of the metric; too many end the run.
    fn metric_failed(&self, last: &str) -> Result<(), Halt> {
        let failed = self.metric_failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failed > self.options.max_errors { Err(self.metric_error(failed, last)) } else { Ok(()) }
    }

    fn metric_error(&self, failed: usize, last: &str) -> Halt {
        self.ledger.abort();
        let run_dir = self.options.run_dir.clone();
        OptimizeError::Metric { failed, last: last.to_owned(), run_dir }.into()
    }
}

/// What the engine needs of program, example and metric, for short.
pub(crate) trait Fits<P, E>: Metric<E, P::Output> + 'static
where
    P: Program,
    E: Row<P>,
{
}

impl<M, P, E> Fits<P, E> for M
where
    P: Program,
    E: Row<P>,
    M: Metric<E, P::Output> + 'static,
{
}

/// A program that can be optimized.
pub(crate) trait Program: Module<Output: Sync> + Clone + 'static {}

impl<P: Module<Output: Sync> + Clone + 'static> Program for P {}

/// An example for a program.
pub(crate) trait Row<P: Module>: Example<Input: Into<P::Input>> {}

impl<P: Module, E: Example<Input: Into<P::Input>>> Row<P> for E {}
