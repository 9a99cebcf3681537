//! The end of a study: its result and report.

use std::path::{Path, PathBuf};

use dspy_base::locks::MutexExt as _;

use super::{ExampleFor, Program, Stop, Study};
use crate::error::OptimizeError;
use crate::events::StudyEvent;
use crate::optimized::Optimized;
use crate::report::{ORIGINAL, Report, Stopped, Trial, Verification};

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
            Err(Stop::NoHeadroom) => Stopped::NoHeadroom,
            Err(Stop::Error(error)) => return Err(*error),
        };
        let mut best = self.best();
        let verification = match self.verify(best).await {
            Ok(verification) => verification,
            Err(Stop::Budget(_) | Stop::NoHeadroom) => Verification::OutOfBudget,
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

    fn report(self, best: Option<usize>, stopped: Stopped, verification: Verification) -> Optimized<P> {
        let (usage, warnings) = (self.spent(), self.warnings());
        let folder = self.report_folder();
        self.events.emit(&StudyEvent::Finished { study: self.name.clone() });
        let found = std::mem::take(&mut *self.found.lock_any());
        let (mut trials, mut programs) = (found.trials, found.programs);
        let unchanged = trials.iter().find(|trial| trial.parameters == self.initial && trial.score.is_some());
        let baseline = unchanged.and_then(|trial| trial.score);
        let (best, program) = match best {
            Some(best) => (best, programs.swap_remove(best)),
            None => {
                if !trials.is_empty() {
                    let original = Trial::new(ORIGINAL, &self.program);
                    trials.push(Trial { score: baseline, ..original });
                }
                (trials.len().saturating_sub(1), self.program)
            }
        };
        let mut report = Report {
            optimizer: self.optimizer,
            seed: self.options.seed,
            trials,
            best,
            baseline,
            initial: self.initial,
            usage,
            stopped,
            verification,
            headroom: found.headroom,
            decisions: found.decisions,
            warnings,
        };
        if let Some(folder) = folder {
            write_report(&mut report, &folder);
        }
        Optimized::new(program, report)
    }

    /// Returns the folder for the files of the report. Nested studies have none, and neither has a study that lost its
    /// folder, which may belong to another process by now.
    fn report_folder(&self) -> Option<PathBuf> {
        if self.name.is_empty() && self.journal.loss().is_none() { self.run_dir.clone() } else { None }
    }
}

/// Writes the files of a report. The result of a study is not lost if that fails: the report has a warning.
fn write_report(report: &mut Report, folder: &Path) {
    let written =
        [report.write_json(folder.join("report.json")), report.write_html(folder.join("report.html"))];
    report.warnings.extend(written.into_iter().filter_map(Result::err).map(|error| error.to_string()));
}

/// Returns the indices of the trials that have a score, the best first; ties keep their order.
pub(super) fn by_score(trials: &[Trial]) -> Vec<usize> {
    let mut scored: Vec<(usize, f64)> =
        trials.iter().enumerate().filter_map(|(place, trial)| Some((place, trial.score?))).collect();
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored.into_iter().map(|(place, _)| place).collect()
}
