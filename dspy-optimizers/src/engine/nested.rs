//! Studies inside another study.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::lm::Budget;

use super::{Program, Study};
use crate::budget::Ledger;
use crate::events::Events;
use crate::journal::Journal;

/// The parts of a study that the studies inside it share.
pub(super) struct Parent {
    pub(super) journal: Arc<Journal>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) events: Arc<Events>,
    pub(super) run_dir: Option<PathBuf>,
    /// The limits of each of them.
    pub(super) budget: Budget,
    name: String,
    /// The number of studies started so far.
    started: AtomicUsize,
}

tokio::task_local! {
    static PARENT: Option<Arc<Parent>>;
}

impl Parent {
    /// The study that encloses the current task.
    pub(super) fn current() -> Option<Arc<Self>> {
        PARENT.try_with(Clone::clone).ok().flatten()
    }

    /// The name of the next study.
    pub(super) fn next_name(&self) -> String {
        match self.started.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{}/", self.name),
            earlier => format!("{}#{}/", self.name, earlier + 1),
        }
    }
}

/// Runs a future outside any study: a program may run an optimizer itself.
pub(super) fn detached<F: Future>(work: F) -> impl Future<Output = F::Output> {
    PARENT.scope(None, work)
}

/// Carries the settings of the current task into `future`, the enclosing study included. Where the future is run inside
/// another study than the one that it was made in, that one encloses it.
pub(crate) fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let made_in = Parent::current();
    dspy_core::program::inherit(async move {
        let parent = PARENT.try_with(Clone::clone).unwrap_or(made_in);
        PARENT.scope(parent, future).await
    })
}

impl<P: Program, E> Study<'_, P, E> {
    /// Runs another optimizer inside this study: it writes to the same journal, under `name`, and spends the same budget,
    /// up to `budget`. Its own budget applies as well; it cannot have a `run_dir`. Time limits of nested optimizers start
    /// again on resume.
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
    pub async fn nested<F: Future>(&self, name: &str, budget: Budget, work: F) -> F::Output {
        let parent = Parent {
            journal: self.journal.clone(),
            ledger: self.ledger.clone(),
            events: self.events.clone(),
            run_dir: self.run_dir.clone(),
            budget,
            name: self.effect_name(name),
            started: AtomicUsize::new(0),
        };
        PARENT.scope(Some(Arc::new(parent)), work).await
    }
}
