//! The builders of the built-in optimizers. A missing metric is a compile error.

use crate::metric::SharedMetric;

/// A placeholder for a metric that is not set.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetric;

/// A marker for a metric that is set. Optimizers cannot be built without one:
///
/// ```compile_fail
/// let optimizer = dspy_optimizers::BootstrapFewShot::builder().build(); // the optimizer has no metric
/// ```
#[diagnostic::on_unimplemented(
    message = "the optimizer has no metric",
    label = "call `.metric(…)` before this",
    note = "for example `.metric(|example: &Qa, output: &QaOutput| example.answer == output.answer)`"
)]
pub trait HasMetric {}

#[diagnostic::do_not_recommend]
impl<E, O> HasMetric for SharedMetric<E, O> {}

/// Implements the builder and the optimizer for a struct with the fields `metric`, `options` and the given
/// ones.
///
/// The struct is its own builder: its parameter `M` is [`NoMetric`] until a metric is set. The struct itself
/// must have `builder()`, the setters of the given fields, and, for
/// `M` = [`SharedMetric<E, O>`](crate::SharedMetric):
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
pub(crate) use optimizer;
