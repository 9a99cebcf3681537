//! Outputs while they arrive.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use serde_json::Value;

use super::Prediction;
use super::arriving::{Arriving, News};
use crate::error::Result;
use crate::program::{HasPredictors as _, Module};
use crate::signature::{FieldState, IntoInput, PartialValues, Signature, Values, update_values};

/// A prediction that is arriving; made by [`Predict::stream`](super::Predict::stream) and its like, and for strategies of
/// your own by [`of`](Self::of).
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
/// Nothing is sent before the stream is first asked, and dropping it stops the call. What was shown of a field stays
/// while the field grows, and final values are those of the prediction. When a reply is refused, the connection
/// breaks, or damage further on makes the whole mean something else than what was shown, the outputs start anew from
/// pending; [`attempt`](Self::attempt) counts that.
///
/// The partial outputs are `Serialize`, each field with its [state](crate::signature::FieldState). Where they are
/// `Clone` (where the fields are), the stream is a [`Stream`] of them.
#[must_use = "nothing is sent before the stream is asked"]
pub struct PredictStream<S: Signature> {
    arriving: Arriving,
    partial: S::Partial,
}

impl<S: Signature> PredictStream<S> {
    /// Calls a strategy and shows its outputs while they arrive.
    ///
    /// They are those of the predictors in it that have the outputs of `S`; what other predictors do is not shown. With
    /// each further call of such a predictor the outputs start anew.
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

    /// The outputs so far, as soon as there is more of them; nothing when the call has ended, well or badly.
    pub async fn next(&mut self) -> Option<&S::Partial> {
        poll_fn(|cx| self.poll_more(cx)).await.then_some(&self.partial)
    }

    /// The outputs so far.
    pub fn partial(&self) -> &S::Partial {
        &self.partial
    }

    /// Returns how far an output has arrived that the strategy added to those of the signature.
    pub fn added(&self, name: &str) -> Option<&FieldState<Value>> {
        self.arriving.added.get(name)
    }

    /// The reasoning so far, where the strategy asks for it or the model reports it.
    pub fn reasoning(&self) -> &str {
        self.arriving.reasoning()
    }

    /// Which attempt at the outputs is arriving, from 1.
    pub fn attempt(&self) -> u32 {
        self.arriving.attempt
    }

    /// The prediction, once it is there.
    ///
    /// # Errors
    /// As a call without a stream.
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

// Nothing in it is ever pinned in place.
impl<S: Signature> Unpin for PredictStream<S> {}

impl<S: Signature> fmt::Debug for PredictStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PredictStream").field("attempt", &self.arriving.attempt).finish_non_exhaustive()
    }
}

/// [`PredictStream`] of a signature that is known only at run time; made by
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

    /// The outputs so far, as soon as there is more of them; nothing when the call has ended, well or badly.
    pub async fn next(&mut self) -> Option<&PartialValues> {
        poll_fn(|cx| self.poll_more(cx)).await.then_some(&self.partial)
    }

    /// The outputs so far.
    pub fn partial(&self) -> &PartialValues {
        &self.partial
    }

    /// The reasoning so far, where the strategy asks for it or the model reports it.
    pub fn reasoning(&self) -> &str {
        self.arriving.reasoning()
    }

    /// Which attempt at the outputs is arriving, from 1.
    pub fn attempt(&self) -> u32 {
        self.arriving.attempt
    }

    /// The prediction, once it is there.
    ///
    /// # Errors
    /// As a call without a stream.
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
