//! Runs of a teacher on every row.

use dspy_core::lm::{Limit, Usage};
use dspy_core::program::{HasPredictors, TraceStep};
use dspy_core::signature::Values;

use super::Settings;
use super::outcomes::check_metric;
use crate::demos;
use crate::engine::{ExampleFor, Outcome, Program, Rollout, Stop, Study, Task};
use crate::report::ItemReport;

/// The runs of a teacher on all rows of the trainset.
pub(crate) struct EveryRow {
    /// The results in the order of the rows; fewer if the budget ended the first round early.
    pub(crate) rows: Vec<RowRuns>,
    /// The limit of the budget that ended the runs, if one did.
    pub(crate) stopped: Option<Limit>,
}

/// The runs of a teacher on one row, up to its first success.
pub(crate) struct RowRuns {
    /// The last run, with the cost of all.
    pub(crate) item: ItemReport,
    /// The calls of predictors in the successful run.
    pub(crate) success: Option<Vec<TraceStep>>,
}

impl EveryRow {
    /// Runs the teacher on each row, and again on rows on which it has failed, up to the set number of rounds. It does
    /// not see demonstrations about the row; one that is blind for them leaves them out by itself.
    /// `scope` names the runs in the journal.
    pub(crate) async fn run<P: Program, E: ExampleFor<P>>(
        study: &Study<'_, P, E>,
        settings: &Settings,
        scope: &str,
        teacher: &P,
        is_blind: bool,
    ) -> Result<Self, Stop> {
        let train = study.train();
        let mut runs: Vec<Vec<Rollout>> = train.iter().map(|_| Vec::new()).collect();
        let mut teacher = teacher.clone();
        let mut stopped = None;
        for round in 0..settings.max_rounds {
            if round == 1 {
                teacher.for_each_predictor(|_, predictor| {
                    let mut params = predictor.params().clone();
                    params.temperature = Some(1.0);
                    predictor.set_params(params);
                });
            }
            let succeeded = |run: &Rollout| settings.accepts(&run.outcome);
            let open = |at: &usize| !runs[*at].last().is_some_and(succeeded);
            let open: Vec<usize> = (0..train.len()).filter(open).collect();
            study.part("bootstrap", &format!("{scope}, round {}", round + 1), open.len());
            let keep = |outcome: &Outcome| settings.accepts(outcome);
            let own = |at: &usize| without(&teacher, train.get(*at).filter(|_| !is_blind)?.values);
            let own: Vec<Option<P>> = open.iter().map(own).collect();
            let tasks = open.iter().zip(&own).filter_map(|(at, own)| {
                let task = Task::new(scope, own.as_ref().unwrap_or(&teacher), train.get(*at)?);
                let task = task.traced_if(&keep);
                Some(if round == 0 { task } else { task.sample(round as u64) })
            });
            let tasks: Vec<_> = tasks.collect();
            let (done, limit) = completed(study, tasks).await?;
            let (reached, all) = (done.len(), open.len());
            open.iter().zip(done).for_each(|(at, run)| runs[*at].push(run));
            if let Some(limit) = limit {
                if round == 0 && reached < all {
                    runs.truncate(open[reached]);
                }
                stopped = Some(limit);
                break;
            }
        }
        let rows = train.iter().zip(runs).filter_map(|(row, mut runs)| {
            let mut usage = Usage::default();
            runs.iter().for_each(|run| usage += run.usage);
            let last = runs.pop()?;
            let item = ItemReport { usage, ..ItemReport::of(row, &last) };
            let success = settings.accepts(&last.outcome).then_some(last.steps);
            Some(RowRuns { item, success })
        });
        let rows: Vec<RowRuns> = rows.collect();
        if stopped.is_none() {
            let items: Vec<ItemReport> = rows.iter().map(|row| row.item.clone()).collect();
            check_metric(study, &items)?;
        }
        Ok(EveryRow { rows, stopped })
    }
}

/// Returns a teacher without its demonstrations about a row, which show the answer, if it has any.
fn without<P: HasPredictors + Clone>(teacher: &P, row: &Values) -> Option<P> {
    let shows = teacher.named_predictors().into_iter().any(|(_, predictor)| demos::shows(predictor, row));
    shows.then(|| {
        let mut own = teacher.clone();
        own.for_each_predictor(|_, predictor| demos::leave_out(predictor, row));
        own
    })
}

/// Runs rollouts. If the budget ends them, returns those before the first one that is not complete, with the limit.
async fn completed<P: Program, E: ExampleFor<P>>(
    study: &Study<'_, P, E>,
    tasks: Vec<Task<'_, P, E>>,
) -> Result<(Vec<Rollout>, Option<Limit>), Stop> {
    let limit = match study.rollouts(tasks.clone()).await {
        Ok(done) => return Ok((done, None)),
        Err(Stop::Budget(limit)) => limit,
        Err(stop) => return Err(stop),
    };
    let mut done = Vec::new();
    for task in tasks {
        // Those that were completed are in the journal; all others are refused.
        match study.rollout(task).await {
            Ok(rollout) => done.push(rollout),
            Err(Stop::Budget(_)) => break,
            Err(stop) => return Err(stop),
        }
    }
    Ok((done, Some(limit)))
}
