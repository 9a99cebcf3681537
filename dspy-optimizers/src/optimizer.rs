//! The trait of optimizers.

use std::fmt;
use std::sync::Arc;

use dspy_core::lm::BoxFuture;
use dspy_core::program::inherit_unless_given;

use crate::data::{Data, IntoData, RowSet, Rows};
use crate::error::OptimizeError;
use crate::estimate::Estimate;
use crate::optimized::Optimized;

/// An algorithm that improves a program with data.
///
/// All optimizers of this library implement it. Functions can accept any optimizer, optimizers can be
/// composed, and custom ones can be used wherever built-in ones can. Lists hold [`BoxOptimizer`]s, which
/// [`boxed`](Self::boxed) creates.
///
/// The [engine](crate::engine) has an example of an optimizer that runs the program. One that does not run it
/// needs only this trait:
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
///     async fn compile<D: IntoData<P, E>>(
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
/// # use dspy_optimizers::{BoxOptimizer, LabeledFewShot};
/// # struct Row;
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), "a".into()), ("mood".to_owned(), "b".into())]))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// // Optimizers of different types, one after the other.
/// let steps: Vec<BoxOptimizer<DynPredict, Row>> =
///     vec![Instruct("How does the writer feel?").boxed(), LabeledFewShot::builder().boxed()];
/// let mut program = DynPredict::new("text -> mood".parse()?);
/// for step in &steps {
///     program = step.compile(program, &[Row]).await?.into_program();
/// }
/// assert_eq!(program.predictor().instruction(), "How does the writer feel?");
/// assert_eq!(program.predictor().demos().len(), 1);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "Teleprompter")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an optimizer of programs `{P}` with examples `{E}`",
    note = "an optimizer must have its metric: `.metric(…)`, for the examples and outputs of the program"
)]
pub trait Optimizer<P, E>: Send + Sync {
    /// Optimizes the program on rows (`&rows`, a `Vec`, …) or [`Data`].
    ///
    /// The settings, budgets and other scopes around the future apply, as around any other future:
    /// `Budget::calls(100).scope(optimizer.compile(program, &rows))`. In a task that is in no such scope, for example a
    /// spawned one, those apply in which `compile` was called.
    ///
    /// # Errors
    /// See [`OptimizeError`].
    fn compile<D>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send
    where
        D: IntoData<P, E>;

    /// Estimates the calls, tokens and US dollars of [`compile`](Self::compile) with the same arguments, without a call.
    ///
    /// The default says that nothing is known; the optimizers of this library all have an estimate. Prompts are
    /// rendered, and prices looked up, with the settings of the current task.
    ///
    /// # Errors
    /// As `compile`, if the data or the options cannot be used.
    fn estimate<D>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<P, E>,
    {
        let _ = (program, data);
        Ok(Estimate::unknown())
    }

    /// Returns the optimizer with its type erased, for lists of optimizers.
    fn boxed(self) -> BoxOptimizer<P, E>
    where
        Self: Sized + 'static,
        P: Send + 'static,
        E: Send + Sync + 'static,
    {
        BoxOptimizer(Arc::new(self))
    }
}

/// A type-erased optimizer for programs `P` with examples `E`, created by [`Optimizer::boxed`]. It implements
/// [`Optimizer`]. Clones share the optimizer.
pub struct BoxOptimizer<P, E>(Arc<dyn ErasedOptimizer<P, E>>);

/// The object-safe form of [`Optimizer`].
trait ErasedOptimizer<P, E>: Send + Sync {
    fn compile_erased<'a>(
        &'a self,
        program: P,
        data: Data<P, Rows<'a, E>>,
    ) -> BoxFuture<'a, Result<Optimized<P>, OptimizeError>>;

    fn estimate_erased(&self, program: &P, data: Data<P, Rows<'_, E>>) -> Result<Estimate, OptimizeError>;
}

impl<P, E, O> ErasedOptimizer<P, E> for O
where
    P: Send + 'static,
    E: Send + Sync + 'static,
    O: Optimizer<P, E>,
{
    fn compile_erased<'a>(
        &'a self,
        program: P,
        data: Data<P, Rows<'a, E>>,
    ) -> BoxFuture<'a, Result<Optimized<P>, OptimizeError>> {
        Box::pin(self.compile(program, data))
    }

    fn estimate_erased(&self, program: &P, data: Data<P, Rows<'_, E>>) -> Result<Estimate, OptimizeError> {
        self.estimate(program, data)
    }
}

/// Returns data with its rows as selections.
fn selected<'r, P, E, T: RowSet<E>>(
    (train, val, holdout): (&'r T, Option<&'r T>, Option<&'r T>),
    teacher: Option<P>,
) -> Result<Data<P, Rows<'r, E>>, OptimizeError> {
    Ok(Data {
        train: train.rows("trainset")?,
        val: val.map(|val| val.rows("valset")).transpose()?,
        holdout: holdout.map(|holdout| holdout.rows("holdout")).transpose()?,
        teacher,
    })
}

impl<P: Send + 'static, E: Send + Sync + 'static> Optimizer<P, E> for BoxOptimizer<P, E> {
    fn compile<D: IntoData<P, E>>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send {
        inherit_unless_given(async move {
            let Data { train, val, holdout, teacher } = data.into_data();
            let data = selected((&train, val.as_ref(), holdout.as_ref()), teacher)?;
            self.0.compile_erased(program, data).await
        })
    }

    fn estimate<D: IntoData<P, E>>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError> {
        let Data { train, val, holdout, teacher } = data.into_data();
        self.0.estimate_erased(program, selected((&train, val.as_ref(), holdout.as_ref()), teacher)?)
    }
}

impl<P, E, O: Optimizer<P, E> + ?Sized> Optimizer<P, E> for &O {
    fn compile<D: IntoData<P, E>>(
        &self,
        program: P,
        data: D,
    ) -> impl Future<Output = Result<Optimized<P>, OptimizeError>> + Send {
        (**self).compile(program, data)
    }

    fn estimate<D>(&self, program: &P, data: D) -> Result<Estimate, OptimizeError>
    where
        D: IntoData<P, E>,
    {
        (**self).estimate(program, data)
    }
}

impl<P, E> Clone for BoxOptimizer<P, E> {
    fn clone(&self) -> Self {
        BoxOptimizer(self.0.clone())
    }
}

impl<P, E> fmt::Debug for BoxOptimizer<P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxOptimizer")
    }
}
