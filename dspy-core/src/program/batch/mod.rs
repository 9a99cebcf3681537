//! Batches: a program run on many inputs.

mod write;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, Stream, StreamExt as _};

use super::{Module, inherit_unless_given};
use crate::error::{Error, Result};
use crate::lm::BoxFuture;
use crate::predictor::Prediction;
use dspy_lm::internal::Driven;

pub use write::Written;

/// A program and the inputs to run it on; made by [`Module::batch`] and [`Module::batch_stream`].
///
/// Nothing runs before the results are requested. An input for which the program fails or panics is an `Err`
/// among the results; the other inputs are not affected.
#[must_use = "nothing runs before the results are asked for"]
pub struct Batch<'a, M: Module> {
    program: &'a M,
    inputs: BoxStream<'a, M::Input>,
    concurrency: usize,
}

impl<'a, M: Module> Batch<'a, M> {
    pub(super) fn new(program: &'a M, inputs: impl Stream<Item = M::Input> + Send + 'a) -> Self {
        Batch { program, inputs: inputs.boxed(), concurrency: 8 }
    }

    /// Sets the number of inputs that are processed at a time. Default: 8, at least 1.
    pub fn concurrency(mut self, inputs: usize) -> Self {
        self.concurrency = inputs.max(1);
        self
    }

    /// Returns all results, in the order of the inputs.
    pub async fn collect(self) -> Vec<Result<Prediction<M::Output>>> {
        self.results().collect().await
    }

    /// Returns the results as a stream, in the order of the inputs. Memory is bounded: the stream holds only
    /// the inputs in progress and a limited number of finished results. Dropping the stream stops the work. The same
    /// scopes apply as to [`Module::events`].
    pub fn results(self) -> BatchResults<'a, M::Output> {
        let Batch { program, inputs, concurrency } = self;
        BatchResults(Driven::new(|sender| {
            inherit_unless_given(async move {
                let mut results = inputs.map(|input| one(program, input)).buffered(concurrency);
                while let Some(result) = results.next().await {
                    if sender.send(result).await.is_err() {
                        break;
                    }
                }
            })
        }))
    }
}

/// Runs the program on one input; a panic becomes an error.
fn one<M: Module>(program: &M, input: M::Input) -> BoxFuture<'_, Result<Prediction<M::Output>>> {
    let call = AssertUnwindSafe(program.call(input)).catch_unwind();
    Box::pin(call.map(|result| {
        result.unwrap_or_else(|panic| {
            let text = crate::panics::message(&*panic).unwrap_or("without a message");
            Err(Error::other(format!("the program panicked: {text}")))
        })
    }))
}

impl<M: Module> fmt::Debug for Batch<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

/// The results of a [`Batch`], in the order of its inputs.
#[derive(Debug)]
#[must_use = "nothing runs unless the stream is asked"]
pub struct BatchResults<'a, O>(Driven<'a, Result<Prediction<O>>, ()>);

impl<O> BatchResults<'_, O> {
    /// Returns the next result; `None` after that of the last input.
    pub async fn next(&mut self) -> Option<Result<Prediction<O>>> {
        self.0.next().await
    }
}

impl<O> Stream for BatchResults<'_, O> {
    type Item = Result<Prediction<O>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx)
    }
}
