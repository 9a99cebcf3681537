//! `Refine`: attempts with advice about those before.

use std::collections::BTreeMap;
use std::fmt;

use dspy_core::Result;
use dspy_core::evaluate::{Metric, SharedMetric};
use dspy_core::lm::Lm;
use dspy_core::predict::{Prediction, Predictor};
use dspy_core::program::{HasPredictors, HasShape, Module};
use dspy_core::signature::shape::Depth as DepthOf;

use crate::advice::{Attempted, advise, advisor};
use crate::attempts::{Attempts, Learn, attempts_setters};
use crate::visit::visits_fields;

/// A strategy that runs a program until its reward reaches a threshold. After each insufficient attempt a model finds the
/// predictors that are responsible and advises them; the next attempt has the advice below their instructions.
///
/// If no attempt reaches the threshold, the best one is returned, the earliest of equals. Only the returned attempt is
/// in traces, without the advice. Feedback in the score, in general or
/// [for single predictors](dspy_core::evaluate::Score::with_feedback_for), is passed to the advisor.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::Module;
/// use dspy_core::signature::Values;
/// use dspy_strategies::Refine;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let answer = |text: &str| format!("[[ ## answer ## ]]\n{text}");
/// let advice = "[[ ## discussion ## ]]\nToo long.\n\n[[ ## advice ## ]]\n{\"self\": \"Answer in one word.\"}";
/// let lm = Lm::scripted([answer("It is Paris."), advice.to_owned(), answer("Paris")]);
/// let program = DynPredict::new("question -> answer".parse()?).with_lm(lm);
/// let program = Refine::new(program, 3, |_: &Values, output: &Values| {
///     let words = output["answer"].as_str().unwrap_or_default().split(' ').count();
///     (if words == 1 { 1.0 } else { 0.0 }, format!("the answer has {words} words"))
/// });
/// let output = program.call(Values::from_iter([("question".to_owned(), "Capital of France?".into())])).await?;
/// assert_eq!(output["answer"], "Paris");
/// assert_eq!(output.added_as::<usize>("attempts")?, 2);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// [`Prediction::added`] has the `reward` and the number of `attempts`.
pub struct Refine<M: Module> {
    module: M,
    attempts: Attempts,
    reward: SharedMetric<M::Input, M::Output>,
    advisor: Predictor,
}

impl<M: Module<Input: Sync + 'static, Output: Sync + 'static>> Refine<M> {
    /// Creates the strategy: at most `attempts` runs of `module`, at least one.
    pub fn new<K: 'static>(
        module: M,
        attempts: usize,
        reward: impl Metric<M::Input, M::Output, K> + 'static,
    ) -> Self {
        let (attempts, reward) = (Attempts::new(attempts), SharedMetric::new(reward));
        Refine { module, attempts, reward, advisor: advisor() }
    }
}

impl<M: Module> Refine<M> {
    attempts_setters!();

    /// Sets the model that advises. Default: that of the first predictor of the program which has one, otherwise that
    /// of the settings.
    #[must_use]
    pub fn advisor_lm(mut self, lm: Lm) -> Self {
        self.advisor.set_lm(lm);
        self
    }
}

impl<M> Module for Refine<M>
where
    M: Module<Input: Clone + Sync + 'static, Output: Sync + 'static> + Clone,
{
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        let learned = Advice { advisor: &self.advisor, given: BTreeMap::new() };
        self.attempts.run("Refine", &self.module, &self.reward, input, learned).await
    }
}

/// The advice so far, by the path of the predictor.
struct Advice<'a> {
    advisor: &'a Predictor,
    given: BTreeMap<String, Vec<String>>,
}

impl<M: HasPredictors + Sync> Learn<M> for Advice<'_> {
    fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    fn notes(&self, path: &str) -> Option<String> {
        let lines: Vec<_> = self.given.get(path)?.iter().map(|text| format!("- {text}")).collect();
        Some(format!("Advice from earlier attempts on this input:\n{}", lines.join("\n")))
    }

    async fn learn(&mut self, program: &M, attempted: &Attempted<'_>) -> Result<()> {
        for (path, text) in advise(self.advisor, program, attempted).await? {
            self.given.entry(path).or_default().push(text);
        }
        Ok(())
    }
}

visits_fields! { [M: Module] Refine<M>, [Depth: DepthOf, M: Module + HasShape<Depth>] { module: M => M::SHAPE } }

impl<M: Module + Clone> Clone for Refine<M> {
    fn clone(&self) -> Self {
        let Refine { module, attempts, reward, advisor } = self;
        Refine {
            module: module.clone(),
            attempts: *attempts,
            reward: reward.clone(),
            advisor: advisor.clone(),
        }
    }
}

impl<M: Module> fmt::Debug for Refine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refine").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
