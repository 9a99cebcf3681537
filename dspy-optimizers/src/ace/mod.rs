//! `Ace`: playbooks that grow by lessons from runs.

mod acceptance;
mod feedback;
mod lesson;
mod online;
mod search;
mod settings;

use dspy_core::program::HasPredictors;
use serde_json::Value;

pub use self::feedback::{Feedback, Learned, Snapshot};
pub use self::online::OnlineAce;
use self::search::Search;
use self::settings::Settings;
use crate::OptimizeError;
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span};
use crate::options::Options;
use crate::proposer::{SharedProposer, TextProposer};
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that collects lessons from runs in a [`Playbook`](dspy_core::signature::Playbook) for each predictor,
/// below its instruction: agentic context engineering.
///
/// It goes through the trainset in batches. The program runs on each row. For each run that went wrong, a reflector
/// finds the cause and a lesson, and says which items of the playbook were helpful or harmful; the row is run again
/// with the lesson, and if it still goes wrong, the reflector tries again. Then a curator proposes changes: items to
/// add, to update or to remove. Code merges them: duplicates are dropped, harmful items are removed, and the length is
/// bounded. The program with the new playbook is adopted only if it is not worse than before on the same rows of the
/// valset. The curator first sees each row that went wrong alone; if what it proposes does not raise the score there, it
/// sees all rows together, also those of the last batches without an adopted change, and the better playbook counts. At the end, the original program and the latest adopted ones race on the valset, and the best one is the
/// result.
///
/// Reflector and curator are the predictors `diagnose` and `curate` of the [proposer](Self::proposer).
///
/// While a program is in use, [`online`](Self::online) learns from finished runs with feedback by the same rules.
///
/// Cost for a trainset of `t` rows and a valset of `v`, with the defaults and `w` wrong runs in `c` batches, for one
/// predictor: `t` + `v` runs of the program, 2 × `w` calls of the reflector and `w` further runs, `w` + `c` calls of the
/// curator, `c` × 90 runs to compare playbooks, and 4 × `v` at the end, each at most. The guide has the formula.
/// Without a valset, the runs that score the original program also serve the first batches. The search ends before the
/// budget does not cover the race at the end any more.
///
/// Source: Zhang et al., "Agentic Context Engineering: Evolving Contexts for Self-Improving Language Models" (2025).
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{Ace, Budget};
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
/// # dspy_core::program::configure(Lm::builtin());
/// let optimizer = Ace::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .epochs(2)
///     .budget(Budget::calls(1_000))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// println!("{}", optimized.predictor().playbook());
/// assert!(optimized.report().score() >= optimized.report().baseline);
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[doc(alias = "ACE")]
#[derive(Debug, Clone)]
pub struct Ace<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
    proposer: SharedProposer,
}

impl Ace {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        Ace {
            metric: NoMetric,
            options: Options::default(),
            settings: Settings::default(),
            proposer: SharedProposer::default(),
        }
    }
}

impl<M> Ace<M> {
    /// Sets the number of passes over the trainset, 1 by default.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.settings.epochs = epochs;
        self
    }

    /// Sets the number of rows, or of finished runs [online](Self::online), after which the playbooks are changed, 10
    /// by default and at least 1.
    #[must_use]
    pub fn batch(mut self, rows: usize) -> Self {
        self.settings.batch = rows.max(1);
        self
    }

    /// Sets the number of rows that one call of the curator sees, at least 1. The changes of several calls are merged in
    /// the order of the rows. By default, a call sees one row that went wrong, and only if the changes from them do not
    /// raise the score, another one sees all rows; [online](Self::online), one call sees all of them.
    #[must_use]
    pub fn rows_per_curation(mut self, rows: usize) -> Self {
        self.settings.rows_per_curation = Some(rows.max(1));
        self
    }

    /// Sets the largest number of reflections on a run that went wrong, 2 by default and at least 1. Between them, the
    /// row is run again with the lesson of the last one.
    #[doc(alias = "max_refinement_rounds")]
    #[must_use]
    pub fn reflections(mut self, most: usize) -> Self {
        self.settings.reflections = most.max(1);
        self
    }

    /// Sets the score from which on a run went right, 1 by default. There is no reflection on it if all items that it
    /// used were found helpful or harmful before.
    #[must_use]
    pub fn perfect_score(mut self, score: f64) -> Self {
        self.settings.perfect_score = score;
        self
    }

    /// Sets the number of rows of the valset on which a changed playbook is compared with the one before, 30 by default
    /// and at least 1. They are other rows each time, until all were used.
    #[must_use]
    pub fn acceptance_rows(mut self, rows: usize) -> Self {
        self.settings.acceptance_rows = rows.max(1);
        self
    }

    /// Sets the largest length of a playbook as prompts show it, 8,000 characters by default. Beyond it, the items that
    /// were least often helpful are removed.
    #[must_use]
    pub fn max_chars(mut self, chars: usize) -> Self {
        self.settings.rules.max_chars = chars;
        self
    }

    /// Sets the similarity of words from which on an item is a duplicate, above 0 and at most 1 (the same words), 0.9 by
    /// default. Duplicates are dropped.
    #[must_use]
    pub fn similarity(mut self, similarity: f64) -> Self {
        self.settings.rules.similarity = similarity;
        self
    }

    /// Sets the number of harmful uses from which on an item is removed, if it was more often harmful than helpful; 3 by
    /// default and at least 1.
    #[must_use]
    pub fn max_harmful(mut self, uses: u32) -> Self {
        self.settings.rules.max_harmful = uses.max(1);
        self
    }

    /// Sets the predictors that have a playbook, by path. By default all.
    #[must_use]
    pub fn predictors(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.settings.predictors = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the number of adopted playbooks, the latest ones, that are compared with the original program at the end, 4
    /// by default and at least 1.
    #[must_use]
    pub fn finalists(mut self, count: usize) -> Self {
        self.settings.finalists = count.max(1);
        self
    }

    /// Sets the race at the end. By default, beaten programs are dropped.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.settings.race = race;
        self
    }

    /// Sets the reflector and curator, the default [`Proposer`](crate::proposer::Proposer) by default. Other proposers
    /// propose whole texts of playbooks, unless they implement
    /// [`diagnose`](TextProposer::diagnose) and [`curate`](TextProposer::curate).
    #[doc(alias("reflector", "curator"))]
    #[must_use]
    pub fn proposer(mut self, proposer: impl TextProposer) -> Self {
        self.proposer = SharedProposer::new(proposer);
        self
    }

    /// Sets the published form: a curator for each row that sees no other row, up to 5 reflections, and no race at the
    /// end.
    #[must_use]
    pub fn published(mut self) -> Self {
        self.settings.kept_batches = 0;
        self.batch(1).rows_per_curation(1).reflections(5).race(Race::new().alpha(0.0))
    }
}

optimizer!(Ace { settings, proposer }, fits);

impl<E, O> Ace<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        self.settings.check()
    }

    fn fits(&self, program: &impl HasPredictors, _: &Sizes) -> Result<(), OptimizeError> {
        self.settings.paths(program).map(drop)
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["proposer"] = self.proposer.identity();
        settings
    }

    #[expect(clippy::unnecessary_wraps, reason = "the form of all optimizers")]
    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let Settings { epochs, batch, kept_batches, .. } = &self.settings;
        let (group, alone) = (self.settings.rows_per_curation(), self.settings.rows_per_curation.is_none());
        let Settings { reflections, acceptance_rows, finalists, .. } = &self.settings;
        let size = |size: usize| size as u64;
        let [epochs, train, val, predictors] = [*epochs, sizes.train, sizes.val, sizes.predictors].map(size);
        let product =
            |factors: &[u64]| factors.iter().fold(1, |all: u64, factor| all.saturating_mul(*factor));
        let runs = product(&[epochs, train]);
        let again = product(&[runs, predictors, size(reflections.saturating_sub(1))]);
        let batches = product(&[epochs, size(sizes.train.div_ceil((*batch).max(1)))]);
        // The present program, and one or two new ones.
        let accepted = product(&[2 + u64::from(alone), batches, size((*acceptance_rows).min(sizes.val))]);
        let block = self.settings.race.first_block(sizes.val);
        let accepted_rows = size((*acceptance_rows).min(sizes.val).max(block));
        let finals = product(&[size(*finalists), val]);
        // Without a valset, the runs of the first batch are those that score the original program.
        let scored = if sizes.given_val || epochs == 0 { 0 } else { size((*batch).min(sizes.train)) };
        let runs_to_pay = runs.saturating_sub(scored);
        let most = [runs_to_pay, again, accepted, finals].into_iter().fold(val, u64::saturating_add);
        let reflected = product(&[runs, predictors, size((*reflections).max(1))]);
        let lessons = batch.saturating_mul(kept_batches.saturating_add(1)).min(sizes.train);
        let each = if alone { (*batch).min(sizes.train) } else { 0 };
        let curations = size(lessons.div_ceil(group).saturating_add(each));
        let curated = product(&[batches, predictors, curations]);
        Ok(Cost {
            baseline: Some(val),
            comparison: (epochs > 0).then(|| {
                let again = size(reflections.saturating_sub(1));
                (
                    predictors.saturating_mul(again + 2),
                    predictors.saturating_mul(again).saturating_add(accepted_rows),
                )
            }),
            proposals: self.proposer.calls(Span::between(0, reflected.saturating_add(curated))),
            shown: lessons.min(group),
            // Of four bytes each, in the prompt of each predictor.
            written: self.settings.rules.max_chars.div_ceil(4) as u64,
            writer: self.proposer.writer(),
            ..Cost::of_rollouts(Span::between(val, most))
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        Search::new(study, &self.settings, &self.proposer)?.run().await
    }

    /// Returns a handle that improves the playbooks of a program in use, from finished runs with feedback. A changed
    /// playbook is adopted only if the program with it is not worse on `rows`, of which each comparison uses the next
    /// [`acceptance_rows`](Self::acceptance_rows).
    ///
    /// The [budget](Self::budget) limits all updates together, a limit of time each of them. Epochs, repeated runs of
    /// rows, the race at the end and the verification do not apply.
    ///
    /// # Errors
    /// If an option is invalid, there are no rows, or one cannot be used. A `run_dir` is invalid, too: save the program.
    pub fn online<P>(&self, program: P, rows: Vec<E>) -> Result<OnlineAce<P, E>, OptimizeError>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        self.check()?;
        let (settings, proposer) = (self.settings.clone(), self.proposer.clone());
        OnlineAce::new(settings, proposer, self.options.clone(), self.metric.clone(), program, rows)
    }
}
