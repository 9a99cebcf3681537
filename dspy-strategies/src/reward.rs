//! Rewards: metrics of an input and an output.

use std::panic::AssertUnwindSafe;

use dspy_core::Error;
use dspy_core::evaluate::{Judged, Metric, Score, SharedMetric};
use dspy_core::predict::Prediction;
use dspy_core::program::{Trace, hold_trace};
use futures_util::FutureExt as _;

use crate::scope::passing;

/// Rewards a prediction. The predictors of a reward that asks a model are in no trace.
///
/// # Errors
/// If the reward fails or panics, named after the strategy.
pub(crate) async fn rewarded<I: Sync, O: Sync>(
    strategy: &'static str,
    reward: &SharedMetric<I, O>,
    input: &I,
    prediction: &Prediction<O>,
    trace: &Trace,
) -> Result<Score, Error> {
    let judged = Judged::new(input, prediction).with_trace(trace);
    let scored = AssertUnwindSafe(reward.score(judged)).catch_unwind();
    // It says what a sample is worth; nothing attempts it again.
    let ((scored, _), _) = hold_trace(passing(scored)).await;
    match scored {
        Ok(Ok(score)) if score.value.is_finite() => Ok(score),
        Ok(Ok(score)) => Err(failed(strategy, &format!("it is {}", score.value))),
        Ok(Err(error)) => match error.downcast::<Error>() {
            // A judge without a model, or a spent budget, is what it is.
            Ok(error) if error.is_outage() || error.is_configuration() => Err(*error),
            Ok(error) => Err(failed(strategy, &error.to_string())),
            Err(error) => Err(failed(strategy, &error.to_string())),
        },
        Err(panic) => {
            let message = dspy_base::panics::message(&*panic).unwrap_or("no message");
            Err(failed(strategy, &format!("it panicked: {message}")))
        }
    }
}

fn failed(strategy: &str, what: &str) -> Error {
    Error::other(format!("the reward of `{strategy}` failed: {what}"))
}
