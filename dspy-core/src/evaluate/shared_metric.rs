//! Type-erased metrics.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Judged, Metric, Score};
use crate::error::BoxError;
use crate::lm::BoxFuture;

/// A type-erased metric for examples `E` and outputs `O`, the form in which optimizers and strategies hold it.
/// Clones share the metric.
///
/// ```
/// use dspy_core::signature::Values;
/// use dspy_core::evaluate::SharedMetric;
///
/// let exact: SharedMetric<Values, Values> =
///     SharedMetric::new(|row: &Values, output: &Values| row["answer"] == output["answer"]);
/// ```
pub struct SharedMetric<E, O>(Arc<dyn ErasedMetric<E, O>>);

/// The object-safe form of [`Metric`].
trait ErasedMetric<E, O>: Send + Sync {
    fn score_erased<'a>(&'a self, judged: Judged<'a, E, O>) -> BoxFuture<'a, Result<Score, BoxError>>;
}

/// A metric with its form `K`, such as a sync or an async closure.
struct OfForm<M, K>(M, PhantomData<fn() -> K>);

impl<E, O, K, M: Metric<E, O, K>> ErasedMetric<E, O> for OfForm<M, K> {
    fn score_erased<'a>(&'a self, judged: Judged<'a, E, O>) -> BoxFuture<'a, Result<Score, BoxError>> {
        Box::pin(self.0.score(judged))
    }
}

impl<E, O> SharedMetric<E, O> {
    /// Creates a shared metric from any metric.
    pub fn new<M, K>(metric: M) -> Self
    where
        M: Metric<E, O, K> + 'static,
        K: 'static,
        E: 'static,
        O: 'static,
    {
        SharedMetric(Arc::new(OfForm::<M, K>(metric, PhantomData)))
    }
}

#[diagnostic::do_not_recommend]
impl<E: Sync, O: Sync> Metric<E, O> for SharedMetric<E, O> {
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        self.0.score_erased(judged).await
    }
}

impl<E, O> Clone for SharedMetric<E, O> {
    fn clone(&self) -> Self {
        SharedMetric(self.0.clone())
    }
}

impl<E, O> fmt::Debug for SharedMetric<E, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedMetric")
    }
}
