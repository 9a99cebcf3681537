//! What every optimizer keeps, whatever its algorithm: resume, concurrency, budgets, outages, seeds.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the report")]

use std::path::PathBuf;
use std::sync::Arc;

use dspy_core::lm::{BoxFuture, Lm};
use dspy_core::program::Settings;
use dspy_optimizers::{Budget, OptimizeError, Report, Stopped};

use crate::common::{Obedient, calls_in, folder, journal_of, leave};

/// The options of one run.
#[derive(Clone)]
pub struct Run {
    pub lm: Arc<Obedient>,
    pub folder: Option<PathBuf>,
    pub budget: Budget,
    pub concurrency: usize,
    pub seed: u64,
}

/// An optimizer on a program, whose model is the current one.
pub type Optimize = fn(Run) -> BoxFuture<'static, Result<Report, OptimizeError>>;

impl Run {
    pub fn new(lm: Arc<Obedient>) -> Self {
        Run { lm, folder: None, budget: Budget::UNLIMITED, concurrency: 4, seed: 0 }
    }

    async fn start(self, optimize: Optimize) -> Result<Report, OptimizeError> {
        Settings::new().lm(Lm::shared(self.lm.clone())).scope(optimize(self)).await
    }
}

/// Sets the options of a run on a builder.
macro_rules! with_run {
    ($builder:expr, $run:expr) => {{
        let run = $run;
        let builder = $builder.budget(run.budget).concurrency(run.concurrency).seed(run.seed);
        match run.folder {
            Some(folder) => builder.run_dir(folder),
            None => builder,
        }
    }};
}
pub(crate) use with_run;

/// A run that is killed after any event of its journal ends as the unbroken one, and pays nothing twice.
pub async fn resumes_at_every_event(name: &str, optimize: Optimize) {
    let (whole, part) = (folder(&format!("{name}-whole")), folder(&format!("{name}-part")));
    let run = Run { folder: Some(whole.clone()), ..Run::new(Obedient::new()) };
    let report = run.clone().start(optimize).await.unwrap();
    let total = run.lm.calls();
    let journal = journal_of(&whole);
    assert_eq!(calls_in(&journal), total);
    assert!(report.trials.len() > 2, "{report}");
    let ends: Vec<usize> = journal.match_indices('\n').map(|(at, _)| at + 1).collect();
    // Every event of a short journal, and some of a long one.
    for end in ends.iter().step_by(1 + ends.len() / 150) {
        leave(&part, &journal[..*end]);
        let run = Run { folder: Some(part.clone()), ..Run::new(Obedient::new()) };
        let resumed = run.clone().start(optimize).await.unwrap();
        assert!(resumed == report, "cut at byte {end}: {resumed}\ninstead of {report}");
        assert_eq!(run.lm.calls(), total - calls_in(&journal[..*end]), "cut at byte {end}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Concurrency changes nothing, another seed does.
pub async fn depends_on_the_seed_alone(optimize: Optimize) {
    let mut reports = Vec::new();
    for (seed, concurrency) in [(0, 1), (0, 16), (1, 1), (1, usize::MAX)] {
        let run = Run { concurrency, seed, ..Run::new(Obedient::new()) };
        let report = run.clone().start(optimize).await.unwrap();
        assert_eq!(report.usage.requests as usize, run.lm.calls());
        reports.push(report);
    }
    for (one, other) in [(0, 1), (2, 3)] {
        assert!(reports[one] == reports[other], "{}\ninstead of {}", reports[one], reports[other]);
    }
    assert!(reports[0].trials != reports[2].trials, "{}", reports[0]);
}

/// A budget is never exceeded, and the result is the best program so far.
pub async fn keeps_to_budgets(optimize: Optimize) {
    keeps_to_budgets_of(optimize, 0).await;
}

/// The same for a search that ends before work that this many calls more than it would have needed may not pay for.
pub async fn keeps_to_budgets_of(optimize: Optimize, spare: u64) {
    let unlimited = Run::new(Obedient::new()).start(optimize).await.unwrap();
    let total = unlimited.usage.requests;
    for limit in (0..9).map(|part| total * part / 9).chain([1, 3, total + spare]) {
        let run = Run { budget: Budget::calls(limit), ..Run::new(Obedient::new()) };
        let report = run.clone().start(optimize).await.unwrap();
        assert!(run.lm.calls() as u64 <= limit, "{} of {limit}", run.lm.calls());
        assert_eq!(matches!(report.stopped, Stopped::Budget(_)), limit < total, "{limit}: {report}");
        if let (Some(baseline), Some(score)) = (report.baseline, report.score()) {
            assert!(score >= baseline, "{limit}: {report}");
        }
    }
}

/// A run that its budget ends and that is killed between two calls ends as the unbroken one.
pub async fn resumes_within_a_budget(name: &str, optimize: Optimize, calls: u64) {
    let (whole, part) = (folder(&format!("{name}-budget-whole")), folder(&format!("{name}-budget-part")));
    let run = |folder: &PathBuf| Run {
        folder: Some(folder.clone()),
        budget: Budget::calls(calls),
        concurrency: 1,
        ..Run::new(Obedient::new())
    };
    let report = run(&whole).start(optimize).await.unwrap();
    assert!(matches!(report.stopped, Stopped::Budget(_)), "{report}");
    let journal = journal_of(&whole);
    let (mut reserved, mut answered, mut end, mut ends) = (0, 0, 0, Vec::new());
    for line in journal.lines() {
        end += line.len() + 1;
        reserved += usize::from(line.contains("\"event\":\"reserved\""));
        answered += usize::from(line.contains("\"event\":\"call\""));
        // A call in flight counts as paid, which may end the resumed run earlier.
        if reserved == answered {
            ends.push(end);
        }
    }
    for end in ends.iter().step_by(1 + ends.len() / 60) {
        leave(&part, &journal[..*end]);
        let resumed = run(&part).start(optimize).await.unwrap();
        assert!(resumed == report, "cut at byte {end}: {resumed}\ninstead of {report}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// The result of a search that its budget ends has run on all rows to select by.
pub async fn a_budget_leaves_enough_for_the_end(optimize: Optimize, rows: usize, budgets: &[u64]) {
    for calls in budgets {
        let run = Run { budget: Budget::calls(*calls), ..Run::new(Obedient::new()) };
        let report = run.start(optimize).await.unwrap();
        assert!(matches!(report.stopped, Stopped::Budget(_)) && report.trials.len() > 2, "{report}");
        let best = report.best_trial().unwrap();
        assert!(report.best > 0 && best.items.len() == rows, "{calls} calls: {report}");
        assert!(report.score() > report.baseline, "{calls} calls: {report}");
    }
}

/// An outage, also of the proposer, is an error, and the next run goes on from there.
pub async fn outages_are_errors(name: &str, optimize: Optimize) {
    let unbroken = Run::new(Obedient::new());
    let report = unbroken.clone().start(optimize).await.unwrap();
    let total = unbroken.lm.calls();
    for part in 0..8 {
        let folder = folder(&format!("{name}-outage"));
        let down_from = total * part / 8;
        let run = Run { folder: Some(folder.clone()), ..Run::new(Obedient::down_from(down_from)) };
        let error = run.start(optimize).await.unwrap_err();
        assert!(matches!(&error, OptimizeError::Outage { run_dir: Some(_), .. }), "{down_from}: {error}");
        let run = Run { folder: Some(folder.clone()), ..Run::new(Obedient::new()) };
        let resumed = run.start(optimize).await.unwrap();
        assert!((&resumed.trials, resumed.best) == (&report.trials, report.best), "{down_from}: {resumed}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
