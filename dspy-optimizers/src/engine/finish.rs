//! The end of a study: its result and report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dspy_base::locks::MutexExt as _;
use dspy_core::error::clipped;

use super::failures::failed_rows;
use super::gain::Gain;
use super::{ExampleFor, Program, Stop, Study};
use crate::counts::counted;
use crate::error::OptimizeError;
use crate::events::StudyEvent;
use crate::optimized::{Optimized, bound_models};
use crate::report::{ORIGINAL, PartialScore, Report, RunFacts, Stopped, Trial, Verification};

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
            Err(Stop::ConstantMetric) => Stopped::ConstantMetric,
            Err(Stop::Error(error)) => return Err(self.failed(*error)),
        };
        if matches!(stopped, Stopped::Budget(_)) && self.found().trials.is_empty() {
            let warning = self.too_small().unwrap_or_else(|| {
                "the budget ended before the original program was scored, so the result is the original program; \
                 raise it, or compare on fewer rows"
                    .into()
            });
            self.warn(warning);
        }
        self.end_checks();
        let mut best = self.best();
        let verification = match self.verify(best).await {
            Ok(verification) => verification,
            Err(Stop::Budget(_) | Stop::NoHeadroom | Stop::ConstantMetric) => Verification::OutOfBudget,
            Err(Stop::Error(error)) => return Err(self.failed(*error)),
        };
        match &verification {
            Verification::Passed(verified) => best = Some(verified.trial),
            Verification::Failed(_) => best = None,
            Verification::OutOfBudget => {
                self.shortage.take().into_iter().for_each(|warning| self.warn(warning));
            }
            _ => {}
        }
        if verification != Verification::Off {
            let (study, verification) = (self.name.clone(), verification.clone());
            self.events.emit(&StudyEvent::Verified { study, verification });
        }
        self.report(best, stopped, verification)
    }

    /// Reports an error that ends the study.
    fn failed(&self, error: OptimizeError) -> OptimizeError {
        self.end_phase();
        let (study, message) = (self.name.clone(), clipped(error.to_string()));
        self.events.emit(&StudyEvent::Failed { study, error: message });
        error
    }

    /// Returns the trial that is the result of the search.
    fn best(&self) -> Option<usize> {
        let found = self.found();
        found.chosen.or_else(|| by_score(&found.trials).first().copied())
    }

    fn report(
        self,
        best: Option<usize>,
        stopped: Stopped,
        verification: Verification,
    ) -> Result<Optimized<P>, OptimizeError> {
        let (usage, mut warnings) = (self.spent(), self.warnings());
        let folder = self.report_folder();
        self.end_phase();
        let (spend, run) = (self.journal.spend(&self.name), self.run_facts());
        let found = std::mem::take(&mut *self.found.lock_any());
        let chosen = best.map(|best| found.program(best, &self.program)).transpose();
        let chosen = chosen.map_err(|error| self.failed(error))?;
        let (mut trials, mut models) = (found.trials, found.models);
        let unchanged = trials.iter().find(|trial| trial.parameters == self.initial && trial.score.is_some());
        let baseline = unchanged.and_then(|trial| trial.score);
        let score = best.map_or(baseline, |best| trials[best].score);
        self.events.emit(&StudyEvent::Finished { study: self.name.clone(), stopped, best, score });
        let (best, program) = match best.zip(chosen) {
            Some((best, program)) => (best, program),
            None => {
                if !trials.is_empty() {
                    let original = Trial::new(ORIGINAL, &self.program);
                    trials.push(Trial { score: baseline, ..original });
                    models.push(bound_models(&self.program));
                }
                (trials.len().saturating_sub(1), self.program)
            }
        };
        warnings.extend(trials.get(best).and_then(|best| partly_scored(best, stopped)));
        warnings.extend(trials.get(best).and_then(failed_rows));
        let original = trials.iter().find(|trial| trial.parameters == self.initial && trial.score.is_some());
        let gain = original
            .zip(trials.get(best))
            .filter(|_| self.name.is_empty() && !verification.is_done())
            .and_then(|(original, result)| {
                Gain::of(original, result, found.headroom, self.options.best_score)
            });
        warnings.extend(gain.map(|gain| gain.to_string()));
        let mut report = Report {
            optimizer: self.optimizer,
            seed: self.options.seed,
            trials,
            best,
            baseline,
            initial: self.initial,
            usage,
            spend,
            stopped,
            verification,
            headroom: found.headroom,
            decisions: found.decisions,
            warnings,
            run,
        };
        if let Some(folder) = folder {
            write_report(&mut report, &folder);
        }
        Ok(Optimized::new(program, report).with_models(models))
    }

    fn run_facts(&self) -> RunFacts {
        let is_outermost = self.name.is_empty();
        let (time, earlier) = if is_outermost {
            (self.journal.elapsed(), self.journal.earlier())
        } else {
            (self.started.elapsed(), Duration::ZERO)
        };
        RunFacts {
            seconds: time.as_secs_f64(),
            earlier_seconds: earlier.as_secs_f64(),
            paid_earlier: self.journal.paid_earlier(&self.name).usage(),
            written_off: self.journal.written_off(&self.name),
            phases: self.events.times(&self.name),
        }
    }

    /// Returns the folder for the files of the report. Nested studies have none, and neither has a study that lost its
    /// folder, which may belong to another process by now.
    fn report_folder(&self) -> Option<PathBuf> {
        if self.name.is_empty() && self.journal.loss().is_none() { self.run_dir.clone() } else { None }
    }
}

/// Returns a warning if the result of a search was scored on a part of the rows.
fn partly_scored(trial: &Trial, stopped: Stopped) -> Option<String> {
    let PartialScore { rows, of, .. } = trial.partial?;
    let reason = match stopped {
        Stopped::Budget(_) => {
            "the budget ended the comparison before the other rows; raise the budget, or compare on fewer rows"
        }
        _ => {
            "the race was decided before the other rows; for a score on all of them, leave `Race::to_the_end` on"
        }
    };
    Some(format!("the result rests on {rows} of {}: {reason}", counted(of, "row")))
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
