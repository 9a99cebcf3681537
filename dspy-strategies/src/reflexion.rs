//! `Reflexion`: attempts that remember what went wrong in those before.

use std::collections::VecDeque;
use std::fmt;

use dspy_core::evaluate::{Metric, SharedMetric};
use dspy_core::predict::{Prediction, Predictor};
use dspy_core::program::{HasShape, HeldTrace, Module, ProgramShape, Settings, hold_trace};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldSpec, Role, SignatureSpec};
use dspy_core::{Error, Result};
use serde_json::Value;

use crate::advice::{Attempted, clipped, with_lm_of, with_notes};
use crate::reward::rewarded;
use crate::sampling::Failures;
use crate::visit::visits_fields;

/// A strategy that runs a program until its reward reaches a threshold. After each insufficient attempt the model
/// reflects on it in its own words; the next attempts have the latest reflections below the instructions of all
/// predictors.
///
/// It differs from [`Refine`](crate::Refine) in that no predictor is held responsible: the whole program remembers. The
/// predictor `reflect` is part of the program, so that optimizers improve its instruction, too.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::{HasPredictors, Module};
/// use dspy_core::signature::Values;
/// use dspy_strategies::Reflexion;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let lm = Lm::scripted([
///     "[[ ## city ## ]]\nSydney",
///     "[[ ## reflection ## ]]\nThe largest city need not be the capital.",
///     "[[ ## city ## ]]\nCanberra",
/// ]);
/// let capital = DynPredict::new("country -> city".parse()?);
/// let mut capital = Reflexion::new(capital, 3, |_: &Values, output: &Values| output["city"] == "Canberra");
/// capital.set_lm(lm);
/// let output = capital.call(Values::from_iter([("country".to_owned(), "Australia".into())])).await?;
/// assert_eq!(output["city"], "Canberra");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// [`Prediction::added`] has the `reward` and the number of `attempts`.
///
/// Source: Shinn et al., "Reflexion: Language Agents with Verbal Reinforcement Learning" (2023).
pub struct Reflexion<M: Module> {
    module: M,
    reflect: Predictor,
    attempts: usize,
    reward: SharedMetric<M::Input, M::Output>,
    threshold: f64,
    memory: usize,
    max_failures: Option<usize>,
}

impl<M: Module<Input: Sync + 'static, Output: Sync + 'static>> Reflexion<M> {
    /// Creates the strategy: at most `attempts` runs of `module`, at least one.
    pub fn new<K: 'static>(
        module: M,
        attempts: usize,
        reward: impl Metric<M::Input, M::Output, K> + 'static,
    ) -> Self {
        let reward = SharedMetric::new(reward);
        let (attempts, reflect) = (attempts.max(1), reflector());
        Reflexion { module, reflect, attempts, reward, threshold: 1.0, memory: 3, max_failures: None }
    }
}

fn reflector() -> Predictor {
    let fields = [
        FieldSpec::text(Role::Input, "steps", "What was given and returned in the attempt, in order."),
        FieldSpec::text(Role::Input, "outcome", "The reward of the attempt and the one that is wanted."),
        FieldSpec::text(
            Role::Output,
            "reflection",
            "What went wrong, and what to do instead next time, in at most three sentences.",
        ),
    ];
    let instruction =
        "You attempted a task and did not succeed. Reflect on the attempt, so that the next one does.";
    Predictor::new(SignatureSpec::new("Reflect", instruction, fields))
}

impl<M: Module> Reflexion<M> {
    /// Sets the reward that is enough. Default: 1.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets the number of reflections that an attempt sees, the latest ones. Default: 3, as in the paper.
    #[must_use]
    pub fn memory(mut self, reflections: usize) -> Self {
        self.memory = reflections;
        self
    }

    /// Sets the number of attempts that may fail, which are reflected on as well. Default: all but one. Failures of the
    /// endpoint or of the configuration are errors of the whole call.
    #[must_use]
    pub fn max_failures(mut self, failures: usize) -> Self {
        self.max_failures = Some(failures);
        self
    }
}

impl<M> Module for Reflexion<M>
where
    M: Module<Input: Clone + Sync + 'static, Output: Sync + 'static> + Clone,
{
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        let mut memory: VecDeque<String> = VecDeque::new();
        let mut best: Option<(f64, Prediction<M::Output>, HeldTrace)> = None;
        let mut failures = Failures::new("Reflexion", self.attempts, self.max_failures);
        let mut made = 0;
        for attempt in 0..self.attempts {
            made += 1;
            let remembering =
                (!memory.is_empty()).then(|| with_notes(&self.module, |_| Some(notes(&memory))));
            let program = remembering.as_ref().unwrap_or(&self.module);
            let settings = Settings::new().sample(attempt as u64);
            let (result, held) = hold_trace(settings.scope(program.call(input.clone()))).await;
            let trace = held.trace();
            let failed: Error;
            let score;
            let outcome = match result {
                Ok(prediction) => {
                    score = rewarded("Reflexion", &self.reward, &input, &prediction, &trace).await?;
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
            if attempt + 1 < self.attempts && self.memory > 0 {
                let attempted = Attempted { trace: &trace, outcome, wanted: self.threshold };
                if let Some(reflection) = self.reflection(&attempted).await? {
                    memory.push_back(reflection);
                    if memory.len() > self.memory {
                        memory.pop_front();
                    }
                }
            }
        }
        let Some((reward, prediction, trace)) = best else { return Err(failures.none_left()) };
        trace.keep();
        Ok(prediction.with_added("reward", reward).with_added("attempts", made))
    }
}

impl<M: Module> Reflexion<M> {
    /// Requests a reflection. A reply that cannot be read is none.
    async fn reflection(&self, attempted: &Attempted<'_>) -> Result<Option<String>> {
        let inputs = [("steps", attempted.steps()), ("outcome", attempted.outcome())];
        let inputs = inputs.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        match with_lm_of(&self.reflect, &self.module).call(inputs).await {
            Ok(answer) => {
                let text = answer.get("reflection").and_then(Value::as_str).unwrap_or_default().trim();
                Ok((!text.is_empty()).then(|| clipped(text)))
            }
            Err(error) if error.is_outage() || error.is_configuration() => Err(error),
            Err(_) => Ok(None),
        }
    }
}

fn notes(memory: &VecDeque<String>) -> String {
    let lines: Vec<_> = memory.iter().map(|text| format!("- {text}")).collect();
    format!("Your reflections on earlier attempts on this input:\n{}", lines.join("\n"))
}

visits_fields! {
    [M: Module] Reflexion<M>,
    [Depth: DepthOf, M: Module + HasShape<Depth>] {
        module: M => M::SHAPE,
        reflect: Predictor => &ProgramShape::Predictor(None),
    }
}

impl<M: Module + Clone> Clone for Reflexion<M> {
    fn clone(&self) -> Self {
        let Reflexion { module, reflect, attempts, reward, threshold, memory, max_failures } = self;
        Reflexion {
            module: module.clone(),
            reflect: reflect.clone(),
            attempts: *attempts,
            reward: reward.clone(),
            threshold: *threshold,
            memory: *memory,
            max_failures: *max_failures,
        }
    }
}

impl<M: Module> fmt::Debug for Reflexion<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reflexion { attempts, threshold, memory, .. } = self;
        f.debug_struct("Reflexion")
            .field("attempts", attempts)
            .field("threshold", threshold)
            .field("memory", memory)
            .finish_non_exhaustive()
    }
}
