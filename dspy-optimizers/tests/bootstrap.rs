//! Bootstrapping in detail: who teaches, which calls become demonstrations, and that concurrency wastes nothing.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use common::{Hops, Parrot, Row, Steps, TwoSteps, right, rows};
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Settings};
use dspy_core::signature::{Demo, Values};
use dspy_optimizers::{BootstrapFewShot, Data, OptimizeError, Optimized};

fn demos<P>(optimized: &Optimized<P>, path: &str) -> Vec<Demo> {
    optimized.report().trials[0].parameters[path].demos.clone()
}

#[tokio::test]
async fn the_same_rows_are_tried_at_any_concurrency() {
    for (seed, count, wanted) in [(0, 30, 3), (1, 12, 5), (2, 7, 1), (3, 25, 50), (4, 1, 4), (5, 40, 0)] {
        let mut runs = Vec::new();
        for concurrency in [1, 2, 4, 16, 64] {
            let lm = Parrot::new();
            let optimizer = BootstrapFewShot::builder()
                .metric(right)
                .max_bootstrapped_demos(wanted)
                .max_labeled_demos(6)
                .max_rounds(2)
                .concurrency(concurrency)
                .seed(seed)
                .build();
            let optimized = optimizer.compile(TwoSteps::new(&lm), &rows(count)).await.unwrap();
            runs.push((optimized.report().clone(), lm.calls()));
        }
        assert!(runs.iter().all(|run| *run == runs[0]), "seed {seed}");
        let (report, calls) = &runs[0];
        let [trial] = &report.trials[..] else { panic!("{report}") };
        // Published: one run for each row that is tried, and one more for each that fails in the first round.
        let failed = trial.items.iter().filter(|item| item.score != Some(1.0)).count();
        assert_eq!(*calls, 2 * (trial.items.len() + failed), "{trial}");
        let successes = trial.items.len() - failed;
        assert!(successes <= wanted && (successes == wanted || trial.items.len() == count));
        assert_eq!(report.usage.requests as usize, *calls);
    }
}

#[tokio::test]
async fn a_predictor_that_is_called_in_a_loop_gives_one_of_its_calls() {
    let mut rounds = Vec::new();
    for seed in 0..20 {
        let lm = Parrot::new();
        let optimizer = BootstrapFewShot::builder().metric(right).max_labeled_demos(10).seed(seed).build();
        let optimized = optimizer.compile(Hops::new(&lm, 3), &rows(30)).await.unwrap();
        let made: Vec<_> = demos(&optimized, "hop").into_iter().filter(|demo| demo.augmented).collect();
        assert_eq!(made.len(), 4, "one for each success");
        rounds.extend(made.iter().map(|demo| demo.values["round"].as_u64().unwrap()));
    }
    let last = rounds.iter().filter(|round| **round == 2).count();
    assert!((25..=55).contains(&last), "about half of {}: {last}", rounds.len());
    assert!(rounds.contains(&0) && rounds.contains(&1));
}

#[tokio::test]
async fn a_teacher_with_demonstrations_stays_as_it_is_but_never_sees_the_row_itself() {
    let lm = Parrot::new();
    let mut teacher = TwoSteps::new(&lm);
    // It knows cows from another row, and cats only from the very row that it will be asked.
    let known = |row: &Row| Demo::augmented(row.0.clone());
    let set = rows(10);
    teacher.for_each_predictor(|path, predictor| {
        if path == "answer" {
            predictor.set_demos(vec![known(&rows(6)[5]), known(&set[1])]);
        }
    });
    let optimizer = BootstrapFewShot::builder().metric(right).max_labeled_demos(0).build();
    let program = TwoSteps::new(&lm);
    let data = Data::new(&set[..2]).teacher(teacher);
    let optimized = optimizer.compile(program, data).await.unwrap();
    let made = demos(&optimized, "answer");
    assert_eq!(made.iter().map(|demo| demo.values["answer"].clone()).collect::<Vec<_>>(), ["moo"]);
    assert_eq!(optimized.report().trials[0].notes, ["1 of 2 rows tried succeeded"]);
}

#[tokio::test]
async fn a_teacher_must_have_the_same_predictors() {
    let of = |signatures: &[&str]| {
        Steps(signatures.iter().map(|text| DynPredict::new(text.parse().unwrap())).collect())
    };
    let optimizer = BootstrapFewShot::builder().metric(right).build();
    let data = Data::new(rows(3)).teacher(of(&["question -> other", "a -> b"]));
    let error = optimizer.compile(of(&["question -> answer"]), data).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Teacher(_)));
    let message = error.to_string();
    assert!(
        message.contains("`[0]` has another signature") && message.contains("the program has no `[1]`"),
        "{message}"
    );
}

#[tokio::test]
async fn the_teachers_model_only_teaches() {
    let (student, teacher) = (Parrot::new(), Parrot::new());
    let optimizer = BootstrapFewShot::builder()
        .metric(right)
        .teacher_lm(Lm::shared(teacher.clone()))
        .max_rounds(2)
        .build();
    let optimized = optimizer.compile(TwoSteps::new(&student), &rows(30)).await.unwrap();
    assert!(teacher.calls() > 0);
    assert_eq!(student.calls(), 0);
    let before = teacher.calls();
    dspy_core::program::Module::call(&*optimized, common::question("cow")).await.unwrap();
    assert_eq!((student.calls(), teacher.calls()), (2, before));
}

#[tokio::test]
async fn a_spawned_run_keeps_the_settings_of_its_parent() {
    let lm = Parrot::new();
    let program = DynPredict::new("question -> answer".parse().unwrap());
    let run = Settings::new().lm(Lm::shared(lm.clone())).scope(async {
        let optimizer = BootstrapFewShot::builder().metric(right).max_labeled_demos(10).build();
        tokio::spawn(optimizer.compile(program, rows(20))).await
    });
    let optimized = run.await.unwrap().unwrap();
    assert_eq!(demos(&optimized, "self").iter().filter(|demo| demo.augmented).count(), 4);
    assert!(lm.calls() > 0);
}

#[tokio::test]
async fn small_sets_are_no_special_case() {
    for (count, wanted, labelled) in [(1, 4, 16), (1, 0, 16), (2, 4, 0), (3, 0, 0)] {
        let lm = Parrot::new();
        let optimizer = BootstrapFewShot::builder()
            .metric(|_: &Row, _: &Values| true)
            .max_bootstrapped_demos(wanted)
            .max_labeled_demos(labelled)
            .build();
        let optimized = optimizer.compile(TwoSteps::new(&lm), &rows(count)).await.unwrap();
        let made = count.min(wanted);
        let raw = (count - made).min(labelled.saturating_sub(made));
        assert_eq!(demos(&optimized, "answer").len(), made + raw, "{count} {wanted} {labelled}");
        assert_eq!(lm.calls(), 2 * made);
    }
}
