//! The options of all optimizers that call a model, and the macros for their builders.

mod metric;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dspy_core::lm::Budget;

pub use self::metric::{HasMetric, NoMetric, SharedMetric};
use crate::StudyEvent;
use crate::verify::Verify;

/// Options of an optimization: budget, journal, seed, concurrency, progress, verification.
///
/// The built-in optimizers have the same setters. A custom optimizer holds an `Options` and passes it to its
/// [`Study`](crate::engine::Study).
///
/// ```
/// use dspy_optimizers::{Budget, Options};
/// let options = Options::default().budget(Budget::calls(500)).run_dir("runs/qa").seed(7);
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) budget: Budget,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) concurrency: usize,
    pub(crate) seed: u64,
    pub(crate) progress: bool,
    pub(crate) max_errors: usize,
    pub(crate) verify: Option<Verify>,
    pub(crate) listener: Option<Listener>,
}

/// A function that receives the events of a study.
pub(crate) type Listener = Arc<dyn Fn(&StudyEvent) + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Options {
            budget: Budget::UNLIMITED,
            run_dir: None,
            concurrency: 8,
            seed: 0,
            progress: false,
            max_errors: 10,
            verify: None,
            listener: None,
        }
    }
}

impl Options {
    option_setters!(self, self);
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { budget, run_dir, concurrency, seed, progress, max_errors, verify, listener } = self;
        f.debug_struct("Options")
            .field("budget", budget)
            .field("run_dir", run_dir)
            .field("concurrency", concurrency)
            .field("seed", seed)
            .field("progress", progress)
            .field("max_errors", max_errors)
            .field("verify", verify)
            .field("on_event", &listener.is_some())
            .finish()
    }
}

/// The setters of [`Options`], for an `impl` block of a type with options at `$options`.
macro_rules! option_setters {
    ($self:ident, $options:expr) => {
        /// Sets limits on calls, tokens, US dollars and time. When one is reached, the best program so far is
        /// the result and [`Report::stopped`](crate::Report::stopped) names the limit. Unlimited by default.
        #[doc(alias = "max_metric_calls")]
        #[must_use]
        pub fn budget(mut $self, budget: crate::Budget) -> Self {
            $options.budget = budget;
            $self
        }

        /// Sets the folder of the journal. An optimization that was killed, or stopped by an outage or a
        /// budget, resumes when it is started again with the same folder. By default, there is no journal on
        /// disk.
        ///
        /// A folder belongs to one optimization: starting with other data, options or programs is an error,
        /// and so is a `journal.jsonl` that is not a journal. The journal contains prompts and replies; on
        /// Unix, only its owner can read it. If it is removed during the optimization,
        /// [`Report::warnings`](crate::Report::warnings) has a warning.
        #[doc(alias = "log_dir")]
        #[must_use]
        pub fn run_dir(mut $self, folder: impl Into<std::path::PathBuf>) -> Self {
            $options.run_dir = Some(folder.into());
            $self
        }

        /// Sets the largest number of examples in flight, 8 by default and at least 1. The result does not
        /// depend on it.
        #[doc(alias = "num_threads")]
        #[must_use]
        pub fn concurrency(mut $self, examples: usize) -> Self {
            $options.concurrency = examples.max(1);
            $self
        }

        /// Sets the seed of all random decisions, 0 by default.
        #[must_use]
        pub fn seed(mut $self, seed: u64) -> Self {
            $options.seed = seed;
            $self
        }

        /// Sets whether to show a progress bar if there is a terminal. Off by default.
        #[must_use]
        pub fn progress(mut $self, on: bool) -> Self {
            $options.progress = on;
            $self
        }

        /// Sets a function that receives every event, such as phases, rollouts and trials.
        #[doc(alias = "callbacks")]
        #[must_use]
        pub fn on_event(mut $self, listener: impl Fn(&crate::StudyEvent) + Send + Sync + 'static) -> Self {
            $options.listener = Some(std::sync::Arc::new(listener));
            $self
        }

        /// Sets the number of examples on which the metric may fail before the optimization ends with
        /// [`OptimizeError::Metric`](crate::OptimizeError::Metric), 10 by default. Examples on which it fails
        /// are excluded from the score. A failure of the program does not count as an error but scores 0.
        #[must_use]
        pub fn max_errors(mut $self, examples: usize) -> Self {
            $options.max_errors = examples;
            $self
        }

        /// Sets that the result is verified on rows that the search never uses: it is returned only if its
        /// score there is not lower than that of the original program. Off by default, unless the data has a
        /// [holdout](crate::Data::holdout).
        #[must_use]
        pub fn verify(mut $self, verify: crate::Verify) -> Self {
            $options.verify = Some(verify);
            $self
        }
    };
}
/// Implements the builder and the optimizer for a struct with the fields `metric`, `options` and the given
/// ones.
///
/// The struct is its own builder: its parameter `M` is [`NoMetric`] until a metric is set. The struct itself
/// must have `builder()`, the setters of the given fields, and, for
/// `M` = [`SharedMetric<E, O>`](SharedMetric):
///
/// - `fn settings(&self) -> Value`: everything that determines the result, for the header of the journal;
/// - `fn check(&self) -> Result<(), OptimizeError>`: a check of the options;
/// - `async fn search(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>`: the algorithm.
macro_rules! optimizer {
    ($optimizer:ident { $($field:ident),* $(,)? }) => {
        impl<M> $optimizer<M> {
            /// Sets the metric that the optimizer maximises. Required. It is a sync or async closure of an
            /// example and an output, or of an example and a [`Prediction`](dspy_core::predict::Prediction),
            /// or a type that implements [`Metric`](dspy_core::evaluate::Metric).
            #[must_use]
            pub fn metric<E, O, K>(
                self,
                metric: impl dspy_core::evaluate::Metric<E, O, K> + 'static,
            ) -> $optimizer<crate::SharedMetric<E, O>>
            where
                E: 'static,
                O: 'static,
                K: 'static,
            {
                let Self { options, $($field,)* .. } = self;
                $optimizer { metric: crate::SharedMetric::new(metric), options, $($field,)* }
            }

            crate::options::option_setters!(self, self.options);

            /// Returns the optimizer. A metric must be set before; everything else is optional.
            #[must_use]
            pub fn build(self) -> Self
            where
                M: crate::HasMetric,
            {
                self
            }
        }

        impl<E: dspy_core::signature::Example, O: Send + Sync + 'static> $optimizer<crate::SharedMetric<E, O>> {
            /// Optimizes the program on rows or [`Data`](crate::Data). The future does not borrow the
            /// optimizer. If it is spawned, it keeps the settings of the current task, such as the model.
            ///
            /// # Errors
            /// See [`OptimizeError`](crate::OptimizeError). With a `run_dir`, the same call resumes the
            /// optimization.
            pub fn compile<P, D>(
                &self,
                program: P,
                data: D,
            ) -> impl Future<Output = Result<crate::Optimized<P>, crate::OptimizeError>> + Send + use<P, D, E, O>
            where
                P: crate::engine::Program<Output = O>,
                E: crate::engine::ExampleFor<P>,
                D: crate::IntoData<P, E>,
            {
                let this = self.clone();
                let data = data.into_data();
                crate::engine::inherit(async move {
                    this.check()?;
                    let study = crate::engine::Study::builder(stringify!($optimizer), program, &data)
                        .settings(&this.settings())
                        .options(&this.options)
                        .start(&this.metric)?;
                    let searched = this.search(&study).await;
                    study.finish(searched).await
                })
            }
        }

        impl<P, E> crate::Optimizer<P, E> for $optimizer<crate::SharedMetric<E, P::Output>>
        where
            P: crate::engine::Program,
            E: crate::engine::ExampleFor<P>,
        {
            fn compile<D>(
                &self,
                program: P,
                data: D,
            ) -> impl Future<Output = Result<crate::Optimized<P>, crate::OptimizeError>> + Send
            where
                D: crate::IntoData<P, E>,
            {
                self.compile(program, data)
            }
        }
    };
}
pub(crate) use {optimizer, option_setters};
