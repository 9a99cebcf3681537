//! Runs that are killed, at any point, and started again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;

use common::{Parrot, TwoSteps, folder, right, rows};
use dspy_optimizers::{BootstrapFewShotWithRandomSearch, Budget, JournalError, OptimizeError, Report};

async fn run(lm: &std::sync::Arc<Parrot>, folder: &Path, budget: Budget) -> Result<Report, OptimizeError> {
    let optimizer = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(2)
        .max_labeled_demos(4)
        .concurrency(4)
        .budget(budget)
        .run_dir(folder)
        .build();
    Ok(optimizer.compile(TwoSteps::new(lm), &rows(6)).await?.report().clone())
}

fn calls_in(journal: &str) -> usize {
    journal.lines().filter(|line| line.starts_with("{\"event\":\"call\"")).count()
}

#[tokio::test]
async fn a_killed_run_goes_on_with_the_same_result_and_pays_nothing_twice() {
    let whole = folder("whole");
    let lm = Parrot::new();
    let report = run(&lm, &whole, Budget::UNLIMITED).await.unwrap();
    let total = lm.calls();
    let journal = std::fs::read_to_string(whole.join("journal.jsonl")).unwrap();
    assert_eq!(calls_in(&journal), total);

    let part = folder("part");
    let ends: Vec<usize> = journal.match_indices('\n').map(|(at, _)| at + 1).collect();
    // After every event, and in the middle of every tenth line.
    let cuts = ends.iter().copied().chain(ends.iter().step_by(10).map(|end| end - 7)).chain([0, 3]);
    for cut in cuts {
        let kept = &journal[..cut];
        std::fs::create_dir_all(&part).unwrap();
        std::fs::write(part.join("journal.jsonl"), kept).unwrap();
        let lm = Parrot::new();
        let resumed = run(&lm, &part, Budget::UNLIMITED).await.unwrap();
        assert_eq!(resumed, report, "cut at byte {cut}");
        let whole_lines = &kept[..kept.rfind('\n').map_or(0, |at| at + 1)];
        assert_eq!(lm.calls(), total - calls_in(whole_lines), "cut at byte {cut}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn an_outage_or_a_spent_budget_is_no_loss() {
    let folder = folder("outage");
    let fresh = common::folder("outage-fresh");
    let lm = Parrot::new();
    let unbroken = run(&lm, &fresh, Budget::UNLIMITED).await.unwrap();
    let total = lm.calls();

    let down = Parrot::down_from(20);
    let error = run(&down, &folder, Budget::UNLIMITED).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Outage { run_dir: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("run again with the run_dir"), "{error}");
    let lm = Parrot::new();
    let spent = run(&lm, &folder, Budget::calls(40)).await.unwrap();
    assert!(spent.to_string().contains("the budget (calls) was used up"), "{spent}");
    assert_eq!(lm.calls(), 20, "the first 20 are in the journal and count");
    let lm = Parrot::new();
    let finished = run(&lm, &folder, Budget::UNLIMITED).await.unwrap();
    assert_eq!(finished, unbroken);
    assert_eq!(lm.calls(), total - 40);
    for folder in [folder, fresh] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_journal_is_that_of_one_run() {
    let folder = folder("other");
    let lm = Parrot::new();
    run(&lm, &folder, Budget::UNLIMITED).await.unwrap();
    let other = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(2)
        .max_labeled_demos(4)
        .run_dir(&folder)
        .seed(1)
        .build();
    let error = other.compile(TwoSteps::new(&lm), &rows(7)).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, OptimizeError::Journal(JournalError::OtherRun { .. })), "{message}");
    assert!(
        message.contains("`seed` was 0, is now 1") && message.contains("`trainset.rows` was 6, is now 7"),
        "{message}"
    );

    let path = folder.join("journal.jsonl");
    let journal = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, journal.replacen("\"event\":\"call\"", "\"event\":\"c", 1)).unwrap();
    let error = run(&lm, &folder, Budget::UNLIMITED).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Journal(JournalError::Corrupt { line: 2.., .. })), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn two_runs_cannot_share_a_journal() {
    let folder = folder("shared");
    let lm = Parrot::new();
    let (one, two) = tokio::join!(run(&lm, &folder, Budget::UNLIMITED), run(&lm, &folder, Budget::UNLIMITED));
    let locked = [one.as_ref().err(), two.as_ref().err()];
    assert!(
        locked
            .iter()
            .flatten()
            .all(|error| matches!(error, OptimizeError::Journal(JournalError::InUse { .. })))
    );
    assert_eq!(locked.iter().flatten().count(), 1);
    std::fs::remove_dir_all(folder).unwrap();
}
