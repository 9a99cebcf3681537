//! Outputs shown as they arrive.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde_json::Value;

use super::Prediction;
use super::stream_state::{Arriving, News};
use crate::error::Result;
use crate::program::{HasPredictors as _, Module};
use crate::signature::{FieldState, IntoInput, PartialValues, Signature, Values, update_values};

/// A prediction in progress; made by [`Predict::stream`](super::Predict::stream) and similar methods, and for
/// custom strategies by [`of`](Self::of).
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::lm::Lm;
/// # use dspy::signature::{FieldChange, FieldError, FieldState, Fields, Signature, SignatureSpec, Values};
/// # // What `#[signature]` writes.
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Qa { question: String, answer: String }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct QaInput { question: String }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct QaOutput { answer: String }
/// # #[derive(Default, serde::Serialize)] struct QaPartial { answer: FieldState<String> }
/// # macro_rules! fields { ($($t:ty)*) => { $(impl Fields for $t {
/// #     fn to_values(&self) -> Result<Values, FieldError> {
/// #         match serde_json::to_value(self) { Ok(serde_json::Value::Object(map)) => Ok(map), _ => unreachable!() }
/// #     }
/// #     fn from_values(values: Values) -> Result<Self, FieldError> {
/// #         serde_json::from_value(values.into()).map_err(|e| FieldError::new("", e.to_string()))
/// #     }
/// #     fn signature() -> &'static std::sync::Arc<SignatureSpec> { Qa::spec() }
/// # })* } }
/// # fields!(Qa QaInput QaOutput);
/// # impl Signature for Qa {
/// #     type Input = QaInput; type Output = QaOutput; type Partial = QaPartial;
/// #     fn spec() -> &'static std::sync::Arc<SignatureSpec> {
/// #         static SPEC: std::sync::OnceLock<std::sync::Arc<SignatureSpec>> = std::sync::OnceLock::new();
/// #         SPEC.get_or_init(|| std::sync::Arc::new("question -> answer".parse().unwrap()))
/// #     }
/// #     fn update(partial: &mut QaPartial, change: &FieldChange) {
/// #         use dspy::signature::{FieldType, update_field};
/// #         update_field(&mut partial.answer, &change.update, "answer", String::read, String::write);
/// #     }
/// # }
/// # use dspy::predict::Predict;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let predict = Predict::<Qa>::new().with_lm(Lm::scripted(["[[ ## answer ## ]]\nParis, of course."]));
/// let mut stream = predict.stream(QaInput { question: "What is the capital of France?".into() });
/// while let Some(partial) = stream.next().await {
///     println!("{:?}", partial.answer.value());
/// }
/// assert_eq!(stream.finish().await?.answer, "Paris, of course.");
/// # Ok::<(), dspy::Error>(()) }).unwrap();
/// ```
///
/// Nothing is sent before the stream is first polled, and dropping it stops the call. The shown part of a
/// field stays while the field grows, and final values equal those of the prediction. The outputs restart as
/// pending if a reply is refused, the connection breaks, or the end of a reply changes the meaning of what
/// was shown; [`attempt`](Self::attempt) counts the restarts.
///
/// The partial outputs are `Serialize`, each field with its [state](crate::signature::FieldState). If they
/// are `Clone` (because their fields are), the stream is a [`Stream`] of them.
#[must_use = "nothing is sent before the stream is asked"]
pub struct PredictStream<S: Signature> {
    arriving: Arriving,
    partial: S::Partial,
}

impl<S: Signature> PredictStream<S> {
    /// Calls a strategy and shows its outputs as they arrive.
    ///
    /// The shown outputs are those of its predictors that have the outputs of `S`; other predictors are not
    /// shown. Each further call of such a predictor restarts the outputs.
    pub fn of<M>(strategy: &M, input: impl IntoInput<M::Input>) -> Self
    where
        M: Module<Output = S::Output> + Clone + 'static,
        M::Input: 'static,
    {
        let (called, input) = (strategy.clone(), input.into_input());
        let call = Box::pin(async move { called.call(input).await.map(Prediction::erased) });
        Self::arriving(Arriving::new(strategy.named_predictors(), S::spec(), call))
    }

    pub(super) fn arriving(arriving: Arriving) -> Self {
        PredictStream { arriving, partial: S::Partial::default() }
    }

    /// Whether there is more to show; otherwise the call has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match ready!(self.arriving.poll_news(cx)) {
            None => return Poll::Ready(false),
            Some(News::Output(change)) => S::update(&mut self.partial, &change),
            Some(News::Restarted) => self.partial = S::Partial::default(),
            Some(News::Beside) => {}
        }
        Poll::Ready(true)
    }

    /// Waits for a change and returns the outputs so far; `None` once the call has ended or failed.
    pub async fn next(&mut self) -> Option<&S::Partial> {
        poll_fn(|cx| self.poll_more(cx)).await.then_some(&self.partial)
    }

    /// Returns the outputs so far.
    pub fn partial(&self) -> &S::Partial {
        &self.partial
    }

    /// Returns the state of an output that the strategy added to those of the signature.
    pub fn added(&self, name: &str) -> Option<&FieldState<Value>> {
        self.arriving.added.get(name)
    }

    /// Returns the reasoning so far, if the strategy requests it or the model reports it.
    pub fn reasoning(&self) -> &str {
        self.arriving.reasoning()
    }

    /// Returns the number of the present attempt at the outputs, from 1.
    pub fn attempt(&self) -> u32 {
        self.arriving.attempt
    }

    /// Runs the call to its end and returns the prediction.
    ///
    /// # Errors
    /// The same as for a call without a stream.
    pub async fn finish(self) -> Result<Prediction<S::Output>> {
        Prediction::recovered(self.arriving.finish().await?)
    }
}

impl<S: Signature<Partial: Clone>> Stream for PredictStream<S> {
    type Item = S::Partial;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Partial>> {
        self.poll_more(cx).map(|more| more.then(|| self.partial.clone()))
    }
}

// No part of it is ever pinned in place.
impl<S: Signature> Unpin for PredictStream<S> {}

impl<S: Signature> fmt::Debug for PredictStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PredictStream").field("attempt", &self.arriving.attempt).finish_non_exhaustive()
    }
}

/// A [`PredictStream`] of a signature that is known only at run time; made by
/// [`DynPredict::stream`](super::DynPredict::stream).
#[must_use = "nothing is sent before the stream is asked"]
pub struct DynStream {
    arriving: Arriving,
    partial: PartialValues,
    fresh: PartialValues,
}

impl DynStream {
    pub(super) fn of(strategy: &super::DynPredict, inputs: Values) -> Self {
        let (called, spec) = (strategy.clone(), strategy.predictor().spec());
        let fresh: PartialValues =
            spec.outputs().map(|field| (field.name().to_owned(), FieldState::Pending)).collect();
        let call = Box::pin(async move { called.call(inputs).await.map(Prediction::erased) });
        let arriving = Arriving::new(strategy.named_predictors(), spec, call);
        DynStream { arriving, partial: fresh.clone(), fresh }
    }

    /// Whether there is more to show; otherwise the call has ended.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match ready!(self.arriving.poll_news(cx)) {
            None => return Poll::Ready(false),
            Some(News::Output(change)) => update_values(&mut self.partial, &change),
            Some(News::Restarted) => self.partial.clone_from(&self.fresh),
            Some(News::Beside) => {}
        }
        Poll::Ready(true)
    }

    /// Waits for a change and returns the outputs so far; `None` once the call has ended or failed.
    pub async fn next(&mut self) -> Option<&PartialValues> {
        poll_fn(|cx| self.poll_more(cx)).await.then_some(&self.partial)
    }

    /// Returns the outputs so far.
    pub fn partial(&self) -> &PartialValues {
        &self.partial
    }

    /// Returns the reasoning so far, if the strategy requests it or the model reports it.
    pub fn reasoning(&self) -> &str {
        self.arriving.reasoning()
    }

    /// Returns the number of the present attempt at the outputs, from 1.
    pub fn attempt(&self) -> u32 {
        self.arriving.attempt
    }

    /// Runs the call to its end and returns the prediction.
    ///
    /// # Errors
    /// The same as for a call without a stream.
    pub async fn finish(self) -> Result<Prediction<Values>> {
        Prediction::recovered(self.arriving.finish().await?)
    }
}

impl Stream for DynStream {
    type Item = PartialValues;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PartialValues>> {
        self.poll_more(cx).map(|more| more.then(|| self.partial.clone()))
    }
}

impl fmt::Debug for DynStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynStream").field("partial", &self.partial).finish_non_exhaustive()
    }
}
