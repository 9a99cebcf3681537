//! Running a program on examples with bounded concurrency.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use thiserror::Error;

use super::{Evaluation, Item, ItemError, Judged, Metric, Score, Summary};
use crate::lm::current_scope;
use crate::predictor::Prediction;
use crate::program::{Module, Trace, trace};
use crate::signature::Example;
use dspy_lm::internal::UsageScope;

/// The error of an evaluation that has no result at all. Failed items are part of a result; see
/// [`Item::score`].
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The data set is empty.
    #[error("the data set is empty")]
    Empty,
    /// Every item failed because of the configuration: there is no model, its key was refused, the signature
    /// cannot be decoded, or no example has a valid input.
    #[error("none of the {items} items could be evaluated: {reason}")]
    Configuration {
        /// The number of items.
        items: usize,
        /// The error of the first item.
        reason: String,
    },
}

crate::error::readable_debug!(EvaluateError);

impl From<EvaluateError> for crate::Error {
    fn from(error: EvaluateError) -> Self {
        crate::Error::other(error)
    }
}

/// An evaluation: a metric and the settings of a run.
///
/// ```
/// use dspy_core::evaluate::Evaluate;
/// # use dspy_core::signature::Values;
/// let evaluate = Evaluate::new(|example: &Values, output: &Values| example["answer"] == output["answer"])
///     .concurrency(16)
///     .progress(true);
/// // let result = evaluate.run(&program, &devset).await?;
/// // println!("{result}");
/// ```
#[derive(Debug, Clone)]
pub struct Evaluate<M> {
    metric: M,
    concurrency: usize,
    deadline: Option<Duration>,
    progress: bool,
    traced: bool,
    failure_score: f64,
}

impl<M> Evaluate<M> {
    /// Creates an evaluation by `metric`: 8 items at a time, no deadline, no progress bar.
    pub fn new(metric: M) -> Self {
        Evaluate {
            metric,
            concurrency: 8,
            deadline: None,
            progress: false,
            traced: false,
            failure_score: 0.0,
        }
    }

    /// Sets the number of items that run concurrently, at least 1; 8 by default. The result does not depend
    /// on it.
    #[must_use]
    pub fn concurrency(mut self, items: usize) -> Self {
        self.concurrency = items.max(1);
        self
    }

    /// Sets the time limit of an item, metric included; none by default. Needs a Tokio runtime with its timer
    /// enabled.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets whether to draw a progress bar; off by default. Without a terminal nothing is drawn.
    #[must_use]
    pub fn progress(mut self, on: bool) -> Self {
        self.progress = on;
        self
    }

    /// Sets whether to keep the trace of every item and pass it to the metric; off by default.
    #[must_use]
    pub fn traced(mut self, on: bool) -> Self {
        self.traced = on;
        self
    }

    /// Sets the score that counts for an item at which the program failed; 0 by default. Outages never count.
    #[must_use]
    pub fn failure_score(mut self, score: f64) -> Self {
        self.failure_score = score;
        self
    }

    /// Runs `program` on every example.
    ///
    /// # Errors
    /// If there are no examples, or if every item failed because of the configuration, such as a missing
    /// model. Other failed items are part of the result.
    pub async fn run<P, E, K>(
        &self,
        program: &P,
        examples: &[E],
    ) -> Result<Evaluation<P::Output>, EvaluateError>
    where
        P: Module,
        P::Output: Sync,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output, K>,
    {
        if examples.is_empty() {
            return Err(EvaluateError::Empty);
        }
        let bar = self.bar(examples.len() as u64);
        let mut items: Vec<Option<Item<P::Output>>> = examples.iter().map(|_| None).collect();
        // By index, because a closure over references would make the future of the evaluation impossible to
        // spawn.
        let mut running = stream::iter(0..examples.len())
            .map(|index| self.item(program, index, &examples[index]))
            .buffer_unordered(self.concurrency);
        let mut summary = Summary::new(self.failure_score);
        let mut setup = Setup::default();
        while let Some(item) = running.next().await {
            summary.count(&item);
            setup.look_at(&item);
            advance(&bar, &summary);
            let index = item.index;
            items[index] = Some(item);
        }
        bar.finish();
        setup.check()?;
        Ok(Evaluation::new(items.into_iter().flatten().collect(), self.failure_score))
    }

    /// Runs `program` on a stream of examples in bounded memory. `each` is called with every example and its
    /// result, in the order of the stream.
    ///
    /// # Errors
    /// If the stream is empty, or if every item failed because of the configuration, such as a missing model.
    pub async fn run_stream<P, E, K>(
        &self,
        program: &P,
        examples: impl Stream<Item = E> + Send,
        mut each: impl FnMut(E, Item<P::Output>) + Send,
    ) -> Result<Summary, EvaluateError>
    where
        P: Module,
        P::Output: Sync,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output, K>,
    {
        let bar = self.bar(0);
        let mut running = std::pin::pin!(
            examples
                .enumerate()
                .map(|(index, example)| async move {
                    let item = self.item(program, index, &example).await;
                    (example, item)
                })
                .buffered(self.concurrency)
        );
        let mut summary = Summary::new(self.failure_score);
        let mut setup = Setup::default();
        while let Some((example, item)) = running.next().await {
            summary.count(&item);
            setup.look_at(&item);
            advance(&bar, &summary);
            each(example, item);
        }
        bar.finish();
        setup.check()?;
        Ok(summary)
    }

    /// Runs `program` on one example.
    pub async fn item<P, E, K>(&self, program: &P, index: usize, example: &E) -> Item<P::Output>
    where
        P: Module,
        P::Output: Sync,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output, K>,
    {
        let started = Instant::now();
        let scope = current_scope();
        let usage = Arc::new(UsageScope::below(scope.usage()));
        let mut kept = Kept { prediction: None, trace: None };
        let work =
            AssertUnwindSafe(scope.tracking(usage.clone()).enter(self.judge(program, example, &mut kept)));
        let guarded = work.catch_unwind();
        let result = match self.deadline {
            None => Ok(guarded.await),
            Some(deadline) => tokio::time::timeout(deadline, guarded).await.map_err(|_| deadline),
        };
        let Kept { prediction, trace } = kept;
        // Errors after the program has answered are the metric's.
        let score = match (result, prediction.is_some()) {
            (Ok(Ok(score)), _) => score,
            (Ok(Err(panic)), false) => Err(ItemError::Panic(panic_message(&*panic))),
            (Ok(Err(panic)), true) => Err(ItemError::MetricPanic(panic_message(&*panic))),
            (Err(deadline), false) => Err(ItemError::Deadline(deadline)),
            (Err(deadline), true) => Err(ItemError::MetricDeadline(deadline)),
        };
        Item { index, prediction, score, trace, usage: usage.total(), elapsed: started.elapsed() }
    }

    async fn judge<P, E, K>(
        &self,
        program: &P,
        example: &E,
        kept: &mut Kept<P::Output>,
    ) -> Result<Score, ItemError>
    where
        P: Module,
        P::Output: Sync,
        E: Example<Input: Into<P::Input>>,
        M: Metric<E, P::Output, K>,
    {
        let input = example.input().map_err(ItemError::Example)?;
        let result = if self.traced {
            let (result, trace) = trace(program.call(input)).await;
            kept.trace = Some(trace);
            result
        } else {
            program.call(input).await
        };
        let prediction = kept.prediction.insert(result.map_err(ItemError::Program)?);
        let judged = Judged { example, prediction, trace: kept.trace.as_ref() };
        let score = self.metric.score(judged).await.map_err(ItemError::Metric)?;
        match score.problem(program) {
            None => Ok(score),
            Some(problem) => Err(ItemError::Metric(problem.into())),
        }
    }

    fn bar(&self, length: u64) -> ProgressBar {
        if !self.progress {
            return ProgressBar::hidden();
        }
        let template = "{bar:30} {pos}/{len}  {msg}  {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length).with_style(style)
    }
}

/// The record of whether all items so far failed because of the configuration.
#[derive(Default)]
struct Setup {
    items: usize,
    failed: usize,
    reason: Option<String>,
}

impl Setup {
    fn look_at<O>(&mut self, item: &Item<O>) {
        self.items += 1;
        if let Err(error) = &item.score
            && error.is_configuration()
        {
            self.failed += 1;
            self.reason.get_or_insert_with(|| error.to_string());
        }
    }

    fn check(self) -> Result<(), EvaluateError> {
        match self {
            Setup { items: 0, .. } => Err(EvaluateError::Empty),
            Setup { items, failed, reason: Some(reason) } if failed == items => {
                Err(EvaluateError::Configuration { items, reason })
            }
            _ => Ok(()),
        }
    }
}

/// The parts of a result that are kept when an item fails halfway.
struct Kept<O> {
    prediction: Option<Prediction<O>>,
    trace: Option<Trace>,
}

fn advance(bar: &ProgressBar, summary: &Summary) {
    bar.inc(1);
    if !bar.is_hidden() {
        bar.set_message(summary.to_string());
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    crate::panics::message(panic).unwrap_or("without a message").to_owned()
}
