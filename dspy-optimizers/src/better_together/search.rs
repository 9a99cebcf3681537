//! The steps, and the scores after each.

use dspy_core::Seed;

use super::BetterTogether;
use crate::data::{Data, Rows};
use crate::engine::{ExampleFor, Needs, Program, Stop, Study};
use crate::report::{ORIGINAL, Report, Stopped, Trial, percent};
use crate::strategy::ARROW;
use crate::{OptimizeError, Optimizer as _};
use dspy_core::evaluate::SharedMetric;

impl<P: Program, E: ExampleFor<P>> BetterTogether<P, E, SharedMetric<E, P::Output>> {
    /// Runs the steps. `given_val` says whether the data has a valset.
    pub(super) async fn search(
        &self,
        study: &Study<'_, P, E>,
        steps: &[usize],
        given_val: bool,
    ) -> Result<Stopped, Stop> {
        let (train, mut val) = if given_val {
            (study.train().clone(), study.val().clone())
        } else {
            self.split(study.train(), study.seed())?
        };
        let mut program = study.program().clone();
        study.part("scores", ORIGINAL, val.len());
        let scope = study.scope_of(&program);
        let mut scores = study.evaluate(&scope, &program, &val).await?;
        if let Some(all) = study.enough(&val, &scores) {
            scores = study.evaluate(&scope, &program, &all).await?;
            val = all;
        }
        study.record(Trial::new(ORIGINAL, &program).scored(&scores), program.clone());
        study.check_headroom(&scores)?;
        let (mut label, mut short) = (String::new(), None);
        for (index, at) in steps.iter().enumerate() {
            let (name, optimizer) = &self.optimizers[*at];
            label = if label.is_empty() { name.clone() } else { format!("{label} {ARROW} {name}") };
            let order = study.seed().branch("step").index(index as u64);
            let data = Data {
                train: if self.shuffle { train.shuffled(order) } else { train.clone() },
                val: Some(val.clone()),
                holdout: None,
                teacher: study.teacher().cloned(),
            };
            study.part("steps", &label, 0);
            // What a step finds is worth nothing without the score after it.
            let part = format!("step-{index}");
            study.check_affordable(&part, Needs { calls: 0, runs: val.len() }, val.len())?;
            let budget = study.all_but(&part, val.len())?;
            let work = optimizer.compile(program.clone(), data);
            let (compiled, limit) = study.nested_within(&part, budget, work).await;
            short = short.or(limit);
            match compiled {
                Ok(optimized) => {
                    let report = optimized.report();
                    for warning in &report.warnings {
                        study.warn(format!("step {}, `{name}`: {warning}", index + 1));
                    }
                    if report.stopped == Stopped::ConstantMetric {
                        return Err(Stop::ConstantMetric);
                    }
                    let notes = vec![summary(report)];
                    program = optimized.into_program();
                    self.score(study, &label, notes, &program, &val).await?;
                }
                Err(error) if is_final(&error) || (index == 0 && is_mistake(&error)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    study.warn(format!(
                        "step {}, `{name}`, failed, and later ones did not run: {error}",
                        index + 1
                    ));
                    break;
                }
            }
        }
        // A step that its own budget has ended says so in its note.
        Ok(study.exhausted().or(short).map_or(Stopped::Finished, Stopped::Budget))
    }

    async fn score(
        &self,
        study: &Study<'_, P, E>,
        label: &str,
        notes: Vec<String>,
        program: &P,
        val: &Rows<'_, E>,
    ) -> Result<(), Stop> {
        study.part("scores", label, val.len());
        let scores = study.evaluate(&study.scope_of(program), program, val).await?;
        let trial = Trial { notes, ..Trial::new(label, program) };
        study.record(trial.scored(&scores), program.clone());
        Ok(())
    }

    /// Holds out a part of the trainset as the valset.
    pub(super) fn split<'d>(
        &self,
        train: &Rows<'d, E>,
        seed: Seed,
    ) -> Result<(Rows<'d, E>, Rows<'d, E>), OptimizeError> {
        let (rows, ratio) = (train.len(), self.valset_ratio);
        // A product such as 0.29 × 100 is slightly less than the number that is meant.
        let count = (ratio * rows as f64 + 1e-9).floor() as usize;
        let error = |set| OptimizeError::Split { set, rows, ratio };
        if count == 0 {
            return Err(error("valset"));
        }
        if count >= rows {
            return Err(error("trainset"));
        }
        let mut held = seed.branch("valset").rng().sample(rows, count);
        held.sort_unstable();
        let rest = (0..rows).filter(|row| held.binary_search(row).is_err());
        Ok((train.select(rest), train.select(held.iter().copied())))
    }
}

/// Returns whether an error of a step ends the optimization: one that says nothing about the step.
fn is_final(error: &OptimizeError) -> bool {
    matches!(
        error,
        OptimizeError::Outage { .. } | OptimizeError::Journal(_) | OptimizeError::UnknownPrice { .. }
    )
}

/// Returns whether a step could not begin because of its settings or data. If an earlier step has found a program, that
/// is not lost.
fn is_mistake(error: &OptimizeError) -> bool {
    use OptimizeError::{Empty, Example, NoPredictors, Option, Split, Strategy, Teacher, Trainer};
    matches!(
        error,
        Empty { .. }
            | Example { .. }
            | NoPredictors
            | Option { .. }
            | Split { .. }
            | Strategy(_)
            | Teacher(_)
            | Trainer { .. }
    )
}

fn summary(report: &Report) -> String {
    let score = report.score().map_or_else(String::new, |score| format!(": {}", percent(score)));
    let stopped = match report.stopped {
        Stopped::Budget(_) => format!(", {}", report.stopped),
        _ => String::new(),
    };
    format!("{}{score}{stopped}", report.optimizer)
}
