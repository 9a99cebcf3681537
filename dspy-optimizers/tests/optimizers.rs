//! What the optimizers find, what they spend, and that concurrency changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use common::{Parrot, Row, TwoSteps, right, rows};
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_core::state::ProgramState;
use dspy_optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Data, LabeledFewShot, OptimizeError, Report,
    Stopped,
};

fn demos(report: &Report, path: &str) -> (usize, usize) {
    let demos = &report.best_trial().unwrap().parameters[path].demos;
    (demos.iter().filter(|demo| demo.augmented).count(), demos.len())
}

#[tokio::test]
async fn labels_go_to_the_predictors_that_know_them() {
    let lm = Parrot::new();
    let optimized =
        LabeledFewShot::builder().k(3).build().compile(TwoSteps::new(&lm), rows(20)).await.unwrap();
    // No row has a note, so the first step has no output to show.
    assert_eq!((demos(optimized.report(), "note"), demos(optimized.report(), "answer")), ((0, 0), (0, 3)));
    assert_eq!(lm.calls(), 0);
    let again = LabeledFewShot::builder().k(3).build().compile(TwoSteps::new(&lm), rows(20)).await.unwrap();
    assert_eq!(ProgramState::of(&*optimized), ProgramState::of(&*again));
    let first = LabeledFewShot::builder()
        .k(2)
        .sample(false)
        .build()
        .compile(TwoSteps::new(&lm), rows(20))
        .await
        .unwrap();
    let shown = &first.report().trials[0].parameters["answer"].demos;
    assert_eq!(shown.iter().map(|demo| demo.values["answer"].clone()).collect::<Vec<_>>(), ["moo", "meow"]);
    let all = LabeledFewShot::builder().k(100).build().compile(TwoSteps::new(&lm), rows(20)).await.unwrap();
    assert_eq!(demos(all.report(), "answer"), (0, 20));
    let none = LabeledFewShot::builder().build().compile(TwoSteps::new(&lm), &[] as &[Row; 0]).await;
    assert!(matches!(none.unwrap_err(), OptimizeError::Empty { .. }));
}

#[tokio::test]
async fn bootstrapping_shows_what_worked_and_costs_what_it_must() {
    let lm = Parrot::new();
    let program = TwoSteps::new(&lm);
    let optimizer =
        BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(3).max_labeled_demos(8).build();
    let optimized = optimizer.compile(program.clone(), &rows(30)).await.unwrap();
    let report = optimized.report();
    assert_eq!((demos(report, "note"), demos(report, "answer")), ((3, 3), (3, 8)));
    assert!(
        program.named_predictors().iter().all(|(_, predictor)| predictor.demos().is_empty()),
        "not changed"
    );
    // Two calls for each example that was tried.
    assert_eq!(report.usage.requests as usize, lm.calls());
    assert!(lm.calls() >= 6 && lm.calls().is_multiple_of(2), "{}", lm.calls());
    for demo in report.trials[0].parameters["answer"].demos.iter().filter(|demo| demo.augmented) {
        let row = rows(30).into_iter().find(|row| row.0["question"] == demo.values["question"]).unwrap();
        assert_eq!(row.0["answer"], demo.values["answer"], "only successes become demonstrations");
    }
    let questions: Vec<_> = report.trials[0].parameters["answer"]
        .demos
        .iter()
        .map(|demo| demo.values["question"].clone())
        .collect();
    assert!(questions.iter().all(|question| questions.iter().filter(|q| *q == question).count() == 1));
}

#[tokio::test]
async fn an_example_does_not_teach_itself() {
    // With one row for each animal, only a row's own label could tell the teacher its sound.
    let lm = Parrot::new();
    let optimizer = BootstrapFewShot::builder().metric(right).max_rounds(2).build();
    let optimized = optimizer.compile(TwoSteps::new(&lm), &rows(5)).await.unwrap();
    assert_eq!(demos(optimized.report(), "answer"), (0, 5));
    assert_eq!(lm.calls(), 5 * 2 * 2, "five examples, two rounds, two predictors");
}

#[tokio::test]
async fn a_threshold_of_zero_is_one() {
    let lm = Parrot::new();
    let zero = |_: &Row, _: &Values| 0.0;
    let without = BootstrapFewShot::builder().metric(zero).max_bootstrapped_demos(2).build();
    let optimized = without.compile(TwoSteps::new(&lm), &rows(10)).await.unwrap();
    assert_eq!(demos(optimized.report(), "note"), (0, 0));
    let with =
        BootstrapFewShot::builder().metric(zero).metric_threshold(0.0).max_bootstrapped_demos(2).build();
    let optimized = with.compile(TwoSteps::new(&lm), &rows(10)).await.unwrap();
    assert_eq!(demos(optimized.report(), "note"), (2, 2));
}

#[tokio::test]
async fn the_search_finds_the_better_program_at_any_concurrency() {
    let mut reports = Vec::new();
    for concurrency in [1, 4, 16] {
        let lm = Parrot::new();
        let optimized = BootstrapFewShotWithRandomSearch::builder()
            .metric(right)
            .num_candidate_programs(4)
            .max_labeled_demos(6)
            .concurrency(concurrency)
            .seed(3)
            .build()
            .compile(TwoSteps::new(&lm), Data::new(&rows(20)).valset(&rows(25)))
            .await
            .unwrap();
        assert_eq!(optimized.report().usage.requests as usize, lm.calls());
        reports.push(optimized.report().clone());
    }
    let report = &reports[0];
    assert_eq!(report.trials.len(), 4 + 3);
    assert!(reports.iter().all(|other| other == report), "the same at any concurrency");
    assert_eq!((report.baseline, &*report.trials[0].label), (Some(0.0), "no demonstrations"));
    assert!(report.score().unwrap() >= 0.8, "{report}");
    assert!(report.ranking().windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(report.stopped, Stopped::Finished);
    assert!(report.to_string().contains("+ 6 demonstrations"), "{report}");
}

#[tokio::test]
async fn the_search_costs_what_the_formula_says() {
    for (candidates, most, labelled) in [(0, 4, 4), (3, 4, 16), (5, 1, 0), (2, 0, 3)] {
        let lm = Parrot::new();
        let optimized = BootstrapFewShotWithRandomSearch::builder()
            .metric(|_: &Row, _: &Values| true)
            .best_score(None)
            .num_candidate_programs(candidates)
            .max_bootstrapped_demos(most)
            .max_labeled_demos(labelled)
            .concurrency(64)
            .build()
            .compile(TwoSteps::new(&lm), Data::new(&rows(12)).valset(&rows(7)))
            .await
            .unwrap();
        let trials = &optimized.report().trials;
        // Of the three fixed sets, those are left out that would have no demonstrations.
        let fixed: Vec<usize> = [(true, 0), (labelled > 0, 0), (most > 0, most)]
            .into_iter()
            .filter_map(|(is_tried, made)| is_tried.then_some(made))
            .collect();
        assert_eq!(trials.len(), candidates + fixed.len());
        let made: Vec<usize> = trials
            .iter()
            .map(|trial| trial.parameters["answer"].demos.iter().filter(|demo| demo.augmented).count())
            .collect();
        assert!(made.starts_with(&fixed), "{made:?}");
        assert!(made[fixed.len()..].iter().all(|made| (1.min(most)..=most).contains(made)), "{made:?}");
        // Every run succeeds, so a bootstrap tries as many rows as it makes demonstrations. A run is two calls.
        let runs = trials.len() * 7 + made.iter().sum::<usize>();
        assert_eq!(lm.calls(), 2 * runs, "{made:?}");
    }
}

#[tokio::test]
async fn a_metric_that_fails_on_every_row_is_an_error_of_small_sets_too() {
    let failing = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let panicking = |_: &Row, _: &Values| -> bool { panic!("no opinion") };
    let lm = Parrot::new();
    for count in [1, 3, 10] {
        let optimizer = BootstrapFewShot::builder().metric(failing).build();
        let error = optimizer.compile(TwoSteps::new(&lm), &rows(count)).await.unwrap_err();
        assert!(matches!(&error, OptimizeError::Metric { failed, .. } if *failed == count), "{error}");
        let optimizer = BootstrapFewShot::builder().metric(panicking).build();
        let error = optimizer.compile(TwoSteps::new(&lm), &rows(count)).await.unwrap_err();
        assert!(error.to_string().contains("no opinion"), "{error}");
    }
    // One row with a score is enough to go on.
    let some = |row: &Row, _: &Values| {
        if row.0["answer"] == "moo" { Ok(1.0) } else { Err("no opinion") }
    };
    let optimizer = BootstrapFewShot::builder().metric(some).build();
    let optimized = optimizer.compile(TwoSteps::new(&lm), &rows(5)).await.unwrap();
    assert_eq!(demos(optimized.report(), "note"), (1, 1));
}

#[tokio::test]
async fn the_search_may_stop_early_and_another_seed_is_another_run() {
    let search = |seed: u64, stop: Option<f64>| async move {
        let lm = Parrot::new();
        let mut builder =
            BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(3).seed(seed);
        if let Some(score) = stop {
            builder = builder.stop_at_score(score);
        }
        builder.build().compile(TwoSteps::new(&lm), &rows(25)).await.unwrap().report().clone()
    };
    let stopped = search(0, Some(0.5)).await;
    assert_eq!((stopped.stopped, stopped.trials.len()), (Stopped::ScoreReached, 2));
    assert_ne!(search(1, None).await.trials, search(2, None).await.trials);
}

#[tokio::test]
async fn a_budget_of_calls_is_never_overshot() {
    for concurrency in [1, 16] {
        for limit in [0, 1, 30, 57, 100, 1000] {
            let lm = Parrot::new();
            let result = BootstrapFewShotWithRandomSearch::builder()
                .metric(right)
                .num_candidate_programs(2)
                .budget(Budget::calls(limit))
                .concurrency(concurrency)
                .build()
                .compile(TwoSteps::new(&lm), &rows(10))
                .await;
            assert!(lm.calls() as u64 <= limit, "{} of {limit}", lm.calls());
            let optimized = result.unwrap();
            let report = optimized.report();
            let within = matches!(report.stopped, Stopped::Budget(_));
            assert_eq!(within, limit < 1000, "{limit}: {report}");
            assert_eq!(report.trials.is_empty(), limit < 20, "{limit}: {report}");
        }
    }
    let lm = Parrot::new();
    let spend = BootstrapFewShotWithRandomSearch::builder().metric(right).budget(Budget::UNLIMITED.usd(0.05));
    let optimized = spend.concurrency(1).build().compile(TwoSteps::new(&lm), &rows(10)).await.unwrap();
    assert!((30..=50).contains(&lm.calls()), "a tenth of a cent each: {}", lm.calls());
    assert!(optimized.report().usage.cost_usd.unwrap() <= 0.05 + 1e-9);
}

#[tokio::test]
async fn failures_are_typed() {
    let lm = Parrot::new();
    let failing = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let optimizer = BootstrapFewShotWithRandomSearch::builder().metric(failing).build();
    let error = optimizer.compile(TwoSteps::new(&lm), &rows(20)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Metric { failed: 11, .. }), "{error}");
    assert!(error.to_string().contains("no opinion"));

    let down = Parrot::down_from(7);
    let optimizer = BootstrapFewShotWithRandomSearch::builder().metric(right).build();
    let error = optimizer.compile(TwoSteps::new(&down), &rows(20)).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::Outage { run_dir: None, .. }), "{error}");
    assert!(error.to_string().contains("out of reach"));

    let optimizer = BootstrapFewShot::builder().metric(right).build();
    let error = optimizer.compile(TwoSteps::new(&lm), &[] as &[Row; 0]).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Empty { set: "trainset" }));
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    let lm = Parrot::new();
    let program = TwoSteps::new(&lm);
    let run = tokio::spawn(async move {
        BootstrapFewShot::builder().metric(right).build().compile(program, &rows(8)).await
    });
    run.await.unwrap().unwrap();
}
