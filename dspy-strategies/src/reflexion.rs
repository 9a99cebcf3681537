//! `Reflexion`: attempts that remember what went wrong in those before.

use std::collections::VecDeque;
use std::fmt;

use dspy_core::Result;
use dspy_core::evaluate::{Metric, SharedMetric};
use dspy_core::predict::{Prediction, Predictor};
use dspy_core::program::{HasShape, Module, ProgramShape};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldSpec, Role, SignatureSpec};
use serde_json::Value;

use crate::advice::{Attempted, shortened, with_lm_of};
use crate::attempts::{Attempts, Learn, attempts_setters};
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
    attempts: Attempts,
    reward: SharedMetric<M::Input, M::Output>,
    memory: usize,
}

impl<M: Module<Input: Sync + 'static, Output: Sync + 'static>> Reflexion<M> {
    /// Creates the strategy: at most `attempts` runs of `module`, at least one.
    pub fn new<K: 'static>(
        module: M,
        attempts: usize,
        reward: impl Metric<M::Input, M::Output, K> + 'static,
    ) -> Self {
        let reward = SharedMetric::new(reward);
        Reflexion { module, reflect: reflector(), attempts: Attempts::new(attempts), reward, memory: 3 }
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
    attempts_setters!();

    /// Sets the number of reflections that an attempt sees, the latest ones. Default: 3, as in the paper.
    #[must_use]
    pub fn memory(mut self, reflections: usize) -> Self {
        self.memory = reflections;
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
        let reflect = with_lm_of(&self.reflect, &self.module);
        let learned = Memory { reflect, most: self.memory, reflections: VecDeque::new() };
        self.attempts.run("Reflexion", &self.module, &self.reward, input, learned).await
    }
}

/// The latest reflections.
struct Memory {
    reflect: Predictor,
    most: usize,
    reflections: VecDeque<String>,
}

impl<M: Sync> Learn<M> for Memory {
    fn is_empty(&self) -> bool {
        self.reflections.is_empty()
    }

    fn notes(&self, _: &str) -> Option<String> {
        let lines: Vec<_> = self.reflections.iter().map(|text| format!("- {text}")).collect();
        Some(format!("Your reflections on earlier attempts on this input:\n{}", lines.join("\n")))
    }

    async fn learn(&mut self, _: &M, attempted: &Attempted<'_>) -> Result<()> {
        if self.most == 0 {
            return Ok(());
        }
        let inputs = [("steps", attempted.steps()), ("outcome", attempted.outcome())];
        let inputs = inputs.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        let answer = self.reflect.call(inputs).await?;
        let text = answer.get("reflection").and_then(Value::as_str).unwrap_or_default().trim();
        if !text.is_empty() {
            self.reflections.push_back(shortened(text));
            if self.reflections.len() > self.most {
                self.reflections.pop_front();
            }
        }
        Ok(())
    }
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
        let Reflexion { module, reflect, attempts, reward, memory } = self;
        Reflexion {
            module: module.clone(),
            reflect: reflect.clone(),
            attempts: *attempts,
            reward: reward.clone(),
            memory: *memory,
        }
    }
}

impl<M: Module> fmt::Debug for Reflexion<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reflexion { attempts, memory, .. } = self;
        f.debug_struct("Reflexion")
            .field("attempts", attempts)
            .field("memory", memory)
            .finish_non_exhaustive()
    }
}
