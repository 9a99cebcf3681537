//! Texts are paid for only if the budget compares them, and a resumed run asks for as many as before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{Obedient, Row, folder, journal_of, leave, one_step, pair, right, rows};
use dspy_core::lm::{Lm, Request, ScriptedLm};
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::Proposer;
use dspy_optimizers::{Budget, CallKind, Capo, Copro, Data, Limit, Report, Stopped};

const ROWS: usize = 24;
/// The rows of the first block of a race with the default settings.
const BLOCK: u64 = 20;

/// Writes another text for each request, and the same one for an equal request.
fn written(request: &Request) -> String {
    let system = request.messages[0].text();
    let fields = ["merged_instruction", "paraphrase", "instruction"];
    let field = fields.into_iter().find(|field| system.contains(&format!("`{field}`"))).unwrap();
    format!("[[ ## {field} ## ]]\nText {}.\n\n[[ ## completed ## ]]", request.digest())
}

/// The models of a run.
struct Models {
    lm: Arc<Obedient>,
    writer: Arc<ScriptedLm>,
}

impl Models {
    fn new() -> Self {
        Models { lm: Obedient::new(), writer: Arc::new(ScriptedLm::from_fn(written)) }
    }

    fn calls(&self) -> u64 {
        self.lm.calls() as u64 + self.writer.calls()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// `Copro` on a program with one predictor.
    One,
    /// `Copro` on a program with two predictors.
    Two,
    Capo,
}

async fn run(kind: Kind, models: &Models, budget: Budget, at: Option<PathBuf>) -> Report {
    let proposer = Proposer::new().with_lm(Lm::shared(models.writer.clone()));
    let copro = Copro::builder()
        .metric(|row: &Row, output: &Values| Some(&row.0["answer"]) == output.values().next())
        .proposer(proposer.clone())
        .breadth(4)
        .depth(2)
        .concurrency(1)
        .budget(budget);
    let copro = match &at {
        Some(folder) => copro.run_dir(folder).build(),
        None => copro.build(),
    };
    let mut two = pair();
    two.set_lm(Lm::shared(models.lm.clone()));
    match kind {
        Kind::One => {
            let one = one_step(&models.lm);
            copro.compile(one, Data::new(rows(12)).valset(rows(ROWS))).await.unwrap().report().clone()
        }
        Kind::Two => {
            copro.compile(two, Data::new(rows(12)).valset(rows(ROWS))).await.unwrap().report().clone()
        }
        Kind::Capo => {
            let capo = Capo::builder()
                .metric(right)
                .proposer(proposer)
                .prompt_lm(Lm::shared(models.writer.clone()))
                .population(4)
                .crossovers(2)
                .steps(2)
                .max_shots(1)
                .concurrency(1)
                .budget(budget);
            let capo = match at {
                Some(folder) => capo.run_dir(folder).build(),
                None => capo.build(),
            };
            capo.compile(one_step(&models.lm), Data::new(rows(12)).valset(rows(ROWS)))
                .await
                .unwrap()
                .report()
                .clone()
        }
    }
}

const KINDS: [Kind; 3] = [Kind::One, Kind::Two, Kind::Capo];

/// The calls of a run of the program.
fn each(kind: Kind) -> u64 {
    if matches!(kind, Kind::Two) { 2 } else { 1 }
}

#[tokio::test]
async fn no_text_is_paid_for_that_is_not_compared() {
    for kind in KINDS {
        let unlimited = run(kind, &Models::new(), Budget::UNLIMITED, None).await;
        assert_eq!(unlimited.stopped, Stopped::Finished);
        let (total, baseline) = (unlimited.usage.requests, ROWS as u64 * each(kind));
        let mut most = 0;
        for limit in (baseline..total).step_by(7).chain([baseline + BLOCK * each(kind) + 1]) {
            let report = run(kind, &Models::new(), Budget::calls(limit), None).await;
            let said = format!("{kind:?} with {limit} of {total} calls: {report}");
            assert_eq!(report.stopped, Stopped::Budget(Limit::Calls), "{said}");
            assert!(report.trials.iter().all(|trial| trial.items.len() as u64 >= BLOCK), "{said}");
            let written = report.spend.of(CallKind::Proposer).usage.requests;
            if !matches!(kind, Kind::Capo) {
                assert_eq!(written, report.trials.len() as u64 - 1, "{said}");
            }
            let unaffordable =
                report.warnings.iter().any(|warning| warning.contains("so none was asked for"));
            assert_eq!(written == 0, unaffordable, "{said}");
            assert!(
                !report
                    .warnings
                    .iter()
                    .any(|warning| warning.contains("could be compared, which") && written > 0)
            );
            // What a comparison costs is enough for one.
            let least = baseline + (BLOCK * each(kind) + 1);
            if !matches!(kind, Kind::Capo) {
                assert_eq!(written > 0, limit >= least, "{said}");
            }
            most = most.max(written);
        }
        assert!(most > 2, "{kind:?}");
    }
}

#[tokio::test]
async fn a_resumed_run_asks_for_as_many() {
    for kind in KINDS {
        let (whole, part) = (folder(&format!("afford-{kind:?}")), folder(&format!("afford-{kind:?}-part")));
        // Enough for two new programs of the four or three that are wanted.
        let limit = ROWS as u64 * each(kind) + 2 * (BLOCK * each(kind) + 1);
        let limit = if matches!(kind, Kind::Capo) { limit + BLOCK + 4 } else { limit + 10 };
        let (models, budget) = (Models::new(), Budget::calls(limit));
        let report = run(kind, &models, budget, Some(whole.clone())).await;
        assert!(report.decisions.iter().any(|decision| decision.contains("cannot compare more")), "{report}");
        let journal = journal_of(&whole);
        let (mut paid, mut answered, mut end) = (0, 0, 0);
        for (number, line) in journal.lines().enumerate() {
            end += line.len() + 1;
            paid += usize::from(line.contains("\"event\":\"reserved\""));
            answered += usize::from(line.contains("\"event\":\"call\""));
            // A call in flight counts as paid, which may end the resumed run earlier.
            if paid > answered || (number % 3 > 0 && !line.contains("/count\"")) {
                continue;
            }
            leave(&part, &journal[..end]);
            let resumed = run(kind, &Models::new(), budget, Some(part.clone())).await;
            assert_eq!(resumed.usage.requests, report.usage.requests, "{kind:?}, cut at {number}");
            assert_eq!(resumed.decisions, report.decisions, "{kind:?}, cut at {number}");
            assert_eq!(resumed.trials.len(), report.trials.len(), "{kind:?}, cut at {number}");
            assert_eq!(resumed.stopped, report.stopped, "{kind:?}, cut at {number}: {resumed}");
        }
        // With more budget, the run goes on as one that had it from the start, and what was paid is used.
        let more = Models::new();
        let resumed = run(kind, &more, Budget::UNLIMITED, Some(whole.clone())).await;
        let unlimited = run(kind, &Models::new(), Budget::UNLIMITED, None).await;
        assert_eq!((resumed.stopped, resumed.trials.len()), (Stopped::Finished, unlimited.trials.len()));
        assert_eq!(resumed.decisions, unlimited.decisions);
        assert!(more.calls() < unlimited.usage.requests, "{kind:?}");
        for folder in [whole, part] {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
