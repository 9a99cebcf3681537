//! The trait over optimizers.

use crate::{IntoData, OptimizeError, Optimized};

/// Something that makes a better program of a program and data.
///
/// The optimizers of this library implement it, each beside an inherent `compile` whose future borrows nothing. With
/// it a function can take any optimizer, and one of your own can stand where theirs do.
///
/// `K` is the form of the optimizer's [`Metric`](dspy_core::evaluate::Metric); leave it out in optimizers of your own,
/// and in bounds unless async metrics are to be accepted, too.
///
/// ```
/// use dspy_core::program::HasPredictors;
/// use dspy_core::signature::Example;
/// use dspy_optimizers::{IntoData, OptimizeError, Optimized, Optimizer, Report, Trial};
///
/// /// Sets one instruction on all predictors.
/// struct Instruct(&'static str);
///
/// impl<P: HasPredictors + Send, E: Example> Optimizer<P, E> for Instruct {
///     async fn compile<D: IntoData<P, E> + Send>(
///         &self,
///         mut program: P,
///         data: D,
///     ) -> Result<Optimized<P>, OptimizeError> {
///         let mut report = Report::new("Instruct", &program);
///         program.for_each_predictor(|_, predictor| predictor.set_instruction(self.0));
///         report.trials.push(Trial::new("the instruction", &program));
///         Ok(Optimized::new(program, report))
///     }
/// }
///
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::signature::{FieldError, Values};
/// # struct Row;
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// #     fn values(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// # }
/// async fn tune<P, O>(program: P, rows: &[Row], optimizer: O) -> Result<P, OptimizeError>
/// where
///     O: Optimizer<P, Row>,
/// {
///     Ok(optimizer.compile(program, rows).await?.into_program())
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let program = DynPredict::new("text -> mood".parse()?);
/// let program = tune(program, &[], Instruct("How does the writer feel?")).await?;
/// assert_eq!(program.predictor().instruction(), "How does the writer feel?");
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
pub trait Optimizer<P, E, K = ()>: Send + Sync {
    /// Optimizes the program.
    ///
    /// # Errors
    /// See [`OptimizeError`].
    fn compile<D>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send
    where
        D: IntoData<P, E> + Send;
}
