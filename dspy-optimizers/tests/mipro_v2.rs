//! `MiproV2`: published numbers, grounding, the choice of the best, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Parrot, Row, one_step, pair, right, rows, writer};
use dspy_core::lm::{BoxFuture, Lm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::{Grounding, GroundingRequest, Proposer, TextProposer, TextRequest};
use dspy_optimizers::{Auto, Budget, Data, MiproV2, OptimizeError, Report, Stopped, Trial};
use laws::{Run, with_run};

/// A proposer that keeps what it was asked, and writes a text of its own for each request.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<(Vec<TextRequest>, Vec<GroundingRequest>)>>);

impl TextProposer for Asked {
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        let text = format!("Answer, as in {}.", request.sample);
        self.0.lock().unwrap().0.push(request);
        Box::pin(async move { Ok(vec![text]) })
    }

    fn ground(&self, request: GroundingRequest) -> BoxFuture<'_, dspy_core::Result<Grounding>> {
        let mut grounding = Grounding::default();
        grounding.dataset = Some(format!("{} rows", request.examples.len()));
        self.0.lock().unwrap().1.push(request);
        Box::pin(async move { Ok(grounding) })
    }
}

/// Some of the hints, other ones for each request.
async fn hints(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    let chosen = HINTS.iter().enumerate().filter(|(bit, _)| request.sample >> bit & 1 == 1);
    Ok(vec![chosen.map(|(_, hint)| *hint).chain(["Answer."]).collect::<Vec<_>>().join(" ")])
}

fn always(_: &Row, _: &Values) -> bool {
    true
}

/// Half of the score for each side that knows the sound.
fn sides(row: &Row, output: &Values) -> f64 {
    ["left", "right"].iter().filter(|side| output[**side] == row.0["answer"]).count() as f64 / 2.0
}

/// The trials on minibatches, and those on the whole valset.
fn parts(report: &Report) -> (Vec<&Trial>, Vec<&Trial>) {
    report.trials.iter().partition(|trial| trial.score.is_none())
}

#[tokio::test]
async fn a_light_run_has_the_published_trials() {
    let lm = Obedient::new();
    let mipro = MiproV2::builder().metric(right).proposer(hints).build();
    let optimized = mipro.compile(one_step(&lm), &rows(100)).await.unwrap();
    let report = optimized.report();
    let (sampled, full) = parts(report);
    // 10 trials, 13 with the full evaluations, as published for one predictor.
    assert_eq!((sampled.len(), full.len()), (10, 3), "{report}");
    assert!(sampled.iter().all(|trial| trial.items.len() == 35));
    for trial in &full {
        let rows: BTreeSet<usize> = trial.items.iter().map(|item| item.index).collect();
        assert_eq!(rows, (20..100).collect(), "the last 80 % of the trainset");
    }
    let labels: Vec<&str> = full.iter().map(|trial| &*trial.label).collect();
    assert_eq!(
        labels,
        ["original program", "full evaluation after trial 5", "full evaluation after trial 10"]
    );
    assert!(report.score() > report.baseline, "{report}");
    assert_eq!(report.score(), report.ranking()[0].score);
    // The bootstraps try the 20 rows of the trainset and never succeed without a hint.
    assert!(lm.calls() <= 4 * 20 + 3 * 80 + 10 * 35, "{}", lm.calls());
}

/// The runs of programs on rows in a report, without repeated ones.
fn runs(report: &Report) -> usize {
    let runs = report.trials.iter().flat_map(|trial| {
        let program = format!("{:?}", trial.parameters);
        trial.items.iter().map(move |item| (program.clone(), item.index))
    });
    runs.collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn the_calls_are_those_of_the_formulas() {
    let (lm, model) = (Obedient::new(), writer());
    let mut program = pair();
    program.set_lm(Lm::shared(lm.clone()));
    let mipro = MiproV2::builder()
        .metric(always)
        .best_score(None)
        .proposer(Proposer::new().with_lm(Lm::shared(model.clone())));
    let data = || Data::new(rows(120)).valset(rows(60));
    let optimized = mipro.clone().build().compile(program.clone(), data()).await.unwrap();
    // Ten batches of rows, their summary, the program and two predictors; two instructions for each predictor.
    let report = optimized.report();
    assert_eq!(model.requests().len(), 12 + 2 + 2 * 2, "{report}");
    let (sampled, full) = parts(report);
    assert_eq!((sampled.len(), full.len()), (20, 5), "25 for two predictors, as published: {report}");
    // One set has 4 demonstrations, and each of three others 1 to 4. There are two calls in a run.
    let bootstraps = lm.calls() / 2 - runs(report);
    assert!((7..=16).contains(&bootstraps), "{bootstraps}");
    assert!(runs(report) <= 60 + 20 * 35 + 4 * 60, "{report}");

    // With less grounding, fewer calls; without a search over demonstrations, as many instructions as candidates.
    let zero = mipro.instructions_only().data_summary(false).shown_demos(false).no_minibatch();
    let (before, asked) = (lm.calls(), model.requests().len());
    let optimized = zero.build().compile(program, data()).await.unwrap();
    assert_eq!(model.requests().len() - asked, 1 + 2 + 2 * 5);
    let report = optimized.report();
    assert_eq!(report.trials.len(), 1 + 10, "{report}");
    assert_eq!((lm.calls() - before, runs(report)), (2 * 11 * 60, 11 * 60));
}

#[tokio::test]
async fn the_combination_with_the_highest_mean_gets_the_full_evaluation() {
    let lm = Obedient::new();
    let mipro = MiproV2::builder().metric(right).instructions_only().shown_demos(false).proposer(hints);
    let mipro = mipro.num_candidates(12).num_trials(8).minibatch(10).full_eval_steps(4).build();
    let data = Data::new(rows(10)).valset(rows(40));
    let optimized = mipro.compile(one_step(&lm), data).await.unwrap();
    let trials = &optimized.report().trials;
    let at: Vec<usize> = (0..trials.len()).filter(|at| trials[*at].score.is_some()).collect();
    assert_eq!(at, [0, 5, 10], "{}", optimized.report());
    // Obedience is the same on every row of an animal, so the mean orders the candidates.
    let mean = |trial: &Trial| {
        trial.items.iter().filter_map(|item| item.score).sum::<f64>() / trial.items.len() as f64
    };
    let best = trials[1..5].iter().map(mean).fold(0.0, f64::max);
    let promoted = trials[1..5].iter().find(|trial| trial.parameters == trials[5].parameters).unwrap();
    assert!((mean(promoted) - best).abs() < 1e-9);
    assert_eq!(optimized.report().score(), optimized.report().ranking()[0].score);
    assert_eq!(
        lm.calls(),
        40 + trials[1..].iter().map(|trial| trial.items.len()).sum::<usize>() - {
            // Rows of a combination that it has run on before are not run again.
            let mut seen = BTreeSet::new();
            let mut repeated = 0;
            for trial in trials {
                let instruction = format!("{:?}", trial.parameters);
                repeated +=
                    trial.items.iter().filter(|item| !seen.insert((instruction.clone(), item.index))).count();
            }
            repeated
        }
    );
}

#[tokio::test]
async fn the_proposer_sees_what_is_switched_on() {
    let mut program = pair();
    program.set_lm(Lm::shared(Obedient::new()));
    let asked = Asked::default();
    let mipro = MiproV2::builder()
        .metric(always)
        .best_score(None)
        .num_candidates(8)
        .num_trials(0)
        .proposer(asked.clone());
    // All scores are perfect.
    let mipro = mipro.best_score(None);
    let data = || Data::new(rows(30)).valset(rows(10));
    let optimized =
        mipro.clone().source_code("fn main").build().compile(program.clone(), data()).await.unwrap();
    assert_eq!(optimized.report().trials.len(), 1);
    {
        let asked = asked.0.lock().unwrap();
        let [grounding] = &asked.1[..] else { unreachable!("one request") };
        assert_eq!((grounding.examples.len(), grounding.modules.len()), (30, 2));
        assert!(grounding.program.is_some() && grounding.source.as_deref() == Some("fn main"));
        // The first instruction of each predictor is its own.
        assert_eq!(asked.0.len(), 2 * 7);
        let tips: BTreeSet<_> = asked.0.iter().map(|request| &request.tip).collect();
        assert!(tips.len() > 3, "{tips:?}");
        for request in &asked.0 {
            assert_eq!(request.grounding.dataset.as_deref(), Some("30 rows"));
            assert_eq!((request.demos.len(), request.temperature, request.count), (3, Some(1.0), 1));
        }
        let samples: BTreeSet<u64> = asked.0.iter().map(|request| request.sample).collect();
        assert_eq!(samples.len(), 14);
    }
    *asked.0.lock().unwrap() = Default::default();
    let bare = mipro.data_summary(false).program_summary(false).shown_demos(false).tips(false);
    bare.build().compile(program, data()).await.unwrap();
    let asked = asked.0.lock().unwrap();
    assert!(asked.1.is_empty());
    for request in &asked.0 {
        assert_eq!(request.grounding, Grounding::default());
        assert!(request.demos.is_empty() && request.tip.is_none());
    }
}

#[tokio::test]
async fn demonstrations_alone_are_searched() {
    let lm = Parrot::new();
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()));
    let asked = Asked::default();
    let mipro = MiproV2::builder().metric(right).demos_only().proposer(asked.clone());
    let instruction = program.predictor().instruction().to_owned();
    let optimized = mipro.build().compile(program, &rows(60)).await.unwrap();
    assert!(asked.0.lock().unwrap().0.is_empty());
    let report = optimized.report();
    assert!(report.score() > report.baseline, "{report}");
    assert_eq!(optimized.predictor().instruction(), instruction);
    // The demonstrations are of the first fifth.
    for demo in optimized.predictor().demos() {
        let question = demo.values["question"].as_str().unwrap();
        let number: usize = question.split(' ').nth(4).unwrap().parse().unwrap();
        assert!(number < 12, "{question}");
    }
}

#[tokio::test]
async fn instructions_alone_keep_the_demonstrations() {
    let lm = Obedient::new();
    let program = one_step(&lm);
    let mipro = MiproV2::builder().metric(right).instructions_only().num_candidates(6).num_trials(20);
    let mipro = mipro.proposer(hints).no_minibatch().build();
    let optimized = mipro.compile(program, Data::new(rows(6)).valset(rows(20))).await.unwrap();
    let report = optimized.report();
    // There are no more than six combinations.
    assert!(report.trials.len() <= 6 && report.stopped == Stopped::Finished, "{report}");
    assert!(report.trials.iter().all(|trial| trial.items.len() == 20));
    assert!(optimized.predictor().demos().is_empty());
    assert!(report.score() > report.baseline);
}

/// A small run in which a model writes the instructions.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let mipro = MiproV2::builder().metric(sides).num_candidates(3).num_trials(3).minibatch(2);
        let mipro = mipro.full_eval_steps(2).max_bootstrapped_demos(1).max_labeled_demos(1);
        let data = Data::new(rows(2)).valset(rows(3));
        let optimized = with_run!(mipro, run).build().compile(pair(), data).await?;
        Ok(optimized.report().clone())
    })
}

fn single(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let mipro = MiproV2::builder().metric(right).num_candidates(5).num_trials(8).minibatch(4);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let data = Data::new(rows(6)).valset(rows(10));
        let optimized = with_run!(mipro, run).build().compile(program, data).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("mipro-v2", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(single).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    laws::keeps_to_budgets_of(single, 120).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("mipro-v2", single).await;
}

#[tokio::test]
async fn bad_input_changes_nothing_or_is_a_typed_error() {
    let lm = Obedient::new();
    let mipro = || MiproV2::builder().metric(right).instructions_only().shown_demos(false);
    let failing = mipro().proposer(async |_: TextRequest| Err(dspy_core::Error::other("no ideas")));
    let optimized = failing.build().compile(one_step(&lm), &rows(5)).await.unwrap();
    let warnings = &optimized.report().warnings;
    assert!(
        warnings.contains(&"no instruction for `self`: the proposer failed: no ideas".into()),
        "{warnings:?}"
    );
    for text in ["", "[[ ## completed ## ]]", &"long ".repeat(20_000)] {
        let text = text.to_owned();
        let silly = mipro().proposer(move |_: TextRequest| std::future::ready(Ok(vec![text.clone()])));
        let optimized = silly.build().compile(one_step(&lm), &rows(5)).await.unwrap();
        assert_eq!((optimized.report().trials.len(), optimized.report().stopped), (1, Stopped::Finished));
    }
    // The same instruction again is one candidate.
    let same = mipro().proposer(async |_: TextRequest| Ok(vec!["cow=moo".to_owned()]));
    let optimized = same.build().compile(one_step(&lm), Data::new(rows(5)).valset(rows(5))).await.unwrap();
    assert_eq!((optimized.report().trials.len(), optimized.report().score()), (2, Some(0.2)));

    let option = |error: OptimizeError| match error {
        OptimizeError::Option { option, .. } => option,
        error => unreachable!("{error}"),
    };
    let calls = lm.calls();
    let error =
        mipro().num_candidates(usize::MAX).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert_eq!(option(error), "num_candidates");
    let data = Data::new(rows(10)).teacher(DynPredict::new("question -> other".parse().unwrap()));
    let error = MiproV2::builder().metric(right).build().compile(one_step(&lm), data).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Teacher(_)), "{error}");
    let error = mipro().minibatch(9).build().compile(one_step(&lm), &rows(10)).await.unwrap_err();
    assert_eq!(option(error), "minibatch");
    let error = mipro().temperature(f64::NAN).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert_eq!(option(error), "temperature");
    let nothing =
        MiproV2::builder().metric(right).demos_only().max_bootstrapped_demos(0).max_labeled_demos(0);
    let error = nothing.build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert_eq!(option(error), "max_bootstrapped_demos");
    let error = mipro().build().compile(one_step(&lm), &rows(1)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Split { set: "trainset", rows: 1, .. }), "{error}");
    let error = mipro().build().compile(one_step(&lm), &[] as &[Row; 0]).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Empty { set: "trainset" }));
    let error = mipro().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::NoPredictors));
    assert_eq!(lm.calls(), calls, "nothing was paid");
    let metric = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error = MiproV2::builder().metric(metric).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
}

#[tokio::test]
async fn a_constant_metric_keeps_the_program_and_auto_limits_the_valset() {
    let lm = Obedient::new();
    let mipro = MiproV2::builder().metric(always).best_score(None).auto(Auto::Light).proposer(hints).build();
    let optimized = mipro.compile(one_step(&lm), Data::new(rows(10)).valset(rows(150))).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.best, report.trials[0].items.len()), (0, 100), "{report}");
}

/// A proposer that can describe a part of what it is asked for.
struct Half;

impl TextProposer for Half {
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        assert!(request.grounding.problems.is_empty());
        Box::pin(async move { Ok(request.grounding.dataset.into_iter().collect()) })
    }

    fn ground(&self, _request: GroundingRequest) -> BoxFuture<'_, dspy_core::Result<Grounding>> {
        let mut grounding = Grounding::default();
        grounding.dataset = Some("cow=moo".into());
        grounding.problems = vec!["no description of the program".into()];
        Box::pin(async move { Ok(grounding) })
    }
}

#[tokio::test]
async fn missing_parts_of_the_grounding_are_in_the_warnings() {
    let mipro = MiproV2::builder().metric(right).instructions_only().shown_demos(false).proposer(Half);
    let data = Data::new(rows(5)).valset(rows(5));
    let optimized = mipro.build().compile(one_step(&Obedient::new()), data).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.warnings[0].as_str(), report.score()), ("no description of the program", Some(0.2)));
    // The other one is about the few rows.
    assert!(report.warnings.len() == 2 && report.warnings[1].contains("told from luck"), "{report}");
}

#[tokio::test]
async fn labelled_demonstrations_alone_are_searched() {
    // Without bootstrapped ones, every set is a sample of labelled rows.
    let lm = Parrot::new();
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()));
    let mipro = MiproV2::builder().metric(right).demos_only().max_bootstrapped_demos(0).max_labeled_demos(3);
    let data = Data::new(rows(20)).valset(rows(10));
    let optimized = mipro.num_trials(12).build().compile(program, data).await.unwrap();
    let report = optimized.report();
    assert_eq!(lm.calls(), runs(report), "no row is bootstrapped");
    assert!(report.score() > report.baseline && report.trials.len() > 3, "{report}");
    assert!(report.trials[1..].iter().all(|trial| trial.parameters["self"].demos.len() == 3), "{report}");
}

#[tokio::test]
async fn a_metric_that_fails_on_a_whole_minibatch_is_no_error() {
    let metric = |row: &Row, output: &Values| match row.0["answer"].as_str() {
        Some("woof") => Err("cannot judge dogs"),
        _ => Ok(right(row, output)),
    };
    let mipro = MiproV2::builder().metric(metric).instructions_only().shown_demos(false).proposer(hints);
    let mipro = mipro.num_candidates(12).num_trials(30).minibatch(1).max_errors(1_000).build();
    let data = Data::new(rows(5)).valset(rows(10));
    let optimized = mipro.compile(one_step(&Obedient::new()), data).await.unwrap();
    let report = optimized.report();
    let note = "no score on a minibatch of 1 row";
    let unscored = |trial: &&Trial| trial.notes.iter().any(|known| known == note);
    assert!(report.trials.iter().any(|trial| unscored(&trial)), "{report}");
    assert!(report.score() > report.baseline, "{report}");
}

#[tokio::test]
async fn sets_are_bootstrapped_if_the_budget_pays_for_a_usual_bootstrap() {
    let (lm, asked) = (Parrot::new(), Asked::default());
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()));
    let mipro = MiproV2::builder().metric(right).proposer(asked.clone()).budget(Budget::calls(400)).build();
    // A bootstrap that tries every row exceeds the budget; this one needs a few.
    let optimized = mipro.compile(program, Data::new(rows(1_000)).valset(rows(60))).await.unwrap();
    let report = optimized.report();
    assert!(!report.decisions.iter().any(|decision| decision.contains("sets of demonstrations")), "{report}");
    assert!(asked.0.lock().unwrap().0.iter().all(|request| request.demos.len() == 3), "{report}");
    assert!(report.score() > report.baseline && lm.calls() <= 400, "{report}");
}

#[tokio::test]
async fn a_teacher_that_never_succeeds_leaves_budget_for_trials() {
    let lm = Obedient::new();
    let mipro = MiproV2::builder().metric(right).proposer(hints).budget(Budget::calls(500)).build();
    let data = Data::new(rows(1_000)).valset(rows(60));
    let optimized = mipro.compile(one_step(&lm), data).await.unwrap();
    let report = optimized.report();
    assert!(report.trials.len() > 2 && lm.calls() <= 500, "{report}");
}

#[tokio::test]
async fn the_rest_of_a_budget_is_not_spent_on_a_part_of_a_full_evaluation() {
    for limit in 60..140 {
        let lm = Obedient::new();
        let mipro = MiproV2::builder().metric(right).instructions_only().shown_demos(false).proposer(hints);
        let mipro = mipro.num_candidates(12).num_trials(8).minibatch(10).full_eval_steps(4);
        let data = Data::new(rows(10)).valset(rows(40));
        let optimized =
            mipro.budget(Budget::calls(limit)).build().compile(one_step(&lm), data).await.unwrap();
        assert_eq!(lm.calls(), runs(optimized.report()), "{limit}: {}", optimized.report());
    }
}
