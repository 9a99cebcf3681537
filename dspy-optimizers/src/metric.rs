//! The metric of an optimizer, and its absence as a compile error.

use std::marker::PhantomData;
use std::sync::Arc;

use dspy_core::error::BoxError;
use dspy_core::evaluate::{Judged, Metric, Score};

/// A builder that has no metric yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetric;

/// A builder that has its metric.
#[derive(Debug)]
pub struct WithMetric<M>(pub(crate) Arc<M>);

impl<M> Clone for WithMetric<M> {
    fn clone(&self) -> Self {
        WithMetric(self.0.clone())
    }
}

/// Whether a builder has its metric. Only then it can build:
///
/// ```compile_fail
/// let optimizer = dspy_optimizers::BootstrapFewShot::builder().build(); // the optimizer has no metric
/// ```
#[diagnostic::on_unimplemented(
    message = "the optimizer has no metric",
    label = "call `.metric(…)` before this",
    note = "for example `.metric(|example: &Qa, output: &QaOutput| example.answer == output.answer)`"
)]
pub trait HasMetric {
    /// The type of the metric.
    type Metric;

    #[doc(hidden)]
    fn into_metric(self) -> Arc<Self::Metric>;
}

impl<M> HasMetric for WithMetric<M> {
    type Metric = M;

    fn into_metric(self) -> Arc<M> {
        self.0
    }
}

/// A metric that the evaluations of a run share, whatever the form of its closure.
pub(crate) struct Shared<M, K>(Arc<M>, PhantomData<fn() -> K>);

impl<M, K> Shared<M, K> {
    pub(crate) fn new(metric: &Arc<M>) -> Arc<Self> {
        Arc::new(Shared(metric.clone(), PhantomData))
    }
}

impl<E, O, K, M: Metric<E, O, K>> Metric<E, O> for Shared<M, K> {
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send {
        self.0.score(judged)
    }
}

/// A shared metric that a run holds.
pub(crate) struct Held<M>(pub(crate) Arc<M>);

impl<E, O, M: Metric<E, O>> Metric<E, O> for Held<M> {
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send {
        self.0.score(judged)
    }
}
