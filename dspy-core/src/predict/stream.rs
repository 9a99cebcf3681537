//! Typed outputs while they arrive.

use crate::error::Result;
use crate::program::{Event, EventKind, watched};
use crate::signature::{FieldUpdate, Signature};
use crate::stream::Driven;

use super::Prediction;

/// A prediction that is arriving; made by [`Predict::stream`](super::Predict::stream) and its like.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::lm::Lm;
/// # use dspy::signature::{FieldChange, FieldError, FieldState, Fields, Signature, SignatureSpec, Values};
/// # // What `#[signature]` writes.
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Qa { question: String, answer: String }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct QaInput { question: String }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct QaOutput { answer: String }
/// # #[derive(Default)] struct QaPartial { answer: FieldState<String> }
/// # macro_rules! fields { ($($t:ty)*) => { $(impl Fields for $t {
/// #     fn to_values(&self) -> Result<Values, FieldError> {
/// #         match serde_json::to_value(self) { Ok(serde_json::Value::Object(map)) => Ok(map), _ => unreachable!() }
/// #     }
/// #     fn from_values(values: Values) -> Result<Self, FieldError> {
/// #         serde_json::from_value(values.into()).map_err(|e| FieldError::new("", e.to_string()))
/// #     }
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
/// while the field grows, and final values are those of the prediction. When a reply is refused or the connection
/// breaks, the outputs start anew from pending; [`attempt`](Self::attempt) counts that.
#[must_use = "nothing is sent before the stream is asked"]
pub struct PredictStream<S: Signature> {
    work: Driven<'static, Event, Result<Prediction<S::Output>>>,
    partial: S::Partial,
    reasoning: String,
    attempt: u32,
}

impl<S: Signature> PredictStream<S> {
    pub(super) fn new(call: impl Future<Output = Result<Prediction<S::Output>>> + Send + 'static) -> Self {
        PredictStream {
            work: watched(call),
            partial: S::Partial::default(),
            reasoning: String::new(),
            attempt: 1,
        }
    }

    /// The outputs so far, as soon as there is more of them; nothing when the call has ended, well or badly.
    pub async fn next(&mut self) -> Option<&S::Partial> {
        while let Some(event) = self.work.next().await {
            match event.kind {
                EventKind::Field(change) => {
                    if &*change.field == "reasoning" {
                        match &change.update {
                            FieldUpdate::More(more) => self.reasoning.push_str(more),
                            FieldUpdate::Complete(value) | FieldUpdate::SoFar(value) => {
                                value.as_str().unwrap_or_default().clone_into(&mut self.reasoning);
                            }
                            FieldUpdate::Refused(_) => {}
                        }
                    }
                    S::update(&mut self.partial, &change);
                    return Some(&self.partial);
                }
                EventKind::Reasoning(more) => {
                    self.reasoning.push_str(&more);
                    return Some(&self.partial);
                }
                EventKind::Restarted { .. } => {
                    self.partial = S::Partial::default();
                    self.reasoning.clear();
                    self.attempt += 1;
                    return Some(&self.partial);
                }
                _ => {}
            }
        }
        None
    }

    /// The outputs so far.
    pub fn partial(&self) -> &S::Partial {
        &self.partial
    }

    /// The reasoning so far, where the strategy asks for it or the model reports it.
    pub fn reasoning(&self) -> &str {
        &self.reasoning
    }

    /// Which attempt at a readable reply is arriving, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The prediction, once it is there.
    ///
    /// # Errors
    /// As a call without a stream.
    pub async fn finish(self) -> Result<Prediction<S::Output>> {
        self.work.finish().await
    }
}

impl<S: Signature> std::fmt::Debug for PredictStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PredictStream").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
