//! Budgets that hold over kills: what was in flight when a process died may have been charged, and counts.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{Parrot, TwoSteps, folder, right, rows};
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Demo;
use dspy_core::state::ProgramState;
use dspy_optimizers::{BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Limit, Report, Stopped};
use serde_json::Value;

async fn run(lm: &Arc<Parrot>, folder: &Path, budget: Budget) -> Report {
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(2);
    let search = search.max_labeled_demos(4).concurrency(16).budget(budget).run_dir(folder).build();
    search.compile(TwoSteps::new(lm), &rows(8)).await.unwrap().report().clone()
}

/// The lines of a journal that are events of this name, whole.
fn events(journal: &str, name: &str) -> Vec<Value> {
    let lines = journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|event| event["event"] == name).collect()
}

/// The tokens of the calls of which the end is known, by their number.
fn costs(journal: &str) -> BTreeMap<u64, u64> {
    let settled = events(journal, "settled").into_iter();
    settled.map(|event| (event["call"].as_u64().unwrap(), event["tokens"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn a_budget_holds_over_a_kill_at_each_event() {
    let (whole, part) = (folder("held-whole"), folder("held-part"));
    let calls = Budget::calls(50);
    let tokens = Budget::UNLIMITED.tokens(1_500);
    for (budget, limit) in [(calls, Limit::Calls), (tokens, Limit::Tokens)] {
        let lm = Parrot::new();
        let report = run(&lm, &whole, budget).await;
        assert_eq!(report.stopped, Stopped::Budget(limit));
        let journal = std::fs::read_to_string(whole.join("journal.jsonl")).unwrap();
        assert_eq!(events(&journal, "reserved").len(), lm.calls(), "one for each call that was made");
        assert_eq!(events(&journal, "settled").len(), lm.calls());
        for end in journal.match_indices('\n').map(|(at, _)| at + 1) {
            std::fs::create_dir_all(&part).unwrap();
            std::fs::write(part.join("journal.jsonl"), &journal[..end]).unwrap();
            run(&Parrot::new(), &part, budget).await;
            // What was in flight has cost what the whole run says.
            let resumed = std::fs::read_to_string(part.join("journal.jsonl")).unwrap();
            let mut cost = costs(&resumed);
            for (call, known) in costs(&journal) {
                if journal[..end].contains(&format!("\"call\":{call},")) {
                    cost.entry(call).or_insert(known);
                }
            }
            let made = events(&resumed, "reserved").len() as u64;
            let spent: u64 = cost.values().sum();
            assert!(budget.calls.is_none_or(|most| made <= most), "{made} calls, cut at byte {end}");
            assert!(budget.tokens.is_none_or(|most| spent <= most), "{spent} tokens, cut at byte {end}");
            // Whatever the kill has cost is still known at the next one.
            let again = Parrot::new();
            run(&again, &part, budget).await;
            assert_eq!(again.calls(), 0, "cut at byte {end}");
        }
        std::fs::remove_dir_all(&whole).unwrap();
        std::fs::remove_dir_all(&part).unwrap();
    }
}

/// Names the folder in a child process, which dies at a call.
const CHILD: &str = "DSPY_TEST_KILLED_RUN_DIR";
const MOST: u64 = 60;

/// The child: with no folder named there is nothing to do.
#[tokio::test]
async fn child_that_dies() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let folder = Path::new(&folder);
    run(&Parrot::dying_at_with_words(9, folder.join("calls")), folder, Budget::calls(MOST)).await;
}

#[tokio::test]
async fn a_run_that_is_killed_three_times_makes_no_more_calls_than_it_may() {
    let dir = folder("killed-thrice");
    let mut made = 0;
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["child_that_dies", "--exact", "--test-threads=1"]).env(CHILD, &dir);
        let output = child.output().unwrap();
        assert!(!output.status.success(), "it dies without a chance to clean up");
        let calls: usize = std::fs::read_to_string(dir.join("calls")).unwrap().parse().unwrap();
        assert!(calls > 9, "some were in flight");
        made += calls;
    }
    let lm = Parrot::new();
    let report = run(&lm, &dir, Budget::calls(MOST)).await;
    assert_eq!(report.stopped, Stopped::Budget(Limit::Calls));
    let off = report.run.written_off.unwrap().calls;
    assert!(off >= 3, "each kill met calls in flight: {off}");
    let said = format!("the replies of {off} calls are unknown");
    assert!(report.to_string().contains(&said) && report.to_html().contains(&said), "{report}");
    assert_eq!(Report::read_json(dir.join("report.json")).unwrap().run, report.run);
    made += lm.calls();
    assert!(made as u64 <= MOST, "{made} of {MOST}");
    // Of eight rows with two calls each, of which the calls that were in flight at a kill may be made again.
    let evaluation = 16;
    assert!(made as u64 > MOST - 3 - evaluation, "what was not made is not lost: {made} of {MOST}");
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_budget_too_small_for_a_candidate_returns_the_original_program() {
    for budget in [Budget::calls(0), Budget::calls(1), Budget::calls(5), Budget::UNLIMITED.tokens(1)] {
        let lm = Parrot::new();
        let mut program = TwoSteps::new(&lm);
        let demo = serde_json::from_value(serde_json::json!({"question": "?", "note": "n", "answer": "a"}));
        let demo = Demo::new(demo.unwrap());
        program.for_each_predictor(|_, predictor| predictor.set_demos(vec![demo.clone()]));
        let given = ProgramState::of(&program).predictors;
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).budget(budget);
        let optimized = search.build().compile(program.clone(), &rows(10)).await.unwrap();
        let report = optimized.report();
        assert!(matches!(report.stopped, Stopped::Budget(_)), "{report}");
        assert_eq!(ProgramState::of(&*optimized).predictors, given, "{budget}");
        assert_eq!((report.score(), report.trials.len()), (None, 0));
        assert!(report.to_string().contains("the result is the original program"), "{report}");
        assert!(report.changes().is_empty(), "{report}");

        if budget.calls != Some(5) {
            let bootstrap = BootstrapFewShot::builder().metric(right).budget(budget).build();
            let optimized = bootstrap.compile(program, rows(10)).await.unwrap();
            assert_eq!(ProgramState::of(&*optimized).predictors, given, "{budget}");
            assert!(matches!(optimized.report().stopped, Stopped::Budget(_)));
        }
    }
}
