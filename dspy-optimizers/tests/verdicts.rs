//! Verdicts on too little: a metric that tells nothing apart, gains that are luck, rows that are too few.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, folder, one_step, right, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::Lm;
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Settings};
use dspy_core::signature::Values;
use dspy_optimizers::{
    BetterTogether, BootstrapFewShotWithRandomSearch, Budget, Capo, Copro, Data, Ensemble, EnsembleOptimizer,
    Gepa, InferRules, IntoData, MiproV2, ModuleOpro, Optimizer, Portfolio, Report, Stopped, StudyEvent,
    Verify,
};

fn half(_: &Row, _: &Values) -> f64 {
    0.5
}

async fn run<O, D>(optimizer: O, lm: &Arc<Obedient>, data: D) -> Report
where
    O: Optimizer<DynPredict, Row>,
    D: IntoData<DynPredict, Row>,
{
    let run = optimizer.compile(one_step(lm), data);
    Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap().report().clone()
}

fn has(report: &Report, text: &str) -> bool {
    report.warnings.iter().any(|warning| warning.contains(text))
}

#[tokio::test]
async fn a_metric_with_one_score_for_everything_ends_the_search() {
    let mut reports = Vec::new();
    macro_rules! check {
        ($($builder:expr),+ $(,)?) => {
            $({
                let lm = Obedient::new();
                let budget = Budget::calls(3_000);
                reports.push(run($builder.metric(half).budget(budget).build(), &lm, &rows(50)).await);
            })+
        };
    }
    check! {
        Copro::builder().depth(4),
        ModuleOpro::builder(),
        MiproV2::builder(),
        Capo::builder(),
        Gepa::builder(),
        InferRules::builder(),
        Portfolio::builder(Budget::calls(3_000)),
    }
    let copro = || Copro::builder().metric(half).build().boxed();
    let together = BetterTogether::builder().optimizer("c", copro()).strategy("c -> c").metric(half);
    let data = Data::new(rows(50)).valset(rows(50));
    reports.push(run(together.build().unwrap(), &Obedient::new(), data).await);
    for report in reports {
        assert_eq!(report.stopped, Stopped::ConstantMetric, "{report}");
        assert!(has(&report, "every score is 0.5, on "), "{report}");
        assert!(report.usage.requests < 800, "{report}");
        assert!(report.changes().is_empty(), "nothing was found: {report}");
        assert!(report.to_string().contains("the metric gives every answer the same score"), "{report}");
    }
    let lm = Obedient::new();
    let members = EnsembleOptimizer::builder(move |_| copro()).metric(half).build();
    let run = members.compile(Ensemble::new(vec![one_step(&lm); 2]), rows(50));
    let optimized = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap();
    assert_eq!(optimized.report().stopped, Stopped::ConstantMetric, "{}", optimized.report());
    assert!(has(optimized.report(), "member 0: every score is 0.5"), "{}", optimized.report());
}

/// Returns the events of a run up to the first warning of one score, and its report.
async fn warned(folder: Option<&std::path::Path>, best: Option<f64>, score: f64) -> (Report, usize, u64) {
    let seen: Arc<Mutex<(usize, Option<usize>)>> = Arc::default();
    let note = seen.clone();
    let mut copro =
        Copro::builder().metric(move |_: &Row, _: &Values| score).depth(3).breadth(4).best_score(best);
    if let Some(folder) = folder {
        copro = copro.run_dir(folder);
    }
    let copro = copro.on_event(move |event| {
        let mut seen = note.lock().unwrap();
        match event {
            StudyEvent::Rollout { .. } => seen.0 += 1,
            StudyEvent::Warning { message, .. } if message.starts_with("every score is") => {
                seen.1 = seen.1.or(Some(seen.0));
            }
            _ => {}
        }
    });
    let lm = Obedient::new();
    let report = run(copro.build(), &lm, rows(50)).await;
    let at = seen.lock().unwrap().1.unwrap();
    (report, at, lm.calls() as u64)
}

#[tokio::test]
async fn it_is_said_at_once_and_the_search_can_be_told_to_go_on() {
    let (stopped, early, _) = warned(None, Some(1.0), 0.5).await;
    let (on, at, _) = warned(None, None, 0.5).await;
    assert_eq!((stopped.stopped, on.stopped), (Stopped::ConstantMetric, Stopped::Finished));
    // The original program on 50 rows, and the first block of a race of four others.
    assert_eq!((early, at), (130, 130));
    assert!(on.usage.requests > stopped.usage.requests, "{on}");
    assert!(has(&on, "every score is 0.5, on 50 rows, also where the answers differ"), "{on}");
    // Hard rows have a score of 0, too.
    let (hard, at, _) = warned(None, Some(1.0), 0.0).await;
    assert_eq!((hard.stopped, at), (Stopped::Finished, 130), "{hard}");
    assert!(has(&hard, "every score is 0, on 50 rows"), "{hard}");
    assert_eq!(hard.warnings.iter().filter(|warning| warning.contains("every score")).count(), 1, "{hard}");
}

#[tokio::test]
async fn a_resumed_run_ends_for_the_same_reason_without_a_call() {
    let folder = folder("constant");
    let (first, _, paid) = warned(Some(&folder), Some(1.0), 0.5).await;
    let (again, _, more) = warned(Some(&folder), Some(1.0), 0.5).await;
    assert!(paid > 0 && more == 0 && first == again, "{again}");
    assert_eq!(again.stopped, Stopped::ConstantMetric);
    std::fs::remove_dir_all(folder).unwrap();
}

/// A score that depends on the row and the answer by chance.
fn noise(row: &Row, output: &Values) -> f64 {
    let text = format!("{}{}", row.0["question"], output["answer"]);
    let hash = text.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(16_777_619) ^ u32::from(byte));
    f64::from(hash >> 8 & 0xff) / 255.0
}

#[tokio::test]
async fn a_gain_of_luck_is_called_one() {
    let report = run(Copro::builder().metric(noise).build(), &Obedient::new(), rows(12)).await;
    let gain = report.score().unwrap() - report.baseline.unwrap();
    let detectable = report.headroom.unwrap().detectable;
    assert!(gain > 0.0 && gain < detectable, "{report}");
    let points = |part: f64| format!("{:.1}", part * 100.0);
    let said = format!(
        "the gain of {} points is below the {} that can be told from luck on 12 rows, and the result is not verified",
        points(gain),
        points(detectable)
    );
    assert!(has(&report, &said), "{report}");
    let (text, page) = (report.to_string(), report.to_html());
    for shown in [&text, &page] {
        assert!(shown.contains(&said) && shown.contains("on rows of the search"), "{shown}");
        assert!(
            shown.to_lowercase().contains("not verified: the scores are those on rows of the search"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_gain_that_is_verified_needs_no_warning_and_another_one_does() {
    let copro = || Copro::builder().metric(right);
    let plain = run(copro().build(), &Obedient::new(), rows(50)).await;
    assert!(plain.score() > plain.baseline, "{plain}");
    assert!(!has(&plain, "told from luck"), "{plain}");
    assert!(
        plain.to_string().contains("not verified: the scores are those on rows of the search"),
        "{plain}"
    );
    let verified = run(copro().verify(Verify::rows(20)).build(), &Obedient::new(), rows(50)).await;
    assert!(!verified.to_string().contains("not verified"), "{verified}");
    let perfect = run(copro().best_score(0.0).build(), &Obedient::new(), rows(12)).await;
    assert!(!has(&perfect, "told from luck"), "nothing was gained: {perfect}");
}

#[tokio::test]
async fn few_rows_are_said_before_the_money() {
    let lm = Obedient::new();
    let nearly = |row: &Row, _: &Values| row.0["answer"] != "moo";
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = seen.clone();
    let copro = Copro::builder().metric(nearly).on_event(move |event| match event {
        StudyEvent::Warning { message, .. } => note.lock().unwrap().push(message.clone()),
        StudyEvent::Phase { name, .. } => note.lock().unwrap().push(name.clone()),
        _ => {}
    });
    let copro = copro.build();
    let estimate = Settings::new()
        .lm(Lm::shared(lm.clone()))
        .scope(async { copro.estimate(&one_step(&lm), rows(5)).unwrap() });
    let estimate = estimate.await;
    assert!(estimate.warnings[0].starts_with("5 rows to compare on are few"), "{estimate}");
    assert!(estimate.to_string().contains("cannot be told from luck"), "{estimate}");
    let many = Settings::new()
        .lm(Lm::shared(lm.clone()))
        .scope(async { copro.estimate(&one_step(&lm), rows(50)).unwrap() });
    assert!(many.await.warnings.is_empty());
    let report = run(copro, &lm, rows(5)).await;
    assert!(has(&report, "no gain can be told from luck on 5 rows, about "), "{report}");
    let seen = seen.lock().unwrap();
    let warning = seen.iter().position(|text| text.starts_with("no gain can be told")).unwrap();
    let proposals = seen.iter().position(|text| text.contains("propos"));
    assert!(proposals.is_none_or(|at| warning < at), "{seen:?}");
}

/// A program that knows the sound of the cow.
fn knowing(lm: &Arc<Obedient>, hints: &[&str]) -> DynPredict {
    let mut program = one_step(lm);
    program.for_each_predictor(|_, predictor| predictor.set_instruction(hints.join(" ")));
    program
}

#[tokio::test]
async fn a_perfect_row_of_a_few_is_no_verdict() {
    let copro = || Copro::builder().metric(right).breadth(3).depth(1).build().boxed();
    let together = || BetterTogether::builder().optimizer("c", copro()).strategy("c").metric(right);
    for hints in 1..HINTS.len() {
        let lm = Obedient::new();
        let scope = Settings::new().lm(Lm::shared(lm.clone()));
        let run = async {
            let together = together().build().unwrap();
            let portfolio = Portfolio::builder(Budget::calls(300)).metric(right).build();
            let program = || knowing(&lm, &HINTS[..hints]);
            (
                together.compile(program(), rows(10)).await.unwrap().report().clone(),
                portfolio.compile(program(), rows(10)).await.unwrap().report().clone(),
            )
        };
        let (together, portfolio) = scope.scope(run).await;
        for report in [together, portfolio] {
            let rows = report.headroom.unwrap().rows;
            let widened = has(&report, "candidates are compared on all 10 instead");
            assert_eq!(widened, rows == 10, "{report}");
            assert_ne!(report.stopped, Stopped::NoHeadroom, "{report}");
        }
    }
    // All rows are right: no candidate can be better, and the report says what that is worth.
    let lm = Obedient::new();
    let run = together().build().unwrap().compile(knowing(&lm, &HINTS), rows(5));
    let report = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap_err();
    assert!(report.to_string().contains("cannot be divided"), "{report}");
    let run = together().build().unwrap().compile(knowing(&lm, &HINTS), Data::new(rows(5)).valset(rows(5)));
    let report = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap().report().clone();
    assert_eq!(report.stopped, Stopped::NoHeadroom, "{report}");
    assert!(has(&report, "whether it is right on others, so few do not tell"), "{report}");
    assert!(report.to_string().contains("which says little about others; add rows"), "{report}");
}

#[tokio::test]
async fn an_ensemble_takes_the_metric_of_its_members() {
    let metric = |row: &Row, output: &Values| {
        Score::new(f64::from(u8::from(right(row, output)))).with_feedback_for("self", "say the sound")
    };
    let inner = move |seed| Gepa::builder().metric(metric).max_rollouts(60).seed(seed).build().boxed();
    let optimizer = EnsembleOptimizer::builder(inner).metric(metric).build();
    let lm = Obedient::new();
    let run = optimizer.compile(Ensemble::new(vec![one_step(&lm); 2]), rows(10));
    let optimized = Settings::new().lm(Lm::shared(lm.clone())).scope(run).await.unwrap();
    assert_eq!(optimized.report().trials.len(), 2, "{}", optimized.report());
}

#[tokio::test]
async fn sets_without_demonstrations_are_not_tried() {
    let labels = |report: &Report| report.trials.iter().map(|trial| trial.label.clone()).collect::<Vec<_>>();
    let bare = BootstrapFewShotWithRandomSearch::builder().max_bootstrapped_demos(0);
    let lm = Obedient::new();
    let none = run(bare.clone().max_labeled_demos(0).metric(right).build(), &lm, rows(12)).await;
    assert_eq!(labels(&none), ["no demonstrations"], "{none}");
    let labelled = run(bare.num_candidate_programs(0).metric(right).build(), &lm, rows(12)).await;
    assert_eq!(labels(&labelled), ["no demonstrations", "labelled demonstrations"], "{labelled}");
    let rules = InferRules::builder().max_bootstrapped_demos(0).max_labeled_demos(0).metric(right).build();
    let rules = run(rules, &lm, rows(12)).await;
    assert!(!labels(&rules).contains(&"bootstrapped demonstrations".to_owned()), "{rules}");
}
