//! The sizes of a portfolio: rows, rungs, and shares of the budget.

use dspy_core::lm::{Budget, Usage};

use super::arm::Arm;
use crate::OptimizeError;
use crate::auto::Auto;
use crate::estimate::Sizes;

/// The largest number of rows to compare on.
pub(super) const MOST_VAL: usize = 100;

/// The part of the budget of the search that is for the optimizers; the rest is for the comparison of the finalists.
const FOR_ARMS: f64 = 0.9;

/// The largest number of further rungs.
pub(super) const FURTHER: usize = 8;

/// The number of finalists.
pub(super) const FINALISTS: usize = 4;

/// The largest number of rows to learn from on which finalists are compared.
const MOST_FURTHER_ROWS: usize = 100;

/// The runs of all optimizers if the budget has no limit, in units of those of a size.
const UNLIMITED: usize = 3;

/// Returns the number of rows to learn from, and of those to compare on.
pub(super) fn split(sizes: &Sizes) -> Result<(usize, usize), OptimizeError> {
    let Sizes { train: rows, val, given_val, .. } = *sizes;
    if given_val {
        return Ok((rows, val.min(MOST_VAL)));
    }
    let compare = (rows / 2).min(MOST_VAL);
    if compare == 0 {
        return Err(OptimizeError::Split { set: "valset", rows, ratio: 0.5 });
    }
    Ok((rows - compare, compare))
}

/// Returns whether a budget has a limit other than on time.
pub(super) fn is_limited(budget: Budget) -> bool {
    budget.calls.is_some() || budget.tokens.is_some() || budget.usd.is_some()
}

/// Returns the runs of all optimizers, as planned, if the budget has no limit.
pub(super) fn unlimited(auto: Auto, predictors: usize, val: usize) -> usize {
    UNLIMITED.saturating_mul(auto.rollouts(predictors, val))
}

/// Returns the largest number of runs that a portfolio makes for this planned number.
pub(super) fn most(planned: usize, val: usize) -> u64 {
    // Each result of an optimizer is scored at most once.
    let results = rungs(Arm::ALL.len()).iter().sum::<usize>() + FURTHER;
    let scores = (results as u64 + 1).saturating_mul(val as u64);
    let compared = (FINALISTS * MOST_FURTHER_ROWS) as u64;
    ((planned as f64 * GUARD) as u64).saturating_add(scores).saturating_add(compared)
}

/// Returns the number of optimizers in each rung.
pub(super) fn rungs(arms: usize) -> Vec<usize> {
    let mut rungs = vec![arms];
    while let Some(last) = rungs.last().copied().filter(|last| *last > 1) {
        rungs.push(last.div_ceil(2));
    }
    rungs
}

/// The budget of an optimizer in a rung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) budget: Budget,
    /// The number of runs of the program that it pays.
    pub(super) rollouts: usize,
}

/// The limit of an optimizer, in units of its share. The sizes of an optimizer follow from its share and are those of a
/// typical run: a race needs about half of the runs that it may need.
const GUARD: f64 = 2.0;

impl Share {
    /// Returns the limit of the optimizer. It is above the share, so that calls that were charged twice because the
    /// process died do not change the result.
    pub(super) fn limit(&self) -> Budget {
        times(self.budget, GUARD)
    }
}

/// Returns a budget with each limit multiplied, without one on time.
fn times(budget: Budget, factor: f64) -> Budget {
    let mut product = budget;
    product.calls = budget.calls.map(|calls| (calls as f64 * factor) as u64);
    product.tokens = budget.tokens.map(|tokens| (tokens as f64 * factor) as u64);
    product.usd = budget.usd.map(|usd| usd * factor);
    // The clock of a nested study restarts on resume; that of the whole study limits all.
    product.time = None;
    product
}

/// Returns what is left of a budget after these calls.
fn left(budget: Budget, spent: &Usage) -> Budget {
    let mut left = budget;
    left.calls = budget.calls.map(|calls| calls.saturating_sub(spent.requests));
    left.tokens = budget.tokens.map(|tokens| tokens.saturating_sub(spent.total_tokens()));
    left.usd = budget.usd.map(|usd| (usd - spent.cost_usd.unwrap_or_default()).max(0.0));
    left
}

/// The budget of all optimizers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purse {
    budget: Budget,
    /// That of the search, which also pays the comparison of the finalists.
    search: Budget,
    /// The mean cost of a run of the program.
    calls: f64,
    tokens: f64,
    usd: f64,
}

impl Purse {
    /// Creates the budget of all optimizers from that of the search and the cost of some runs of the original program.
    pub(super) fn new(search: Budget, usage: &Usage, runs: usize, unlimited: usize) -> Self {
        let mean = |total: f64| total / runs.max(1) as f64;
        // Replies of a cache are not counted, but those of other programs may not be cached.
        let calls = mean(usage.requests as f64).max(1.0);
        let budget = if is_limited(search) {
            times(search, FOR_ARMS)
        } else {
            Budget::calls((unlimited as f64 * calls).ceil() as u64)
        };
        Purse {
            budget,
            search,
            calls,
            tokens: mean(usage.total_tokens() as f64),
            usd: mean(usage.cost_usd.unwrap_or_default()),
        }
    }

    /// Returns the part of one of `arms` optimizers, in the first of `rungs` rungs, of what is left after these calls.
    pub(super) fn share(&self, spent: &Usage, rungs: usize, arms: usize) -> Share {
        self.share_beside(0, spent, rungs, arms)
    }

    /// As [`share`](Self::share), in a rung that also pays for this number of runs.
    pub(super) fn share_beside(&self, runs: usize, spent: &Usage, rungs: usize, arms: usize) -> Share {
        let rung = self.without(runs, times(left(self.budget, spent), 1.0 / rungs.max(1) as f64));
        let budget = times(rung, 1.0 / arms.max(1) as f64);
        Share { budget, rollouts: self.pays(budget) }
    }

    /// Returns a budget without what this number of runs typically costs.
    fn without(&self, runs: usize, mut budget: Budget) -> Budget {
        let runs = runs as f64;
        let less = |limit: u64, each: f64| limit.saturating_sub((runs * each).ceil() as u64);
        budget.calls = budget.calls.map(|calls| less(calls, self.calls));
        budget.tokens = budget.tokens.map(|tokens| less(tokens, self.tokens));
        budget.usd = budget.usd.map(|usd| (usd - runs * self.usd).max(0.0));
        budget
    }

    /// Returns the number of rows on which each of `finalists` can be compared further, after these calls.
    pub(super) fn further_rows(&self, spent: &Usage, finalists: usize) -> usize {
        (self.pays(left(self.search, spent)) / finalists.max(1)).min(MOST_FURTHER_ROWS)
    }

    /// Returns the number of runs that a budget pays.
    fn pays(&self, budget: Budget) -> usize {
        let pays = |limit: Option<f64>, each: f64| {
            limit.filter(|_| each > 0.0).map_or(f64::INFINITY, |limit| limit / each)
        };
        let rollouts = pays(budget.calls.map(|calls| calls as f64), self.calls)
            .min(pays(budget.tokens.map(|tokens| tokens as f64), self.tokens))
            .min(pays(budget.usd, self.usd));
        // A quotient such as 0.007 ÷ 0.001 is slightly less than the number that is meant.
        ((rollouts + 1e-9) as usize).min(MOST_ROLLOUTS)
    }
}

/// The largest number of runs of an optimizer, if nothing limits it.
const MOST_ROLLOUTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rung_has_half_of_the_optimizers_and_each_of_them_twice_the_budget() {
        assert_eq!(rungs(8), [8, 4, 2, 1]);
        assert_eq!(rungs(5), [5, 3, 2, 1]);
        assert_eq!(rungs(1), [1]);
        let usage = (0..20).fold(Usage::default(), |mut sum, _| {
            sum += Usage::tokens(1, 1);
            sum
        });
        let purse = Purse::new(Budget::calls(1_600), &usage, 10, 0);
        let none = Usage::default();
        let shares: Vec<usize> =
            rungs(8).into_iter().map(|arms| purse.share(&none, 4, arms).rollouts).collect();
        assert_eq!(shares, [22, 45, 90, 180], "of 1440 calls, two for each run");
        let spent: u64 = rungs(8)
            .into_iter()
            .map(|arms| purse.share(&none, 4, arms).budget.calls.unwrap() * arms as u64)
            .sum();
        assert!(spent <= 1_440, "{spent}");
        // Of 360 calls of a rung, 40 runs need 80.
        assert_eq!(purse.share_beside(40, &none, 4, 2).rollouts, 70);
        assert_eq!(purse.share_beside(1_000, &none, 4, 2).rollouts, 0);
        // What a rung has left is for the next one, and the rest for the finalists.
        assert_eq!(purse.share(&usage, 2, 1).rollouts, (1_440 - 20) / 4);
        assert_eq!(purse.further_rows(&usage, 4), 100);
        let spent = (0..1_440).fold(none, |mut sum, _| {
            sum += Usage::tokens(1, 1);
            sum
        });
        assert_eq!((purse.share(&spent, 1, 1).rollouts, purse.further_rows(&spent, 4)), (0, 20));
    }

    #[test]
    fn every_limit_counts() {
        // Ten runs of one call each.
        let usage = (0..10).fold(Usage::default(), |mut sum, _| {
            sum += Usage::tokens(90, 10).at_cost(0.001);
            sum
        });
        let share = |budget| Purse::new(budget, &usage, 10, 500).share(&Usage::default(), 1, 1);
        assert_eq!(share(Budget::calls(1_000)).rollouts, 900);
        assert_eq!(share(Budget::calls(1_000).tokens(10_000)).rollouts, 90);
        assert_eq!(share(Budget::calls(1_000).usd(0.01)).rollouts, 9);
        let unlimited = share(Budget::UNLIMITED);
        assert_eq!((unlimited.rollouts, unlimited.budget.calls), (500, Some(500)));
    }

    #[test]
    fn a_few_rows_are_enough() {
        let sizes = |train, val, given_val| Sizes { train, val, given_val, predictors: 1 };
        assert_eq!(split(&sizes(2, 2, false)).unwrap(), (1, 1));
        assert_eq!(split(&sizes(1_000, 1_000, false)).unwrap(), (900, 100));
        assert_eq!(split(&sizes(5, 300, true)).unwrap(), (5, 100));
        assert!(matches!(split(&sizes(1, 1, false)), Err(OptimizeError::Split { set: "valset", .. })));
    }
}
