//! `BootstrapFewShotWithTpe`: a Bayesian search over the demonstrations of each predictor.

mod search;

use serde_json::{Value, json};

use self::search::Search;
use crate::bootstrap_few_shot::{Settings, teacher_setters};
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that bootstraps a pool of demonstrations for each predictor once, and searches with a
/// [`Tpe`](crate::samplers::Tpe) over the demonstrations of the pools that the predictors show.
///
/// 1. The original program is scored on the whole valset.
/// 2. One [`BootstrapFewShot`](crate::BootstrapFewShot) makes the pools: up to `max_bootstrapped_demos`
///    demonstrations from successful runs, and labelled rows up to `max_labeled_demos` in total.
/// 3. The program with all demonstrations of the pools, as `BootstrapFewShot` returns it, is a candidate, too.
/// 4. Each of `num_candidate_programs` trials takes up to `demos_per_predictor` demonstrations of each pool, which
///    the sampler suggests from the scores so far. No program is tried twice, and the search ends early if every
///    combination was tried.
///
/// Each candidate runs in a [race](Self::race) with the best program so far, and takes its place if it is better on the
/// whole valset. Of equals, the first one is the result. Without a
/// [valset](crate::Data::valset) the trainset is used, on which each demonstration answers its own row; set
/// one if there are enough rows.
///
/// Cost for a valset of `v` rows: at most (`num_candidate_programs` + 2) × `v` runs of the program, and one bootstrap
/// of at most `max_rounds` runs of the teacher for each row of the trainset.
///
/// Source: `BootstrapFewShotWithOptuna` in DSPy. There, each predictor shows one demonstration, there is no race, the
/// sampler has no seed, and neither the original program nor the one with all demonstrations takes part.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{BootstrapFewShotWithTpe, Budget, Data};
/// # #[derive(Clone)]
/// # struct Row(&'static str, &'static str);
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), self.0.into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> {
/// #         Ok(Values::from_iter([("text".to_owned(), self.0.into()), ("mood".to_owned(), self.1.into())]))
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin());
/// # let trainset = [Row("I love it", "good"), Row("Again this rain", "bad"), Row("My love", "good")];
/// # let valset = [Row("Love again", "good"), Row("More rain", "bad")];
/// let optimizer = BootstrapFewShotWithTpe::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .demos_per_predictor(2)
///     .budget(Budget::calls(500))
///     .build();
/// let data = Data::new(&trainset[..]).valset(&valset[..]);
/// let optimized = optimizer.compile(program, data).await?;
/// assert_eq!(optimized.report().score(), Some(1.0));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias("BootstrapFewShotWithOptuna", "Optuna"))]
#[derive(Debug, Clone)]
pub struct BootstrapFewShotWithTpe<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
    num_candidate_programs: usize,
    demos_per_predictor: usize,
    stop_at_score: Option<f64>,
    all_demos: bool,
    race: Option<Race>,
}

impl BootstrapFewShotWithTpe {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        BootstrapFewShotWithTpe {
            metric: NoMetric,
            options: Options::default(),
            settings: Settings { max_bootstrapped_demos: 16, max_labeled_demos: 32, ..Settings::default() },
            num_candidate_programs: 16,
            demos_per_predictor: 8,
            stop_at_score: None,
            all_demos: true,
            race: Some(Race::new()),
        }
    }
}

impl<M> BootstrapFewShotWithTpe<M> {
    /// Sets the number of trials, 16 by default.
    #[doc(alias = "num_trials")]
    #[must_use]
    pub fn num_candidate_programs(mut self, trials: usize) -> Self {
        self.num_candidate_programs = trials;
        self
    }

    /// Sets the number of demonstrations that each predictor shows, 8 by default and at least 1. If the sampler
    /// suggests a demonstration more than once, it is shown once. A pool with fewer demonstrations limits the
    /// number.
    #[must_use]
    pub fn demos_per_predictor(mut self, demos: usize) -> Self {
        self.demos_per_predictor = demos.max(1);
        self
    }

    /// Sets the mean score, in the unit of the metric (usually 1 is perfect), at which the search stops: the
    /// first program that reaches it is the last one. By default, all trials are made.
    #[must_use]
    pub fn stop_at_score(mut self, score: f64) -> Self {
        self.stop_at_score = Some(score);
        self
    }

    /// Sets the largest number of bootstrapped demonstrations in the pool of a predictor, 16 by default. With 0,
    /// none are made and no model is called for them.
    #[doc(alias = "max_demos")]
    #[must_use]
    pub fn max_bootstrapped_demos(mut self, count: usize) -> Self {
        self.settings.max_bootstrapped_demos = count;
        self
    }

    /// Sets the size of a pool, including bootstrapped demonstrations, up to which labelled rows are added, 32 by
    /// default. The teacher gets up to this many labelled rows.
    #[must_use]
    pub fn max_labeled_demos(mut self, count: usize) -> Self {
        self.settings.max_labeled_demos = count;
        self
    }

    /// Sets the race of each candidate with the best program so far. By default, candidates that are beaten are dropped
    /// before they have run on the whole valset. The others always run on all of it, so [`Race::to_the_end`] has no
    /// effect.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        // Later candidates are compared with its score.
        self.race = Some(race.to_the_end(true));
        self
    }

    /// Sets the published form: each predictor shows one demonstration, there is no candidate with all demonstrations,
    /// and each trial is scored on the whole valset. The sampler and the sizes of the pools stay.
    #[must_use]
    pub fn published(self) -> Self {
        BootstrapFewShotWithTpe { all_demos: false, race: None, ..self.demos_per_predictor(1) }
    }

    teacher_setters!();
}

optimizer!(BootstrapFewShotWithTpe {
    settings,
    num_candidate_programs,
    demos_per_predictor,
    stop_at_score,
    all_demos,
    race
});

impl<E, O> BootstrapFewShotWithTpe<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        let option = |option, value: String, expected| Err(OptimizeError::Option { option, value, expected });
        if let Some(score) = self.stop_at_score.filter(|score| score.is_nan()) {
            return option("stop_at_score", score.to_string(), "a number");
        }
        if self.settings.max_bootstrapped_demos == 0 && self.settings.max_labeled_demos == 0 {
            let expected = "at least 1, or `max_labeled_demos` of at least 1";
            return option("max_bootstrapped_demos", "0".into(), expected);
        }
        self.race.map_or(Ok(()), |race| race.check())?;
        self.settings.check()
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["num_candidate_programs"] = self.num_candidate_programs.into();
        settings["demos_per_predictor"] = self.demos_per_predictor.into();
        settings["stop_at_score"] = self.stop_at_score.into();
        settings["all_demos"] = self.all_demos.into();
        settings["race"] = json!(self.race.map(|race| race.identity()));
        settings
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let val = sizes.val as u64;
        let bootstrap = self.settings.runs_of(1, sizes.train);
        // The original program, the one with all demonstrations, and the trials.
        let programs =
            (self.num_candidate_programs as u64).saturating_add(1).saturating_add(u64::from(self.all_demos));
        let scores = Span::between(val, val.saturating_mul(programs));
        // The first score may be enough.
        let most = (scores + bootstrap).most;
        Ok(Cost { baseline: Some(val), ..self.settings.cost(Span { least: val, most }) })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let search = Search {
            study,
            settings: &self.settings,
            trials: self.num_candidate_programs,
            shown: self.demos_per_predictor,
            stop_at_score: self.stop_at_score,
            all_demos: self.all_demos,
            race: self.race.as_ref(),
        };
        search.run().await
    }
}
