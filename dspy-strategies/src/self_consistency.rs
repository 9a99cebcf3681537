//! `SelfConsistency`: the answer that most samples agree on.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use dspy_core::predict::Prediction;
use dspy_core::program::{HasShape, Module};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::{Error, Result};
use futures_util::StreamExt as _;
use serde::Serialize;

use crate::majority::{agreement, majority};
use crate::sampling::{Sampling, sampling_setters};
use crate::visit::visits_fields;

type Key<O> = dyn Fn(&O) -> Option<String> + Send + Sync;

/// A strategy that runs a program several times and returns the output that most runs agree on, the earliest of equals.
///
/// Outputs agree if all their fields are equal, texts apart from case, white space and punctuation at the end;
/// [`by`](Self::by) compares something else, such as one of several fields. Reasoning is not compared. Only the returned run is in
/// traces.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::Module;
/// use dspy_core::signature::Values;
/// use dspy_strategies::SelfConsistency;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let replies = ["11", "12", "12"].map(|number| format!("[[ ## reasoning ## ]]\n…\n\n[[ ## sum ## ]]\n{number}"));
/// let solve = DynPredict::chain_of_thought("task -> sum: int".parse()?).with_lm(Lm::scripted(replies));
/// let solve = SelfConsistency::new(solve, 3).by(|output: &Values| Some(output["sum"].to_string()));
/// let output = solve.call(Values::from_iter([("task".to_owned(), "5 + 7".into())])).await?;
/// assert_eq!(output["sum"], 12);
/// assert_eq!(output.added_as::<usize>("votes")?, 2);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// [`Prediction::added`] has the number of `votes` of the output and of `voters` in all.
///
/// Source: Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models" (2022).
pub struct SelfConsistency<M: Module> {
    module: M,
    key: Arc<Key<M::Output>>,
    sampling: Sampling,
}

impl<M: Module<Output: Serialize>> SelfConsistency<M> {
    /// Creates the strategy: `samples` runs of `module`, at least one.
    pub fn new(module: M, samples: usize) -> Self {
        let key = Arc::new(|output: &M::Output| agreement(output));
        SelfConsistency { module, key, sampling: Sampling::new("SelfConsistency", samples) }
    }
}

impl<M: Module> SelfConsistency<M> {
    /// Sets what is compared. Outputs with `None` do not vote.
    #[must_use]
    pub fn by<K: Into<String>>(
        mut self,
        key: impl Fn(&M::Output) -> Option<K> + Send + Sync + 'static,
    ) -> Self {
        self.key = Arc::new(move |output| key(output).map(Into::into));
        self
    }

    sampling_setters!("Default: 16.");
}

impl<M: Module<Input: Clone + Sync> + Clone> Module for SelfConsistency<M> {
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        let sampling = self.sampling;
        let mut failures = sampling.failures();
        let mut samples = Vec::new();
        {
            let draw = |index| sampling.draw(&self.module, input.clone(), index);
            let mut drawn = pin!(sampling.in_order(draw));
            while let Some(result) = drawn.next().await {
                match result {
                    Ok(sample) => samples.push(sample),
                    Err(error) => failures.push(error)?,
                }
            }
        }
        if samples.is_empty() {
            return Err(failures.none_left());
        }
        let keys: Vec<_> = samples.iter().map(|(prediction, _)| (self.key)(prediction)).collect();
        let Some(winner) = majority(keys, Clone::clone) else {
            return Err(Error::other("no sample of `SelfConsistency` has a value to compare"));
        };
        let (prediction, held) = samples.swap_remove(winner.index);
        held.keep();
        Ok(prediction.with_added("votes", winner.votes).with_added("voters", winner.voters))
    }
}

visits_fields! { [M: Module] SelfConsistency<M>, [Depth: DepthOf, M: Module + HasShape<Depth>] { module: M => M::SHAPE } }

impl<M: Module + Clone> Clone for SelfConsistency<M> {
    fn clone(&self) -> Self {
        let SelfConsistency { module, key, sampling } = self;
        SelfConsistency { module: module.clone(), key: key.clone(), sampling: *sampling }
    }
}

impl<M: Module> fmt::Debug for SelfConsistency<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfConsistency").field("samples", &self.sampling.count).finish_non_exhaustive()
    }
}
