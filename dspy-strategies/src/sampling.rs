//! Several samples of one program on one input.

use dspy_core::predict::Prediction;
use dspy_core::program::{Module, Settings};
use dspy_core::{Error, Result};
use futures_util::{Stream, StreamExt as _, stream};

use crate::assertions::on_its_own;
use crate::react::{lacks_approval, repeated};
use crate::scope::{Held, Noted, held};

/// The default number of samples in flight.
const IN_FLIGHT: usize = 16;

/// The way in which samples are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    strategy: &'static str,
    /// The number of samples, at least 1.
    pub(crate) count: usize,
    /// The temperature of all samples but the first.
    pub(crate) temperature: Option<f64>,
    /// The maximum number of samples in flight.
    pub(crate) concurrency: Option<usize>,
    /// The number of samples that may fail; by default all but one.
    pub(crate) max_failures: Option<usize>,
}

impl Sampling {
    pub(crate) fn new(strategy: &'static str, count: usize) -> Self {
        Sampling {
            strategy,
            count: count.max(1),
            temperature: Some(1.0),
            concurrency: None,
            max_failures: None,
        }
    }

    /// Returns the counter of the failures of a call.
    pub(crate) fn failures(self) -> Failures {
        Failures::new(self.strategy, self.count, self.max_failures)
    }

    /// Draws the sample `index` and holds back its trace and its notes. Sample 0 is the call that would be made without a
    /// strategy. What a single sample leaves is kept also if it fails, since that is what the whole leaves.
    pub(crate) async fn draw<M>(
        self,
        program: &M,
        input: M::Input,
        index: usize,
    ) -> Result<(Prediction<M::Output>, Held)>
    where
        M: Module<Input: Clone + Sync> + Clone,
    {
        let settings = Settings::new().sample(index as u64);
        let settings = match self.temperature.filter(|_| index > 0) {
            Some(temperature) => settings.temperature(temperature),
            None => settings,
        };
        let call = settings.scope(sampled(program, input, self.count));
        let (result, held) = held(repeated(self.strategy, self.count, call)).await;
        match result {
            Ok(prediction) => Ok((prediction, held)),
            Err(error) => {
                if self.count == 1 {
                    held.keep();
                }
                Err(error)
            }
        }
    }

    /// Runs the work of the samples, several at a time, and yields its results in the order of the samples. Dropping
    /// the stream stops what runs.
    pub(crate) fn in_order<'a, F: Future<Output: Send> + Send + 'a>(
        self,
        work: impl Fn(usize) -> F + Send + 'a,
    ) -> impl Stream<Item = F::Output> + Send + 'a {
        stream::iter((0..self.count).map(work)).buffered(self.concurrency.unwrap_or(IN_FLIGHT).max(1))
    }
}

/// Runs a program as one of `count` samples. A single one has the result of the whole, and so have its constraints.
pub(crate) async fn sampled<M>(
    program: &M,
    input: M::Input,
    count: usize,
) -> (Result<Prediction<M::Output>>, Noted)
where
    M: Module<Input: Clone + Sync> + Clone,
{
    if count > 1 { on_its_own(program, input).await } else { (program.call(input).await, Noted::default()) }
}

/// Counts failed samples and decides when there are too many.
#[derive(Debug)]
pub(crate) struct Failures {
    strategy: &'static str,
    samples: usize,
    left: usize,
    first: Option<Error>,
}

impl Failures {
    /// Allows `limit` failures of `samples`; by default all but one sample may fail.
    pub(crate) fn new(strategy: &'static str, samples: usize, limit: Option<usize>) -> Self {
        Failures { strategy, samples, left: limit.unwrap_or(samples - 1), first: None }
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// At once if the failure is not that of the sample but of the configuration or of the model's endpoint, or if an
    /// approval is needed; otherwise
    /// the first failure, when there are more than allowed.
    pub(crate) fn push(&mut self, error: Error) -> Result<()> {
        // An agent that needs an approval needs it in the other samples, too.
        if error.is_outage() || error.is_configuration() || lacks_approval(&error) {
            return Err(error);
        }
        let first = self.first.take().unwrap_or(error);
        match self.left.checked_sub(1) {
            Some(left) => {
                (self.left, self.first) = (left, Some(first));
                Ok(())
            }
            None => Err(self.too_many(first)),
        }
    }

    /// Returns the error for samples of which none succeeded.
    pub(crate) fn none_left(mut self) -> Error {
        let first = self.first.take();
        let first = first.unwrap_or_else(|| Error::other("there was no sample"));
        self.too_many(first)
    }

    fn too_many(&self, first: Error) -> Error {
        if self.samples == 1 {
            return first;
        }
        Error::other(TooManyFailures { strategy: self.strategy, samples: self.samples, source: first })
    }
}

/// More samples failed than a strategy allows.
#[derive(Debug)]
struct TooManyFailures {
    strategy: &'static str,
    samples: usize,
    source: Error,
}

impl std::fmt::Display for TooManyFailures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TooManyFailures { strategy, samples, .. } = self;
        write!(f, "too many of the {samples} samples of `{strategy}` failed; the first failure was")
    }
}

impl std::error::Error for TooManyFailures {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Defines the settings of a strategy with a field `sampling: Sampling`. `$doc` continues the description of `concurrency`.
macro_rules! sampling_setters {
    ($doc:literal) => {
        /// Sets the maximum number of samples in flight. The result does not depend on it.
        #[doc = $doc]
        #[must_use]
        pub fn concurrency(mut self, concurrency: usize) -> Self {
            self.sampling.concurrency = Some(concurrency);
            self
        }

        /// Sets the temperature of all samples but the first, or `None` to leave it to the predictors. Default: 1.
        #[must_use]
        pub fn temperature(mut self, temperature: impl Into<Option<f64>>) -> Self {
            self.sampling.temperature = temperature.into();
            self
        }

        /// Sets the number of samples that may fail. Default: all but one. Failures of the endpoint or of the
        /// configuration are errors of the whole call.
        #[must_use]
        pub fn max_failures(mut self, failures: usize) -> Self {
            self.sampling.max_failures = Some(failures);
            self
        }
    };
}

pub(crate) use sampling_setters;
