//! Closures as metrics.

use std::future::Future;

use super::{IntoScore, Judged, Metric, Score};
use crate::error::BoxError;
use crate::predictor::Prediction;

/// Markers for the forms of closures other than that of an example and an output; only ever inferred.
pub mod form {
    /// A closure of an example and a prediction.
    #[derive(Debug)]
    pub struct OfPrediction;
    /// An asynchronous closure of an example and an output.
    #[derive(Debug)]
    pub struct Async;
    /// An asynchronous closure of an example and a prediction.
    #[derive(Debug)]
    pub struct AsyncOfPrediction;
}

#[diagnostic::do_not_recommend]
impl<E, O, F, R> Metric<E, O> for F
where
    F: Fn(&E, &O) -> R + Send + Sync,
    R: IntoScore,
    E: Sync,
    O: Sync,
{
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send {
        std::future::ready(self(judged.example, judged.prediction).into_score())
    }
}

#[diagnostic::do_not_recommend]
impl<E, O, F, R> Metric<E, O, form::OfPrediction> for F
where
    F: Fn(&E, &Prediction<O>) -> R + Send + Sync,
    R: IntoScore,
    E: Sync,
    O: Sync,
{
    fn score(&self, judged: Judged<'_, E, O>) -> impl Future<Output = Result<Score, BoxError>> + Send {
        std::future::ready(self(judged.example, judged.prediction).into_score())
    }
}

#[diagnostic::do_not_recommend]
impl<E, O, F> Metric<E, O, form::Async> for F
where
    F: for<'a> AsyncMetric<'a, E, O> + Send + Sync,
    E: Sync + 'static,
    O: Sync + 'static,
{
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        self.start(judged.example, judged.prediction).await.into_score()
    }
}

#[diagnostic::do_not_recommend]
impl<E, O, F> Metric<E, O, form::AsyncOfPrediction> for F
where
    F: for<'a> AsyncMetric<'a, E, Prediction<O>> + Send + Sync,
    E: Sync + 'static,
    O: Sync + 'static,
{
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        self.start(judged.example, judged.prediction).await.into_score()
    }
}

/// A closure whose future may borrow the arguments. A trait is needed, because `for<'a> Fn(&'a E, &'a O) ->
/// F` requires a single type `F` for all lifetimes.
pub trait AsyncMetric<'a, E, O> {
    /// The returned future.
    type Future: Future<Output: IntoScore> + Send;

    /// Calls the closure.
    fn start(&self, example: &'a E, shown: &'a O) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<'a, E: 'a, O: 'a, F, R> AsyncMetric<'a, E, O> for F
where
    F: Fn(&'a E, &'a O) -> R,
    R: Future<Output: IntoScore> + Send,
{
    type Future = R;

    fn start(&self, example: &'a E, shown: &'a O) -> R {
        self(example, shown)
    }
}

/// Creates a metric from a value, such as a judge, and a closure that borrows it.
///
/// Optimizers keep their metric, so a judge has to move into it; and the future of an `async move` closure
/// cannot borrow what the closure holds.
///
/// ```
/// use dspy_core::evaluate::{Evaluate, metric_with};
/// use dspy_core::lm::Lm;
/// # use dspy_core::signature::Values;
///
/// let judge = Lm::scripted(["yes"]);
/// let metric = metric_with(judge, async |judge: &Lm, _: &Values, output: &Values| {
///     Ok::<bool, dspy_core::Error>(judge.ask(format!("Is {output:?} polite?")).await? == "yes")
/// });
/// Evaluate::new(metric);
/// ```
pub fn metric_with<T, F>(kept: T, metric: F) -> MetricWith<T, F> {
    MetricWith { kept, metric }
}

/// The metric of [`metric_with`].
#[derive(Debug, Clone)]
pub struct MetricWith<T, F> {
    kept: T,
    metric: F,
}

/// A closure like [`AsyncMetric`] with three arguments.
pub trait AsyncMetricWith<'a, T, E, O> {
    /// The returned future.
    type Future: Future<Output: IntoScore> + Send;

    /// Calls the closure.
    fn start(&self, kept: &'a T, example: &'a E, shown: &'a O) -> Self::Future;
}

#[diagnostic::do_not_recommend]
impl<'a, T: 'a, E: 'a, O: 'a, F, R> AsyncMetricWith<'a, T, E, O> for F
where
    F: Fn(&'a T, &'a E, &'a O) -> R,
    R: Future<Output: IntoScore> + Send,
{
    type Future = R;

    fn start(&self, kept: &'a T, example: &'a E, shown: &'a O) -> R {
        self(kept, example, shown)
    }
}

#[diagnostic::do_not_recommend]
impl<T, E, O, F> Metric<E, O> for MetricWith<T, F>
where
    F: for<'a> AsyncMetricWith<'a, T, E, O> + Send + Sync,
    T: Send + Sync + 'static,
    E: Sync + 'static,
    O: Sync + 'static,
{
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        self.metric.start(&self.kept, judged.example, judged.prediction).await.into_score()
    }
}

#[diagnostic::do_not_recommend]
impl<T, E, O, F> Metric<E, O, form::OfPrediction> for MetricWith<T, F>
where
    F: for<'a> AsyncMetricWith<'a, T, E, Prediction<O>> + Send + Sync,
    T: Send + Sync + 'static,
    E: Sync + 'static,
    O: Sync + 'static,
{
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        self.metric.start(&self.kept, judged.example, judged.prediction).await.into_score()
    }
}
