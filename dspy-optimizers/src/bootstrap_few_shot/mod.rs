//! `BootstrapFewShot`: demonstrations from successful runs of the program.

mod algorithm;
mod choose;
mod every_row;
mod outcomes;
mod roles;
mod sets;
mod settings;

use serde_json::Value;

pub(crate) use self::algorithm::{Bootstrap, Bootstrapped};
pub(crate) use self::choose::demonstrations;
pub(crate) use self::every_row::{EveryRow, RowRuns};
pub(crate) use self::outcomes::notes;
pub(crate) use self::roles::Roles;
pub(crate) use self::sets::{DemoSet, WithDemos};
pub(crate) use self::settings::{Settings, bootstrap_setters, teacher_setters};
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::estimate::{Cost, Sizes, Taught};
use crate::options::Options;
use crate::report::{Stopped, Trial};
use dspy_core::evaluate::SharedMetric;

/// An optimizer that makes demonstrations from successful runs. It runs a teacher on rows of the trainset;
/// each predictor gets its calls in the runs that the metric accepts as demonstrations, and additional
/// labelled rows.
///
/// The teacher is the program itself with labelled demonstrations, unless another one is
/// [set](crate::Data::teacher). Rows are tried in order until `max_bootstrapped_demos` have succeeded. No
/// more rows are in flight than successes are missing, so the rows that are tried do not depend on the
/// concurrency. The teacher never sees the row that it runs on among its demonstrations. The valset is not
/// used.
///
/// Cost: one run of the teacher for each row that is tried, and for each further round.
///
/// Source: `BootstrapFewShot` in Khattab et al., "DSPy: Compiling Declarative Language Model Calls into
/// Self-Improving Pipelines" (2023).
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{BootstrapFewShot, Budget};
/// # struct Row;
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), "good".into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> { self.input() }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let trainset = [Row];
/// let optimizer = BootstrapFewShot::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == "good")
///     .max_bootstrapped_demos(4)
///     .max_labeled_demos(16)
///     .budget(Budget::calls(200))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// # assert_eq!(optimized.predictor().demos().len(), 1);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct BootstrapFewShot<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
}

impl BootstrapFewShot {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        BootstrapFewShot { metric: NoMetric, options: Options::default(), settings: Settings::default() }
    }
}

impl<M> BootstrapFewShot<M> {
    bootstrap_setters!();
}

optimizer!(BootstrapFewShot { settings });

impl<E, O> BootstrapFewShot<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        self.settings.check()
    }

    fn settings(&self) -> Value {
        self.settings.identity()
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let runs = self.settings.runs(sizes.train, self.settings.max_bootstrapped_demos);
        Ok(Cost { taught: Taught::All, ..self.settings.cost(runs) })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let roles = Roles::of(study);
        let order: Vec<usize> = (0..study.train().len()).collect();
        let (settings, seed) = (&self.settings, study.seed());
        let made = Bootstrap { scope: "bootstrap", order: &order, settings, seed }.run(study, &roles).await?;
        let Bootstrapped { program, items, notes, usage, stopped } = made;
        if let Some(limit) = stopped
            && items.is_empty()
        {
            // No row was tried, so the program stays unchanged.
            return Err(Stop::Budget(limit));
        }
        let trial = Trial { items, notes, usage, ..Trial::new("bootstrapped demonstrations", &program) };
        let trial = study.record(trial, program);
        study.choose(trial);
        Ok(stopped.map_or(Stopped::Finished, Stopped::Budget))
    }
}
