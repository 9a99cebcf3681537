//! Strategies over signatures that are known only at run time.

use super::{Prediction, Predictor};
use crate::error::Result;
use crate::program::{HasPredictors, Module, Visitor, VisitorMut};
use crate::signature::{FieldSpec, Role, SignatureSpec, Values};

/// A predictor of a signature that is only known at run time: values in, values out.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{HasPredictors, Module};
/// use dspy_core::signature::Values;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let signature = "question -> answer: int"; // from a file, a form, …
/// let mut predict = DynPredict::new(signature.parse()?);
/// predict.set_lm(Lm::scripted(["[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"]));
/// let inputs = Values::from_iter([("question".to_owned(), "What is six times seven?".into())]);
/// let answer = predict.call(inputs).await?;
/// assert_eq!(answer["answer"], 42);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct DynPredict {
    predictor: Predictor,
}

impl DynPredict {
    /// A predictor of `spec`.
    pub fn new(spec: SignatureSpec) -> Self {
        DynPredict { predictor: Predictor::new(spec) }
    }

    /// As [`ChainOfThought`](super::ChainOfThought): with `reasoning` as the first output.
    pub fn chain_of_thought(spec: SignatureSpec) -> Self {
        let reasoning = FieldSpec::text(Role::Output, "reasoning", "The steps that lead to the answer.");
        Self::new(if spec.field("reasoning").is_none() { spec.prepend(reasoning) } else { spec })
    }

    /// The predictor underneath.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// The predictor underneath, for changing.
    pub fn predictor_mut(&mut self) -> &mut Predictor {
        &mut self.predictor
    }
}

impl HasPredictors for DynPredict {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        visitor.predictor(&self.predictor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        visitor.predictor(&mut self.predictor);
    }
}

impl Module for DynPredict {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> Result<Prediction<Values>> {
        self.predictor.call(input).await
    }
}
