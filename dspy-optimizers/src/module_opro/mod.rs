//! `ModuleOpro`: better instructions for all predictors at once.

mod search;

use serde_json::{Value, json};

use self::search::Search;
use crate::OptimizeError;
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::proposer::{GroundingRequest, SharedProposer, TextProposer, grounding_calls};
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer of the instructions of all predictors at once: in each step a proposer writes a new instruction for
/// every predictor, and the score of the program with all of them is credited to each.
///
/// Each predictor has a history of its instructions with the mean score of the programs that used them. The proposer
/// sees the best of it, in ascending order, and, unless [`grounding`](Self::grounding) is off, a summary of the data,
/// descriptions of the program and of the predictor, and some labelled rows.
///
/// By default, the program of a step runs on a random [`minibatch`](Self::minibatch) of the valset. If it is better
/// there than the best program so far, it runs on the whole valset, and becomes the best one if it is better there,
/// too. Scores of minibatches are credited relative to the score of the best program on the same rows, so that
/// different minibatches are comparable. [`published`](Self::published) runs every program on the whole valset.
///
/// Cost for `s` steps, `p` predictors, a valset of `v` rows and minibatches of `b` rows: `s` × `p` calls of the
/// proposer, up to 12 + `p` for the grounding, and `v` + `s` × `b` runs of the program, plus at most `v` − `b`
/// for each program that beats the best one on its minibatch. In the published form, `v` × (`s` + 1) runs.
///
/// Source: Module-Level OPRO in Opsahl-Ong et al., "Optimizing Instructions and Demonstrations for Multi-Stage
/// Language Model Programs" (2024).
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::proposer::TextRequest;
/// use dspy_optimizers::{Budget, ModuleOpro};
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> { self.input() }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let trainset = [Row("I love it", "good"), Row("Again this rain", "bad")];
/// let optimizer = ModuleOpro::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .steps(5)
///     // By default a language model writes the instructions.
///     .proposer(async |request: TextRequest| {
///         Ok(vec![format!("{} Love is good, rain is bad.", request.current)])
///     })
///     .budget(Budget::calls(1_000))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// assert_eq!(optimized.report().score(), Some(1.0));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "OPRO")]
#[derive(Debug, Clone)]
pub struct ModuleOpro<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
}

/// The parameters that determine the result.
#[derive(Debug, Clone)]
struct Settings {
    steps: usize,
    /// The rows of a minibatch; `None` for the whole valset.
    minibatch: Option<usize>,
    history: usize,
    temperature: f64,
    grounding: bool,
    examples: usize,
    proposer: SharedProposer,
}

impl ModuleOpro {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        let settings = Settings {
            steps: 30,
            minibatch: Some(25),
            history: 20,
            temperature: 1.0,
            grounding: true,
            examples: 10,
            proposer: SharedProposer::default(),
        };
        ModuleOpro { metric: NoMetric, options: Options::default(), settings }
    }
}

impl<M> ModuleOpro<M> {
    /// Sets the number of steps, each with one new program, 30 by default.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.settings.steps = steps;
        self
    }

    /// Sets the number of rows of the valset that the program of a step runs on, 25 by default and at least 1. If the
    /// valset is not larger, all of it is used.
    #[must_use]
    pub fn minibatch(mut self, rows: usize) -> Self {
        self.settings.minibatch = Some(rows.max(1));
        self
    }

    /// Sets the number of earlier instructions that the proposer sees, the best ones, 20 by default.
    #[must_use]
    pub fn history(mut self, instructions: usize) -> Self {
        self.settings.history = instructions;
        self
    }

    /// Sets the temperature of the proposer, 1 by default.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.settings.temperature = temperature;
        self
    }

    /// Sets whether the proposer sees descriptions of data and program and labelled rows, besides the signature and
    /// the history. On by default.
    #[must_use]
    pub fn grounding(mut self, on: bool) -> Self {
        self.settings.grounding = on;
        self
    }

    /// Sets the number of labelled rows of the trainset that the proposer sees in each request, 10 by default. A
    /// predictor whose outputs the rows do not have gets none.
    #[must_use]
    pub fn examples(mut self, rows: usize) -> Self {
        self.settings.examples = rows;
        self
    }

    /// Sets the published form: the program of every step runs on the whole valset, and the best of them is the
    /// result.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.settings.minibatch = None;
        self
    }

    /// Sets the proposer of the instructions and of the grounding. By default, it is a
    /// [`Proposer`](crate::proposer::Proposer) with the current model.
    #[doc(alias = "prompt_model")]
    #[must_use]
    pub fn proposer(mut self, proposer: impl TextProposer) -> Self {
        self.settings.proposer = SharedProposer::new(proposer);
        self
    }
}

optimizer!(ModuleOpro { settings });

impl<E, O> ModuleOpro<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        OptimizeError::check_temperature(self.settings.temperature)
    }

    fn settings(&self) -> Value {
        let Settings { steps, minibatch, history, temperature, grounding, examples, proposer } =
            &self.settings;
        json!({
            "steps": steps,
            "minibatch": minibatch,
            "history": history,
            "temperature": temperature,
            "grounding": grounding,
            "examples": examples,
            "proposer": proposer.identity(),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let Settings { steps, grounding, examples, proposer, .. } = &self.settings;
        let (val, steps) = (sizes.val as u64, *steps as u64);
        let mut proposals = Span::exactly(steps.saturating_mul(sizes.predictors as u64));
        if *grounding && steps > 0 {
            let rows = sizes.train.min(search::GROUNDING_ROWS);
            proposals =
                proposals + grounding_calls(rows, GroundingRequest::new().batch, Some(sizes.predictors));
        }
        Ok(Cost {
            baseline: Some(val),
            comparison: (steps > 0).then_some((sizes.predictors as u64, val)),
            proposals: proposer.calls(proposals),
            shown: if *grounding { *examples } else { 0 },
            writer: proposer.writer(),
            ..Cost::of_rollouts(Span::between(val, val.saturating_mul(steps.saturating_add(1))))
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        Search::start(study, &self.settings).await?.run().await
    }
}
