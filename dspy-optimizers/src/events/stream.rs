//! The events of a run as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use super::StudyEvent;
use super::queue::Queue;

/// The events of a running optimization as a [`Stream`].
///
/// [`of`](Self::of) wraps the future of [`compile`](crate::Optimizer::compile), of any optimizer. The stream
/// has the events of the optimizer and of those nested in it, and ends when the future completes or is dropped.
/// Dropping the stream does not affect the run.
///
/// The search never waits for the reader. Up to 1,024 events wait for it; when there are more, rollouts and
/// reports of the cost are dropped first, then the oldest steps, and a [`StudyEvent::Lagged`] says how many.
/// The latest [`StudyEvent::Best`] and the events with which the run ends are never dropped.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// # use dspy_optimizers::BootstrapFewShotWithRandomSearch;
/// use dspy_optimizers::{StudyEvent, StudyEvents};
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), self.0.into()), ("mood".to_owned(), self.1.into())]))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let rows = [Row("I love it", "good"), Row("Again this rain", "bad"), Row("Lovely", "good")];
/// # let optimizer = BootstrapFewShotWithRandomSearch::builder()
/// #     .metric(|row: &Row, output: &Values| output["mood"] == row.1)
/// #     .build();
/// # let mut seen = 0;
/// let (run, mut events) = StudyEvents::of(optimizer.compile(program, &rows));
/// let show = async {
///     while let Some(event) = events.next().await {
///         if let StudyEvent::Best { label, score: Some(score), .. } = event {
///             println!("{label}: {score:.2}");
/// #           seen += 1;
///         }
///     }
/// };
/// let (optimized, ()) = tokio::join!(run, show);
/// println!("{}", optimized?.report());
/// # assert!(seen > 0);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "callbacks")]
#[must_use = "a stream does nothing unless it is read"]
pub struct StudyEvents(Arc<Queue>);

impl StudyEvents {
    /// Returns the future with a stream of the events of all optimizations that run in it.
    pub fn of<F: Future>(run: F) -> (impl Future<Output = F::Output> + use<F>, StudyEvents) {
        let queue = Arc::new(Queue::default());
        let events = StudyEvents(queue.clone());
        let end = End(queue.clone());
        // Boxed, so that the future does not grow with each wrapper.
        let run = heard_by(Some(Publisher(queue)), Box::pin(run));
        let run = async move {
            let _end = end;
            run.await
        };
        (run, events)
    }

    /// Waits for the next event. Returns `None` when the run has ended or was dropped.
    pub async fn next(&mut self) -> Option<StudyEvent> {
        std::future::poll_fn(|context| self.0.poll(context)).await
    }
}

impl Stream for StudyEvents {
    type Item = StudyEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<StudyEvent>> {
        self.0.poll(context)
    }
}

impl Drop for StudyEvents {
    fn drop(&mut self) {
        self.0.stop_reading();
    }
}

impl fmt::Debug for StudyEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StudyEvents")
    }
}

/// Ends the stream when the run completes or is dropped.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The writing end of a stream.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Queue>);

tokio::task_local! {
    static PUBLISHER: Option<Publisher>;
}

impl Publisher {
    /// Returns the publisher of the current task, if it runs in a [`StudyEvents::of`].
    pub(crate) fn current() -> Option<Self> {
        Self::current_or(None)
    }

    /// Returns the publisher of the current task, which may be none, or `other` outside any scope.
    pub(crate) fn current_or(other: Option<Self>) -> Option<Self> {
        PUBLISHER.try_with(Clone::clone).unwrap_or(other)
    }

    pub(super) fn publish(&self, event: &StudyEvent) {
        self.0.push(event);
    }
}

/// Runs a future with this publisher for the optimizations in it.
pub(crate) fn heard_by<F: Future>(publisher: Option<Publisher>, work: F) -> impl Future<Output = F::Output> {
    PUBLISHER.scope(publisher, work)
}
