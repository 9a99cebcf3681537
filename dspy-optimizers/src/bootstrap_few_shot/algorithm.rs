//! The bootstrapping algorithm of `BootstrapFewShot` and of the searches over it.

use std::collections::HashMap;

use dspy_core::Seed;
use dspy_core::lm::{Limit, Usage};
use dspy_core::signature::Demo;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::outcomes::{check_metric, notes};
use super::{Roles, Settings, choose};
use crate::data::Row;
use crate::demos;
use crate::engine::{Candidate, ExampleFor, Outcome, Program, Rollout, Stop, Study, Task};
use crate::labeled_few_shot::sampling;
use crate::report::ItemReport;

/// The parameters of one bootstrap.
#[derive(Clone, Copy)]
pub(crate) struct Bootstrap<'a> {
    /// The name of the bootstrap in the journal.
    pub(crate) scope: &'a str,
    /// The indices of the rows to try, in order.
    pub(crate) order: &'a [usize],
    pub(crate) settings: &'a Settings,
    pub(crate) seed: Seed,
}

/// The result of a bootstrap.
pub(crate) struct Bootstrapped<P> {
    pub(crate) program: P,
    /// The rows that were tried.
    pub(crate) items: Vec<ItemReport>,
    pub(crate) notes: Vec<String>,
    pub(crate) usage: Usage,
    /// The limit of the budget that ended the bootstrap early, if one did.
    pub(crate) stopped: Option<Limit>,
}

/// The result on one row: the rollout of the last round, and the cost of all rounds.
struct RowResult {
    rollout: Rollout,
    success: bool,
    usage: Usage,
}

impl Bootstrap<'_> {
    pub(crate) async fn run<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        roles: &Roles<P>,
    ) -> Result<Bootstrapped<P>, Stop> {
        let teacher = roles.teacher(self, study);
        let (results, stopped) = self.try_rows(study, &teacher).await?;
        study.sync()?;
        let mut usage = Usage::default();
        let mut items = Vec::new();
        let mut made: HashMap<String, Vec<Demo>> = HashMap::new();
        let mut successes = Vec::new();
        for (&index, RowResult { rollout, success, usage: cost }) in self.order.iter().zip(results) {
            usage += cost;
            if let Some(row) = study.train().get(index) {
                items.push(ItemReport { usage: cost, ..ItemReport::of(row, &rollout) });
            }
            if success {
                successes.push(index);
                let seed = self.seed.branch("call").index(index as u64);
                for (path, demo) in choose::demonstrations(rollout.steps, seed) {
                    made.entry(path).or_default().push(demo);
                }
            }
        }
        if stopped.is_none() {
            check_metric(study, &items)?;
        }
        let rest: Vec<usize> =
            self.order.iter().copied().filter(|index| !successes.contains(index)).collect();
        let mut candidate = Candidate::new();
        for (path, predictor) in roles.student.named_predictors() {
            let mut demos = made.remove(&path).unwrap_or_default();
            let missing = self.settings.max_labeled_demos.saturating_sub(demos.len());
            let sample = sampling(self.seed).branch(&path);
            demos.extend(demos::pick(study.train(), &rest, predictor.spec(), missing, Some(sample)));
            candidate = candidate.demos(path, demos);
        }
        let program = candidate.applied_to(&roles.student)?;
        let notes = notes(&items, successes.len());
        Ok(Bootstrapped { program, items, notes, usage, stopped })
    }

    /// Tries rows until enough have succeeded. Returns the results of the rows that were tried, in order, up
    /// to the first that was not completed because the budget was exhausted.
    async fn try_rows<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        teacher: &P,
    ) -> Result<(Vec<RowResult>, Option<Limit>), Stop> {
        let wanted = self.settings.max_bootstrapped_demos;
        study.part("bootstrap", self.scope, wanted);
        let rows = self.order.iter().filter_map(|index| study.train().get(*index));
        let mut rows = rows.take(self.settings.most_rows);
        let mut results: Vec<Option<RowResult>> = Vec::new();
        let mut running = FuturesUnordered::new();
        let (mut successes, mut stopped) = (0, None);
        loop {
            // Even if all rows in flight succeed, there are not enough successes. The next row is therefore
            // needed in any case, and starting it now wastes nothing.
            while stopped.is_none()
                && successes + running.len() < wanted
                && running.len() < study.concurrency()
                && let Some(row) = rows.next()
            {
                let place = results.len();
                results.push(None);
                running.push(async move { (place, self.try_row(study, teacher, row).await) });
            }
            match running.next().await {
                None => break,
                Some((place, Ok(result))) => {
                    if result.success {
                        successes += 1;
                        study.advance(1);
                    }
                    results[place] = Some(result);
                }
                Some((_, Err(stop))) => {
                    stopped.get_or_insert(stop);
                }
            }
        }
        let limit = match stopped {
            None => None,
            Some(Stop::Budget(limit)) => Some(limit),
            Some(error) => return Err(error),
        };
        Ok((results.into_iter().map_while(|result| result).collect(), limit))
    }

    async fn try_row<P: Program, E: ExampleFor<P>>(
        &self,
        study: &Study<'_, P, E>,
        teacher: &P,
        row: Row<'_, E>,
    ) -> Result<RowResult, Stop> {
        let mut teacher = teacher.clone();
        teacher.for_each_predictor(|_, predictor| demos::leave_out(predictor, row.values));
        let keep = |outcome: &Outcome| self.settings.accepts(outcome);
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
            let mut task = Task::new(self.scope, &teacher, row).traced_if(&keep);
            if round > 0 {
                task = task.sample(round as u64);
            }
            let rollout = study.rollout(task).await?;
            usage += rollout.usage;
            let success = self.settings.accepts(&rollout.outcome);
            round += 1;
            if success || round >= self.settings.max_rounds {
                return Ok(RowResult { rollout, success, usage });
            }
        }
    }
}
