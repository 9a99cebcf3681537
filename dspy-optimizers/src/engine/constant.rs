//! A metric that gives every answer the same score.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use dspy_base::digest::Digest;
use dspy_base::locks::MutexExt as _;
use dspy_core::program::TraceStep;
use dspy_core::signature::Values;

use super::{Program, Stop, Study};
use crate::counts::counted;

/// The number of rows from which on an equal score of all of them is reported.
const ROWS: usize = 10;

/// The number of programs from which on it is reported: the original one and another.
const PROGRAMS: usize = 2;

/// The number of programs from which on it ends the search: the original one and three others.
const LAST: usize = 4;

/// The scores of all rollouts so far, as long as they are equal.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
pub(super) struct Constant {
    score: Option<f64>,
    varies: bool,
    /// The digests of the answers to each row, at most two.
    rows: BTreeMap<(&'static str, usize), BTreeSet<NonZeroU64>>,
    /// The scopes of the programs, at most as many as can matter.
    programs: BTreeSet<String>,
    /// Whether a run has failed, which counts as a score of 0.
    pub(super) failed: bool,
    told: bool,
    /// Whether the search has ended.
    over: bool,
}

impl Constant {
    /// Adds the score of an answer with this digest.
    pub(super) fn add(
        &mut self,
        row: (&'static str, usize),
        scope: &str,
        score: f64,
        answer: Option<NonZeroU64>,
    ) {
        if self.varies {
            return;
        }
        // Scores are equal if they are the same number: a constant is not computed.
        if *self.score.get_or_insert(score) != score {
            (self.varies, self.rows, self.programs) = (true, BTreeMap::new(), BTreeSet::new());
            return;
        }
        let answers = self.rows.entry(row).or_default();
        if answers.len() < 2 {
            answers.extend(answer);
        }
        if self.programs.len() < LAST {
            self.programs.insert(scope.to_owned());
        }
    }

    /// Returns the score that all rows have, if these are enough rows and programs to report it.
    fn seen(&self) -> Option<f64> {
        let enough = self.rows.len() >= ROWS && self.programs.len() >= PROGRAMS;
        let all = |score: &f64| enough && !self.varies && !(self.failed && *score != 0.0);
        self.score.filter(all)
    }

    /// Returns the number of rows to which programs gave different answers.
    fn differing(&self) -> usize {
        self.rows.values().filter(|answers| answers.len() > 1).count()
    }

    /// Returns a warning of the score that every answer has. The best one is no reason to warn.
    pub(super) fn warning(&self, best: Option<f64>) -> Option<String> {
        let score = self.seen().filter(|score| best.is_none_or(|best| *score < best))?;
        let differing = match self.differing() {
            0 => String::new(),
            count => format!(", also where the answers differ ({})", counted(count, "row")),
        };
        Some(format!(
            "every score is {score}, on {}{differing}, so no program can be told from another; check that the metric \
             compares the right fields, for example with the table of an `Evaluate` run",
            counted(self.rows.len(), "row")
        ))
    }

    /// Returns whether further programs can be expected to have this score as well: several have given different
    /// answers to many rows, and the score is neither the best one nor 0, which hard rows have, too.
    fn is_hopeless(&self, best: Option<f64>) -> bool {
        let Some(best) = best else { return false };
        self.seen().is_some_and(|score| score != 0.0 && score < best)
            && self.programs.len() >= LAST
            && self.differing() >= ROWS
    }
}

impl<P: Program, E> Study<'_, P, E> {
    /// Reports that the metric gives every answer the same score, as soon as that is known.
    ///
    /// # Errors
    /// If the search has to stop for it.
    pub(super) fn check_constant(&self) -> Result<(), Stop> {
        let best = self.options.best_score;
        let (warning, stop) = {
            let constant = &mut self.failures.lock_any().constant;
            let warning = constant.warning(best).filter(|_| !constant.told && !constant.over);
            constant.told |= warning.is_some();
            (warning, !constant.over && constant.is_hopeless(best))
        };
        // The report has the warning with the figures of the end.
        warning.into_iter().for_each(|warning| self.warn_early(warning));
        if stop { Err(Stop::ConstantMetric) } else { Ok(()) }
    }

    /// Ends the checks: what follows is no search.
    pub(super) fn end_checks(&self) {
        self.failures.lock_any().constant.over = true;
    }
}

/// Returns a digest of the answer of a program: the outputs of its last call that the row has values for, or all of
/// them. Reasons differ also if the answers do not.
pub(super) fn answer(steps: &[TraceStep], row: Option<&Values>) -> Option<NonZeroU64> {
    let outputs = &steps.last()?.outputs;
    let mut digest = Digest::new();
    let labels = outputs.iter().filter(|(name, _)| row.is_some_and(|row| row.contains_key(*name)));
    let labels: Vec<_> = labels.collect();
    let all = || outputs.iter().collect::<Vec<_>>();
    for (name, value) in if labels.is_empty() { all() } else { labels } {
        digest.add_text(name).add_value(value);
    }
    // A half of the digest: 16 hexadecimal digits are 64 bits.
    u64::from_str_radix(&digest.short(), 16).ok().and_then(NonZeroU64::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(programs: usize, rows: usize, score: impl Fn(usize, usize) -> f64, same: bool) -> Constant {
        let mut constant = Constant::default();
        for program in 0..programs {
            for row in 0..rows {
                let answer = NonZeroU64::new(if same { 1 } else { program as u64 + 1 });
                let scope = format!("program {program}");
                constant.add(("trainset", row), &scope, score(program, row), answer);
            }
        }
        constant
    }

    #[test]
    fn many_rows_of_several_programs_are_needed() {
        for (programs, rows, same, warns, ends) in [
            (1, 50, false, false, false),
            (2, 9, false, false, false),
            (2, 10, true, true, false),
            (3, 50, false, true, false),
            (4, 9, false, false, false),
            (4, 10, false, true, true),
            (9, 50, true, true, false),
        ] {
            let constant = seen(programs, rows, |_, _| 0.5, same);
            let found = (constant.warning(Some(1.0)).is_some(), constant.is_hopeless(Some(1.0)));
            assert_eq!(found, (warns, ends), "{programs} programs on {rows} rows, {same}");
            assert!(!constant.is_hopeless(None), "left off");
        }
    }

    #[test]
    fn one_other_score_is_enough() {
        let constant = seen(5, 20, |program, row| if (program, row) == (4, 19) { 0.75 } else { 0.5 }, false);
        assert_eq!((constant.warning(Some(1.0)), constant.is_hopeless(Some(1.0))), (None, false));
        assert!(constant.rows.is_empty() && constant.programs.is_empty());
    }

    #[test]
    fn hard_rows_are_no_reason_to_stop_and_the_best_score_is_none_to_warn() {
        let hard = seen(5, 20, |_, _| 0.0, false);
        assert!(hard.warning(Some(1.0)).is_some() && !hard.is_hopeless(Some(1.0)));
        let best = seen(5, 20, |_, _| 1.0, false);
        assert!(best.warning(Some(1.0)).is_none() && !best.is_hopeless(Some(1.0)));
        assert!(best.warning(Some(2.0)).unwrap().starts_with("every score is 1, on 20 rows"));
    }
}
