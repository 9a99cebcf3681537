//! The builders of the built-in optimizers. A missing metric is a compile error.

use dspy_core::program::HasPredictors;

use crate::counts::counted;
use crate::data::{Data, RowSet};
use crate::engine::{Splits, check_best_score, check_teacher, too_small};
use crate::error::OptimizeError;
use crate::estimate::{Cost, Estimate, Sizes};
use crate::headroom::few_rows;
use crate::options::Options;
use dspy_core::evaluate::SharedMetric;

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
/// - `fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError>`: the cost of the algorithm;
///   and an error for options that do not fit the data;
/// - if a name follows the fields, a function of that name with the program and the sizes: a check of the options that do
///   not fit the program, for the estimate; the search makes the same one;
/// - `async fn search(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>`: the algorithm.
macro_rules! optimizer {
    ($optimizer:ident { $($field:ident),* $(,)? } $(, $fits:ident)?) => {
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
            /// optimizer. [`Optimizer::compile`](crate::Optimizer::compile) says which settings and budgets apply.
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
                let run_dir = this.options.run_dir.clone();
                crate::engine::inherit(crate::engine::guarded(run_dir, async move {
                    this.check()?;
                    let mut study = crate::engine::Study::builder(stringify!($optimizer), program, &data)
                        .settings(&this.settings())
                        .options(&this.options)
                        .start(&this.metric)?;
                    let searched = match study.expect(|sizes| this.cost(sizes)) {
                        Ok(()) => this.search(&study).await,
                        Err(error) => Err(error.into()),
                    };
                    study.finish(searched).await
                }))
            }
        }

        impl<E: dspy_core::signature::Example, O: Send + Sync + 'static> $optimizer<crate::SharedMetric<E, O>> {
            /// Estimates the calls, tokens and US dollars of [`compile`](Self::compile) with the same arguments,
            /// without a call.
            ///
            /// # Errors
            /// As `compile`, if the data or the options cannot be used.
            pub fn estimate<P, D>(
                &self,
                program: &P,
                data: D,
            ) -> Result<crate::Estimate, crate::OptimizeError>
            where
                P: crate::engine::Program<Output = O>,
                E: crate::engine::ExampleFor<P>,
                D: crate::IntoData<P, E>,
            {
                self.check()?;
                crate::builder::estimate::<P, E, _>(program, &data.into_data(), &self.options, |sizes| {
                    $(self.$fits(program, sizes)?;)?
                    self.cost(sizes)
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

            fn estimate<D>(&self, program: &P, data: D) -> Result<crate::Estimate, crate::OptimizeError>
            where
                D: crate::IntoData<P, E>,
            {
                self.estimate(program, data)
            }
        }
    };
}
pub(crate) use optimizer;

/// Returns the estimate of an algorithm with this cost on data.
pub(crate) fn estimate<P, E, T>(
    program: &P,
    data: &Data<P, T>,
    options: &Options,
    cost: impl FnOnce(&Sizes) -> Result<Cost, OptimizeError>,
) -> Result<Estimate, OptimizeError>
where
    P: HasPredictors,
    T: RowSet<E>,
{
    check_best_score(options.best_score)?;
    let splits = Splits::<E>::of(program, data, options)?;
    check_teacher(program, data.teacher.as_ref())?;
    let Splits { train, val, given_val, verify, holdout } = &splits;
    let predictors = program.named_predictors().len();
    if predictors == 0 {
        return Err(OptimizeError::NoPredictors);
    }
    let sizes = Sizes { train: train.len(), val: val.len(), given_val: *given_val, predictors };
    let mut cost = cost(&sizes)?;
    if let (Some(verify), Ok(holdout)) = (verify, holdout) {
        cost = cost.verifying((holdout.len() * (1 + verify.finalists)) as u64);
    }
    let cost = cost.may_lack_headroom(options.best_score.is_some());
    let baseline = cost.baseline.unwrap_or(0);
    let sure = baseline.saturating_mul(predictors as u64);
    let verification = splits.verification(predictors);
    let search = splits.search_budget(program, options.budget);
    let too_small = too_small(options.budget, cost.first_runs().unwrap_or(0), predictors, verification);
    let shortage = verification.and_then(|verification| verification.shortage(options.budget));
    let needed = |(calls, runs): (u64, u64)| {
        baseline.saturating_add(runs).saturating_mul(predictors as u64).saturating_add(calls)
    };
    let short = cost.comparison.map(needed).zip(search.calls).filter(|(needed, calls)| calls < needed);
    let short = short.filter(|_| too_small.is_none()).map(|(needed, calls)| {
        format!(
            "{} for the search are too few to compare a new program, which needs at least {needed}, so none may be asked \
             for",
            counted(usize::try_from(calls).unwrap_or(usize::MAX), "call")
        )
    });
    let estimate =
        cost.estimate(program, data.teacher.as_ref(), train).ended_by(options.budget, search.calls, sure);
    // Optimizers that do not score the original program compare nothing.
    let few = cost.baseline.and_then(|rows| few_rows(rows as usize, options.best_score));
    Ok(estimate.warning(too_small.into_iter().chain(short).chain(shortage).chain(few)))
}
