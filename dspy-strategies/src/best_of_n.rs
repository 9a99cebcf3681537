//! `BestOfN`: the best of several samples.

use std::fmt;
use std::pin::pin;

use dspy_core::evaluate::{Metric, Score, SharedMetric};
use dspy_core::predict::Prediction;
use dspy_core::program::{HasShape, Module};
use dspy_core::signature::shape::Depth as DepthOf;
use dspy_core::{Error, Result};
use futures_util::StreamExt as _;

use crate::reward::rewarded;
use crate::sampling::{Sampling, sampling_setters};
use crate::scope::Held;
use crate::visit::visits_fields;

/// A strategy that runs a program several times and returns the output with the highest reward, the earliest of equals.
///
/// The first sample is the call that the program would make alone; the others are drawn at
/// [`temperature`](Self::temperature). Only the returned sample is in traces. The reward is a
/// [`Metric`](dspy_core::evaluate::Metric) of input and output: a closure, sync or async, or a judge.
///
/// ```
/// use dspy_core::lm::Lm;
/// use dspy_core::predict::DynPredict;
/// use dspy_core::program::Module;
/// use dspy_core::signature::Values;
/// use dspy_strategies::BestOfN;
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let replies = ["a rather long answer", "short", "an answer"].map(|text| format!("[[ ## answer ## ]]\n{text}"));
/// let program = DynPredict::new("question -> answer".parse()?).with_lm(Lm::scripted(replies));
/// let best = BestOfN::new(program, 3, |_: &Values, output: &Values| {
///     1.0 / output["answer"].as_str().map_or(1.0, |text| text.len() as f64)
/// });
/// let output = best.call(Values::from_iter([("question".to_owned(), "Why?".into())])).await?;
/// assert_eq!(output["answer"], "short");
/// assert_eq!(output.added_as::<f64>("reward")?, 0.2);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
///
/// [`Prediction::added`] has the `reward` and the number of `samples` that were drawn.
pub struct BestOfN<M: Module> {
    module: M,
    reward: SharedMetric<M::Input, M::Output>,
    threshold: Option<f64>,
    sampling: Sampling,
}

impl<M: Module<Input: Sync + 'static, Output: Sync + 'static>> BestOfN<M> {
    /// Creates the strategy: `samples` runs of `module`, at least one.
    pub fn new<K: 'static>(
        module: M,
        samples: usize,
        reward: impl Metric<M::Input, M::Output, K> + 'static,
    ) -> Self {
        let (reward, sampling) = (SharedMetric::new(reward), Sampling::new("BestOfN", samples));
        BestOfN { module, reward, threshold: None, sampling }
    }
}

impl<M: Module> BestOfN<M> {
    /// Sets the reward at which no more samples are drawn. Samples are then drawn one after the other, unless
    /// [`concurrency`](Self::concurrency) says otherwise. Default: none, and 16 samples run at a time.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    sampling_setters!(
        "With a [`threshold`](Self::threshold), the number of calls does. Default: 16, or 1 with a threshold."
    );
}

impl<M> Module for BestOfN<M>
where
    M: Module<Input: Clone + Sync + 'static, Output: Sync + 'static> + Clone,
{
    type Input = M::Input;
    type Output = M::Output;

    async fn forward(&self, input: M::Input) -> Result<Prediction<M::Output>> {
        let mut sampling = self.sampling;
        sampling.concurrency = sampling.concurrency.or(self.threshold.map(|_| 1));
        let mut failures = sampling.failures();
        let mut best: Option<Sample<M::Output>> = None;
        let mut drawn = 0;
        let mut samples = pin!(sampling.in_order(|index| self.sample(sampling, &input, index)));
        while let Some(sample) = samples.next().await {
            drawn += 1;
            let sample = match sample {
                Ok(sample) => sample,
                Err(Failed::Sample(error)) => {
                    failures.push(error)?;
                    continue;
                }
                Err(Failed::Reward(error)) => return Err(error),
            };
            let enough = self.threshold.is_some_and(|threshold| sample.score.value >= threshold);
            if best.as_ref().is_none_or(|best| sample.score.value > best.score.value) {
                best = Some(sample);
            }
            if enough {
                break;
            }
        }
        let Some(Sample { prediction, held, score }) = best else { return Err(failures.none_left()) };
        held.keep();
        Ok(prediction.with_added("reward", score.value).with_added("samples", drawn))
    }
}

/// A sample that succeeded.
struct Sample<O> {
    prediction: Prediction<O>,
    held: Held,
    score: Score,
}

enum Failed {
    Sample(Error),
    Reward(Error),
}

impl<M> BestOfN<M>
where
    M: Module<Input: Clone + Sync, Output: Sync> + Clone,
{
    async fn sample(
        &self,
        sampling: Sampling,
        input: &M::Input,
        index: usize,
    ) -> Result<Sample<M::Output>, Failed> {
        let drawn = sampling.draw(&self.module, input.clone(), index).await;
        let (prediction, held) = drawn.map_err(Failed::Sample)?;
        let score = rewarded("BestOfN", &self.reward, input, &prediction, &held.trace()).await;
        Ok(Sample { prediction, held, score: score.map_err(Failed::Reward)? })
    }
}

visits_fields! { [M: Module] BestOfN<M>, [Depth: DepthOf, M: Module + HasShape<Depth>] { module: M => M::SHAPE } }

impl<M: Module + Clone> Clone for BestOfN<M> {
    fn clone(&self) -> Self {
        let BestOfN { module, reward, threshold, sampling } = self;
        BestOfN { module: module.clone(), reward: reward.clone(), threshold: *threshold, sampling: *sampling }
    }
}

impl<M: Module> fmt::Debug for BestOfN<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (samples, threshold) = (self.sampling.count, self.threshold);
        f.debug_struct("BestOfN")
            .field("samples", &samples)
            .field("threshold", &threshold)
            .finish_non_exhaustive()
    }
}
