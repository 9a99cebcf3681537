//! The algorithm, as `BootstrapFewShot` and the searches over it use it.

use std::collections::{BTreeMap, HashMap};

use dspy_core::Seed;
use dspy_core::evaluate::Score;
use dspy_core::lm::Usage;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Demo;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::{Settings, choose};
use crate::OptimizeError;
use crate::budget::Limit;
use crate::data::Rows;
use crate::demos;
use crate::engine::{Fits, Halt, Outcome, Program, Rollout, Row, Run, Task};
use crate::labeled_few_shot::sampling;
use crate::report::ItemReport;

/// Who is taught, and by whom.
pub(crate) struct Teaching<P> {
    /// The program without demonstrations.
    pub(crate) student: P,
    /// The teacher that the user gave.
    teacher: Option<P>,
}

impl<P: Program> Teaching<P> {
    pub(crate) fn new(program: &P, teacher: Option<P>) -> Result<Self, OptimizeError> {
        let mut student = program.clone();
        demos::clear(&mut student);
        let paths = student.named_predictors();
        if paths.is_empty() {
            return Err(OptimizeError::NoPredictors);
        }
        if let Some(teacher) = &teacher {
            let problems = differences(&student, teacher);
            if !problems.is_empty() {
                return Err(OptimizeError::Teacher(problems));
            }
        }
        Ok(Teaching { student, teacher })
    }

    pub(crate) fn given(&self) -> Option<&P> {
        self.teacher.as_ref()
    }

    /// The teacher for a bootstrap: a given one that has demonstrations stays as it is, any other gets labelled ones.
    fn prepare<E>(&self, bootstrap: &Bootstrap<'_>, rows: &Rows<'_, E>) -> P {
        let Bootstrap { order, settings, seed, .. } = bootstrap;
        let mut teacher = self.teacher.as_ref().unwrap_or(&self.student).clone();
        let taught = teacher.named_predictors().iter().any(|(_, predictor)| !predictor.demos().is_empty());
        if !taught && settings.max_labeled_demos > 0 {
            let sample = sampling(seed.branch("teacher"));
            demos::attach(&mut teacher, &rows.values, order, settings.max_labeled_demos, Some(sample));
        }
        if let Some(lm) = &settings.teacher_lm {
            teacher.set_lm(lm.clone());
        }
        teacher
    }
}

fn differences(student: &impl HasPredictors, teacher: &impl HasPredictors) -> Vec<String> {
    let (own, other) = (signatures(student), signatures(teacher));
    let missing = own.iter().filter_map(|(path, signature)| match other.get(path) {
        None => Some(format!("it has no `{path}`")),
        Some(other) if other != signature => Some(format!("its `{path}` has another signature")),
        Some(_) => None,
    });
    let extra = other.keys().filter(|path| !own.contains_key(*path));
    missing.chain(extra.map(|path| format!("it has `{path}`, the program has not"))).collect()
}

fn signatures(program: &impl HasPredictors) -> BTreeMap<String, String> {
    let predictors = program.named_predictors().into_iter();
    predictors.map(|(path, predictor)| (path, predictor.declared().fingerprint())).collect()
}

/// One bootstrap.
#[derive(Clone, Copy)]
pub(crate) struct Bootstrap<'a> {
    /// The name of it in the journal.
    pub(crate) scope: &'a str,
    /// The rows to try, in this order.
    pub(crate) order: &'a [usize],
    pub(crate) settings: &'a Settings,
    pub(crate) seed: Seed,
}

/// What came of it.
pub(crate) struct Bootstrapped<P> {
    pub(crate) program: P,
    /// The rows that were tried.
    pub(crate) items: Vec<ItemReport>,
    pub(crate) notes: Vec<String>,
    /// The limit that cut it short.
    pub(crate) halted: Option<Limit>,
    usage: Usage,
}

impl<P> Bootstrapped<P> {
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }
}

/// A row that was tried: the last round, and what all rounds have cost.
struct Tried {
    rollout: Rollout,
    success: bool,
    usage: Usage,
}

impl Bootstrap<'_> {
    pub(crate) async fn run<P, E, M>(
        &self,
        run: &Run<M>,
        teaching: &Teaching<P>,
        rows: &Rows<'_, E>,
    ) -> Result<Bootstrapped<P>, Halt>
    where
        P: Program,
        E: Row<P>,
        M: Fits<P, E>,
    {
        let teacher = teaching.prepare(self, rows);
        let (tried, halted) = self.try_rows(run, &teacher, rows).await?;
        run.sync()?;
        let mut usage = Usage::default();
        let mut items = Vec::new();
        let mut made: HashMap<String, Vec<Demo>> = HashMap::new();
        let mut successes = Vec::new();
        for (&index, Tried { rollout, success, usage: cost }) in self.order.iter().zip(tried) {
            usage += cost;
            items.push(ItemReport { usage: cost, ..ItemReport::of(index, &rollout) });
            if success {
                successes.push(index);
                let seed = self.seed.branch("call").index(index as u64);
                for (path, demo) in choose::demonstrations(rollout.steps, seed) {
                    made.entry(path).or_default().push(demo);
                }
            }
        }
        let rest: Vec<usize> =
            self.order.iter().copied().filter(|index| !successes.contains(index)).collect();
        let mut program = teaching.student.clone();
        program.for_each_predictor(|path, predictor| {
            let mut demos = made.remove(path).unwrap_or_default();
            let missing = self.settings.max_labeled_demos.saturating_sub(demos.len());
            let sample = sampling(self.seed).branch(path);
            demos.extend(demos::pick(&rows.values, &rest, predictor.spec(), missing, Some(sample)));
            predictor.set_demos(demos);
        });
        let notes = notes(&items, successes.len());
        Ok(Bootstrapped { program, items, notes, halted, usage })
    }

    /// Tries rows until enough have succeeded. Gives the results of the rows that were tried, in order, up to the first
    /// that a budget has cut off.
    async fn try_rows<P, E, M>(
        &self,
        run: &Run<M>,
        teacher: &P,
        rows: &Rows<'_, E>,
    ) -> Result<(Vec<Tried>, Option<Limit>), Halt>
    where
        P: Program,
        E: Row<P>,
        M: Fits<P, E>,
    {
        let wanted = self.settings.max_bootstrapped_demos;
        run.progress.phase(self.scope, wanted);
        let mut results: Vec<Option<Tried>> = Vec::new();
        let mut running = FuturesUnordered::new();
        let (mut successes, mut halted) = (0, None);
        loop {
            // Even if all that are under way succeed there are not enough: so the next row would be tried in any
            // order, and trying it now wastes nothing.
            while halted.is_none()
                && successes + running.len() < wanted
                && running.len() < run.concurrency()
                && results.len() < self.order.len()
            {
                let place = results.len();
                results.push(None);
                running
                    .push(async move { (place, self.try_row(run, teacher, rows, self.order[place]).await) });
            }
            match running.next().await {
                None => break,
                Some((place, Ok(tried))) => {
                    if tried.success {
                        successes += 1;
                        run.progress.step();
                    }
                    results[place] = Some(tried);
                }
                Some((_, Err(halt))) => {
                    halted.get_or_insert(halt);
                }
            }
        }
        let limit = match halted {
            None => None,
            Some(Halt::Budget(limit)) => Some(limit),
            Some(error) => return Err(error),
        };
        Ok((results.into_iter().map_while(|tried| tried).collect(), limit))
    }

    async fn try_row<P, E, M>(
        &self,
        run: &Run<M>,
        teacher: &P,
        rows: &Rows<'_, E>,
        index: usize,
    ) -> Result<Tried, Halt>
    where
        P: Program,
        E: Row<P>,
        M: Fits<P, E>,
    {
        let mut teacher = teacher.clone();
        let row = &rows.values[index];
        teacher.for_each_predictor(|_, predictor| {
            let others: Vec<Demo> = {
                let spec = predictor.spec();
                predictor.demos().iter().filter(|demo| !demos::is_about(demo, row, spec)).cloned().collect()
            };
            // Only what changes is set, so that the others share their rendered prompt.
            if others.len() < predictor.demos().len() {
                predictor.set_demos(others);
            }
        });
        let mut usage = Usage::default();
        let mut round = 0;
        loop {
            if round == 1 {
                teacher.for_each_predictor(|_, predictor| {
                    let mut params = predictor.params().clone();
                    params.temperature = Some(1.0);
                    predictor.set_params(params);
                });
            }
            let task = Task {
                scope: format!("{}/example-{index}/round-{round}", self.scope),
                program: &teacher,
                index,
                example: &rows.examples[index],
                rollout: (round > 0).then_some(round as u64),
                keep: &|score: &Score| self.accepts(score),
            };
            let rollout = run.rollout(task).await?;
            usage += rollout.usage;
            let success = self.is_success(&rollout.outcome);
            round += 1;
            if success || round >= self.settings.max_rounds {
                return Ok(Tried { rollout, success, usage });
            }
        }
    }

    fn is_success(&self, outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Scored(score) if self.accepts(score))
    }

    fn accepts(&self, score: &Score) -> bool {
        self.settings.metric_threshold.map_or(score.value > 0.0, |threshold| score.value >= threshold)
    }
}

fn notes(items: &[ItemReport], successes: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if !items.is_empty() {
        notes.push(format!("{successes} of {} rows tried succeeded", items.len()));
    }
    let mut failures = items.iter().filter_map(|item| item.error.as_deref());
    if let Some(first) = failures.next() {
        notes.push(format!("{} failed, the first: {first}", 1 + failures.count()));
    }
    notes
}
