//! Metrics that use a language model as a judge.

use serde_json::Value;

use super::{Judged, Metric, Score};
use crate::error::{BoxError, Error};
use crate::lm::Lm;
use crate::predict::DynPredict;
use crate::program::{HasPredictors, Module as _};
use crate::signature::{FieldSpec, Role, SignatureSpec, Values};

/// The texts that a judge compares, extracted from example and output by a closure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Texts(Vec<(&'static str, String)>);

type Extract<E, O> = Box<dyn Fn(&E, &O) -> Texts + Send + Sync>;

/// A judge: a predictor that rates in numbers from 0 to 1, and the function that extracts its inputs.
struct Judge<E, O> {
    rate: DynPredict,
    extract: Extract<E, O>,
}

impl<E, O> Judge<E, O> {
    fn new(
        name: &'static str,
        instruction: &str,
        inputs: &[(&'static str, &str)],
        ratings: &[(&'static str, &str)],
        extract: Extract<E, O>,
    ) -> Self {
        let share = serde_json::json!({"type": "number", "minimum": 0, "maximum": 1});
        let inputs = inputs.iter().map(|(name, text)| FieldSpec::text(Role::Input, *name, *text));
        let ratings =
            ratings.iter().map(|(name, text)| FieldSpec::new(Role::Output, *name, *text, share.clone()));
        let spec = SignatureSpec::new(name, instruction, inputs.chain(ratings));
        Judge { rate: DynPredict::chain_of_thought(spec), extract }
    }

    async fn ratings(&self, judged: &Judged<'_, E, O>) -> Result<(f64, f64, String), BoxError> {
        let Texts(texts) = (self.extract)(judged.example, judged.prediction);
        let inputs: Values =
            texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
        let rated = self.rate.call(inputs).await.map_err(Error::into_box)?;
        let rating = |field: Option<&FieldSpec>| {
            field.and_then(|field| rated.get(field.name())?.as_f64()).ok_or("the judge gave no rating")
        };
        let mut outputs = self.rate.predictor().spec().outputs().skip(1);
        let (first, second) = (rating(outputs.next())?, rating(outputs.next())?);
        let why = rated.get("reasoning").and_then(Value::as_str).unwrap_or_default();
        Ok((first, second, why.to_owned()))
    }
}

fn f1(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// The semantic coverage of the expected answer by a long answer, rated by a language model: the harmonic
/// mean of precision and recall over key ideas.
///
/// The closure returns question, expected answer and answer. The judge uses the current model, unless
/// [`with_lm`](Self::with_lm) sets its own.
///
/// ```
/// use dspy_core::evaluate::SemanticF1;
/// # use dspy_core::signature::Values;
/// let metric = SemanticF1::new(|example: &Values, output: &Values| {
///     let text = |values: &Values, name: &str| values[name].as_str().unwrap_or_default().to_owned();
///     [text(example, "question"), text(example, "answer"), text(output, "answer")]
/// });
/// ```
pub struct SemanticF1<E, O>(Judge<E, O>);

impl<E, O> SemanticF1<E, O> {
    /// Creates a judge of the texts that `extract` returns: question, expected answer, answer.
    pub fn new(extract: impl Fn(&E, &O) -> [String; 3] + Send + Sync + 'static) -> Self {
        SemanticF1(Judge::new(
            "SemanticF1",
            "Compare an answer with the expected answer, idea by idea. List the key ideas of each, then rate which \
             share of the one the other contains. Wording does not matter, meaning does.",
            &[("question", ""), ("expected_answer", ""), ("answer", "The answer to rate.")],
            &[
                ("recall", "The share of the expected answer's ideas that the answer contains."),
                ("precision", "The share of the answer's ideas that the expected answer contains."),
            ],
            Box::new(move |example, output| {
                let [question, expected, answer] = extract(example, output);
                Texts(vec![("question", question), ("expected_answer", expected), ("answer", answer)])
            }),
        ))
    }

    /// Returns the judge with a model of its own.
    #[must_use]
    pub fn with_lm(mut self, lm: Lm) -> Self {
        self.0.rate.set_lm(lm);
        self
    }
}

#[diagnostic::do_not_recommend]
impl<E: Sync, O: Sync> Metric<E, O> for SemanticF1<E, O> {
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        let (recall, precision, why) = self.0.ratings(&judged).await?;
        Ok(Score::new(f1(precision, recall)).with_feedback(why))
    }
}

/// The completeness of an answer and its support by retrieved passages, rated by a language model: the
/// harmonic mean of both.
///
/// The closure returns question, expected answer, passages and answer.
pub struct CompleteAndGrounded<E, O>(Judge<E, O>);

impl<E, O> CompleteAndGrounded<E, O> {
    /// Creates a judge of the texts that `extract` returns: question, expected answer, passages, answer.
    pub fn new(extract: impl Fn(&E, &O) -> [String; 4] + Send + Sync + 'static) -> Self {
        CompleteAndGrounded(Judge::new(
            "CompleteAndGrounded",
            "Judge an answer that was written from retrieved passages. First list the key ideas of the expected \
             answer and see which the answer contains. Then list the claims of the answer and see which the \
             passages, or common sense, support.",
            &[
                ("question", ""),
                ("expected_answer", ""),
                ("passages", "What was retrieved for the question."),
                ("answer", "The answer to judge."),
            ],
            &[
                ("completeness", "The share of the expected answer's ideas that the answer contains."),
                ("groundedness", "The share of the answer's claims that are supported."),
            ],
            Box::new(move |example, output| {
                let [question, expected, passages, answer] = extract(example, output);
                let (expected, passages) = (("expected_answer", expected), ("passages", passages));
                Texts(vec![("question", question), expected, passages, ("answer", answer)])
            }),
        ))
    }

    /// Returns the judge with a model of its own.
    #[must_use]
    pub fn with_lm(mut self, lm: Lm) -> Self {
        self.0.rate.set_lm(lm);
        self
    }
}

#[diagnostic::do_not_recommend]
impl<E: Sync, O: Sync> Metric<E, O> for CompleteAndGrounded<E, O> {
    async fn score(&self, judged: Judged<'_, E, O>) -> Result<Score, BoxError> {
        let (completeness, groundedness, why) = self.0.ratings(&judged).await?;
        Ok(Score::new(f1(completeness, groundedness)).with_feedback(why))
    }
}

impl<E, O> std::fmt::Debug for SemanticF1<E, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SemanticF1").field(&self.0.rate).finish()
    }
}

impl<E, O> std::fmt::Debug for CompleteAndGrounded<E, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CompleteAndGrounded").field(&self.0.rate).finish()
    }
}
