//! Studies inside of a study.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dspy_core::lm::Budget;

use super::{Program, Study};
use crate::budget::Ledger;
use crate::events::Events;
use crate::journal::Journal;

/// What studies that are started inside of another share with it.
pub(super) struct Outer {
    pub(super) journal: Arc<Journal>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) events: Arc<Events>,
    pub(super) run_dir: Option<PathBuf>,
    /// What one of them may spend.
    pub(super) budget: Budget,
    name: String,
    /// How many were started.
    started: AtomicUsize,
}

tokio::task_local! {
    static OUTER: Option<Arc<Outer>>;
}

impl Outer {
    /// The study that the current task is inside of.
    pub(super) fn current() -> Option<Arc<Self>> {
        OUTER.try_with(Clone::clone).ok().flatten()
    }

    /// The name for the next study.
    pub(super) fn next_name(&self) -> String {
        match self.started.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{}/", self.name),
            earlier => format!("{}#{}/", self.name, earlier + 1),
        }
    }
}

/// Runs a future outside of any study: a program may hold an optimizer itself.
pub(super) fn outside<F: Future>(work: F) -> impl Future<Output = F::Output> {
    OUTER.scope(None, work)
}

/// Carries what is set for the current task into `future`, the study that it is inside of included.
pub(crate) fn inherit<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let outer = Outer::current();
    dspy_core::program::inherit(async move {
        match outer {
            Some(outer) => OUTER.scope(Some(outer), future).await,
            None => future.await,
        }
    })
}

impl<P: Program, E> Study<'_, P, E> {
    /// Runs another optimizer inside of this study: on its journal, under that name, and paid from its budget, of which it
    /// gets no more than `budget`. Its own budget holds, too; it must have no `run_dir`. The time of both starts anew when
    /// the study resumes.
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
        let outer = Outer {
            journal: self.journal.clone(),
            ledger: self.ledger.clone(),
            events: self.events.clone(),
            run_dir: self.run_dir.clone(),
            budget,
            name: self.effect_name(name),
            started: AtomicUsize::new(0),
        };
        OUTER.scope(Some(Arc::new(outer)), work).await
    }
}
