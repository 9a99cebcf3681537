//! Headroom: a search of a program that cannot be improved ends before it spends anything.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;

use common::{HINTS, Obedient, Row, folder, one_step, right, rows};
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Settings};
use dspy_core::signature::Values;
use dspy_optimizers::{
    Ace, BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Capo, Copro, Data,
    Ensemble, EnsembleOptimizer, Gepa, InferRules, MiproV2, ModuleOpro, OptimizeError, Optimizer, Portfolio,
    Race, Report, Simba, Stopped, Verification,
};

/// A program that knows the answers of the animals whose hints its instruction has.
fn knowing(lm: &Arc<Obedient>, hints: &[&str]) -> DynPredict {
    let mut program = one_step(lm);
    program.for_each_predictor(|_, predictor| predictor.set_instruction(hints.join(" ")));
    program
}

/// Optimizes a perfect program, and returns the calls of its model and of the proposer.
async fn perfect<O: Optimizer<DynPredict, Row>>(optimizer: O) -> (Report, usize, usize) {
    let (lm, writer) = (Obedient::new(), Obedient::new());
    let (train, val) = (rows(25), rows(20));
    let data = Data::new(&train[..]).valset(&val[..]);
    let run = async { optimizer.compile(knowing(&lm, &HINTS), data).await };
    let optimized = Settings::new().lm(Lm::shared(writer.clone())).scope(run).await.unwrap();
    assert!(optimized.predictor().instruction().contains("owl=hoot"));
    (optimized.report().clone(), lm.calls(), writer.calls())
}

#[tokio::test]
async fn a_perfect_program_costs_its_own_score_and_no_more() {
    let mut seen = Vec::new();
    macro_rules! check {
        ($($builder:expr),+ $(,)?) => {
            $(seen.push(perfect($builder.metric(right).build()).await);)+
        };
    }
    check! {
        BootstrapFewShotWithRandomSearch::builder(),
        BootstrapFewShotWithRandomSearch::builder().race(Race::new().block(5)),
        Copro::builder(),
        ModuleOpro::builder(),
        InferRules::builder(),
        MiproV2::builder(),
        Capo::builder(),
        Simba::builder().minibatch(10),
        Portfolio::builder(Budget::calls(2_000)),
        Gepa::builder(),
        Ace::builder(),
    }
    let boxed = || BootstrapFewShot::builder().metric(right).build().boxed();
    let together =
        BetterTogether::builder().optimizer("p", boxed()).strategy("p").metric(right).build().unwrap();
    seen.push(perfect(together).await);
    for (report, of_program, of_proposer) in seen {
        assert_eq!((of_program, of_proposer), (20, 0), "{report}");
        assert_eq!((report.stopped, report.score()), (Stopped::NoHeadroom, Some(1.0)), "{report}");
        let headroom = report.headroom.unwrap();
        assert!(!headroom.exists() && headroom.rows == 20 && headroom.score == 1.0, "{report}");
        assert!(report.to_string().contains("no headroom: the original program has 100.0 %"), "{report}");
    }
    let lm = Obedient::new();
    let members = EnsembleOptimizer::builder(move |_| boxed()).metric(right).build();
    let ensemble = Ensemble::new(vec![knowing(&lm, &HINTS); 2]);
    let optimized = members.compile(ensemble, &rows(20)).await.unwrap();
    assert_eq!((optimized.report().stopped, lm.calls()), (Stopped::NoHeadroom, 40));
}

#[tokio::test]
async fn it_goes_on_if_it_is_told_to() {
    let copro = || Copro::builder().metric(right).breadth(2).depth(1);
    let (report, of_program, of_proposer) = perfect(copro().best_score(None).build()).await;
    assert_eq!((report.stopped, report.headroom), (Stopped::Finished, None));
    assert!(of_program > 20 && of_proposer == 1, "{report}");
    let error =
        copro().best_score(f64::NAN).build().compile(one_step(&Obedient::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "best_score", .. }), "{error}");
}

#[tokio::test]
async fn a_run_that_ended_for_it_goes_on_in_its_journal() {
    let folder = folder("headroom");
    let lm = Obedient::new();
    let copro = || Copro::builder().metric(right).breadth(2).depth(1).run_dir(&folder);
    let run = async |best: Option<f64>| {
        let run = async { copro().best_score(best).build().compile(knowing(&lm, &HINTS), rows(20)).await };
        Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap().report().clone()
    };
    let first = run(Some(1.0)).await;
    assert_eq!((first.stopped, lm.calls()), (Stopped::NoHeadroom, 20));
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("no headroom is left"), "{page}");
    let again = run(Some(1.0)).await;
    assert_eq!((again == first, lm.calls()), (true, 20), "nothing is paid twice");
    let second = run(None).await;
    assert_eq!((second.stopped, lm.calls() as u64), (Stopped::Finished, second.usage.requests));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_gain_of_two_rows_in_many_cannot_be_seen() {
    // A metric that fails some rows, whatever the answer.
    let but = |failing: usize| {
        move |row: &Row, output: &Values| {
            let question = row.0["question"].as_str().unwrap();
            let hard = (0..failing).any(|number| question.contains(&format!("number {number} ")));
            !hard && right(row, output)
        }
    };
    for (failing, rows_of, stopped) in
        [(2, 50, Stopped::NoHeadroom), (3, 50, Stopped::Finished), (2, 20, Stopped::Finished)]
    {
        let lm = Obedient::new();
        let copro = Copro::builder().metric(but(failing)).breadth(2).depth(1).build();
        let run = async { copro.compile(knowing(&lm, &HINTS), rows(rows_of)).await };
        let optimized = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap();
        let report = optimized.report();
        assert_eq!(report.stopped, stopped, "{failing} of {rows_of}: {report}");
        let headroom = report.headroom.unwrap();
        assert!(headroom.detectable > 0.0 && headroom.margin > 0.0, "{report}");
    }
}

#[tokio::test]
async fn another_scale_is_no_reason_to_stop() {
    let percent = |row: &Row, output: &Values| if right(row, output) { 100.0 } else { 30.0 };
    let lm = Obedient::new();
    let run = async |best: Option<f64>| {
        let copro = Copro::builder().metric(percent).breadth(2).depth(1).best_score(best).build();
        let run = async { copro.compile(knowing(&lm, &HINTS[..3]), rows(20)).await };
        Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap().report().clone()
    };
    let report = run(Some(1.0)).await;
    assert_eq!((report.stopped, report.headroom), (Stopped::Finished, None));
    assert!(report.warnings.iter().any(|warning| warning.contains("set `best_score`")), "{report}");
    let report = run(Some(100.0)).await;
    let [luck] = &report.warnings[..] else { panic!("{report}") };
    assert!(
        report.headroom.unwrap().exists() && luck.contains("can be told from luck on 20 rows"),
        "{report}"
    );
}

#[tokio::test]
async fn there_is_nothing_to_verify() {
    let lm = Obedient::new();
    let (train, holdout) = (rows(20), rows(12));
    let copro = Copro::builder().metric(right).build();
    let data = Data::new(&train[..]).holdout(&holdout[..]);
    let optimized = copro.compile(knowing(&lm, &HINTS), data).await.unwrap();
    assert_eq!((optimized.report().verification.clone(), lm.calls()), (Verification::NothingFound, 20));
}
