//! The end of a study: verification, result, report.

use super::{Contestant, ExampleFor, Program, Raced, Stop, Study};
use crate::data::Rows;
use crate::events::StudyEvent;
use crate::race::Race;
use crate::report::{GIVEN, Report, Stopped, Trial};
use crate::verify::{Verification, Verified};
use crate::{OptimizeError, Optimized};

impl<P: Program, E: ExampleFor<P>> Study<'_, P, E> {
    /// Ends the study: verifies the best trial, if requested, and returns its program with the report. If the
    /// budget ended the search, the result is the best trial so far, or the original program if there is
    /// none.
    ///
    /// # Errors
    /// If the search was stopped by an error, or the verification returns one.
    pub async fn finish(mut self, searched: Result<Stopped, Stop>) -> Result<Optimized<P>, OptimizeError> {
        let stopped = match searched {
            Ok(stopped) => stopped,
            Err(Stop::Budget(limit)) => Stopped::Budget(limit),
            Err(Stop::Error(error)) => return Err(*error),
        };
        let mut best = self.best();
        let verification = match self.verify(best).await {
            Ok(verification) => verification,
            Err(Stop::Budget(_)) => Verification::OutOfBudget,
            Err(Stop::Error(error)) => return Err(*error),
        };
        match &verification {
            Verification::Passed(verified) => best = Some(verified.trial),
            Verification::Failed(_) => best = None,
            _ => {}
        }
        if verification != Verification::Off {
            self.events.emit(&StudyEvent::Verified { verification: verification.clone() });
        }
        Ok(self.report(best, stopped, verification))
    }

    /// Returns the trial that is the result of the search.
    fn best(&self) -> Option<usize> {
        let found = self.found();
        found.chosen.or_else(|| by_score(&found.trials).first().copied())
    }

    /// Runs the original program and the best candidates on held-out rows.
    async fn verify(&mut self, best: Option<usize>) -> Result<Verification, Stop> {
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
        let given = &raced.standings[0];
        let (Some(baseline), Some(winner)) = (given.mean, first_best(&raced)) else {
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
        let programs: Vec<P> = {
            let found = self.found();
            finalists.iter().map(|trial| found.programs[*trial].clone()).collect()
        };
        let contestant = |program: P| Contestant::new(format!("verify-{}", self.scope_of(&program)), program);
        let contestants: Vec<_> =
            std::iter::once(self.program.clone()).chain(programs).map(contestant).collect();
        self.race(&Race::new().alpha(0.0), &contestants, rows).await
    }

    fn report(self, best: Option<usize>, stopped: Stopped, verification: Verification) -> Optimized<P> {
        let (usage, warnings) = (self.spent(), self.warnings());
        self.events.emit(&StudyEvent::Finished { study: self.name.clone() });
        let found = self.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut trials, mut programs) = (found.trials, found.programs);
        let unchanged = trials.iter().find(|trial| trial.parameters == self.initial && trial.score.is_some());
        let baseline = unchanged.and_then(|trial| trial.score);
        let (best, program) = match best {
            Some(best) => (best, programs.swap_remove(best)),
            None => {
                if !trials.is_empty() {
                    let given = Trial::new(GIVEN, &self.program);
                    trials.push(Trial { score: baseline, ..given });
                }
                (trials.len().saturating_sub(1), self.program)
            }
        };
        let report = Report {
            optimizer: self.optimizer,
            seed: self.options.seed,
            trials,
            best,
            baseline,
            initial: self.initial,
            usage,
            stopped,
            verification,
            warnings,
        };
        Optimized::new(program, report)
    }
}

/// Returns the indices of the trials that have a score, the best first; ties keep their order.
fn by_score(trials: &[Trial]) -> Vec<usize> {
    let mut scored: Vec<(usize, f64)> =
        trials.iter().enumerate().filter_map(|(place, trial)| Some((place, trial.score?))).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored.into_iter().map(|(place, _)| place).collect()
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
