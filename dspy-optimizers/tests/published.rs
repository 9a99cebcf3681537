//! The published algorithms keep their results: the same candidates, scores and calls for the same seed, from one
//! version to the next.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::fmt::Write as _;

use common::{Hops, Parrot, TwoSteps, right, rows};
use dspy_optimizers::{BootstrapFewShot, BootstrapFewShotWithRandomSearch, Data, LabeledFewShot, Report};

/// Everything about a run that its algorithm decides.
fn digest(report: &Report, calls: usize) -> String {
    let mut text = format!("{} {} {calls} {}\n", report.optimizer, report.best, report.usage.requests);
    for trial in &report.trials {
        writeln!(text, "{} {:?} {:?}", trial.label, trial.score, trial.notes).unwrap();
        for item in &trial.items {
            writeln!(text, "{} {:?} {:?}", item.index, item.score, item.error).unwrap();
        }
        for (path, predictor) in trial.parameters.iter() {
            let demos = serde_json::to_string(&predictor.demos).unwrap();
            writeln!(text, "{path} {} {demos}", predictor.instruction).unwrap();
        }
    }
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

#[tokio::test]
async fn labelled_few_shot_is_as_it_was() {
    let mut seen = Vec::new();
    for (seed, sample) in [(0, true), (7, true), (0, false)] {
        let lm = Parrot::new();
        let optimizer = LabeledFewShot::builder().k(6).sample(sample).seed(seed).build();
        let optimized = optimizer.compile(TwoSteps::new(&lm), &rows(20)).await.unwrap();
        seen.push(digest(optimized.report(), lm.calls()));
    }
    assert_eq!(seen, ["0e882b1126c36527", "6235d37c2f4b80a5", "eef4561900a6d8a8"]);
}

#[tokio::test]
async fn bootstrap_few_shot_is_as_it_was() {
    let mut seen = Vec::new();
    for (seed, rounds, count) in [(0, 1, 30), (3, 2, 12), (11, 3, 9)] {
        let lm = Parrot::new();
        let optimizer = BootstrapFewShot::builder()
            .metric(right)
            .max_labeled_demos(6)
            .max_rounds(rounds)
            .seed(seed)
            .build();
        let optimized = optimizer.compile(TwoSteps::new(&lm), &rows(count)).await.unwrap();
        seen.push(digest(optimized.report(), lm.calls()));
        let optimized = optimizer.compile(Hops::new(&lm, 3), &rows(count)).await.unwrap();
        seen.push(digest(optimized.report(), lm.calls()));
    }
    let expected = [
        "788085a1ecf671b9",
        "160296016219f44c",
        "abd655dbbb6b82e8",
        "680bc82d8bd9f3dd",
        "a4a8bc7b567a2bde",
        "98e739a2bfb0f760",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn random_search_is_as_it_was() {
    let mut seen = Vec::new();
    for (seed, candidates) in [(0, 4), (5, 2)] {
        let lm = Parrot::new();
        let search = BootstrapFewShotWithRandomSearch::builder()
            .metric(right)
            .num_candidate_programs(candidates)
            .max_labeled_demos(5)
            .seed(seed)
            .build();
        let optimized = search.compile(TwoSteps::new(&lm), &rows(12)).await.unwrap();
        seen.push(digest(optimized.report(), lm.calls()));
        let data = Data::new(rows(12)).valset(rows(9)).teacher(TwoSteps::new(&lm));
        let optimized = search.compile(TwoSteps::new(&lm), data).await.unwrap();
        seen.push(digest(optimized.report(), lm.calls()));
    }
    assert_eq!(seen, ["6b900a8616a23038", "24132a45bf114789", "89113a6957f2e94f", "70963531bcb5ced5"]);
}
