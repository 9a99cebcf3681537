//! The search: the original program, the optimizers that suit, and the rungs.

use dspy_core::lm::{Budget, Usage};

use super::arm::{Arm, Work};
use super::plan::{self, Purse, Share};
use super::suit::Case;
use crate::OptimizeError;
use crate::auto::Auto;
use crate::budget::without_share;
use crate::counts::counted;
use crate::data::{Data, Rows};
use crate::engine::{ExampleFor, Needs, Program, Scores, Stop, Study, Task};
use crate::estimate::Sizes;
use crate::headroom::{ENOUGH, Headroom};
use crate::paired::{self, p_value};
use crate::report::{ItemReport, ORIGINAL, Report, Stopped, Trial, mean, percent};
use dspy_core::evaluate::SharedMetric;

/// The state of one search.
pub(super) struct Search<'s, 'd, P: Program, E> {
    pub(super) study: &'s Study<'d, P, E>,
    metric: &'s SharedMetric<E, P::Output>,
    pub(super) learn: Rows<'d, E>,
    pub(super) val: Rows<'d, E>,
    case: Case,
    pub(super) purse: Purse,
    /// The cost so far. That of the study has, after a resume, the cost of later calls, too.
    pub(super) spent: Usage,
    /// The best program so far.
    pub(super) best: Best<P>,
    /// The best program of each optimizer that has one.
    own: Vec<(Arm, Best<P>)>,
    /// The optimizers that have made a better program than the one that they began with.
    pub(super) gained: Vec<Arm>,
    /// The original program and the results of all optimizers.
    pub(super) results: Vec<Best<P>>,
}

/// A program with its scores on the valset.
#[derive(Clone)]
pub(super) struct Best<P> {
    pub(super) program: P,
    pub(super) scores: Scores,
    /// The index of its trial.
    pub(super) trial: usize,
    pub(super) name: String,
    /// The optimizer that has made it.
    pub(super) arm: Option<Arm>,
    /// Whether its runs have the names of this study, so that they are not paid again.
    is_named: bool,
}

/// The optimizers of a rung.
pub(super) struct Rung {
    pub(super) number: usize,
    /// The number of equal parts of the rest of the budget, of which the rung has one.
    pub(super) left: usize,
    /// The number of rungs.
    pub(super) of: usize,
    /// Whether each optimizer continues on its own best program, not on the best of all.
    pub(super) own: bool,
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
        let (val, scores, rollouts) = match study.enough(&val, &scores) {
            Some(all) => {
                let scores = study.evaluate(&scope, program, &all).await?;
                let tasks = all.iter().map(|row| Task::new(&scope, program, row)).collect();
                let rollouts = study.rollouts(tasks).await?;
                (all, scores, rollouts)
            }
            None => (val, scores, rollouts),
        };
        let trial = study.record(Trial::new(ORIGINAL, program).scored(&scores), program.clone());
        study.check_headroom(&scores)?;
        let case = Case::of(program, &learn, &val, &rollouts, study.options().best_score);
        let unlimited = plan::unlimited(auto, predictors, val.len());
        let spent = scores.usage();
        let purse = Purse::new(searched(study), &spent, val.len(), unlimited);
        let original = |scores| Best {
            program: program.clone(),
            scores,
            trial,
            name: ORIGINAL.to_owned(),
            arm: None,
            is_named: true,
        };
        let best = original(scores.clone());
        Ok(Search {
            study,
            metric,
            learn,
            val,
            case,
            purse,
            best,
            spent,
            own: Vec::new(),
            gained: Vec::new(),
            results: vec![original(scores)],
        })
    }

    /// Runs the optimizers that suit in rungs, and compares the best programs.
    pub(super) async fn run(mut self) -> Result<Stopped, Stop> {
        let (arms, left_out) = self.choose();
        let mut ended = self.halving(&arms).await?;
        if !ended {
            let first = plan::rungs(apart(&arms).1.len()).len();
            ended = self.turns(first, arms, &left_out).await?;
        }
        self.finals().await?;
        Ok(match ended {
            true if self.has_enough_rows() => Stopped::NoHeadroom,
            true => Stopped::ScoreReached,
            false => Stopped::Finished,
        })
    }

    /// Runs the rungs of successive halving. Returns whether the best program leaves no headroom.
    async fn halving(&mut self, chosen: &[Arm]) -> Result<bool, Stop> {
        let (mut beside, mut arms) = apart(chosen);
        let rungs = plan::rungs(arms.len());
        let left = self.parts(&arms, &beside);
        for number in 0..rungs.len() {
            if arms.is_empty() {
                break;
            }
            let rung = Rung { number, left: left - number, of: rungs.len(), own: true };
            let all: Vec<Arm> = beside.iter().chain(&arms).copied().collect();
            let mut done = self.rung(&rung, &all).await?;
            if self.is_done(number) {
                return Ok(true);
            }
            done.retain(|arm| arms.contains(arm));
            for arm in beside.drain(..) {
                self.study.decide(format!(
                    "{} ends with rung {}, as it makes no runs for which a later rung could pay; {}",
                    arm.name(),
                    number + 1,
                    self.own(arm).map_or_else(
                        || "it has failed".to_owned(),
                        |own| format!("its result with {} remains", percent(own.scores.mean))
                    ),
                ));
            }
            arms = self.survivors(number, arms, &done, rungs.get(number + 1).copied());
        }
        Ok(false)
    }

    /// Returns whether the best program leaves no headroom, and reports it.
    pub(super) fn is_done(&self, number: usize) -> bool {
        let done = !self.has_headroom();
        if done {
            let why = if self.has_enough_rows() {
                "which leaves no headroom"
            } else {
                "so that no other can be chosen by them; add rows to know more:"
            };
            self.study.decide(format!(
                "stopped after rung {}: {} has {}, {why} on {}",
                number + 1,
                self.best.name,
                percent(self.best.scores.mean),
                counted(self.val.len(), "row")
            ));
        }
        done
    }

    /// Returns whether a perfect score on the valset says something about other rows.
    fn has_enough_rows(&self) -> bool {
        self.val.len() >= ENOUGH
    }

    pub(super) fn own(&self, arm: Arm) -> Option<&Best<P>> {
        self.own.iter().find(|(known, _)| *known == arm).map(|(_, best)| best)
    }

    /// Returns the best score of an optimizer.
    pub(super) fn key(&self, arm: Arm) -> f64 {
        self.own(arm).map_or(f64::NEG_INFINITY, |best| best.scores.mean)
    }

    /// Returns the optimizers that suit and fit into the budget, and those that suit but do not fit, in their order.
    fn choose(&self) -> (Vec<Arm>, Vec<Arm>) {
        let mut suitable = Vec::new();
        for arm in self.case.order() {
            match self.case.suits(arm) {
                Ok(why) => suitable.push((arm, why)),
                Err(why) => self.study.decide(format!("left out {}: {why}", arm.name())),
            }
        }
        let val = self.val.len();
        let (mut chosen, mut others) = (Vec::new(), Vec::new());
        for (arm, why) in suitable {
            chosen.push(arm);
            let share = self.first_share(&chosen);
            if chosen.len() == 1 || chosen.iter().all(|arm| arm.round(val) <= share) {
                self.study.decide(format!("chose {}: {why}", arm.name()));
            } else {
                chosen.pop();
                others.push((arm, why, share));
            }
        }
        let left_out = others.iter().map(|(arm, ..)| *arm).collect();
        for (arm, why, share) in others {
            self.study.decide(format!(
                "left out {}: {why}, but the budget is too small for another optimizer: of {}, each would have {}, and \
                 one round needs up to {}",
                arm.name(),
                chosen.len() + 1,
                counted(share, "run"),
                chosen.iter().chain([&arm]).map(|arm| arm.round(val)).max().unwrap_or_default()
            ));
        }
        (chosen, left_out)
    }

    /// Returns the runs that each of these optimizers can make in the first rung, beside those that make none.
    fn first_share(&self, arms: &[Arm]) -> usize {
        let (beside, competing) = apart(arms);
        let parts = self.parts(&competing, &beside);
        self.share(&beside, &competing, parts).rollouts
    }

    /// Returns the share of each of the competing optimizers in one of these parts of what is left.
    fn share(&self, beside: &[Arm], competing: &[Arm], parts: usize) -> Share {
        let runs = beside.len() * self.val.len();
        self.purse.share_beside(runs, &self.spent, parts, competing.len())
    }

    /// Returns the number of equal parts of the budget for the rungs. A single optimizer leaves one for the turns, if
    /// the other one pays for a round of it.
    fn parts(&self, competing: &[Arm], beside: &[Arm]) -> usize {
        let rungs = plan::rungs(competing.len()).len();
        match (competing, beside) {
            ([arm], [_, ..])
                if arm.round(self.val.len()) <= self.share(beside, competing, rungs + 1).rollouts =>
            {
                rungs + 1
            }
            _ => rungs,
        }
    }

    /// Runs optimizers, each with its share of the budget. Returns those that have not failed.
    pub(super) async fn rung(&mut self, rung: &Rung, arms: &[Arm]) -> Result<Vec<Arm>, Stop> {
        let (study, number) = (self.study, rung.number);
        study.check_open()?;
        let (beside, competing) = apart(arms);
        let share = self.share(&beside, &competing, rung.left);
        let of = if rung.own {
            format!("rung {} of {}", number + 1, rung.of)
        } else {
            format!("further rung {}", number + 1)
        };
        let start = if rung.own && number > 0 {
            "its own best program".to_owned()
        } else {
            format!("{} ({})", self.best.name, percent(self.best.scores.mean))
        };
        let free = if beside.is_empty() {
            String::new()
        } else {
            format!(", beside {} without calls,", names(&beside))
        };
        let (competing, budget) = (names(&competing), shown(share.budget));
        study.decide(format!("{of}: {competing}, each with {budget}{free} on {start}"));
        let (first, mut done) = (self.best.clone(), Vec::new());
        for &arm in arms {
            // The result of each is scored on the whole valset.
            let runs = self.val.len();
            let needs = Needs { calls: 0, runs };
            study.check_affordable(&format!("rung-{}/{}/score", number + 1, arm.name()), needs, runs)?;
            let from = self.own(arm).filter(|_| rung.own).unwrap_or(&first).clone();
            let (start, parent) = (from.program.clone(), from.trial);
            study.check_open()?;
            // All programs are scored under the names of this study, so that no optimizer pays them again.
            let named = study.evaluate(&study.scope_of(&start), &start, &self.val).await?;
            if !from.is_named {
                self.spent += named.usage();
            }
            let before: Vec<Option<f64>> = scores(&from.scores);
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
                    self.spent += study.spent_by(&name);
                    study.warn(format!("rung {}, {}: {error}", number + 1, arm.name()));
                    continue;
                }
            };
            let report = made.report();
            for warning in &report.warnings {
                study.warn(format!("rung {}, {}: {warning}", number + 1, arm.name()));
            }
            if report.stopped == Stopped::ConstantMetric {
                return Err(Stop::ConstantMetric);
            }
            let (known, usage) = (self.known(report), report.usage);
            self.spent += usage;
            let stopped = report.stopped;
            let program = made.into_program();
            let (scores_of, is_named) = match known {
                Some(scores) => (scores, arm.names_alike()),
                None => {
                    let scores = study.evaluate(&study.scope_of(&program), &program, &self.val).await?;
                    self.spent += scores.usage();
                    (scores, true)
                }
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
            let result = Best { program, scores: scores_of, trial, name: label, arm: Some(arm), is_named };
            if result.scores.mean > from.scores.mean && !self.gained.contains(&arm) {
                self.gained.push(arm);
            }
            if result.scores.mean > self.key(arm) {
                self.own.retain(|(known, _)| *known != arm);
                self.own.push((arm, result.clone()));
            }
            if result.scores.mean > self.best.scores.mean {
                self.best = result.clone();
            }
            self.results.push(result);
            done.push(arm);
        }
        Ok(done)
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

    /// Returns the better ones of the optimizers of a rung, the best first, and reports the evidence. Only those in
    /// `done` have not failed.
    fn survivors(&self, number: usize, mut arms: Vec<Arm>, done: &[Arm], wanted: Option<usize>) -> Vec<Arm> {
        let Some(wanted) = wanted else { return Vec::new() };
        let key = |arm: Arm| if done.contains(&arm) { self.key(arm) } else { f64::NEG_INFINITY };
        // Stable, so that ties keep their order.
        arms.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
        let dropped = arms.split_off(wanted.min(done.len()));
        let last = arms.last().and_then(|arm| self.own(*arm));
        for arm in dropped {
            let evidence = match (self.own(arm).filter(|_| done.contains(&arm)), last) {
                (None, _) => "it has failed".to_owned(),
                (Some(own), Some(last)) => {
                    let (own_rows, last_rows) = (scores(&own.scores), scores(&last.scores));
                    format!(
                        "{}, the last one that goes on has {}, on the same {} ({})",
                        percent(own.scores.mean),
                        percent(last.scores.mean),
                        counted(own_rows.len(), "row"),
                        paired::shown(p_value(&last_rows, &own_rows))
                    )
                }
                (Some(own), None) => percent(own.scores.mean),
            };
            self.study.decide(format!("dropped {} after rung {}: {evidence}", arm.name(), number + 1));
        }
        arms
    }

    /// Returns whether the best program can be improved.
    fn has_headroom(&self) -> bool {
        let Some(best) = self.study.options().best_score else { return true };
        let own: Vec<f64> = scores(&self.best.scores).into_iter().flatten().collect();
        Headroom::of(&own, best).is_none_or(|headroom| headroom.exists())
    }
}

/// Returns the optimizers that make no runs, and those that compete for the budget. There is one that does.
fn apart(arms: &[Arm]) -> (Vec<Arm>, Vec<Arm>) {
    let (beside, competing): (Vec<Arm>, Vec<Arm>) = arms.iter().partition(|arm| arm.makes_no_runs());
    if competing.is_empty() { (competing, beside) } else { (beside, competing) }
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

pub(super) fn scores(of: &Scores) -> Vec<Option<f64>> {
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

pub(super) fn names(arms: &[Arm]) -> String {
    arms.iter().map(|arm| arm.name()).collect::<Vec<_>>().join(", ")
}

fn shown(budget: Budget) -> String {
    let calls = budget.calls.map(|calls| counted(calls, "call"));
    let tokens = budget.tokens.map(|tokens| counted(tokens, "token"));
    let usd = budget.usd.map(|usd| format!("${usd:.4}"));
    let limits: Vec<String> = [calls, tokens, usd].into_iter().flatten().collect();
    limits.join(", ")
}
