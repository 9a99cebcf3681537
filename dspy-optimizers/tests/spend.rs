//! The cost by phase, kind of call and model: sums, unknown prices, caches, resume, files.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;

use common::{Obedient, Parrot, Row, TwoSteps, calls_in, folder, journal_of, leave, one_step, right, rows};
use dspy_core::lm::{Cache, Lm, Response, Usage};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::Proposer;
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, CallKind, Copro,
    Optimizer as _, Report, RunFacts, SharedMetric, Spend, SpendEntry,
};

/// Checks that the entries add up to the total.
fn adds_up(report: &Report) {
    let mut total = Usage::default();
    report.spend.entries().iter().for_each(|entry| total += entry.usage);
    let counts = |usage: &Usage| (usage.requests, usage.prompt_tokens, usage.completion_tokens);
    assert_eq!(counts(&total), counts(&report.usage), "{report}");
    let (sum, all) = (total.cost_usd.unwrap(), report.usage.cost_usd.unwrap());
    assert!((sum - all).abs() < 1e-9, "{sum} of {all}");
}

fn phases(report: &Report) -> Vec<String> {
    report.spend.by_phase().into_iter().map(|sum| sum.name).collect()
}

fn search() -> BootstrapFewShotWithRandomSearch<SharedMetric<Row, Values>> {
    BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(2).max_labeled_demos(4)
}

async fn run(lm: &std::sync::Arc<Parrot>, folder: &Path) -> Report {
    let optimized = search().run_dir(folder).build().compile(TwoSteps::new(lm), rows(6)).await.unwrap();
    optimized.report().clone()
}

#[tokio::test]
async fn the_entries_add_up_to_the_calls_of_the_model() {
    let lm = Parrot::new();
    let optimized = search().build().compile(TwoSteps::new(&lm), rows(8)).await.unwrap();
    let report = optimized.report();
    adds_up(report);
    assert_eq!(report.usage.requests as usize, lm.calls());
    assert_eq!(phases(report), ["search", "bootstrap"]);
    assert_eq!(report.spend.by_model()[0].name, "parrot");
    assert_eq!(report.spend.of(CallKind::Program).usage.requests, report.usage.requests);
    assert_eq!(report.run.paid_earlier, Usage::default());
    let times: f64 = report.run.phases.iter().map(|phase| phase.seconds).sum();
    assert!(report.run.seconds >= times && times > 0.0, "{:?}", report.run);
    let shown = report.to_string();
    assert!(shown.contains("  search     program  parrot"), "{shown}");
}

#[tokio::test]
async fn the_proposer_and_other_models_have_their_own_entries() {
    let (lm, writer) = (Obedient::new(), Obedient::new());
    let proposer = Proposer::new().with_lm(Lm::shared(writer.clone()));
    let copro = Copro::builder().metric(right).breadth(3).depth(2).proposer(proposer);
    let optimized = copro.build().compile(one_step(&lm), rows(10)).await.unwrap();
    let report = optimized.report();
    adds_up(report);
    let of = |kind| report.spend.of(kind).usage.requests as usize;
    assert_eq!((of(CallKind::Program), of(CallKind::Proposer)), (lm.calls(), writer.calls()));
    assert!(of(CallKind::Proposer) > 0);
}

#[tokio::test]
async fn nested_studies_are_told_apart() {
    let lm = Parrot::new();
    let bootstrap = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(2).build();
    let together = BetterTogether::builder()
        .optimizer("b", bootstrap.boxed())
        .optimizer("s", search().build().boxed())
        .strategy("b -> s")
        .valset_ratio(0.4)
        .metric(right)
        .build()
        .unwrap();
    let optimized = together.compile(TwoSteps::new(&lm), rows(10)).await.unwrap();
    let report = optimized.report();
    adds_up(report);
    assert_eq!(report.usage.requests as usize, lm.calls());
    assert_eq!(phases(report), ["scores", "step-0/bootstrap", "step-1/search", "step-1/bootstrap"]);
}

#[tokio::test]
async fn a_resumed_run_tells_what_was_paid_before() {
    let (whole, part) = (folder("spend-whole"), folder("spend-part"));
    let lm = Parrot::new();
    let report = run(&lm, &whole).await;
    adds_up(&report);
    let journal = journal_of(&whole);
    let ends: Vec<usize> = journal.match_indices('\n').map(|(at, _)| at + 1).collect();
    for end in ends.iter().step_by(1 + ends.len() / 40) {
        leave(&part, &journal[..*end]);
        let resumed = Parrot::new();
        let again = run(&resumed, &part).await;
        assert_eq!(again.spend, report.spend, "cut at byte {end}");
        let earlier = again.run.paid_earlier.requests as usize;
        assert_eq!(earlier, calls_in(&journal[..*end]), "cut at byte {end}");
        assert_eq!(earlier + resumed.calls(), lm.calls(), "cut at byte {end}");
        assert!(again.run.earlier_seconds <= again.run.seconds);
    }
    let idle = run(&Parrot::new(), &whole).await;
    assert_eq!(idle.run.paid_earlier, report.usage);
    let shown = idle.to_string();
    assert!(shown.contains("by earlier processes"), "{shown}");
    let read = Report::read_json(whole.join("report.json")).unwrap();
    assert_eq!((&read, &read.run, &read.spend), (&idle, &idle.run, &report.spend));
    let page = std::fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(page.contains("Calls paid by earlier processes") && page.contains("By phase"), "{page}");
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn an_unknown_price_is_unknown_and_not_zero() {
    let lm =
        Lm::from_fn(|_| async { Response::text("[[ ## answer ## ]]\nmoo").with_usage(Usage::tokens(3, 2)) });
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(lm);
    let optimized = search().build().compile(program, rows(6)).await.unwrap();
    let report = optimized.report();
    assert!(report.spend.entries().iter().all(|entry| entry.usage.cost_usd.is_none()));
    assert!(report.spend.entries().iter().all(|entry| entry.usage.requests > 0));
    let (shown, page) = (report.to_string(), report.to_html());
    assert!(shown.contains("price unknown") && !shown.contains("$0"), "{shown}");
    assert!(page.contains("<td class=\"n\">unknown</td></tr>") && !page.contains("$0"), "{page}");
}

#[tokio::test]
async fn answers_from_a_cache_are_counted_and_free() {
    let (lm, cache) = (Obedient::new(), Cache::new());
    let program = || {
        let mut program = one_step(&lm);
        program.set_lm(Lm::shared(lm.clone()).cache(&cache));
        program
    };
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1).build();
    let first = search.compile(program(), rows(6)).await.unwrap().report().clone();
    let calls = lm.calls();
    let again = search.compile(program(), rows(6)).await.unwrap().report().clone();
    assert_eq!((lm.calls(), again.usage.requests), (calls, 0));
    let cached = |report: &Report| report.spend.entries().iter().map(|entry| entry.cached).sum::<u64>();
    assert_eq!(cached(&again), cached(&first) + first.usage.requests);
    assert!(again.to_string().contains("from a cache"), "{again}");
}

#[tokio::test]
async fn a_budget_is_the_sum_of_the_entries() {
    for calls in [0, 1, 7, 32] {
        let lm = Parrot::new();
        let search = search().budget(Budget::calls(calls)).build();
        let optimized = search.compile(TwoSteps::new(&lm), rows(8)).await.unwrap();
        let report = optimized.report();
        let sum: u64 = report.spend.entries().iter().map(|entry| entry.usage.requests).sum();
        assert_eq!((sum, lm.calls() as u64), (calls, calls), "{report}");
    }
}

#[tokio::test]
async fn reports_are_equal_whatever_the_run_took() {
    let mut report = run(&Parrot::new(), &folder("spend-equal")).await;
    let before = report.clone();
    report.run = RunFacts::default();
    assert_eq!(report, before);
    report.spend = Spend::default();
    assert_ne!(report, before);
    let entry: &SpendEntry = &before.spend.entries()[0];
    assert_eq!((entry.study.as_str(), entry.kind, entry.cached), ("", CallKind::Program, 0));
}
