//! `InferRules`: rules for the instructions, induced from labelled rows.

mod inducer;
mod prompts;
mod search;

use dspy_core::lm::Lm;
use serde_json::{Value, json};

use self::inducer::Inducer;
use self::search::Search;
use crate::OptimizeError;
use crate::bootstrap_few_shot::{Settings, bootstrap_setters};
use crate::builder::{NoMetric, optimizer};
use crate::engine::{ExampleFor, Program, Stop, Study};
use crate::estimate::{Cost, Sizes, Span, Writer};
use crate::options::Options;
use crate::race::Race;
use crate::report::Stopped;
use dspy_core::evaluate::SharedMetric;

/// An optimizer that has a language model induce rules from labelled rows, and appends them to the instructions.
///
/// First it makes demonstrations as [`BootstrapFewShot`](crate::BootstrapFewShot) does. Then, for each of
/// `num_candidates` candidates, a model reads the rows of the trainset and writes up to `num_rules` rules for each
/// predictor, which are appended to its original instruction. A predictor whose outputs the rows do not have gets
/// the rules of its bootstrapped demonstrations, if it has any. If the rows exceed the context window of the model,
/// the last ones are left out.
///
/// The result is the best of the original program, the program with demonstrations, and the candidates, which have
/// demonstrations and rules, on the valset. Without a [valset](crate::Data::valset), the first half of the trainset
/// is used for demonstrations and rules, and the second half as valset. By default, the candidates are compared in a
/// [race](Self::race).
///
/// Cost for `c` candidates, `p` predictors and a valset of `v` rows: the bootstrap, `c` × `p` calls of the model that
/// writes rules, and at most (`c` + 2) × `v` runs of the program.
///
/// Source: `InferRules` in DSPy.
///
/// ```
/// # use dspy_core::lm::Lm;
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::{Budget, InferRules};
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
/// # let writer = Lm::scripted(["[[ ## rules ## ]]\nIf the text speaks of love, the mood is good.\nRain is bad."]);
/// let optimizer = InferRules::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == example.1)
///     .num_candidates(1)
///     .num_rules(5)
///     // By default, the current model writes the rules.
///     .prompt_lm(writer)
///     .budget(Budget::calls(1_000))
///     .build();
/// let optimized = optimizer.compile(program, &trainset).await?;
/// assert_eq!(optimized.report().score(), Some(1.0));
/// # Ok::<(), dspy_core::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct InferRules<M = NoMetric> {
    metric: M,
    options: Options,
    settings: Settings,
    rules: RuleSettings,
}

/// The parameters of the rules that determine the result.
#[derive(Debug, Clone)]
struct RuleSettings {
    num_candidates: usize,
    num_rules: usize,
    temperature: f64,
    prompt_lm: Option<Lm>,
    race: Race,
}

impl InferRules {
    /// Creates a builder with the defaults.
    pub fn builder() -> Self {
        let rules = RuleSettings {
            num_candidates: 10,
            num_rules: 10,
            temperature: 1.0,
            prompt_lm: None,
            race: Race::new(),
        };
        InferRules { metric: NoMetric, options: Options::default(), settings: Settings::default(), rules }
    }
}

impl<M> InferRules<M> {
    /// Sets the number of candidates with rules, 10 by default and at most 10,000.
    #[must_use]
    pub fn num_candidates(mut self, count: usize) -> Self {
        self.rules.num_candidates = count;
        self
    }

    /// Sets the largest number of rules for each predictor, 10 by default and at least 1.
    #[must_use]
    pub fn num_rules(mut self, rules: usize) -> Self {
        self.rules.num_rules = rules.max(1);
        self
    }

    /// Sets the temperature of the model that writes the rules, 1 by default.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.rules.temperature = temperature;
        self
    }

    /// Sets the model that writes the rules. By default, it is the current one.
    #[doc(alias = "prompt_model")]
    #[must_use]
    pub fn prompt_lm(mut self, lm: Lm /* `Lm::new("openai/gpt-4o-mini")?` */) -> Self {
        self.rules.prompt_lm = Some(lm);
        self
    }

    /// Sets how the candidates are compared. By default, in a race in which beaten ones are dropped.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.rules.race = race;
        self
    }

    /// Sets the published form: every candidate runs on the whole valset.
    #[must_use]
    pub fn published(self) -> Self {
        self.race(Race::new().alpha(0.0))
    }

    bootstrap_setters!();
}

optimizer!(InferRules { settings, rules });

impl<E, O> InferRules<SharedMetric<E, O>> {
    fn check(&self) -> Result<(), OptimizeError> {
        OptimizeError::check_temperature(self.rules.temperature)?;
        OptimizeError::check_count("num_candidates", self.rules.num_candidates)?;
        self.rules.race.check()?;
        self.settings.check()
    }

    fn inducer(&self) -> Inducer {
        Inducer::new(self.rules.prompt_lm.as_ref(), self.rules.temperature)
    }

    fn settings(&self) -> Value {
        let mut settings = self.settings.identity();
        settings["num_candidates"] = self.rules.num_candidates.into();
        settings["num_rules"] = self.rules.num_rules.into();
        settings["race"] = self.rules.race.identity();
        settings["inducer"] = json!(self.inducer().identity());
        settings
    }

    fn cost(&self, sizes: &Sizes) -> Result<Cost, OptimizeError> {
        let (learn, val) = search::sizes(sizes)?;
        let (val, candidates) = (val as u64, self.rules.num_candidates as u64);
        let compared = Span::between(val, val.saturating_mul(candidates.saturating_add(2)));
        let bootstrap = self.settings.runs(learn, self.settings.max_bootstrapped_demos);
        Ok(Cost {
            baseline: Some(val),
            comparison: (candidates > 0)
                .then(|| (sizes.predictors as u64, self.rules.race.first_block(val as usize) as u64)),
            proposals: Span::between(0, candidates.saturating_mul(sizes.predictors as u64)),
            shown: learn,
            writer: Writer::Lm(self.rules.prompt_lm.clone()),
            ..self.settings.cost(compared + bootstrap)
        })
    }

    async fn search<P>(&self, study: &Study<'_, P, E>) -> Result<Stopped, Stop>
    where
        P: Program<Output = O>,
        E: ExampleFor<P>,
    {
        Search { study, inducer: self.inducer(), rules: &self.rules, settings: &self.settings }.run().await
    }
}
