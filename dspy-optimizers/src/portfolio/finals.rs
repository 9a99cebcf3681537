//! The comparison of the best programs on more rows.

use dspy_core::predict::Predictor;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Values;

use super::plan::FINALISTS;
use super::search::{Best, Search, scores};
use crate::demos;
use crate::engine::{ExampleFor, Program, Stop};
use crate::paired::p_value;
use crate::report::percent;

/// The significance level at which a program is worse than the best one and no finalist.
const LEVEL: f64 = 0.1;

/// The scores of a finalist on all rows, and whether it shows the row as a demonstration.
type Evidence = Vec<Option<(f64, bool)>>;

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Chooses the result: the programs that the valset does not tell from the best one are also run on the rows to
    /// learn from, and the better one of both kinds of rows is the result; of equal ones, that with the shorter prompt.
    pub(super) async fn finals(&mut self) -> Result<(), Stop> {
        let finalists = self.finalists();
        let count = self.purse.further_rows(&self.spent, finalists.len()).min(self.learn.len());
        if finalists.len() > 1 && count > 0 {
            self.study.phase("finals", finalists.len() * count);
            let seed = self.study.seed().branch("finals");
            let rows = self.learn.shuffled(seed).select(0..count);
            let mut leader: Option<(Best<P>, Evidence)> = None;
            for finalist in finalists {
                let scope = self.study.scope_of(&finalist.program);
                let further = self.study.evaluate(&scope, &finalist.program, &rows).await?;
                let on_val = scores(&finalist.scores).into_iter().map(|score| Some((score?, false)));
                let on_learn = rows
                    .iter()
                    .zip(scores(&further))
                    .map(|(row, score)| Some((score?, shows(&finalist.program, row.values))));
                let evidence: Evidence = on_val.chain(on_learn).collect();
                self.study.decide(format!(
                    "finalist {}: {} on the valset, {} on {count} rows to learn from",
                    finalist.name,
                    percent(finalist.scores.mean),
                    percent(further.mean)
                ));
                let is_better = leader.as_ref().is_none_or(|(best, of_best)| {
                    let gain = gain(&evidence, of_best);
                    gain > 0.0 || gain == 0.0 && length(&finalist.program) < length(&best.program)
                });
                if is_better {
                    leader = Some((finalist, evidence));
                }
            }
            if let Some((leader, _)) = leader {
                self.study.choose(leader.trial);
                self.best = leader;
            }
        }
        self.study.decide(format!("the result of the search is {}", self.best.name));
        Ok(())
    }

    /// Returns the best results with different programs, the best first.
    fn finalists(&mut self) -> Vec<Best<P>> {
        let mut results = std::mem::take(&mut self.results);
        results.sort_by(|a, b| {
            b.scores.mean.total_cmp(&a.scores.mean).then_with(|| length(&a.program).cmp(&length(&b.program)))
        });
        // A program that is worse than the original one on the valset is never the result.
        let original = results.iter().find(|result| result.trial == 0).map(|result| result.scores.mean);
        results.retain(|result| original.is_none_or(|original| result.scores.mean >= original));
        let (best, mut seen, mut finalists) = (scores(&self.best.scores), Vec::new(), Vec::new());
        for result in results {
            let scope = self.study.scope_of(&result.program);
            if finalists.len() < FINALISTS
                && !seen.contains(&scope)
                && p_value(&best, &scores(&result.scores)) >= LEVEL
            {
                seen.push(scope);
                finalists.push(result);
            }
        }
        finalists
    }
}

/// Returns the sum of the gains over another program. A row does not count for a program that shows it.
fn gain(own: &Evidence, other: &Evidence) -> f64 {
    let pairs = own.iter().zip(other).filter_map(|(own, other)| own.zip(*other));
    pairs
        .map(|((own, own_shows), (other, other_shows))| {
            let counts = if own > other { !own_shows } else { !other_shows };
            if counts { own - other } else { 0.0 }
        })
        .sum()
}

/// Returns whether a program shows a row as a demonstration.
fn shows(program: &impl HasPredictors, row: &Values) -> bool {
    program.named_predictors().into_iter().any(|(_, predictor)| demos::shows(predictor, row))
}

/// Returns the length of what an optimizer can change in the prompts.
fn length(program: &impl HasPredictors) -> usize {
    let of = |(_, predictor): (String, &Predictor)| {
        let demo = |values: &Values| values.values().map(|value| value.to_string().len()).sum::<usize>();
        let demos: usize = predictor.demos().iter().map(|shown| demo(&shown.values)).sum();
        predictor.instruction().len() + demos
    };
    program.named_predictors().into_iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_row_counts_against_a_program_only() {
        let plain =
            |scores: &[f64]| -> Evidence { scores.iter().map(|score| Some((*score, false))).collect() };
        let shown =
            |scores: &[f64]| -> Evidence { scores.iter().map(|score| Some((*score, true))).collect() };
        assert!(gain(&plain(&[1.0, 0.0]), &plain(&[0.0, 0.0])) > 0.0);
        assert!(gain(&shown(&[1.0, 1.0]), &plain(&[0.0, 1.0])) == 0.0);
        assert!(gain(&plain(&[0.0, 1.0]), &shown(&[1.0, 1.0])) == 0.0);
        assert!(gain(&plain(&[1.0, 1.0]), &shown(&[0.0, 1.0])) > 0.0);
        assert!(gain(&vec![None], &plain(&[1.0])) == 0.0);
    }
}
