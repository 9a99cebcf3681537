//! Nested studies.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use dspy_core::lm::{Budget, Limit, Usage};

use super::{Program, Study};
use crate::budget::Ledger;
use crate::events::{Events, Publisher, heard_by};
use crate::journal::Journal;

/// The parts of a study that its nested studies share.
pub(super) struct Parent {
    pub(super) journal: Arc<Journal>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) events: Arc<Events>,
    pub(super) run_dir: Option<PathBuf>,
    /// The limits of each nested study.
    pub(super) budget: Budget,
    /// The names of the studies whose rollouts are also those of the nested ones.
    pub(super) shares: Vec<String>,
    name: String,
    /// The number of studies started so far.
    started: AtomicUsize,
}

tokio::task_local! {
    static PARENT: Option<Arc<Parent>>;
}

impl Parent {
    /// Returns the study that encloses the current task.
    pub(super) fn current() -> Option<Arc<Self>> {
        PARENT.try_with(Clone::clone).ok().flatten()
    }

    /// Returns the name of the next nested study.
    pub(super) fn next_name(&self) -> String {
        match self.started.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{}/", self.name),
            earlier => format!("{}#{}/", self.name, earlier + 1),
        }
    }
}

/// Runs a future outside any study, so that a program that runs an optimizer starts an independent study, whose events
/// are not those of this one.
pub(super) fn detached<F: Future>(work: F) -> impl Future<Output = F::Output> {
    PARENT.scope(None, heard_by(None, work))
}

/// Runs `future` with the settings, the budgets, the enclosing study and the reader of events of the task that first
/// polls it. Those that this task lacks, as a spawned one does, are those of the current task.
pub(crate) fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let (made_in, made_for) = (Parent::current(), Publisher::current());
    // Boxed, as every wrapper would otherwise add the size of the future to its own.
    let future = Box::pin(future);
    dspy_core::program::inherit_unless_given(async move {
        let parent = PARENT.try_with(Clone::clone).unwrap_or(made_in);
        let publisher = Publisher::current_or(made_for);
        PARENT.scope(parent, heard_by(publisher, future)).await
    })
}

impl<P: Program, E> Study<'_, P, E> {
    /// Runs another optimizer inside this study. It writes to the same journal, under `name`, and spends from
    /// the same budget, up to `budget`. Its own budget applies as well; it cannot have a `run_dir`. Time
    /// limits of nested optimizers restart on resume.
    ///
    /// The future holds `work` in a box and does not borrow the study, so its size does not depend on the
    /// depth of nesting.
    ///
    /// ```
    /// # use dspy_optimizers::engine::{ExampleFor, Program, Stop, Study};
    /// # use dspy_optimizers::{BoxOptimizer, Budget, Optimized};
    /// async fn first<P: Program, E: ExampleFor<P>>(
    ///     study: &Study<'_, P, E>,
    ///     optimizer: &BoxOptimizer<P, E>,
    /// ) -> Result<Optimized<P>, Stop> {
    ///     use dspy_optimizers::Optimizer as _;
    ///     let work = optimizer.compile(study.program().clone(), study.train().clone());
    ///     Ok(study.nested("first", Budget::calls(200), work).await?)
    /// }
    /// ```
    pub fn nested<F: Future>(
        &self,
        name: &str,
        budget: Budget,
        work: F,
    ) -> impl Future<Output = F::Output> + use<P, E, F> {
        self.nest(name, budget, self.ledger.clone(), Vec::new(), work)
    }

    /// Runs another optimizer with the metric of this study, as [`nested`](Self::nested) does. Neither repeats the
    /// evaluations of the other, nor those of earlier optimizers that ran in this way. They must not run at the same
    /// time.
    pub(crate) fn nested_alike<F: Future>(
        &self,
        name: &str,
        budget: Budget,
        work: F,
    ) -> impl Future<Output = F::Output> + use<P, E, F> {
        let shares =
            std::iter::once(self.name.clone()).chain(self.shares.lock_any().iter().cloned()).collect();
        let work = self.nest(name, budget, self.ledger.clone(), shares, work);
        self.shares.lock_any().push(format!("{}/", self.effect_name(name)));
        work
    }

    /// Returns the cost of what ran nested under this name.
    pub(crate) fn spent_by(&self, name: &str) -> Usage {
        self.journal.total(&format!("{}/", self.effect_name(name))).usage()
    }

    /// Runs another optimizer as [`nested`](Self::nested) does, with this part of the remaining budget, and returns the
    /// limit of that part which has ended it, if one has. A limit of its own does not count.
    pub(crate) async fn nested_within<F: Future>(
        &self,
        name: &str,
        part: Budget,
        work: F,
    ) -> (F::Output, Option<Limit>) {
        let account = format!("{}/part", self.effect_name(name));
        let ledger = self.ledger.below(part, self.journal.history(&account, Duration::ZERO));
        let output = self.nest(name, Budget::UNLIMITED, ledger.clone(), Vec::new(), work).await;
        (output, ledger.exhausted())
    }

    fn nest<F: Future>(
        &self,
        name: &str,
        budget: Budget,
        ledger: Arc<Ledger>,
        shares: Vec<String>,
        work: F,
    ) -> impl Future<Output = F::Output> + use<P, E, F> {
        let parent = Parent {
            journal: self.journal.clone(),
            ledger,
            events: self.events.clone(),
            run_dir: self.run_dir.clone(),
            budget,
            shares,
            name: self.effect_name(name),
            started: AtomicUsize::new(0),
        };
        PARENT.scope(Some(Arc::new(parent)), Box::pin(work))
    }
}
