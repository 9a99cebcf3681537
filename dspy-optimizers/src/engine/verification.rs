//! The verification of the best trials on held-out rows.

use super::finish::by_score;
use super::{ExampleFor, Program, Stop, Study};
use crate::data::Rows;
use crate::race::{Contestant, Race, Raced};
use crate::report::{Verification, Verified};

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Runs the original program and the best candidates on held-out rows.
    pub(super) async fn verify(&mut self, best: Option<usize>) -> Result<Verification, Stop> {
        let Some(verify) = self.verify else { return Ok(Verification::Off) };
        let holdout = match &self.holdout {
            Ok(holdout) => holdout.clone(),
            Err(rows) => return Ok(Verification::TooFewRows { rows: *rows }),
        };
        let finalists = self.finalists(best, verify.finalists);
        if finalists.is_empty() {
            return Ok(Verification::NothingFound);
        }
        // The verification may spend the reserved part of the budget.
        self.ledger = self.overall.clone();
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

    /// Returns the trials to verify, at most `most`: the result of the search and the next best ones with
    /// different parameters, down to the original program.
    fn finalists(&self, best: Option<usize>, most: usize) -> Vec<usize> {
        let found = self.found();
        let ranked = by_score(&found.trials);
        let mut seen = Vec::new();
        let mut finalists = Vec::new();
        for trial in best.into_iter().chain(ranked) {
            let parameters = &found.trials[trial].parameters;
            if finalists.len() == most || *parameters == self.initial {
                break;
            }
            if !seen.contains(&parameters) {
                seen.push(parameters);
                finalists.push(trial);
            }
        }
        finalists
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
