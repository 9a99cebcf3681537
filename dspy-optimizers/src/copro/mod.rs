//! `Copro`: better instructions, one predictor at a time.

mod search;

use serde_json::{Value, json};

use self::search::Search;
use crate::OptimizeError;
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::proposer::{SharedProposer, TextProposer};
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer of instructions by coordinate ascent: a proposer writes several instructions for each predictor, and
/// the predictors take turns in keeping the best of theirs.
///
/// There are `depth` rounds. In the first, the proposer writes `breadth` − 1 instructions for each predictor, from
/// the original instruction and some labelled rows; in later ones `breadth`, from the best instructions so far with
/// their scores. Then each predictor in turn compares its instructions, including its present one, while the others
/// keep theirs, and takes the best for the rest of the search. An instruction is always compared under the
/// instructions that the other predictors have at that time, so the score of the result is that of the whole
/// program. In a tie the present instruction stays.
///
/// By default, the instructions are compared in a [race](Self::race) on the valset, and those that were dropped are
/// not compared in later rounds. [`published`](Self::published) runs all instructions on the whole valset, in every
/// round.
///
/// Cost for a valset of `v` rows and `p` predictors: `p` × (`breadth` × `depth` − 1) calls of the proposer, and at
/// most `v` × `breadth` × `depth` runs of a program with one predictor. With several predictors, all instructions of
/// a predictor may run again in each round: at most `p` × `v` × `breadth` × `depth` × (`depth` + 1) / 2 runs. A race
/// needs about half of it.
///
/// Source: `COPRO` in Khattab et al., "DSPy: Compiling Declarative Language Model Calls into Self-Improving
/// Pipelines" (2023), which extends Yang et al., "Large Language Models as Optimizers" (2023).
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::proposer::TextRequest;
/// use dspy_optimizers::{Budget, Copro};
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
/// let optimizer = Copro::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .breadth(4)
///     .depth(2)
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
#[doc(alias = "COPRO")]
#[doc(alias = "SignatureOptimizer")]
#[derive(Debug, Clone)]
pub struct Copro<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
}

/// The parameters that determine the result.
#[derive(Debug, Clone)]
struct Settings {
    breadth: usize,
    depth: usize,
    temperature: f64,
    examples: usize,
    race: Race,
    proposer: SharedProposer,
}

impl Copro {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        let settings = Settings {
            breadth: 10,
            depth: 3,
            temperature: 1.4,
            examples: 10,
            race: Race::new(),
            proposer: SharedProposer::default(),
        };
        Copro { metric: NoMetric, options: Options::default(), settings }
    }
}

impl<M> Copro<M> {
    /// Sets the number of new instructions per predictor and round, 10 by default and at least 2. In the first round,
    /// the original instruction is one of them.
    #[must_use]
    pub fn breadth(mut self, instructions: usize) -> Self {
        self.settings.breadth = instructions.max(2);
        self
    }

    /// Sets the number of rounds, 3 by default and at least 1.
    #[must_use]
    pub fn depth(mut self, rounds: usize) -> Self {
        self.settings.depth = rounds.max(1);
        self
    }

    /// Sets the temperature of the proposer, 1.4 by default.
    #[doc(alias = "init_temperature")]
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.settings.temperature = temperature;
        self
    }

    /// Sets the number of labelled rows of the trainset that the proposer sees in each request, 10 by default. A
    /// predictor whose outputs the rows do not have gets none.
    #[must_use]
    pub fn examples(mut self, rows: usize) -> Self {
        self.settings.examples = rows;
        self
    }

    /// Sets how the instructions of a predictor are compared. By default, in a race in which beaten ones are dropped.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.settings.race = race;
        self
    }

    /// Sets the published form: every instruction runs on the whole valset in every round, and the proposer sees no
    /// rows.
    #[must_use]
    pub fn published(self) -> Self {
        self.race(Race::new().alpha(0.0)).examples(0)
    }

    /// Sets the proposer of the instructions. By default, it is a [`Proposer`](crate::proposer::Proposer) with the
    /// current model.
    #[doc(alias = "prompt_model")]
    #[must_use]
    pub fn proposer(mut self, proposer: impl TextProposer) -> Self {
        self.settings.proposer = SharedProposer::new(proposer);
        self
    }
}

optimizer!(Copro { settings });

impl<E, O> Copro<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        OptimizeError::check_temperature(self.settings.temperature)?;
        self.settings.race.check()
    }

    fn settings(&self) -> Value {
        let Settings { breadth, depth, temperature, examples, race, proposer } = &self.settings;
        json!({
            "breadth": breadth,
            "depth": depth,
            "temperature": temperature,
            "examples": examples,
            "race": race.identity(),
            "proposer": proposer.identity(),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let Settings { breadth, depth, examples, proposer, .. } = &self.settings;
        let [breadth, depth, val, predictors] =
            [*breadth, *depth, sizes.val, sizes.predictors].map(|size| size as u64);
        let most = if predictors == 1 {
            val.saturating_mul(breadth).saturating_mul(depth)
        } else {
            let rounds = depth.saturating_mul(depth.saturating_add(1)) / 2;
            predictors.saturating_mul(val).saturating_mul(breadth).saturating_mul(rounds).saturating_add(val)
        };
        let proposals = predictors.saturating_mul(breadth.saturating_mul(depth) - 1);
        Ok(Cost {
            baseline: Some(val),
            comparison: Some((1, self.settings.race.first_block(sizes.val) as u64)),
            proposals: proposer.calls(Span::exactly(proposals)),
            shown: *examples,
            writer: proposer.writer(),
            ..Cost::of_rollouts(Span::between(val, most))
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        Search::new(study, &self.settings).run().await
    }
}
