//! Model calls other than rollouts.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use dspy_core::lm::Usage;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::Semaphore;

use super::call::{Journaled, RETRIES};
use super::{Program, Stop, Study};
use crate::journal::MetOutage;
use crate::report::CallKind;

/// The result of an [effect](Study::effect).
#[derive(Debug)]
#[non_exhaustive]
pub struct Effect<T> {
    /// The output of the work, or its error, such as a reply that could not be read.
    pub output: dspy_core::Result<T>,
    /// The cost of its calls.
    pub usage: Usage,
}

/// The outage of a model that writes proposals, which may be another one than that of the program.
#[derive(Debug, Error)]
#[error(
    "the proposer's model{model} cannot be used: {source}; check its address and key, or give the optimizer another one"
)]
struct ProposerOutage {
    /// The name and the address of the model, if they are known.
    model: String,
    source: dspy_core::Error,
}

impl ProposerOutage {
    fn new(source: dspy_core::Error, outage: Option<MetOutage>) -> Self {
        let model = outage.map(|MetOutage { error, endpoint }| {
            let at = if endpoint.is_empty() { endpoint } else { format!(" at {endpoint}") };
            format!(" `{}`{at}", error.model)
        });
        ProposerOutage { model: model.unwrap_or_default(), source }
    }
}

impl<P: Program, E> Study<'_, P, E> {
    /// Runs work that calls models, such as the proposal of an instruction, as an effect with this name. The
    /// calls are written to the journal and paid from the budget; on resume, the work is run again with the
    /// same replies.
    ///
    /// The output of the work must depend only on these replies. After an outage the work is restarted.
    ///
    /// ```
    /// # use dspy_core::predict::DynPredict;
    /// # use dspy_core::program::Module as _;
    /// # use dspy_core::signature::Values;
    /// # use dspy_optimizers::engine::{ExampleFor, Program, Stop, Study};
    /// async fn propose<P: Program, E: ExampleFor<P>>(
    ///     study: &Study<'_, P, E>,
    ///     proposer: &DynPredict,
    ///     input: &Values,
    /// ) -> Result<Option<String>, Stop> {
    ///     let answer = study.effect("propose-0", || proposer.call(input.clone())).await?;
    ///     // A reply that cannot be read is no proposal, and no reason to stop.
    ///     Ok(answer.output.ok().and_then(|answer| Some(answer["instruction"].as_str()?.to_owned())))
    /// }
    /// ```
    ///
    /// # Errors
    /// If the search has to stop, because the budget is exhausted or the model cannot be reached. Errors of
    /// the work itself are part of its result. A panic of the work is an
    /// [`OptimizeError::Panic`](crate::OptimizeError::Panic).
    pub async fn effect<T, F>(&self, name: &str, work: impl Fn() -> F) -> Result<Effect<T>, Stop>
    where
        F: Future<Output = dspy_core::Result<T>>,
    {
        let name = self.effect_name(name);
        let _turn = self.running.turn(&name).await;
        let mut attempts = 0;
        loop {
            let guarded = AssertUnwindSafe(async { work().await }).catch_unwind();
            let Journaled { output, usage, outage, .. } =
                self.journaled(&name, None, CallKind::Proposer, guarded).await?;
            let output = output.map_err(|panic| {
                self.panicked(format!("the proposer, or other work of the effect `{name}`,"), &*panic)
            })?;
            match output {
                Err(error) if error.is_outage() || outage.is_some() => {
                    let retryable = outage.as_ref().is_some_and(|outage| outage.error.is_retryable());
                    if !retryable || attempts >= RETRIES {
                        return Err(self.outage(Box::new(ProposerOutage::new(error, outage))));
                    }
                    attempts += 1;
                    self.retried(&name, attempts, &error);
                }
                output => {
                    self.report_cost();
                    return Ok(Effect { output, usage });
                }
            }
        }
    }

    /// Runs effects or other work, [several at a time](Self::concurrency), and returns the results in order.
    ///
    /// # Errors
    /// If the search has to stop. No work is started after that; work in flight is completed.
    pub async fn several<T, F>(&self, effects: Vec<F>) -> Result<Vec<T>, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        let (slots, stopped) =
            (Semaphore::new(self.concurrency().min(Semaphore::MAX_PERMITS)), AtomicBool::new(false));
        let (slots, stopped) = (&slots, &stopped);
        let effects = effects.into_iter().map(|effect| async move {
            let _slot = slots.acquire().await;
            if stopped.load(Ordering::Relaxed) {
                return None;
            }
            let result = effect.await;
            stopped.fetch_or(result.is_err(), Ordering::Relaxed);
            Some(result)
        });
        join_all(effects).await.into_iter().flatten().collect()
    }
}
