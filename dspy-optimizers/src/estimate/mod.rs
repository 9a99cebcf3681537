//! Estimates of the cost of an optimization, before it runs.

mod cost;
mod origin;
mod show;
mod span;
mod tokens;

use dspy_core::lm::Budget;
use serde::{Deserialize, Serialize};

pub(crate) use self::cost::{Cost, Sizes, Taught, Writer};
use self::origin::{Dearest, Limits, Origin};
pub use self::span::Span;
pub(crate) use self::tokens::tokens_of_prompts;

/// The cost of an optimization before it runs; see [`Optimizer::estimate`](crate::Optimizer::estimate).
///
/// The numbers of calls are bounds: a run ends within them if
///
/// - each run of the program calls each of its predictors once. Programs with loops, branches or re-prompts make
///   another number of calls: [`at_calls_per_rollout`](Self::at_calls_per_rollout) sets a measured one;
/// - the proposer calls its model once for each text, as the default one does if its replies can be read: it retries
///   one that cannot, up to twice;
/// - the run is neither stopped by an error nor answered by a cache, and the metric calls no model itself.
///
/// Tokens and US dollars are expectations. A token is four bytes of text, as in the library's rate limiter. The prompts
/// are those of the program on up to ten rows of the trainset. The lower end has the shortest of them and replies of
/// one token per output. The upper end has prompts with the largest number of demonstrations that the optimizer sets,
/// with instructions of 500 more tokens if it writes any (`Ace`: playbooks of the largest size), and replies of at
/// least 50 tokens per output. A run that writes short texts stays far below it, by a factor of ten and more with `Gepa`,
/// `Simba`, `Ace` and `Portfolio`. Inputs and outputs that rows do not have, such as those of intermediate steps or
/// reasoning, count 50 tokens each.
///
/// A limit on calls also limits the tokens and US dollars: the original program is scored first, and the other calls have
/// the size of the largest one. A `max_tokens` of a predictor or model limits the replies.
///
/// ```
/// # use dspy_core::lm::{Lm, Price};
/// # use dspy_core::predict::DynPredict;
/// # use dspy_core::program::HasPredictors;
/// # use dspy_core::signature::{Example, FieldError, Values};
/// use dspy_optimizers::BootstrapFewShotWithRandomSearch;
/// # struct Row;
/// # impl Example for Row {
/// #     type Input = Values;
/// #     fn input(&self) -> Result<Values, FieldError> { Ok(Values::from_iter([("text".to_owned(), "I love it".into())])) }
/// #     fn values(&self) -> Result<Values, FieldError> { self.input() }
/// # }
/// # let mut program = DynPredict::new("text -> mood: Literal['good', 'bad']".parse()?);
/// # program.set_lm(Lm::builtin().price(Price::per_million(0.15, 0.60)));
/// # let trainset = vec![Row, Row, Row, Row];
/// let optimizer = BootstrapFewShotWithRandomSearch::builder()
///     .metric(|example: &Row, output: &Values| output["mood"] == "good")
///     .num_candidate_programs(2)
///     .build();
/// let estimate = optimizer.estimate(&program, &trainset)?;
/// println!("{estimate}");
/// // At most five candidates on four rows, and three bootstraps of up to four runs.
/// assert_eq!(estimate.program_calls.most, Some(5 * 4 + 3 * 4));
/// # Ok::<(), dspy_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The calls of the program's predictors.
    pub program_calls: Span<u64>,
    /// The calls of models that write instructions, rules or advice.
    pub proposer_calls: Span<u64>,
    /// The tokens of all prompts and replies; `None` if they cannot be estimated.
    pub tokens: Option<Span<u64>>,
    /// The cost in US dollars; `None` if the price of a model is unknown, or a proposer's model is.
    pub usd: Option<Span<f64>>,
    /// The number of calls that one run of the program is assumed to make on average.
    pub calls_per_rollout: f64,
    /// Notes about the run, such as that a budget is too small for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    #[serde(default)]
    dearest: Dearest,
    #[serde(default, skip_serializing_if = "Origin::is_whole")]
    origin: Origin,
}

impl Estimate {
    /// Creates the estimate of an optimizer that calls no model.
    pub const fn nothing() -> Self {
        Estimate {
            program_calls: Span::exactly(0),
            proposer_calls: Span::exactly(0),
            tokens: Some(Span::exactly(0)),
            usd: Some(Span { least: 0.0, most: Some(0.0) }),
            calls_per_rollout: 1.0,
            warnings: Vec::new(),
            dearest: Dearest::NONE,
            origin: Origin::Whole,
        }
    }

    /// Creates the estimate of an optimizer about which nothing is known.
    pub const fn unknown() -> Self {
        Estimate {
            program_calls: Span::at_least(0),
            proposer_calls: Span::at_least(0),
            tokens: None,
            usd: None,
            calls_per_rollout: 1.0,
            warnings: Vec::new(),
            dearest: Dearest::NONE,
            origin: Origin::Whole,
        }
    }

    /// Returns the number of all calls.
    pub fn calls(&self) -> Span<u64> {
        let all = self.program_calls + self.proposer_calls;
        match &self.origin {
            Origin::Sum(parts) => parts.0.calls() + parts.1.calls(),
            Origin::Limited { limits: Limits { calls: Some(limit), .. }, whole, .. } => {
                Span { most: whole.calls().most, ..all }.up_to(*limit)
            }
            _ => all,
        }
    }

    /// Returns the estimate for a program that makes this many calls in a run on average, for example as measured by
    /// [`track_usage`](dspy_core::lm::track_usage) on a few rows. A budget still limits it. A number that is not above
    /// 0 changes nothing.
    ///
    /// ```
    /// # use dspy_optimizers::{Budget, Estimate, Span};
    /// # let mut estimate = Estimate::nothing();
    /// # estimate.program_calls = Span::between(10, 100);
    /// let looping = estimate.within(Budget::calls(120)).at_calls_per_rollout(1.5);
    /// assert_eq!(looping.program_calls, Span::between(15, 120));
    /// ```
    #[must_use]
    pub fn at_calls_per_rollout(self, calls: f64) -> Self {
        if calls.is_finite() && calls > 0.0 { self.scaled(calls) } else { self }
    }

    fn scaled(mut self, calls: f64) -> Self {
        let ratio = calls / self.calls_per_rollout;
        match std::mem::take(&mut self.origin) {
            Origin::Whole => {}
            Origin::Sum(parts) => {
                let (first, then) = *parts;
                // Each part keeps its ratio to the sum.
                let [a, b] = [first, then].map(|part| {
                    let own = part.calls_per_rollout * ratio;
                    part.scaled(own)
                });
                return Estimate { calls_per_rollout: calls, warnings: self.warnings, ..a.then(b) };
            }
            Origin::Limited { whole, limits, sure } => {
                let sure = sure.map(|sure| (sure as f64 * ratio) as u64);
                return Estimate { warnings: self.warnings, ..whole.scaled(calls).limited(limits, sure) };
            }
            Origin::Optional(whole) => {
                return Estimate { warnings: self.warnings, ..whole.scaled(calls).or_nothing() };
            }
        }
        let before = self.calls();
        self.program_calls = Span {
            least: (self.program_calls.least as f64 * ratio) as u64,
            most: self.program_calls.most.map(|most| (most as f64 * ratio).ceil() as u64),
        };
        let after = self.calls();
        // All calls are taken to have the same size.
        let factor = |before: u64, after: u64| if before == 0 { 1.0 } else { after as f64 / before as f64 };
        let least = factor(before.least, after.least);
        let most = before.most.zip(after.most).map_or(least, |(before, after)| factor(before, after));
        self.tokens = self.tokens.map(|tokens| Span {
            least: (tokens.least as f64 * least) as u64,
            most: tokens.most.map(|tokens| (tokens as f64 * most).ceil() as u64),
        });
        self.usd =
            self.usd.map(|usd| Span { least: usd.least * least, most: usd.most.map(|usd| usd * most) });
        self.dearest.first = (self.dearest.first as f64 * ratio) as u64;
        self.calls_per_rollout = calls;
        self
    }

    /// Returns the estimate of one run after the other, for optimizers that run others.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Estimate {
            program_calls: self.program_calls + next.program_calls,
            proposer_calls: self.proposer_calls + next.proposer_calls,
            tokens: self.tokens.zip(next.tokens).map(|(a, b)| a + b),
            usd: self.usd.zip(next.usd).map(|(a, b)| a + b),
            calls_per_rollout: self.calls_per_rollout.max(next.calls_per_rollout),
            warnings: merged(&self.warnings, &next.warnings),
            dearest: self.dearest.then(next.dearest),
            origin: Origin::Sum(Box::new((self, next))),
        }
    }

    /// Returns the estimate of a run with this budget, which may end it after its first `sure` calls of the program.
    /// `search` is the part of its calls that is not reserved for the verification.
    pub(crate) fn ended_by(self, budget: Budget, search: Option<u64>, sure: u64) -> Self {
        self.limited(Limits { search, ..budget.into() }, Some(sure))
    }

    /// Adds warnings.
    pub(crate) fn warning(mut self, warnings: impl Iterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Returns the estimate of work that may not be done.
    pub(crate) fn or_nothing(self) -> Self {
        let mut all = self.clone();
        all.keep(0.0);
        all.dearest.first = 0;
        all.origin = Origin::Optional(Box::new(self));
        all
    }

    /// Returns the estimate of a run with this budget: nothing is above a limit of it.
    #[must_use]
    pub fn within(self, budget: Budget) -> Self {
        self.limited(budget.into(), None)
    }

    fn limited(self, limits: Limits, sure: Option<u64>) -> Self {
        let mut all = self.clone();
        let other = limits.tokens.is_some() || limits.usd.is_some() || limits.time;
        let search = limits.search.or(limits.calls);
        let calls = search.is_some_and(|limit| self.calls().most.is_none_or(|most| most > limit));
        if let Some(sure) = sure.filter(|_| other || calls) {
            let before = self.program_calls.least;
            let least = if other { 0 } else { before.min(sure).min(search.unwrap_or(u64::MAX)) };
            all.keep(if before == 0 { 0.0 } else { least as f64 / before as f64 });
            (all.program_calls.least, all.proposer_calls.least) = (least, 0);
        }
        if let Some(limit) = limits.calls {
            let before = all.program_calls.least;
            if before > limit {
                all.keep(limit as f64 / before as f64);
            }
            all.program_calls = all.program_calls.up_to(limit);
            all.proposer_calls = all.proposer_calls.up_to(limit);
            let dearest = self.dearest.of(limit, self.proposer_calls.most);
            // Without the size of a call, nothing follows from their number, except for none.
            if self.dearest.tokens > 0.0 || limit == 0 {
                let most = dearest.tokens.ceil() as u64;
                all.tokens = all.tokens.map(|tokens| tokens.up_to(most));
            }
            if self.dearest.usd > 0.0 || limit == 0 {
                all.usd = all.usd.map(|usd| usd.up_to(dearest.usd));
            }
        }
        if let (Some(tokens), Some(limit)) = (&mut all.tokens, limits.tokens) {
            *tokens = tokens.up_to(limit);
        }
        if let (Some(usd), Some(limit)) = (&mut all.usd, limits.usd) {
            *usd = usd.up_to(limit);
        }
        all.origin = Origin::Limited { whole: Box::new(self), limits, sure };
        all
    }

    /// Lowers the lower ends to this part.
    fn keep(&mut self, part: f64) {
        let lower = |count: &mut u64| *count = (*count as f64 * part) as u64;
        lower(&mut self.program_calls.least);
        lower(&mut self.proposer_calls.least);
        if let Some(tokens) = &mut self.tokens {
            lower(&mut tokens.least);
        }
        if let Some(usd) = &mut self.usd {
            usd.least *= part;
        }
    }
}

/// Returns the warnings of both, each once.
fn merged(first: &[String], next: &[String]) -> Vec<String> {
    let others = next.iter().filter(|warning| !first.contains(warning));
    first.iter().chain(others).cloned().collect()
}
