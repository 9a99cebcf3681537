//! Attempts of a program, each with notes about those before, until the reward is enough.

use dspy_core::Result;
use dspy_core::evaluate::SharedMetric;
use dspy_core::predict::Prediction;
use dspy_core::program::{Module, Settings};

use crate::advice::{Attempted, with_notes};
use crate::react::repeated;
use crate::reward::rewarded;
use crate::sampling::{Failures, sampled};
use crate::scope::{Held, held};

/// The number of attempts, and the reward that is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    count: usize,
    pub(crate) threshold: f64,
    pub(crate) max_failures: Option<usize>,
}

/// The part of a strategy that learns from insufficient attempts.
pub(crate) trait Learn<M>: Send {
    /// Returns whether there are no notes yet.
    fn is_empty(&self) -> bool;

    /// Returns the notes for the predictor at `path`.
    fn notes(&self, path: &str) -> Option<String>;

    /// Learns from an attempt of `program`, which has the notes so far.
    fn learn(&mut self, program: &M, attempted: &Attempted<'_>) -> impl Future<Output = Result<()>> + Send;
}

impl Attempts {
    pub(crate) fn new(count: usize) -> Self {
        Attempts { count: count.max(1), threshold: 1.0, max_failures: None }
    }

    /// Runs attempts until one has the reward, and returns the best, the earliest of equals. Only its steps are kept.
    pub(crate) async fn run<M, L>(
        self,
        strategy: &'static str,
        module: &M,
        reward: &SharedMetric<M::Input, M::Output>,
        input: M::Input,
        mut learned: L,
    ) -> Result<Prediction<M::Output>>
    where
        M: Module<Input: Clone + Sync, Output: Sync> + Clone,
        L: Learn<M>,
    {
        let mut best: Option<(f64, Prediction<M::Output>, Held)> = None;
        let mut failures = Failures::new(strategy, self.count, self.max_failures);
        let mut made = 0;
        for attempt in 0..self.count {
            made += 1;
            let noted = (!learned.is_empty()).then(|| with_notes(module, |path| learned.notes(path)));
            let program = noted.as_ref().unwrap_or(module);
            let settings = Settings::new().sample(attempt as u64);
            let call = settings.scope(sampled(program, input.clone(), self.count));
            let (result, left) = held(repeated(strategy, self.count, call)).await;
            let trace = left.trace();
            let outcome = match result {
                Ok(prediction) => {
                    let score = rewarded(strategy, reward, &input, &prediction, &trace).await?;
                    let enough = score.value >= self.threshold;
                    if best.as_ref().is_none_or(|(best, ..)| score.value > *best) {
                        best = Some((score.value, prediction, left));
                    }
                    if enough {
                        break;
                    }
                    Ok(score)
                }
                Err(error) => {
                    if self.count == 1 {
                        left.keep();
                    }
                    let text = error.to_string();
                    failures.push(error)?;
                    Err(text)
                }
            };
            if attempt + 1 < self.count {
                let attempted = Attempted { trace: &trace, outcome, wanted: self.threshold };
                match learned.learn(program, &attempted).await {
                    // A reply that cannot be read teaches nothing: the next attempt is then another sample.
                    Err(error) if error.is_outage() || error.is_configuration() => return Err(error),
                    _ => {}
                }
            }
        }
        let Some((reward, prediction, trace)) = best else { return Err(failures.none_left()) };
        trace.keep();
        Ok(prediction.with_added("reward", reward).with_added("attempts", made))
    }
}

/// Defines the settings of a strategy with a field `attempts: Attempts`.
macro_rules! attempts_setters {
    () => {
        /// Sets the reward that is enough. Default: 1.
        #[must_use]
        pub fn threshold(mut self, threshold: f64) -> Self {
            self.attempts.threshold = threshold;
            self
        }

        /// Sets the number of attempts that may fail; the next attempts learn from failures, too. Default: all but one.
        /// Failures of the endpoint or of the configuration are errors of the whole call.
        #[must_use]
        pub fn max_failures(mut self, failures: usize) -> Self {
            self.attempts.max_failures = Some(failures);
            self
        }
    };
}

pub(crate) use attempts_setters;
