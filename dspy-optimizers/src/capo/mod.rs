//! `Capo`: an evolution of instructions and demonstrations by races.

mod individual;
mod prompts;
mod search;
mod variation;
mod writer;

use dspy_core::lm::Lm;
use serde_json::{Value, json};

use self::search::Search;
use self::writer::Writer;
use crate::OptimizeError;
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{self, Cost, Sizes, Span};
use crate::options::Options;
use crate::proposer::{SharedProposer, TextProposer};
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that evolves a population of instructions with demonstrations, by crossover and mutation, and selects
/// in races with a penalty on long prompts.
///
/// A member of the population has an instruction for every predictor and 0 to `max_shots` shots. A shot is a row of
/// the trainset. If the program answers it correctly under the instructions of the member, the calls of that run are
/// the demonstrations of all predictors; otherwise the labels are those of the predictors that they fit.
///
/// In each of `steps` steps, `crossovers` children are made of two random members each: for every predictor, a model
/// merges the two instructions and then varies the result; the shots are a random half of both. A third of the children
/// gets another shot, a third loses one. Members and children then race on the valset until `population` are left. A
/// score is reduced by `length_penalty` × the length of the prompts, in units of the longest one of the initial
/// population. In the end, the members race against the original program on the whole valset.
///
/// The published algorithm is for a single prompt. For programs of several predictors, crossover and mutation change
/// every predictor, and a shot goes to all predictors at once, so that their demonstrations fit together.
///
/// Without a [valset](crate::Data::valset), a fifth of the trainset at random is for shots, and the rest to race on.
///
/// Cost for `p` predictors and a valset of `v` rows: `p` × (`population` − 1) instructions of the proposer, up to 2 ×
/// `p` × `crossovers` × `steps` calls that merge and vary, a run of the program for each shot, and at most
/// `v` × (`population` + `crossovers` × `steps` + 1) runs on the valset.
///
/// Source: Zehle et al., "CAPO: Cost-Aware Prompt Optimization" (2025).
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::proposer::TextRequest;
/// use dspy_optimizers::{Budget, Capo};
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         let mut values = self.input()?;
/// #         values.insert("mood".to_owned(), self.1.into());
/// #         Ok(values)
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let row = |text, mood| Row(text, mood);
/// # let trainset = [row("I love it", "good"), row("Rain", "bad"), row("My love", "good"), row("So much rain", "bad")];
/// # let writer = Lm::builtin();
/// let optimizer = Capo::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .population(4)
///     .steps(2)
///     // By default, the current model merges and varies instructions, and writes the initial ones.
///     .prompt_lm(writer)
///     .proposer(async |request: TextRequest| {
///         Ok(vec![format!("{} Love is good, rain is bad.", request.current)])
///     })
///     .budget(Budget::calls(1_000))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// assert_eq!(optimized.report().score(), Some(1.0));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "CAPO")]
#[derive(Debug, Clone)]
pub struct Capo<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
}

/// The largest size of a population, and number of children in a step.
const MOST_MEMBERS: usize = 1_000;

/// The parameters that determine the result.
#[derive(Debug, Clone)]
struct Settings {
    population: usize,
    steps: usize,
    crossovers: usize,
    max_shots: usize,
    length_penalty: f64,
    metric_threshold: Option<f64>,
    examples: usize,
    race: Race,
    prompt_lm: Option<Lm>,
    proposer: SharedProposer,
}

impl Settings {
    /// Returns the number of rows of a trainset that are for shots if there is no valset.
    fn pool(&self, train: usize) -> usize {
        (train / 5).max(self.max_shots).min(train / 2)
    }
}

impl Capo {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        let settings = Settings {
            population: 10,
            steps: 10,
            crossovers: 4,
            max_shots: 5,
            length_penalty: 0.05,
            metric_threshold: None,
            examples: 10,
            race: Race::new().block(30),
            prompt_lm: None,
            proposer: SharedProposer::default(),
        };
        Capo { metric: NoMetric, options: Options::default(), settings }
    }
}

impl<M> Capo<M> {
    /// Sets the size of the population, 10 by default, at least 2 and at most 1000.
    #[must_use]
    pub fn population(mut self, members: usize) -> Self {
        self.settings.population = members.max(2);
        self
    }

    /// Sets the number of steps, 10 by default.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.settings.steps = steps;
        self
    }

    /// Sets the number of children in a step, 4 by default, at least 1 and at most 1000.
    #[must_use]
    pub fn crossovers(mut self, children: usize) -> Self {
        self.settings.crossovers = children.max(1);
        self
    }

    /// Sets the largest number of shots, 5 by default. With 0, only instructions evolve.
    #[must_use]
    pub fn max_shots(mut self, shots: usize) -> Self {
        self.settings.max_shots = shots;
        self
    }

    /// Sets the penalty, in the unit of the metric, on a prompt that is as long as the longest one of the initial
    /// population, 0.05 by default. The scores of the report do not include it.
    #[must_use]
    pub fn length_penalty(mut self, penalty: f64) -> Self {
        self.settings.length_penalty = penalty;
        self
    }

    /// Sets the smallest score at which the program's answer to a row is right, so that its calls are a shot; 0 is
    /// allowed. By default, every score above 0 is right.
    #[must_use]
    pub fn metric_threshold(mut self, score: f64) -> Self {
        self.settings.metric_threshold = Some(score);
        self
    }

    /// Sets the number of labelled rows of the trainset that the proposer sees when it writes the initial
    /// instructions, 10 by default.
    #[must_use]
    pub fn examples(mut self, rows: usize) -> Self {
        self.settings.examples = rows;
        self
    }

    /// Sets the blocks and the significance level of the races, by default blocks of 30 rows and an alpha of 0.2. The
    /// number of survivors and the end of a race are those of the algorithm.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.settings.race = race;
        self
    }

    /// Sets the model that merges and varies instructions, and that the proposer uses if no other one is bound to it.
    /// By default, it is the current one.
    #[doc(alias = "meta_llm")]
    #[must_use]
    pub fn prompt_lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.settings.prompt_lm = Some(lm);
        self
    }

    /// Sets the proposer of the initial instructions. By default, it is a [`Proposer`](crate::proposer::Proposer).
    #[must_use]
    pub fn proposer(mut self, proposer: impl TextProposer) -> Self {
        self.settings.proposer = SharedProposer::new(proposer);
        self
    }
}

optimizer!(Capo { settings });

impl<E, O> Capo<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        let Settings { population, crossovers, length_penalty, metric_threshold, race, .. } = &self.settings;
        for (option, value) in [("population", population), ("crossovers", crossovers)] {
            if *value > MOST_MEMBERS {
                let (value, expected) = (value.to_string(), "at most 1000");
                return Err(OptimizeError::Option { option, value, expected });
            }
        }
        if !length_penalty.is_finite() || *length_penalty < 0.0 {
            let (option, value) = ("length_penalty", length_penalty.to_string());
            return Err(OptimizeError::Option { option, value, expected: "a number of at least 0" });
        }
        if let Some(value) = metric_threshold.filter(|score| score.is_nan()) {
            let (option, value) = ("metric_threshold", value.to_string());
            return Err(OptimizeError::Option { option, value, expected: "a number" });
        }
        race.check()
    }

    fn writer(&self) -> Writer {
        Writer::new(self.settings.prompt_lm.as_ref())
    }

    fn settings(&self) -> Value {
        let settings = &self.settings;
        json!({
            "population": settings.population,
            "steps": settings.steps,
            "crossovers": settings.crossovers,
            "max_shots": settings.max_shots,
            "length_penalty": settings.length_penalty,
            "metric_threshold": settings.metric_threshold,
            "examples": settings.examples,
            "race": settings.race.identity(),
            "writer": self.writer().identity(),
            "proposer": settings.proposer.identity(),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let settings = &self.settings;
        let [population, children, shots, predictors] = [
            settings.population,
            settings.crossovers.saturating_mul(settings.steps),
            settings.max_shots,
            sizes.predictors,
        ]
        .map(|size| size as u64);
        let val = (if sizes.given_val { sizes.val } else { sizes.train - settings.pool(sizes.train) }) as u64;
        let of_shots = if shots == 0 { 0 } else { population.saturating_mul(shots).saturating_add(children) };
        let raced = population.saturating_add(children).saturating_add(1).saturating_mul(val);
        let initial = settings.proposer.calls(Span::exactly(predictors.saturating_mul(population - 1)));
        let varied = predictors.saturating_mul(2).saturating_mul(children);
        let writer = match settings.proposer.writer() {
            estimate::Writer::Lm(None) => estimate::Writer::Lm(settings.prompt_lm.clone()),
            writer => writer,
        };
        Ok(Cost {
            baseline: Some(val),
            comparison: Some((predictors, 2 * settings.race.first_block(val as usize) as u64)),
            proposals: initial + Span::between(0, varied),
            demos: settings.max_shots,
            shown: settings.examples,
            writer,
            ..Cost::of_rollouts(Span::between(val, raced.saturating_add(of_shots)))
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        Search::new(study, &self.settings, self.writer()).run().await
    }
}
