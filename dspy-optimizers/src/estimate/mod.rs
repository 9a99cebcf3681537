//! Estimates of the cost of an optimization, before it runs.

mod cost;
mod show;
mod span;
mod tokens;

use dspy_core::lm::Budget;
use serde::{Deserialize, Serialize};

pub(crate) use self::cost::{Cost, Sizes, Writer};
pub use self::span::Span;

/// The cost of an optimization before it runs; see [`Optimizer::estimate`](crate::Optimizer::estimate).
///
/// The numbers of calls are bounds: a run ends within them if
///
/// - each run of the program calls each of its predictors once. Programs with loops, branches or re-prompts make
///   another number of calls: [`at_calls_per_rollout`](Self::at_calls_per_rollout) sets a measured one;
/// - the proposer calls its model once for each text, as the default one does;
/// - the run is neither stopped by an error nor answered by a cache, and the metric calls no model itself.
///
/// Tokens and US dollars are expectations. A token is four bytes of text, as in the library's rate limiter. The prompts
/// are those of the program on some rows; with the largest number of demonstrations that the optimizer sets for the
/// upper end. Inputs and outputs that rows do not have, such as those of intermediate steps or reasoning, count 50
/// tokens each. Instructions that become longer are not included.
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
    /// The number of calls that one run of the program is assumed to make.
    pub calls_per_rollout: u64,
}

impl Estimate {
    /// Creates the estimate of an optimizer that calls no model.
    pub const fn nothing() -> Self {
        Estimate {
            program_calls: Span::exactly(0),
            proposer_calls: Span::exactly(0),
            tokens: Some(Span::exactly(0)),
            usd: Some(Span { least: 0.0, most: Some(0.0) }),
            calls_per_rollout: 1,
        }
    }

    /// Creates the estimate of an optimizer about which nothing is known.
    pub const fn unknown() -> Self {
        Estimate {
            program_calls: Span::at_least(0),
            proposer_calls: Span::at_least(0),
            tokens: None,
            usd: None,
            calls_per_rollout: 1,
        }
    }

    /// Returns the number of all calls.
    pub fn calls(&self) -> Span<u64> {
        self.program_calls + self.proposer_calls
    }

    /// Returns the estimate for a program that makes this many calls in a run, at least 1, for example as measured by
    /// [`track_usage`](dspy_core::lm::track_usage) on a few rows.
    #[must_use]
    pub fn at_calls_per_rollout(mut self, calls: u64) -> Self {
        let (calls, assumed) = (calls.max(1), self.calls_per_rollout.max(1));
        let scale = |count: u64| (u128::from(count) * u128::from(calls) / u128::from(assumed)) as u64;
        let before = self.calls();
        self.program_calls = self.program_calls.map(scale);
        let after = self.calls();
        // All calls are taken to have the same size.
        let factor = |before: u64, after: u64| if before == 0 { 1.0 } else { after as f64 / before as f64 };
        let least = factor(before.least, after.least);
        let most = before.most.zip(after.most).map_or(least, |(before, after)| factor(before, after));
        self.tokens = self.tokens.map(|tokens| Span {
            least: (tokens.least as f64 * least) as u64,
            most: tokens.most.map(|tokens| (tokens as f64 * most) as u64),
        });
        self.usd =
            self.usd.map(|usd| Span { least: usd.least * least, most: usd.most.map(|usd| usd * most) });
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
        }
    }

    /// Returns the estimate of a run with this budget, which may end it after its first `sure` calls of the program.
    pub(crate) fn ended_by(mut self, budget: Budget, sure: u64) -> Self {
        let other = budget.tokens.is_some() || budget.usd.is_some() || budget.time.is_some();
        let calls = budget.calls.is_some_and(|limit| self.calls().most.is_none_or(|most| most > limit));
        if other || calls {
            let before = self.program_calls.least;
            let least = if other { 0 } else { before.min(sure) };
            let part = if before == 0 { 0.0 } else { least as f64 / before as f64 };
            (self.program_calls.least, self.proposer_calls.least) = (least, 0);
            if let Some(tokens) = &mut self.tokens {
                tokens.least = (tokens.least as f64 * part) as u64;
            }
            if let Some(usd) = &mut self.usd {
                usd.least *= part;
            }
        }
        self.within(budget)
    }

    /// Returns the estimate of work that may not be done.
    pub(crate) fn or_nothing(mut self) -> Self {
        self.program_calls.least = 0;
        self.proposer_calls.least = 0;
        if let Some(tokens) = &mut self.tokens {
            tokens.least = 0;
        }
        if let Some(usd) = &mut self.usd {
            usd.least = 0.0;
        }
        self
    }

    /// Returns the estimate of a run with this budget: nothing is above a limit of it.
    #[must_use]
    pub fn within(mut self, budget: Budget) -> Self {
        if let Some(calls) = budget.calls {
            self.program_calls = self.program_calls.up_to(calls);
            self.proposer_calls = self.proposer_calls.up_to(calls);
        }
        if let (Some(tokens), Some(limit)) = (&mut self.tokens, budget.tokens) {
            *tokens = tokens.up_to(limit);
        }
        if let (Some(usd), Some(limit)) = (&mut self.usd, budget.usd) {
            *usd = usd.up_to(limit);
        }
        self
    }
}
