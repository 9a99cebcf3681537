//! `Gepa`: texts that evolve by reflection on runs with feedback.

mod advice;
mod iterate;
mod merge;
mod meter;
mod minibatch;
mod noisy;
mod objectives;
mod pareto;
mod pool;
mod propose;
mod records;
mod scale;
mod search;
mod settings;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::meter::Halt;
use self::records::Lens;
use self::search::Search;
use self::settings::{Accept, Settings, Size};
pub use self::settings::{ComponentOrder, Evolve, Front, Noisy, Proposals, Selector};
use crate::OptimizeError;
#[doc(no_inline)]
pub use crate::auto::Auto;
use crate::builder::{NoMetric, optimizer};
use crate::component::Candidate;
use crate::data::Row;
use crate::engine::{ExampleFor, Program, Rollout, Stop, Study};
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::proposer::{Record, SharedProposer, TextProposer};
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that evolves instructions, and other texts of the prompts, by reflection on runs with feedback.
///
/// It keeps a pool of candidates, of which the first is the original program. In each iteration it
///
/// 1. selects a candidate of the Pareto front: those that no other one beats on some row of the valset;
/// 2. runs it on a minibatch of the trainset, with a trace of each predictor;
/// 3. asks a [proposer](Self::proposer) for a better text of one component, given the calls of its predictor with
///    their scores and feedback;
/// 4. runs the child on the same minibatch, and goes on only if the sum of its scores is higher;
/// 5. runs the child against its parent on the valset, and adds it to the pool unless the parent
///    [beats it](Self::race).
///
/// After a child was added, two candidates that have changed different components of a common ancestor may be
/// [merged](Self::max_merges). The result is the candidate with the highest mean score on the valset.
///
/// **When to use it**: there are several dozen rows, and the metric can say in words what is wrong, for the whole run
/// ([`Score::with_feedback`](dspy_core::evaluate::Score::with_feedback)) or for a
/// [predictor](dspy_core::evaluate::Score::with_feedback_for). Without feedback it sees only scores and labels.
///
/// Minibatches [grow](Self::max_minibatch) while nothing gets better.
///
/// **Cost**, in runs of the program, with minibatches of b rows and a valset of V: V for the given program, then per
/// iteration b if the minibatch is perfect, 2b for a rejected child, 2b + 20 to 2b + V for a child that reaches the
/// valset, 5 more for each merge; and one call of the proposer for each child. Several
/// [children](Self::proposals) of one candidate share its minibatch. A run is not paid twice, and no iteration starts
/// whose child could not run on the whole valset. The number of runs is limited by [`auto`](Self::auto) or [`max_rollouts`](Self::max_rollouts), and by the
/// [budget](Self::budget); with none of them it is that of [`Auto::Light`].
///
/// Source: Agrawal et al., "GEPA: Reflective Prompt Evolution Can Outperform Reinforcement Learning" (2025);
/// [`published`](Self::published) has its settings.
///
/// ```
/// # use dspy_core::evaluate::Score;
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::proposer::TextRequest;
/// use dspy_optimizers::{Gepa, gepa::Auto};
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
/// // In an application: the default proposer, or `Proposer::new().with_lm(…)` with a stronger model.
/// let proposer = async |request: TextRequest| {
///     let lessons = request.records.iter().filter_map(|record| record.feedback.clone());
///     Ok(vec![request.current + " " + &lessons.collect::<Vec<_>>().join(" ")])
/// };
/// let optimizer = Gepa::builder()
///     .metric(|row: &Row, output: &Values| {
///         let score = Score::from(output["mood"] == row.1);
///         score.with_feedback(format!("\"{}\" is {}.", row.0, row.1))
///     })
///     .proposer(proposer)
///     .auto(Auto::Light)
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// # assert_eq!(optimized.report().score(), Some(1.0));
/// println!("{}", optimized.report());
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "GEPA")]
#[derive(Debug, Clone)]
pub struct Gepa<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
    proposer: SharedProposer,
}

impl Gepa {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        Gepa {
            metric: NoMetric,
            options: Options::default(),
            settings: Settings::default(),
            proposer: SharedProposer::default(),
        }
    }
}

impl<M> Gepa<M> {
    /// Sets the proposer of new texts, the default [`Proposer`](crate::proposer::Proposer) by default. Its
    /// `max_shown` bounds the prompt of a reflection.
    #[doc(alias("reflection_lm", "instruction_proposer"))]
    #[must_use]
    pub fn proposer(mut self, proposer: impl TextProposer) -> Self {
        self.proposer = SharedProposer::new(proposer);
        self
    }

    /// Sets the size of the search. Replaces [`max_rollouts`](Self::max_rollouts).
    #[must_use]
    pub fn auto(mut self, auto: Auto) -> Self {
        self.settings.size = Size::Auto(auto);
        self
    }

    /// Sets the largest number of runs of the program. No more are started when the next evaluation does not fit.
    /// Replaces [`auto`](Self::auto).
    #[doc(alias = "max_metric_calls")]
    #[must_use]
    pub fn max_rollouts(mut self, runs: usize) -> Self {
        self.settings.size = Size::Rollouts(runs);
        self
    }

    /// Sets the components that evolve, by default the instructions. Single ones are given by name.
    ///
    /// ```
    /// use dspy_optimizers::gepa::Evolve;
    /// use dspy_optimizers::{Component, Gepa};
    /// let team = Component::description("route.predict", "team");
    /// let optimizer = Gepa::builder().components([Evolve::Instructions, Evolve::Variants, team.into()]);
    /// ```
    #[must_use]
    pub fn components(mut self, components: impl IntoIterator<Item = impl Into<Evolve>>) -> Self {
        self.settings.components = components.into_iter().map(Into::into).collect();
        self
    }

    /// Sets which components of a candidate are changed in an iteration, one in turn by default.
    #[doc(alias = "component_selector")]
    #[must_use]
    pub fn component_order(mut self, order: ComponentOrder) -> Self {
        self.settings.order = order;
        self
    }

    /// Sets how the candidate to improve is selected, from the Pareto front by default.
    #[doc(alias = "candidate_selection_strategy")]
    #[must_use]
    pub fn selector(mut self, selector: Selector) -> Self {
        self.settings.selector = selector;
        self
    }

    /// Sets the scores that make up the Pareto front, those on the rows by default.
    #[doc(alias = "frontier_type")]
    #[must_use]
    pub fn front(mut self, front: Front) -> Self {
        self.settings.front = front;
        self
    }

    /// Sets the number of rows in the first minibatches, 3 by default. All rows are used if there are fewer.
    #[doc(alias = "reflection_minibatch_size")]
    #[must_use]
    pub fn minibatch(mut self, rows: usize) -> Self {
        self.settings.minibatch = rows;
        self
    }

    /// Sets the number of rows to which minibatches may grow, 32 by default: after an iteration without a candidate
    /// that is better than its parent on the valset, they have half as many rows more, so that the proposer sees more
    /// of the data. With the number of [`minibatch`](Self::minibatch) or less, they do not grow. In the
    /// [noisy](Self::noisy) mode they do not grow, either.
    #[must_use]
    pub fn max_minibatch(mut self, rows: usize) -> Self {
        self.settings.max_minibatch = rows;
        self
    }

    /// Sets the score of a perfect output. There is no reflection on a minibatch without a lower score, and a candidate
    /// with this mean on the valset ends the search. By default it is 1 until there is a score above 1; then the scale
    /// of the metric is not known, nothing counts as perfect, and the report has a warning. Set it if the scores of
    /// the metric may lie around 1 but end elsewhere, such as grades from 1 to 5. It is the
    /// [`best_score`](Self::best_score), too.
    #[must_use]
    pub fn perfect_score(mut self, score: f64) -> Self {
        self.settings.perfect_score = Some(score);
        self.options.best_score = Some(score);
        self
    }

    /// Sets how many children an iteration has, by default one of one candidate.
    #[doc(alias("sampling_strategy", "proposal_sampling"))]
    #[must_use]
    pub fn proposals(mut self, proposals: Proposals) -> Self {
        self.settings.proposals = proposals;
        self
    }

    /// Sets whether perfect minibatches are skipped and a perfect candidate ends the search. On by default.
    #[doc(alias = "skip_perfect_score")]
    #[must_use]
    pub fn skip_perfect(mut self, on: bool) -> Self {
        self.settings.skip_perfect = on;
        self
    }

    /// Sets the largest number of merges that are evaluated, 5 by default; with 0 there are none. A merge takes each
    /// component from the one of two candidates that has changed it since their common ancestor.
    #[doc(alias("use_merge", "max_merge_invocations"))]
    #[must_use]
    pub fn max_merges(mut self, merges: usize) -> Self {
        self.settings.max_merges = merges;
        self
    }

    /// Sets the race of a child against its parent on the valset. By default they are compared after each 20 rows, or
    /// each tenth of a valset of more than 200, at a level of 0.2, with more than six comparisons at one divided by their
    /// number, and a beaten child is dropped. A child that is not runs on all rows:
    /// [`survivors`](Race::survivors) and [`to_the_end`](Race::to_the_end) have no effect.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.settings.accept = Accept::Race(Some(race));
        self
    }

    /// Sets that each child that is better on its minibatch runs on the whole valset and is added to the pool, as in
    /// the published algorithm, instead of a [race](Self::race).
    #[must_use]
    pub fn full_valset(mut self) -> Self {
        self.settings.accept = Accept::Full;
        self
    }

    /// Sets everything but the components, the size, the score of a perfect output and the proposer to the published
    /// settings: those of the defaults, with [`full_valset`](Self::full_valset) and minibatches that do not grow.
    #[must_use]
    pub fn published(mut self) -> Self {
        let Settings { components, size, perfect_score, .. } = self.settings;
        self.settings = Settings {
            components,
            size,
            perfect_score,
            accept: Accept::Full,
            max_minibatch: 0,
            vary_repeats: false,
            ..Settings::default()
        };
        self
    }

    /// Sets whether the proposer sees the other steps of each run in short, beside the calls of the predictor whose
    /// text it improves. Off by default.
    #[must_use]
    pub fn trajectories(mut self, on: bool) -> Self {
        self.settings.trajectories = on;
        self
    }

    /// Sets the largest number of demonstrations of a predictor, 4 by default and at least 1, if
    /// [demonstrations](Evolve::Demos) evolve.
    #[must_use]
    pub fn max_demos(mut self, demos: usize) -> Self {
        self.settings.max_demos = demos;
        self
    }

    /// Sets the largest length of a proposed text, 10,000 characters by default and at least 1. A longer one is no
    /// proposal.
    #[must_use]
    pub fn max_chars(mut self, chars: usize) -> Self {
        self.settings.max_chars = chars;
        self
    }

    /// Sets the mode for noisy metrics, such as judges, and for programs whose outputs vary. Off by default.
    ///
    /// There is no front. The given program runs on the valset first. Every candidate is kept with the number and the
    /// mean of its scores. Each step draws a minibatch and, for each of the [most promising](Noisy::exploration)
    /// candidates, scores it again, so that the mean of a lucky one falls, and makes a child of it. A child whose texts
    /// are nearly those of a known candidate is refused; any other is kept. The proposer [sums up](Noisy::advice) the
    /// runs of a step as advice. At the end the best means run on the valset against the given program. There are no
    /// merges.
    ///
    /// Source: the memory of POLCA (arXiv 2603.14769).
    #[must_use]
    pub fn noisy(mut self, noisy: Noisy) -> Self {
        self.settings.noisy = Some(noisy);
        self
    }
}

/// Returns the records of a run on a row: each call of the predictor at `path` with its feedback and the other steps in
/// short. `labels` are the names of fields that may be labels.
pub(crate) fn records_of<P: Program, E>(
    program: &P,
    path: &str,
    labels: &BTreeSet<String>,
    row: Row<'_, E>,
    rollout: &Rollout,
) -> Vec<Record> {
    let Some(spec) = propose::spec_of(program, path) else { return Vec::new() };
    Lens { path, spec: &spec, labels, trajectories: true }.records(row, rollout)
}

optimizer!(Gepa { settings, proposer }, fits);

impl<E, O> Gepa<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        self.settings.check()
    }

    fn fits(&self, program: &impl Program, sizes: &Sizes) -> Result<(), OptimizeError> {
        let (given, outputs) = (Candidate::of(program), propose::outputs_of(program));
        let components = propose::chosen_components(&given, &self.settings.components, &outputs);
        self.settings.check_components(program, &given, &components)?;
        let limit = self.settings.rollouts(self.options.budget, sizes.predictors, sizes.val);
        self.settings.check_rollouts(limit, sizes.train, sizes.val)
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["size"] = json!(format!("{:?}", self.settings.size));
        settings["proposer"] = self.proposer.identity();
        settings
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let limit = self.settings.rollouts(self.options.budget, sizes.predictors, sizes.val);
        let reflections = limit.map(|limit| self.settings.most_reflections(limit) as u64);
        let (val, limit) = (sizes.val as u64, limit.map(|limit| limit as u64));
        let demos =
            if self.settings.components.contains(&Evolve::Demos) { self.settings.max_demos } else { 0 };
        Ok(Cost {
            baseline: Some(val),
            comparison: self.settings.noisy.is_none().then(|| {
                let rows = self.settings.minibatch.min(sizes.train) as u64;
                (1, if sizes.given_val { val + 2 * rows } else { val })
            }),
            proposals: Span { least: 0, most: reflections },
            demos,
            shown: self.settings.largest_minibatch(),
            writer: self.proposer.writer(),
            ..Cost::of_rollouts(Span { least: val, most: limit })
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        let mut search = Search::new(study, &self.settings, &self.proposer)?;
        let searched = match self.settings.noisy {
            None => search.run_all().await,
            Some(noisy) => search.run_noisy(noisy).await,
        };
        search.failures.warn(study);
        match searched {
            Ok(stopped) | Err(Halt::Done(stopped)) => Ok(stopped),
            Err(Halt::Stop(stop)) => Err(stop),
        }
    }
}
