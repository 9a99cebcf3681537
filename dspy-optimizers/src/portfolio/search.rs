//! The search: the original program, the optimizers that suit, and the rungs.

use dspy_core::lm::Budget;

use super::arm::{Arm, Work};
use super::plan::{self, Purse};
use super::suit::Case;
use crate::OptimizeError;
use crate::auto::Auto;
use crate::budget::without_share;
use crate::counts::counted;
use crate::data::{Data, Rows};
use crate::engine::{ExampleFor, Program, Scores, Stop, Study, Task};
use crate::estimate::Sizes;
use crate::headroom::Headroom;
use crate::metric::SharedMetric;
use crate::paired::{self, p_value};
use crate::report::{ItemReport, ORIGINAL, Report, Stopped, Trial, mean, percent};

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    study: &'s Study<'d, P, E>,
    metric: &'s SharedMetric<E, P::Output>,
    learn: Rows<'d, E>,
    val: Rows<'d, E>,
    case: Case,
    purse: Purse,
    /// The best program so far.
    best: Best<P>,
}

/// A program with its scores on the valset.
struct Best<P> {
    program: P,
    scores: Scores,
    /// The index of its trial.
    trial: usize,
    name: String,
}

/// The result of an optimizer in a rung.
struct Entry {
    arm: Arm,
    /// Its scores on the valset; `None` if it has failed.
    scores: Option<Scores>,
}

impl Entry {
    fn key(&self) -> f64 {
        self.scores.as_ref().map_or(f64::NEG_INFINITY, |scores| scores.mean)
    }
}

impl<'s, 'd, P: Program, E: ExampleFor<P>> Search<'s, 'd, P, E> {
    /// Scores the original program and checks its headroom.
    pub(super) async fn start(
        study: &'s Study<'d, P, E>,
        metric: &'s SharedMetric<E, P::Output>,
        auto: Auto,
    ) -> Result<Self, Stop> {
        let (program, predictors) = (study.program(), study.program().named_predictors().len());
        let (learn, val) = split(study, predictors)?;
        study.phase(ORIGINAL, val.len());
        let scope = study.scope_of(program);
        let tasks = val.iter().map(|row| Task::new(&scope, program, row)).collect();
        let rollouts = study.rollouts(tasks).await?;
        study.sync()?;
        let items: Vec<_> =
            val.iter().zip(&rollouts).map(|(row, rollout)| ItemReport::of(row, rollout)).collect();
        let scores = match mean(&items) {
            Some(mean) => Scores { mean, items },
            // The metric has failed on every row.
            None => study.evaluate(&scope, program, &val).await?,
        };
        let trial = study.record(Trial::new(ORIGINAL, program).scored(&scores), program.clone());
        study.check_headroom(&scores)?;
        let case = Case::of(program, &learn, &val, &rollouts);
        let unlimited = plan::unlimited(auto, predictors, val.len());
        let purse = Purse::new(searched(study), &scores.usage(), val.len(), unlimited);
        let best = Best { program: program.clone(), scores, trial, name: ORIGINAL.to_owned() };
        Ok(Search { study, metric, learn, val, case, purse, best })
    }

    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        let mut arms = self.choose();
        let rungs = plan::rungs(arms.len());
        for (number, wanted) in rungs.iter().enumerate() {
            arms.truncate(*wanted);
            if arms.is_empty() {
                break;
            }
            let entries = self.rung(number, rungs.len(), &arms).await?;
            if !self.has_headroom() {
                self.study.decide(format!(
                    "stopped after rung {}: {} has {}, which leaves no headroom on {}",
                    number + 1,
                    self.best.name,
                    percent(self.best.scores.mean),
                    counted(self.val.len(), "row")
                ));
                return Ok(Stopped::ScoreReached);
            }
            arms = self.survivors(number, entries, rungs.get(number + 1).copied());
        }
        self.study.decide(format!("the result of the search is {}", self.best.name));
        Ok(Stopped::Finished)
    }

    /// Returns the optimizers that suit and fit into the budget, in their order.
    fn choose(&self) -> Vec<Arm> {
        let mut suitable = Vec::new();
        for arm in Arm::ALL {
            match self.case.suits(arm) {
                Ok(why) => suitable.push((arm, why)),
                Err(why) => self.study.decide(format!("left out {}: {why}", arm.name())),
            }
        }
        let affordable = self.purse.affords(suitable.len(), self.val.len());
        for (arm, why) in &suitable[..affordable] {
            self.study.decide(format!("chose {}: {why}", arm.name()));
        }
        for (arm, why) in &suitable[affordable..] {
            self.study.decide(format!(
                "left out {}: {why}, but the budget is enough for {} on {}",
                arm.name(),
                counted(affordable, "optimizer"),
                counted(self.val.len(), "row")
            ));
        }
        suitable.into_iter().take(affordable).map(|(arm, _)| arm).collect()
    }

    /// Runs optimizers on the best program so far, each with its share of the budget.
    async fn rung(&mut self, number: usize, rungs: usize, arms: &[Arm]) -> Result<Vec<Entry>, Stop> {
        let study = self.study;
        let share = self.purse.share(rungs, arms.len());
        study.decide(format!(
            "rung {} of {rungs}: {}, each with {} on {} ({})",
            number + 1,
            names(arms),
            shown(share.budget),
            self.best.name,
            percent(self.best.scores.mean)
        ));
        // All of them begin with the same program, whose scores the study has from here on.
        let start = self.best.program.clone();
        study.evaluate(&study.scope_of(&start), &start, &self.val).await?;
        let before: Vec<Option<f64>> = scores(&self.best.scores);
        let (parent, mut entries) = (self.best.trial, Vec::new());
        for &arm in arms {
            study.phase(&format!("rung {}: {}", number + 1, arm.name()), 0);
            let seed = study.seed().branch("rung").index(number as u64).branch(arm.name()).value();
            let data = Data {
                train: self.learn.clone(),
                val: Some(self.val.clone()),
                holdout: None,
                teacher: study.teacher().cloned(),
            };
            let work = Work {
                metric: self.metric,
                options: study.options(),
                program: start.clone(),
                data,
                share,
                seed,
                case: self.case,
            };
            let name = format!("rung-{}/{}", number + 1, arm.name());
            let made = match study.nested_alike(&name, share.limit(), arm.run(work)).await {
                Ok(made) => made,
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => {
                    study.warn(format!("rung {}, {}: {error}", number + 1, arm.name()));
                    entries.push(Entry { arm, scores: None });
                    continue;
                }
            };
            let report = made.report();
            for warning in &report.warnings {
                study.warn(format!("rung {}, {}: {warning}", number + 1, arm.name()));
            }
            let (known, usage) = (self.known(report), report.usage);
            let stopped = report.stopped;
            let program = made.into_program();
            let scores_of = match known {
                Some(scores) => scores,
                None => study.evaluate(&study.scope_of(&program), &program, &self.val).await?,
            };
            let after = scores(&scores_of);
            let label = format!("rung {}: {}", number + 1, arm.name());
            let mut trial = Trial::new(label.as_str(), &program);
            trial.parents = vec![parent];
            trial.score = Some(scores_of.mean);
            trial.items.clone_from(&scores_of.items);
            trial.usage = usage;
            trial.notes.push(gain(&after, &before));
            if let Stopped::Budget(_) = stopped {
                trial.notes.push(stopped.to_string());
            }
            let trial = study.record(trial, program.clone());
            if scores_of.mean > self.best.scores.mean {
                self.best = Best { program, scores: scores_of.clone(), trial, name: label };
            }
            entries.push(Entry { arm, scores: Some(scores_of) });
        }
        Ok(entries)
    }

    /// Returns the scores of the result of an optimizer on the valset, if its report has all of them.
    fn known(&self, report: &Report) -> Option<Scores> {
        let trial = report.best_trial().filter(|trial| trial.score.is_some())?;
        if trial.items.len() != self.val.len() {
            return None;
        }
        let item = |position| trial.items.iter().find(|item| item.index == position).cloned();
        let items = self.val.iter().map(|row| item(row.position)).collect::<Option<Vec<_>>>()?;
        Some(Scores { mean: mean(&items)?, items })
    }

    /// Returns the better ones of the optimizers of a rung, the best first, and reports the evidence.
    fn survivors(&self, number: usize, mut entries: Vec<Entry>, wanted: Option<usize>) -> Vec<Arm> {
        // Stable, so that ties keep their order.
        entries.sort_by(|a, b| b.key().total_cmp(&a.key()));
        let kept = wanted.unwrap_or(0).min(entries.len());
        let failed = entries.iter().filter(|entry| entry.scores.is_none()).count();
        let kept = kept.min(entries.len() - failed);
        let last_kept = kept.checked_sub(1).and_then(|at| entries[at].scores.as_ref());
        for entry in entries.iter().skip(kept).filter(|_| wanted.is_some()) {
            let evidence = match (&entry.scores, last_kept) {
                (None, _) => "it has failed".to_owned(),
                (Some(own), Some(last)) => {
                    let (own_rows, last_rows) = (scores(own), scores(last));
                    format!(
                        "{}, the last one that goes on has {}, on the same {} ({})",
                        percent(own.mean),
                        percent(last.mean),
                        counted(own_rows.len(), "row"),
                        paired::shown(p_value(&last_rows, &own_rows))
                    )
                }
                (Some(own), None) => percent(own.mean),
            };
            self.study.decide(format!("dropped {} after rung {}: {evidence}", entry.arm.name(), number + 1));
        }
        entries.into_iter().take(kept).map(|entry| entry.arm).collect()
    }

    /// Returns whether the best program can be improved.
    fn has_headroom(&self) -> bool {
        let Some(best) = self.study.options().best_score else { return true };
        let own: Vec<f64> = scores(&self.best.scores).into_iter().flatten().collect();
        Headroom::of(&own, best).is_none_or(|headroom| headroom.exists())
    }
}

/// Returns the rows to learn from and those to compare on.
fn split<'d, P: Program, E>(
    study: &Study<'d, P, E>,
    predictors: usize,
) -> Result<(Rows<'d, E>, Rows<'d, E>), OptimizeError> {
    let (train, val) = (study.train(), study.val());
    let given_val = study.has_valset();
    let sizes = Sizes { train: train.len(), val: val.len(), given_val, predictors };
    let (learn, compare) = plan::split(&sizes)?;
    let seed = study.seed().branch("valset");
    if !given_val {
        let (learn, compare) = train.shuffled(seed).split_at(learn);
        return Ok((learn, compare));
    }
    let val = if compare < val.len() { val.shuffled(seed).select(0..compare) } else { val.clone() };
    Ok((train.clone(), val))
}

/// Returns the budget of the search: all but the part that is reserved for the verification.
fn searched<P: Program, E>(study: &Study<'_, P, E>) -> Budget {
    let options = study.options();
    match options.verify {
        Some(verify) => without_share(options.budget, verify.reserve),
        None => options.budget,
    }
}

/// Returns whether an error of an optimizer ends the search: one that says nothing about the optimizer.
fn is_final(error: &OptimizeError) -> bool {
    matches!(
        error,
        OptimizeError::Outage { .. } | OptimizeError::Journal(_) | OptimizeError::UnknownPrice { .. }
    )
}

fn scores(of: &Scores) -> Vec<Option<f64>> {
    of.items.iter().map(|item| item.score).collect()
}

/// Returns a note on the gain over the program that an optimizer began with.
fn gain(after: &[Option<f64>], before: &[Option<f64>]) -> String {
    let pairs: Vec<(f64, f64)> = after.iter().zip(before).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
    let difference = pairs.iter().map(|(a, b)| a - b).sum::<f64>() / pairs.len().max(1) as f64;
    if pairs.iter().all(|(a, b)| a == b) {
        return "no score has changed".to_owned();
    }
    let (rows, p) = (counted(pairs.len(), "row"), paired::shown(p_value(after, before)));
    format!("{:+.1} points on {rows}, {p}", difference * 100.0)
}

fn names(arms: &[Arm]) -> String {
    arms.iter().map(|arm| arm.name()).collect::<Vec<_>>().join(", ")
}

fn shown(budget: Budget) -> String {
    let calls = budget.calls.map(|calls| counted(calls, "call"));
    let tokens = budget.tokens.map(|tokens| counted(tokens, "token"));
    let usd = budget.usd.map(|usd| format!("${usd:.4}"));
    let limits: Vec<String> = [calls, tokens, usd].into_iter().flatten().collect();
    limits.join(", ")
}
