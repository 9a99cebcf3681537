//! The verification of the best trials on held-out rows.

use dspy_core::lm::Budget;

use super::finish::by_score;
use super::{ExampleFor, Needs, Program, Stop, Study};
use crate::budget::without_share;
use crate::counts::counted;
use crate::data::Rows;
use crate::error::OptimizeError;
use crate::estimate::{Cost, Sizes};
use crate::race::{Contestant, Race, Raced};
use crate::report::{Verification, Verified};
use crate::verify::Verify;

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Runs the original program and the best candidates on held-out rows.
    pub(super) async fn verify(&mut self, best: Option<usize>) -> Result<Verification, Stop> {
        let Some(verify) = self.verify else { return Ok(Verification::Off) };
        let holdout = match &self.holdout {
            Ok(holdout) => holdout.clone(),
            Err(rows) => return Ok(Verification::TooFewRows { rows: *rows }),
        };
        let mut finalists = self.finalists(best, verify.finalists)?;
        if finalists.is_empty() {
            return Ok(Verification::NothingFound);
        }
        // The verification may spend the reserved part of the budget.
        self.ledger = self.overall.clone();
        self.drop_unaffordable(&mut finalists, holdout.len())?;
        self.phase("verification", holdout.len() * (1 + finalists.len()));
        let raced = self.pair(&finalists, &holdout).await?;
        let original = &raced.standings[0];
        let (Some(baseline), Some(winner)) = (original.mean, first_best(&raced)) else {
            return Ok(Verification::OutOfBudget);
        };
        let standing = &raced.standings[winner];
        let score = standing.mean.unwrap_or_default();
        let trial = finalists[winner - 1];
        let verified = Verified {
            rows: standing.items.len(),
            trial,
            score,
            margin: margin(standing.items.iter().filter_map(|item| item.score)),
            baseline,
            search_score: self.found().trials[trial].score,
        };
        Ok(if score >= baseline { Verification::Passed(verified) } else { Verification::Failed(verified) })
    }

    /// Keeps as many of the finalists, the best first, as the rest of the budget pays for on all rows, and at least one.
    fn drop_unaffordable(&self, finalists: &mut Vec<usize>, rows: usize) -> Result<(), Stop> {
        let runs = |count: usize| Needs { calls: 0, runs: if count == 0 { 0 } else { (count + 1) * rows } };
        let all = finalists.len();
        let afforded = self.affordable("verification", all, runs)?.count.max(1);
        if afforded < all {
            finalists.truncate(afforded);
            self.decide(format!(
                "verified {afforded} of {}: the rest of the budget does not pay for more on {}",
                counted(all, "finalist"),
                counted(rows, "held-out row")
            ));
        }
        Ok(())
    }

    /// Returns the trials to verify, at most `most`: the result of the search and the next best ones with
    /// different programs, down to the original one.
    fn finalists(&self, best: Option<usize>, most: usize) -> Result<Vec<usize>, OptimizeError> {
        let found = self.found();
        let ranked = by_score(&found.trials);
        let original = self.scope_of(&self.program);
        let mut seen = Vec::new();
        let mut finalists = Vec::new();
        for trial in best.into_iter().chain(ranked) {
            if finalists.len() == most {
                break;
            }
            // Parameters have the names of models, but not their endpoints.
            let scope = self.scope_of(&found.program(trial, &self.program)?);
            if scope == original {
                break;
            }
            if !seen.contains(&scope) {
                seen.push(scope);
                finalists.push(trial);
            }
        }
        Ok(finalists)
    }

    /// Runs the original program and these trials on the same blocks of rows.
    async fn pair(&self, finalists: &[usize], rows: &Rows<'_, E>) -> Result<Raced, Stop> {
        let programs = {
            let found = self.found();
            let program = |trial: &usize| found.program(*trial, &self.program);
            finalists.iter().map(program).collect::<Result<Vec<P>, _>>()?
        };
        let contestant = |program: P| Contestant::new(format!("verify-{}", self.scope_of(&program)), program);
        let contestants: Vec<_> =
            std::iter::once(self.program.clone()).chain(programs).map(contestant).collect();
        self.race(&Race::new().alpha(0.0), &contestants, rows).await
    }
}

impl<P: Program, E> Study<'_, P, E> {
    /// Checks that the options of the algorithm fit the data, as its estimate does, and learns on how many rows a
    /// program runs first.
    ///
    /// # Errors
    /// If they do not fit.
    pub(crate) fn expect(
        &mut self,
        cost: impl FnOnce(&Sizes) -> Result<Cost, OptimizeError>,
    ) -> Result<(), OptimizeError> {
        let predictors = self.program.named_predictors().len();
        let (train, val) = (self.train.len(), self.val.len());
        let cost = cost(&Sizes { train, val, given_val: self.given_val, predictors })?;
        self.first_rows = cost.first_runs().unwrap_or(self.first_rows);
        Ok(())
    }

    /// Sets the number of rows that the original program runs on first.
    pub(crate) fn runs_first_on(&mut self, rows: usize) {
        self.first_rows = rows as u64;
    }

    /// Returns a warning if the budget cannot pay for the first runs.
    pub(crate) fn too_small(&self) -> Option<String> {
        let predictors = self.program.named_predictors().len();
        let verification = self.verify.zip(self.holdout.as_ref().ok());
        let verification =
            verification.map(|(verify, rows)| VerificationCost { verify, rows: rows.len(), predictors });
        too_small(self.budget, self.first_rows, predictors, verification)
    }
}

/// The largest number of calls of each predictor in a run for which a part of the budget is reserved.
const CALLS_EACH: u64 = 10;

/// The calls of a verification on this many held-out rows, of a program with this many predictors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VerificationCost {
    pub(crate) verify: Verify,
    pub(crate) rows: usize,
    pub(crate) predictors: usize,
}

impl VerificationCost {
    /// Returns the calls of this many programs beside the original one.
    fn calls(self, rows: usize, finalists: usize) -> u64 {
        [finalists.saturating_add(1), self.predictors.max(1)]
            .into_iter()
            .fold(rows as u64, |calls, factor| calls.saturating_mul(factor as u64))
    }

    /// Returns the part of a budget that the search may spend: all but the reserved share, and no fewer calls than the
    /// verification can leave.
    pub(crate) fn rest_of(self, budget: Budget) -> Budget {
        let mut part = without_share(budget, self.verify.reserve);
        let most = self.calls(self.rows, self.verify.finalists).saturating_mul(CALLS_EACH);
        let all_but_needed = budget.calls.map(|calls| calls.saturating_sub(most));
        part.calls = part.calls.zip(all_but_needed).map(|(part, needed)| part.max(needed));
        part
    }

    /// Returns a warning if the reserved calls cannot pay for one candidate on the first block of rows, without which
    /// nothing is verified.
    pub(crate) fn shortage(self, budget: Budget) -> Option<String> {
        let VerificationCost { verify, rows, .. } = self;
        let calls = budget.calls?;
        let reserved = calls.saturating_sub(self.rest_of(budget).calls?);
        let needed = self.calls(Race::new().first_block(rows), 1);
        if reserved >= needed {
            return None;
        }
        let enough = (needed as f64 / verify.reserve).ceil();
        let larger = if verify.reserve > 0.0 {
            format!("a budget of at least {enough:.0} calls, a larger `Verify::reserve`")
        } else {
            "a `Verify::reserve` above 0".into()
        };
        Some(format!(
            "the verification of a candidate on {} takes at least {needed} calls, but of the budget of {calls}, only \
             {reserved} are reserved for it; if the search spends the others, the result is not verified; set {larger}",
            counted(rows, "held-out row"),
        ))
    }
}

/// Returns a warning if a budget cannot pay for the runs of a program with this many predictors on this many rows, with
/// the least budget that can.
pub(crate) fn too_small(
    budget: Budget,
    rows: u64,
    predictors: usize,
    verification: Option<VerificationCost>,
) -> Option<String> {
    let calls = budget.calls?;
    let needed = rows.saturating_mul(predictors.max(1) as u64);
    let search = |calls: u64| {
        let part = verification.map(|verification| verification.rest_of(Budget::calls(calls)));
        part.and_then(|part| part.calls).unwrap_or(calls)
    };
    if search(calls) >= needed {
        return None;
    }
    let share = verification.map_or(0.0, |verification| verification.verify.reserve).clamp(0.0, 0.99);
    let mut enough = needed.max((needed as f64 / (1.0 - share)) as u64);
    while enough > needed && search(enough - 1) >= needed {
        enough -= 1;
    }
    while search(enough) < needed {
        enough += 1;
    }
    Some(format!(
        "the budget of {} is too small: a program runs on {} first, so the run needs at least {enough} calls",
        counted(calls, "call"),
        counted(rows, "row"),
    ))
}

/// Returns the index of the best contestant except the first.
fn first_best(raced: &Raced) -> Option<usize> {
    raced.ranking().into_iter().find(|place| *place > 0 && raced.standings[*place].mean.is_some())
}

/// Returns half the width of the 95 % confidence interval of the mean.
fn margin(scores: impl Iterator<Item = f64>) -> f64 {
    let scores: Vec<f64> = scores.collect();
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    1.96 * (squares / (count - 1.0).max(1.0) / count.max(1.0)).sqrt()
}
