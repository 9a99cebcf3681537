//! `BootstrapFewShotWithRandomSearch`: the best of several sets of demonstrations.

mod search;

use serde_json::{Value, json};

use self::search::Search;
use crate::bootstrap_few_shot::{Roles, Settings, bootstrap_setters};
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that makes candidates by [`LabeledFewShot`](crate::LabeledFewShot) and
/// [`BootstrapFewShot`](crate::BootstrapFewShot), scores each on the whole valset, and returns the best.
///
/// The candidates, in order:
///
/// 1. the program without demonstrations;
/// 2. the program with labelled demonstrations;
/// 3. a bootstrap over the trainset in its order, with up to `max_bootstrapped_demos` demonstrations;
/// 4. `num_candidate_programs` bootstraps over the trainset in random order, with a random number of
///    bootstrapped demonstrations between 1 and `max_bootstrapped_demos`.
///
/// If scores are equal, the earlier candidate wins. Without a [valset](crate::Data::valset) the trainset is
/// used, which favours candidates whose demonstrations are among the rows that they are scored on; set one if
/// there are enough rows.
///
/// Cost: (`num_candidate_programs` + 3) × the size of the valset in runs of the program, and the bootstraps.
/// A [race](Self::race) needs about half of it.
///
/// Source: `BootstrapFewShotWithRandomSearch` in Khattab et al., "DSPy: Compiling Declarative Language Model
/// Calls into Self-Improving Pipelines" (2023).
///
/// ```no_run
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{BootstrapFewShotWithRandomSearch, Budget, Race, Verify};
/// # struct Row { answer: String }
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// #     fn values(&self) -> Result<Values, FieldError> { Ok(Values::new()) }
/// # }
/// # async fn optimize(program: DynPredict, trainset: Vec<Row>) -> Result<(), dspy_core::Error> {
/// let optimizer = BootstrapFewShotWithRandomSearch::builder()
///     .metric(|example: &Row, output: &Values| output["answer"] == *example.answer)
///     .num_candidate_programs(8)
///     .race(Race::new())
///     .verify(Verify::rows(100))
///     .budget(Budget::calls(2_000).usd(1.50))
///     .run_dir("runs/qa")
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "BootstrapRS")]
#[derive(Debug, Clone)]
pub struct BootstrapFewShotWithRandomSearch<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
    num_candidate_programs: usize,
    stop_at_score: Option<f64>,
    race: Option<Race>,
}

impl BootstrapFewShotWithRandomSearch {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        BootstrapFewShotWithRandomSearch {
            metric: NoMetric,
            options: Options::default(),
            settings: Settings::default(),
            num_candidate_programs: 16,
            stop_at_score: None,
            race: None,
        }
    }
}

impl<M> BootstrapFewShotWithRandomSearch<M> {
    /// Sets the number of candidates besides the first three, 16 by default.
    #[must_use]
    pub fn num_candidate_programs(mut self, count: usize) -> Self {
        self.num_candidate_programs = count;
        self
    }

    /// Sets the mean score, in the unit of the metric (usually 1 is perfect), at which the search stops: the
    /// first candidate that reaches it is the last one. Has no effect in a race. By default, all candidates
    /// are scored.
    #[must_use]
    pub fn stop_at_score(mut self, score: f64) -> Self {
        self.stop_at_score = Some(score);
        self
    }

    /// Sets that the candidates are compared in a race, which drops beaten ones before they have run on the
    /// whole valset. By default, all candidates are scored on the whole valset, as in the published
    /// algorithm.
    ///
    /// If the budget is exhausted during the search, the candidates made so far are compared on the rows that they have
    /// run on. The result is then the program without demonstrations, unless the best one is better by a paired test at
    /// 5 %, divided by the number of the other candidates.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.race = Some(race);
        self
    }

    bootstrap_setters!();
}

optimizer!(BootstrapFewShotWithRandomSearch { settings, num_candidate_programs, stop_at_score, race });

impl<E, O> BootstrapFewShotWithRandomSearch<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        if let Some(value) = self.stop_at_score.filter(|score| score.is_nan()) {
            let (value, expected) = (value.to_string(), "a number");
            return Err(OptimizeError::Option { option: "stop_at_score", value, expected });
        }
        self.race.map_or(Ok(()), |race| race.check())?;
        self.settings.check()
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["num_candidate_programs"] = self.num_candidate_programs.into();
        settings["stop_at_score"] = self.stop_at_score.into();
        settings["race"] = json!(self.race.map(|race| race.identity()));
        settings
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let (labelled, bootstrapped) =
            (self.settings.max_labeled_demos, self.settings.max_bootstrapped_demos);
        let shuffled = if labelled.max(bootstrapped) > 0 { self.num_candidate_programs as u64 } else { 0 };
        let sets = 1 + u64::from(labelled > 0) + u64::from(bootstrapped > 0) + shuffled;
        let val = sizes.val as u64;
        let least = match &self.race {
            None if self.stop_at_score.is_some() => val,
            None => sets.saturating_mul(val),
            Some(race) => sets.saturating_mul(race.first_block(sizes.val) as u64),
        };
        let bootstraps = self.settings.runs_of(self.num_candidate_programs.saturating_add(1), sizes.train);
        let rollouts = if self.stop_at_score.is_some() && self.race.is_none() {
            Span { least, most: (Span::between(0, sets.saturating_mul(val)) + bootstraps).most }
        } else {
            Span::between(least, sets.saturating_mul(val)) + bootstraps
        };
        Ok(Cost { baseline: Some(val), ..self.settings.cost(rollouts) })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let search = Search {
            study,
            roles: Roles::of(study),
            settings: &self.settings,
            candidates: self.num_candidate_programs,
        };
        match &self.race {
            None => search.one_by_one(self.stop_at_score).await,
            Some(race) => search.race(race).await,
        }
    }
}
