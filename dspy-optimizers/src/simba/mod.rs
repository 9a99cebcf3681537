//! `Simba`: advice and demonstrations from comparing runs.

mod advisor;
mod buckets;
mod change;
mod finals;
mod incumbent;
mod pool;
mod prompts;
mod search;
mod strategy;

use dspy_core::lm::Lm;
use serde_json::{Value, json};

use self::advisor::Advisor;
use self::incumbent::CHALLENGERS;
use self::search::Search;
use crate::OptimizeError;
use crate::builder::{NoMetric, optimizer};
use crate::counts::counted;
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span, Writer};
use crate::options::Options;
use crate::proposer::{Proposer, TextProposer as _};
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that learns from the rows on which its programs succeed in some runs and fail in others: introspective
/// mini-batch ascent.
///
/// In each step, programs of a pool run several times on each row of a minibatch of the trainset. The rows on which
/// the scores of the runs differ most come first. For each of them, a copy of a program of the pool loses some
/// demonstrations at random, and gets either a demonstration, which is the best run, or a rule: advice that a language
/// model writes from comparing the best run with the worst one, and then works into the instructions, given the runs
/// on all rows of the minibatch. The copies race on the minibatch and join the pool. Programs are drawn from the pool
/// by the softmax of their gains.
///
/// After each step, its two best programs race against the best program so far on the [valset](crate::Data::valset),
/// or on the trainset without one. The result is the best program so far, initially the original one. It has run on all
/// of these rows, also if the budget ends the search. The [published](Self::published) form differs in this.
///
/// The original program runs on every minibatch, too. A program is compared with others by its *gain*: the mean
/// difference to the original program on the same rows, so that hard and easy minibatches count the same. A row that
/// a program has as a demonstration does not count in its gain.
///
/// Cost for `s` steps, minibatches of `b` rows, `c` candidates and a valset of `v` rows: up to
/// `s` × `b` × (2`c` + 2) + (2`s` + 1) × `v` runs of the program. For each new program, and each one that came out as a
/// duplicate, up to one call of the model that writes advice, and one more for each predictor that it advises.
///
/// Source: `SIMBA` in DSPy.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{Budget, Simba};
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
/// let optimizer = Simba::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .minibatch(4)
///     .max_steps(2)
///     // By default, the current model writes the advice.
///     .prompt_lm(Lm::builtin())
///     .budget(Budget::calls(1_000))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// assert!(optimized.report().score() >= optimized.report().baseline);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "SIMBA")]
#[derive(Debug, Clone)]
pub struct Simba<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
}

/// The largest number of runs on each row of a minibatch.
const MOST_CANDIDATES: usize = 1_000;

/// The parameters that determine the result.
#[derive(Debug, Clone)]
struct Settings {
    minibatch: usize,
    num_candidates: usize,
    max_steps: usize,
    max_demos: usize,
    temperature_for_sampling: f64,
    temperature_for_candidates: f64,
    prompt_lm: Option<Lm>,
    race: Race,
    published: bool,
}

impl Simba {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        let settings = Settings {
            minibatch: 32,
            num_candidates: 6,
            max_steps: 8,
            max_demos: 4,
            temperature_for_sampling: 0.2,
            temperature_for_candidates: 0.2,
            prompt_lm: None,
            race: Race::new(),
            published: false,
        };
        Simba { metric: NoMetric, options: Options::default(), settings }
    }
}

impl<M> Simba<M> {
    /// Sets the number of rows of a minibatch, 32 by default and at least 1. A trainset with fewer rows is an error.
    #[doc(alias = "bsize")]
    #[must_use]
    pub fn minibatch(mut self, rows: usize) -> Self {
        self.settings.minibatch = rows.max(1);
        self
    }

    /// Sets the number of runs on each row of a minibatch, 6 by default, at least 1 and at most 1000. Half of them are
    /// enough on a row on which their scores differ. Each step makes up to one more new program than that.
    #[must_use]
    pub fn num_candidates(mut self, count: usize) -> Self {
        self.settings.num_candidates = count.max(1);
        self
    }

    /// Sets the number of steps, each on a minibatch, 8 by default.
    #[must_use]
    pub fn max_steps(mut self, steps: usize) -> Self {
        self.settings.max_steps = steps;
        self
    }

    /// Sets the number of demonstrations of a predictor from which on each new program loses at least one, 4 by
    /// default. With 0, no demonstrations are added.
    #[must_use]
    pub fn max_demos(mut self, demos: usize) -> Self {
        self.settings.max_demos = demos;
        self
    }

    /// Sets the temperature of the softmax by which the programs to run are drawn, in the unit of the metric, 0.2 by
    /// default. With 0, it is the best one.
    #[must_use]
    pub fn temperature_for_sampling(mut self, temperature: f64) -> Self {
        self.settings.temperature_for_sampling = temperature;
        self
    }

    /// Sets the temperature of the softmax by which the programs to change are drawn, in the unit of the metric, 0.2 by
    /// default. With 0, it is the best one.
    #[must_use]
    pub fn temperature_for_candidates(mut self, temperature: f64) -> Self {
        self.settings.temperature_for_candidates = temperature;
        self
    }

    /// Sets the model that writes the advice. By default, it is the current one.
    #[doc(alias = "prompt_model")]
    #[must_use]
    pub fn prompt_lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.settings.prompt_lm = Some(lm);
        self
    }

    /// Sets how programs are compared on minibatches and on the valset. By default, in races in which beaten ones are
    /// dropped. The blocks of the races on minibatches are quarters of these. On the valset, the best program runs on
    /// all rows: [`survivors`](Race::survivors) and [`to_the_end`](Race::to_the_end) have no effect.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.settings.race = race;
        self
    }

    /// Sets the published form. On each row of a minibatch there are all runs, and each new program runs on all rows.
    /// Advice is appended to the instructions. No new program runs on the valset before the end: then at most
    /// [`num_candidates`](Self::num_candidates) of the best programs of the steps run on all rows. If the budget ends the
    /// search before, only a gain on minibatches that is clear by a test at 5 % counts, and else the original program is
    /// the result.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.settings.published = true;
        self.race(Race::new().alpha(0.0))
    }
}

optimizer!(Simba { settings });

impl<E, O> Simba<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        let Settings {
            num_candidates,
            temperature_for_sampling: sampling,
            temperature_for_candidates: candidates,
            race,
            ..
        } = &self.settings;
        for (option, value) in
            [("temperature_for_sampling", sampling), ("temperature_for_candidates", candidates)]
        {
            OptimizeError::check_at_least_0(option, *value)?;
        }
        if *num_candidates > MOST_CANDIDATES {
            let (option, value) = ("num_candidates", num_candidates.to_string());
            return Err(OptimizeError::Option { option, value, expected: "at most 1000" });
        }
        race.check()
    }

    fn advisor(&self) -> Advisor {
        Advisor::new(self.settings.prompt_lm.as_ref())
    }

    fn proposer(&self) -> Proposer {
        let proposer = Proposer::new();
        match &self.settings.prompt_lm {
            Some(lm) => proposer.with_lm(lm.clone()),
            None => proposer,
        }
    }

    fn settings(&self) -> Value {
        let settings = &self.settings;
        json!({
            "minibatch": settings.minibatch,
            "num_candidates": settings.num_candidates,
            "max_steps": settings.max_steps,
            "max_demos": settings.max_demos,
            "temperature_for_sampling": settings.temperature_for_sampling,
            "temperature_for_candidates": settings.temperature_for_candidates,
            "race": settings.race.identity(),
            "published": settings.published,
            "advisor": self.advisor().identity(),
            "proposer": self.proposer().identity(),
        })
    }

    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let Settings { minibatch, num_candidates, max_steps, max_demos, prompt_lm, published, .. } =
            &self.settings;
        if *minibatch > sizes.train {
            let rows = counted(sizes.train, "row");
            let value = format!("{minibatch}, for a trainset of {rows},");
            let expected = "at most the number of rows of the trainset";
            return Err(OptimizeError::Option { option: "minibatch", value, expected });
        }
        let [batch, candidates, steps, val, predictors] =
            [*minibatch, *num_candidates, *max_steps, sizes.val, sizes.predictors].map(|size| size as u64);
        let runs = steps.saturating_mul(batch);
        // At least half of the runs on each row are made.
        let explored = if *published { candidates } else { candidates.div_ceil(2) };
        let raced =
            if *published { candidates } else { steps.saturating_mul(CHALLENGERS as u64) }.saturating_add(1);
        let most = runs
            .saturating_mul(candidates.saturating_mul(2).saturating_add(2))
            .saturating_add(val.saturating_mul(raced));
        // Each row of a minibatch is asked about at most once, and its advice is worked into each instruction.
        let asked = if *published { 1 } else { predictors.saturating_add(1) };
        Ok(Cost {
            baseline: Some(val),
            proposals: Span::between(0, runs.saturating_mul(asked)),
            demos: *max_demos,
            shown: if *published { 3 } else { minibatch.saturating_mul(2) },
            writer: Writer::Lm(prompt_lm.clone()),
            ..Cost::of_rollouts(Span::between(val.saturating_add(runs.saturating_mul(explored)), most))
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        Search::start(study, &self.settings, self.advisor(), self.proposer()).await?.run().await
    }
}
