//! `Refine`: attempts with advice about those before.

use std::collections::BTreeMap;
use std::fmt;

use dspy_core::evaluate::{Metric, SharedMetric};
use dspy_core::lm::Lm;
use dspy_core::predict::{Prediction, Predictor};
use dspy_core::program::{HasShape, HeldTrace, Module, Settings, hold_trace};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::{Error, Result};

use crate::advice::{Attempted, advise, advisor, with_notes};
use crate::reward::rewarded;
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
    attempts: usize,
    reward: SharedMetric<M::Input, M::Output>,
    threshold: f64,
    max_failures: Option<usize>,
    advisor: Predictor,
}

impl<M: Module<Input: Sync + 'static, Output: Sync + 'static>> Refine<M> {
    /// Creates the strategy: at most `attempts` runs of `module`, at least one.
    pub fn new<K: 'static>(
        module: M,
        attempts: usize,
        reward: impl Metric<M::Input, M::Output, K> + 'static,
    ) -> Self {
        let (attempts, reward) = (attempts.max(1), SharedMetric::new(reward));
        Refine { module, attempts, reward, threshold: 1.0, max_failures: None, advisor: advisor() }
    }
}

impl<M: Module> Refine<M> {
    /// Sets the reward that is enough. Default: 1.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets the number of attempts that may fail, which are told to the advisor as well. Default: all but one.
    /// Failures of the endpoint or of the configuration are errors of the whole call.
    #[must_use]
    pub fn max_failures(mut self, failures: usize) -> Self {
        self.max_failures = Some(failures);
        self
    }

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
        let mut advice: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut best: Option<(f64, Prediction<M::Output>, HeldTrace)> = None;
        let mut failures = crate::sampling::Failures::new("Refine", self.attempts, self.max_failures);
        let mut made = 0;
        for attempt in 0..self.attempts {
            made += 1;
            let advised = (!advice.is_empty())
                .then(|| with_notes(&self.module, |path| advice.get(path).map(|advice| notes(advice))));
            let program = advised.as_ref().unwrap_or(&self.module);
            let settings = Settings::new().sample(attempt as u64);
            let (result, held) = hold_trace(settings.scope(program.call(input.clone()))).await;
            let trace = held.trace();
            let failed: Error;
            let score;
            let outcome = match result {
                Ok(prediction) => {
                    score = rewarded("Refine", &self.reward, &input, &prediction, &trace).await?;
                    let enough = score.value >= self.threshold;
                    if best.as_ref().is_none_or(|(best, ..)| score.value > *best) {
                        best = Some((score.value, prediction, held));
                    }
                    if enough {
                        break;
                    }
                    Ok(&score)
                }
                Err(error) => {
                    let text = error.to_string();
                    failures.push(error)?;
                    failed = Error::other(text);
                    Err(&failed)
                }
            };
            if attempt + 1 < self.attempts {
                let attempted = Attempted { trace: &trace, outcome, wanted: self.threshold };
                for (path, text) in self.advice(program, &attempted).await? {
                    advice.entry(path).or_default().push(text);
                }
            }
        }
        let Some((reward, prediction, trace)) = best else { return Err(failures.none_left()) };
        trace.keep();
        Ok(prediction.with_added("reward", reward).with_added("attempts", made))
    }
}

impl<M: Module> Refine<M> {
    /// Requests advice. A reply that cannot be read is no advice: the next attempt is then another sample.
    async fn advice(&self, program: &M, attempted: &Attempted<'_>) -> Result<Vec<(String, String)>> {
        match advise(&self.advisor, program, attempted).await {
            Err(error) if error.is_outage() || error.is_configuration() => Err(error),
            advice => Ok(advice.unwrap_or_default()),
        }
    }
}

fn notes(advice: &[String]) -> String {
    let lines: Vec<_> = advice.iter().map(|text| format!("- {text}")).collect();
    format!("Advice from earlier attempts on this input:\n{}", lines.join("\n"))
}

visits_fields! { [M: Module] Refine<M>, [Depth: DepthOf, M: Module + HasShape<Depth>] { module: M => M::SHAPE } }

impl<M: Module + Clone> Clone for Refine<M> {
    fn clone(&self) -> Self {
        let Refine { module, attempts, reward, threshold, max_failures, advisor } = self;
        Refine {
            module: module.clone(),
            attempts: *attempts,
            reward: reward.clone(),
            threshold: *threshold,
            max_failures: *max_failures,
            advisor: advisor.clone(),
        }
    }
}

impl<M: Module> fmt::Debug for Refine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refine { attempts, threshold, .. } = self;
        f.debug_struct("Refine")
            .field("attempts", attempts)
            .field("threshold", threshold)
            .finish_non_exhaustive()
    }
}
