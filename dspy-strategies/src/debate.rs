//! `Debate`: agents that read one another's answers.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use dspy_core::lm::Lm;
use dspy_core::predict::{ChainOfThought, Predict, Prediction};
use dspy_core::program::{HasPredictors as _, HasShape, Module, ProgramShape, Settings, hold_trace};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::signature::{FieldError, FieldSpec, Role, Signature, SignatureSpec};
use dspy_core::{Error, Result};
use futures_util::future::join_all;

use crate::majority::{agreement, majority};
use crate::multi_chain::told;
use crate::visit::visits_fields;

/// A strategy in which several agents answer, read the answers of the others and revise their own; the output that most
/// of them agree on in the end is returned, the earliest of equals.
///
/// Each agent has predictors of its own, `agents[0].answer.predict` and `agents[0].revise`, so that an optimizer can
/// make them differ, and [`with_lms`](Self::with_lms) can give each another model. All agents of a round run
/// concurrently.
///
/// ```
/// # use dspy_core as dspy;
/// use dspy::Result;
/// use dspy::predict::Prediction;
/// use dspy::program::Module;
/// use dspy::signature::Signature;
/// use dspy_strategies::Debate;
///
/// async fn settle<S: Signature<Input: Clone>>(input: S::Input) -> Result<Prediction<S::Output>> {
///     let debate = Debate::<S>::new(3, 1)?;
///     let output = debate.call(input).await?;
///     println!("{} of 3 agree", output.added_as::<usize>("votes")?);
///     Ok(output)
/// }
/// ```
///
/// [`Prediction::added`] has the number of `votes` of the output.
///
/// Source: Du et al., "Improving Factuality and Reasoning in Language Models through Multiagent Debate" (2023).
pub struct Debate<S> {
    agents: Vec<Agent<S>>,
    rounds: usize,
    temperature: Option<f64>,
    key: Arc<Key>,
}

/// A function from the outputs of a signature, whose type only `S` knows, to what is compared.
type Key = dyn Fn(&dyn Any) -> Option<String> + Send + Sync;

/// One agent: its first answer, and its answers after it has read those of the others.
struct Agent<S> {
    answer: ChainOfThought<S>,
    revise: Predict<S>,
}

impl<S: Signature> Debate<S> {
    /// Creates the strategy: `agents` of them, at least one, that revise their answers `rounds` times.
    ///
    /// # Errors
    /// If the signature has a field named `own_answer` or `other_answers`.
    pub fn new(agents: usize, rounds: usize) -> Result<Self, FieldError> {
        let agent =
            || Ok(Agent { answer: ChainOfThought::new(), revise: Predict::over(revision(S::spec()))? });
        let agents: Result<_, FieldError> = (0..agents.max(1)).map(|_| agent()).collect();
        let key = Arc::new(|output: &dyn Any| agreement(output.downcast_ref::<S::Output>()?));
        Ok(Debate { agents: agents?, rounds, temperature: Some(1.0), key })
    }

    /// Sets what is compared in the vote. Outputs with `None` do not vote. Default: all fields, texts apart from case,
    /// white space and punctuation at the end.
    #[must_use]
    pub fn by<K: Into<String>>(
        mut self,
        key: impl Fn(&S::Output) -> Option<K> + Send + Sync + 'static,
    ) -> Self {
        self.key = Arc::new(move |output| key(output.downcast_ref()?).map(Into::into));
        self
    }
}

impl<S> Debate<S> {
    /// Gives each agent a model, in turn if there are fewer models than agents.
    #[must_use]
    pub fn with_lms(mut self, lms: impl IntoIterator<Item = Lm>) -> Self
    where
        S: Signature,
    {
        let lms: Vec<_> = lms.into_iter().collect();
        if !lms.is_empty() {
            for (agent, lm) in self.agents.iter_mut().zip(lms.iter().cycle()) {
                agent.set_lm(lm.clone());
            }
        }
        self
    }

    /// Sets the temperature of all agents but the first, or `None` to leave it to the predictors. Default: 1.
    #[must_use]
    pub fn temperature(mut self, temperature: impl Into<Option<f64>>) -> Self {
        self.temperature = temperature.into();
        self
    }
}

fn revision(spec: &Arc<SignatureSpec>) -> SignatureSpec {
    let own = FieldSpec::text(Role::Input, "own_answer", "Your own answer so far.");
    let others = "The answers of others. Any of them may be wrong, and so may be yours.";
    let others = FieldSpec::of::<Vec<String>>(Role::Input, "other_answers", others);
    let reasoning = "Compare the answers step by step, and keep or change yours.";
    let mut spec = (**spec).clone().append(own).append(others);
    if spec.field("reasoning").is_none() {
        spec = spec.prepend(FieldSpec::text(Role::Output, "reasoning", reasoning));
    }
    spec
}

impl<S: Signature<Input: Clone>> Module for Debate<S> {
    type Input = S::Input;
    type Output = S::Output;

    async fn forward(&self, input: S::Input) -> Result<Prediction<S::Output>> {
        let agents = self.agents.iter();
        let mut answers = self.round(agents.map(|agent| agent.answer.call(input.clone()))).await?;
        for _ in 0..self.rounds {
            if answers.len() < 2 {
                break;
            }
            let told: Result<Vec<_>, _> =
                answers.iter().map(|answer| told(answer.reasoning(), answer.output())).collect();
            let told = told?;
            let revised = self.agents.iter().enumerate().map(|(index, agent)| {
                let others: Vec<_> = told
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != index)
                    .map(|(_, text)| text.as_str())
                    .collect();
                let added = [
                    ("own_answer", told[index].as_str().into()),
                    ("other_answers", serde_json::Value::from(others)),
                ];
                agent.revise.call_with(input.clone(), added)
            });
            answers = self.round(revised).await?;
        }
        let keys: Vec<_> = answers.iter().map(|answer| (self.key)(answer.output())).collect();
        let winner = majority(keys, Clone::clone)
            .ok_or_else(|| Error::other("no answer of `Debate` has a value to compare"))?;
        Ok(answers.swap_remove(winner.index).with_added("votes", winner.votes))
    }
}

impl<S: Signature> Debate<S> {
    /// Runs the calls of a round concurrently. Their steps are in traces in the order of the agents.
    async fn round<F>(&self, calls: impl Iterator<Item = F>) -> Result<Vec<Prediction<S::Output>>>
    where
        F: Future<Output = Result<Prediction<S::Output>>>,
    {
        let calls = calls.enumerate().map(|(index, call)| {
            let settings = Settings::new().sample(index as u64);
            let settings = match self.temperature.filter(|_| index > 0) {
                Some(temperature) => settings.temperature(temperature),
                None => settings,
            };
            hold_trace(settings.scope(call))
        });
        let answered = join_all(calls).await.into_iter().map(|(answer, trace)| {
            trace.keep();
            answer
        });
        // All traces are kept before the first error is returned.
        answered.collect::<Vec<_>>().into_iter().collect()
    }
}

visits_fields! {
    [S: Signature] Agent<S>,
    [Depth: DepthOf, S: Signature] {
        answer: ChainOfThought<S> => <ChainOfThought<S> as HasShape<Depth>>::SHAPE,
        revise: Predict<S> => &ProgramShape::Predictor(S::FIELDS),
    }
}

visits_fields! {
    [S: Signature] Debate<S>,
    [Depth: DepthOf, S: Signature] {
        agents: Vec<Agent<S>> => &ProgramShape::Items(None, <Agent<S> as HasShape<Depth>>::SHAPE),
    }
}

impl<S> Clone for Agent<S> {
    fn clone(&self) -> Self {
        Agent { answer: self.answer.clone(), revise: self.revise.clone() }
    }
}

impl<S> Clone for Debate<S> {
    fn clone(&self) -> Self {
        let Debate { agents, rounds, temperature, key } = self;
        Debate { agents: agents.clone(), rounds: *rounds, temperature: *temperature, key: key.clone() }
    }
}

impl<S> fmt::Debug for Debate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debate")
            .field("agents", &self.agents.len())
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}
