//! Strategies for signatures that are known only at run time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::DynStream;
use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::lm::{Lm, Message};
use crate::predictor::{Prediction, Predictor, Refusal, enforced};
use crate::program::{HasPredictors, Module, Recovery, Visitor, VisitorMut, named};
use crate::signature::{Demo, FieldSpec, IntoInput, Role, SignatureSpec, Values};

/// A predictor of a signature that is known only at run time: values in, values out. An input that the
/// signature does not have is an error.
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
    rules: Arc<[Rule]>,
}

impl DynPredict {
    /// Creates a predictor of `spec`.
    pub fn new(spec: SignatureSpec) -> Self {
        DynPredict { predictor: Predictor::new(spec), rules: Arc::default() }
    }

    /// Creates a predictor with `reasoning` as the first output, like
    /// [`ChainOfThought`](super::ChainOfThought).
    pub fn chain_of_thought(spec: SignatureSpec) -> Self {
        let reasoning = FieldSpec::text(Role::Output, "reasoning", "The steps that lead to the answer.");
        Self::new(if spec.field("reasoning").is_none() { spec.prepend(reasoning) } else { spec })
    }

    /// Binds a model.
    #[must_use]
    pub fn with_lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.predictor.set_lm(lm);
        self
    }

    /// Binds an adapter.
    #[must_use]
    pub fn with_adapter(mut self, adapter: impl Adapter) -> Self {
        self.predictor.set_adapter(adapter);
        self
    }

    /// Sets the policy for replies that cannot be read.
    #[must_use]
    pub fn with_recovery(mut self, recovery: Recovery) -> Self {
        self.predictor.set_recovery(recovery);
        self
    }

    /// Replaces the instruction.
    #[must_use]
    pub fn with_instruction(mut self, instruction: impl Into<Arc<str>>) -> Self {
        self.predictor.set_instruction(instruction);
        self
    }

    /// Replaces the instruction, as [`with_instruction`](Self::with_instruction) does.
    pub fn set_instruction(&mut self, instruction: impl Into<Arc<str>>) {
        self.predictor.set_instruction(instruction);
    }

    /// Replaces the demonstrations by labelled examples.
    #[must_use]
    pub fn with_demos(mut self, examples: impl IntoIterator<Item = Values>) -> Self {
        let demos: Vec<Demo> = examples.into_iter().map(Demo::new).collect();
        self.predictor.set_demos(demos);
        self
    }

    /// Adds a rule about the outputs. Its reason appears in prompts; a reply for which `holds` is false is
    /// refused and the model is re-prompted, as with a hard `#[check(…)]` of a typed signature.
    ///
    /// ```
    /// use dspy_core::lm::Lm;
    /// use dspy_core::predict::DynPredict;
    /// use dspy_core::program::Module;
    /// use dspy_core::signature::Values;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let predict = DynPredict::new("question -> answer: int".parse()?)
    ///     .with_check("the answer is even", |outputs| outputs["answer"].as_i64().is_some_and(|n| n % 2 == 0))
    ///     .with_lm(Lm::scripted(["[[ ## answer ## ]]\n41", "[[ ## answer ## ]]\n42"]));
    /// let inputs = Values::from_iter([("question".to_owned(), "What is six times seven?".into())]);
    /// assert_eq!(predict.call(inputs).await?["answer"], 42);
    /// # Ok::<(), dspy_core::Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn with_check(
        mut self,
        why: impl AsRef<str>,
        holds: impl Fn(&Values) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.predictor.declare_check(why.as_ref());
        let rule = Rule { why: why.as_ref().into(), holds: Arc::new(holds) };
        self.rules = self.rules.iter().cloned().chain([rule]).collect();
        self
    }

    /// Starts a call whose outputs are shown as they arrive.
    pub fn stream(&self, inputs: Values) -> DynStream {
        DynStream::of(self, inputs)
    }

    /// Returns the exact messages of the first request for these inputs. Calls no model.
    ///
    /// # Errors
    /// If an input is missing or unknown.
    pub fn render(&self, inputs: &Values) -> Result<Vec<Message>> {
        self.predictor.render(inputs)
    }

    /// Returns the underlying predictor.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// Returns the underlying predictor, to be changed.
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
        let enforce = self.predictor.spec().enforce();
        let convert = &mut |values: &mut Values| {
            let made = enforced(enforce, values)?;
            let mut broken = Vec::new();
            for rule in &*self.rules {
                if !rule.holds(values)? {
                    broken.push(rule.why.to_string());
                }
            }
            if broken.is_empty() { Ok(made) } else { Err(Refusal::Rules(broken)) }
        };
        Prediction::recovered(self.predictor.call_as(&input, |_, _| Ok(Vec::new()), convert).await?)
    }

    // The predictor counts its own usage, so this call needs no separate scope.
    fn call(&self, input: impl IntoInput<Values>) -> impl Future<Output = Result<Prediction<Values>>> + Send {
        self.call_alone(input.into_input())
    }
}

impl DynPredict {
    async fn call_alone(&self, input: Values) -> Result<Prediction<Values>> {
        match named(self) {
            None => self.forward(input).await,
            Some(scope) => Box::pin(scope.enter(self.forward(input))).await,
        }
    }
}

/// A check that is known only at run time.
#[derive(Clone)]
struct Rule {
    why: Arc<str>,
    holds: Arc<dyn Fn(&Values) -> bool + Send + Sync>,
}

impl Rule {
    fn holds(&self, values: &Values) -> Result<bool, Refusal> {
        catch_unwind(AssertUnwindSafe(|| (self.holds)(values))).map_err(|_| {
            Refusal::Fault(Error::other(format!(
                "the check {:?} panicked; make it false for such a value instead",
                self.why
            )))
        })
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.why).finish()
    }
}
