//! `Copro`: rounds of proposals, turns of predictors, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, first_block, lucky, one_step, pair, right, rows, writer};
use dspy_core::Seed;
use dspy_core::lm::{BoxFuture, Lm, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::{Proposer, TextRequest};
use dspy_optimizers::{Budget, Copro, Data, Limit, OptimizeError, Race, Report, Rows, Stopped};
use laws::{Run, with_run};

type Requests = Arc<Mutex<Vec<TextRequest>>>;

/// A proposer that adds one hint after the other to the best instruction, and keeps the requests.
fn hinting(requests: &Requests) -> impl dspy_optimizers::proposer::TextProposer + use<> {
    let requests = requests.clone();
    move |request: TextRequest| {
        let best = request.history.last().map_or(request.current.clone(), |best| best.text.clone());
        let missing = HINTS.iter().filter(|hint| !best.contains(**hint));
        let texts = missing.map(|hint| format!("{best} {hint}")).take(request.count).collect();
        requests.lock().unwrap().push(request);
        async move { Ok(texts) }
    }
}

#[tokio::test]
async fn it_makes_the_published_calls_and_climbs() {
    let (lm, requests) = (Obedient::new(), Requests::default());
    let copro = Copro::builder().metric(right).breadth(3).depth(2).published().proposer(hinting(&requests));
    let optimized = copro.build().compile(one_step(&lm), &rows(10)).await.unwrap();
    let report = optimized.report();
    // Published: breadth × depth programs on the whole set, the original among those of the first round.
    assert_eq!((lm.calls(), report.trials.len()), (3 * 2 * 10, 6));
    assert_eq!((report.baseline, report.score()), (Some(0.0), Some(0.4)));
    let requests = requests.lock().unwrap();
    let asked: Vec<_> = requests.iter().map(|request| (request.count, request.temperature)).collect();
    assert_eq!(asked, [(2, Some(1.4)), (3, Some(1.4))]);
    assert_eq!((requests[0].history.len(), requests[0].demos.len()), (0, 0));
    let scores: Vec<f64> = requests[1].history.iter().map(|text| text.score).collect();
    assert_eq!(scores, [0.0, 0.2, 0.2], "in ascending order");
    assert!(optimized.predictor().instruction().contains("cat=meow"), "{report}");
}

#[tokio::test]
async fn a_race_finds_the_same_with_fewer_calls() {
    let run = |published: bool| async move {
        let lm = Obedient::new();
        // One instruction of four is better than the best so far.
        let propose = move |request: TextRequest| async move {
            assert_eq!(request.demos.len(), if published { 0 } else { 10 });
            let best = request.history.last().map_or(request.current, |best| best.text.clone());
            let hint = HINTS.iter().find(|hint| !best.contains(**hint)).copied().unwrap_or_default();
            let useless = (1..request.count).map(|number| format!("Guess {number}, not like this: {hint}"));
            Ok(useless.map(|text| text.replace('=', " ")).chain([format!("{best} {hint}")]).collect())
        };
        let copro = Copro::builder().metric(right).breadth(4).depth(5).proposer(propose);
        let copro = if published { copro.published() } else { copro };
        let optimized = copro.build().compile(one_step(&lm), &rows(100)).await.unwrap();
        (optimized.report().score(), lm.calls())
    };
    let ((full, all), (raced, fewer)) = (run(true).await, run(false).await);
    assert_eq!((full, raced), (Some(1.0), Some(1.0)));
    assert!(fewer < all * 3 / 4, "{fewer} of {all}");
}

/// `a` is best while the right side is silent, `b` once it says `c`.
fn together(_: &Row, output: &Values) -> f64 {
    match (output["left"].as_str().unwrap(), output["right"].as_str().unwrap()) {
        ("a", "silence") => 0.6,
        ("b", "silence") => 0.4,
        ("a", "c") => 0.7,
        ("b", "c") => 0.9,
        _ => 0.5,
    }
}

#[tokio::test]
async fn an_instruction_is_compared_under_those_that_the_others_have_now() {
    let propose = async |request: TextRequest| {
        let left = request.component.predictor() == "left";
        Ok(if left { vec!["cow=a".to_owned(), "cow=b".to_owned()] } else { vec!["cow=c".to_owned()] })
    };
    for (depth, score) in [(1, 0.7), (2, 0.9)] {
        let mut program = pair();
        program.set_lm(Lm::shared(Obedient::new()));
        let copro = Copro::builder().metric(together).breadth(3).depth(depth).published().proposer(propose);
        let cows = vec![rows(1)[0].clone(); 4];
        let optimized = copro.build().compile(program, &cows).await.unwrap();
        let report = optimized.report();
        assert_eq!(report.score(), Some(score), "{report}");
        let best = report.ranking()[0].score;
        assert_eq!(best, report.score(), "the result is the best program that was scored");
    }
}

#[tokio::test]
async fn the_calls_of_several_predictors_are_those_of_the_formula() {
    let (lm, model) = (Obedient::new(), writer());
    let mut program = pair();
    program.set_lm(Lm::shared(lm.clone()));
    let (breadth, depth, predictors, rows_of_val) = (3, 2, 2, 4);
    let copro = Copro::builder().metric(together).breadth(breadth).depth(depth).published();
    let copro = copro.proposer(Proposer::new().with_lm(Lm::shared(model.clone())));
    let optimized = copro.build().compile(program, &rows(rows_of_val)).await.unwrap();
    assert_eq!(model.requests().len(), predictors * (breadth * depth - 1));
    // All score the same, so each program differs from the original in one instruction, and none runs twice.
    let programs = 1 + predictors * (breadth * depth - 1);
    assert_eq!((optimized.report().trials.len(), optimized.report().best), (programs, 0));
    assert_eq!(lm.calls(), 2 * programs * rows_of_val);
    assert!(programs <= 1 + predictors * breadth * depth * (depth + 1) / 2);
}

#[tokio::test]
async fn a_race_that_the_budget_ends_replaces_no_instruction_that_is_not_beaten() {
    let all = async |_: TextRequest| Ok(vec![HINTS.join(" ")]);
    let first = first_block(60).await;
    for calls in [90, 1_000] {
        let copro =
            Copro::builder().metric(lucky(first.clone(), [1.0, 0.1], 0.0)).breadth(2).depth(1).proposer(all);
        let copro = copro.budget(Budget::calls(calls)).build();
        let optimized = copro.compile(one_step(&Obedient::new()), &rows(60)).await.unwrap();
        let report = optimized.report();
        // On the first 20 rows, the new instruction has 0.55, on all rows less than 0.5.
        assert_eq!((report.best, report.score()), (0, Some(0.5)), "{report}");
        if calls == 90 {
            assert_eq!(report.stopped, Stopped::Budget(Limit::Calls));
            assert_eq!((report.trials[1].score, report.trials[1].items.len()), (None, 20), "{report}");
            assert_eq!(report.trials[1].notes, ["55.0 % on 20 of 60 rows"], "{report}");
        } else {
            assert!(report.trials[1].score < Some(0.5), "{report}");
        }
    }
}

#[tokio::test]
async fn a_program_with_a_higher_score_on_all_rows_is_not_lost_in_a_race() {
    let all = async |_: TextRequest| Ok(vec![HINTS.join(" ")]);
    let copro = Copro::builder().metric(lucky(first_block(60).await, [1.0, 1.0], 0.2)).breadth(2).depth(1);
    let copro = copro.proposer(all).build();
    let optimized = copro.compile(one_step(&Obedient::new()), &rows(60)).await.unwrap();
    let report = optimized.report();
    // The original program is dropped after the first 20 rows.
    assert!(report.trials[1].score.is_some_and(|score| (0.46..0.47).contains(&score)), "{report}");
    assert_eq!((report.best, report.score()), (0, Some(0.5)), "{report}");
}

#[tokio::test]
async fn a_race_that_does_not_go_to_the_end_has_no_scores() {
    let all = async |_: TextRequest| Ok(vec![HINTS.join(" ")]);
    let copro = Copro::builder().metric(right).breadth(2).depth(1).proposer(all);
    let copro = copro.race(Race::new().to_the_end(false)).build();
    let optimized = copro.compile(one_step(&Obedient::new()), &rows(60)).await.unwrap();
    let report = optimized.report();
    assert_eq!((report.best, report.baseline, report.score()), (1, Some(0.0), None), "{report}");
    assert_eq!(report.trials[1].notes, ["100.0 % on 20 of 60 rows"], "{report}");
    let warning = report.warnings.iter().find(|warning| warning.starts_with("the result rests on")).unwrap();
    assert!(warning.contains("`Race::to_the_end`") && !warning.contains("budget"), "{warning}");
}

/// Proposes these texts for each predictor, one in each round, and keeps the requests.
fn in_rounds(
    requests: &Requests,
    texts: &'static [(&'static str, &'static [&'static str])],
) -> impl dspy_optimizers::proposer::TextProposer + use<> {
    let requests = requests.clone();
    move |request: TextRequest| {
        let path = request.component.predictor().to_owned();
        let mut requests = requests.lock().unwrap();
        let round = requests.iter().filter(|known| known.component.predictor() == path).count();
        let (_, texts) = texts.iter().find(|(known, _)| *known == path).unwrap();
        requests.push(request);
        let text = texts[round].to_owned();
        async move { Ok(vec![text]) }
    }
}

/// The scores that the last request for a predictor shows, each with the beginning of its instruction.
fn last_shown(requests: &Requests, path: &str) -> Vec<(String, f64)> {
    let requests = requests.lock().unwrap();
    let last = requests.iter().rfind(|request| request.component.predictor() == path).unwrap();
    let shown = |text: &dspy_optimizers::proposer::ScoredText| {
        (text.text.chars().take(5).collect(), (text.score * 1_000.0).round() / 1_000.0)
    };
    last.history.iter().map(shown).collect()
}

/// The instruction with all sounds, twice.
const LUCKY: &[&str] =
    &["cow=moo cat=meow dog=woof duck=quack owl=hoot", "cow=moo cat=meow dog=woof duck=quack owl=hoot"];
/// An instruction, a better one, and one that says nothing.
const DROPPED: &[&str] =
    &["cow=a cat=a dog=a duck=a owl=a", "dog=b cat=b cow=b duck=b owl=b", "Guess the sound."];

#[tokio::test]
async fn the_proposer_sees_the_score_of_an_instruction_that_was_dropped_by_luck() {
    let requests = Requests::default();
    let metric = lucky(first_block(60).await, [1.0, 1.0], 0.2);
    let copro = Copro::builder().metric(metric).breadth(2).depth(2);
    let copro = copro.proposer(in_rounds(&requests, &[("self", LUCKY)])).build();
    let optimized = copro.compile(one_step(&Obedient::new()), &rows(60)).await.unwrap();
    let shown: Vec<f64> = last_shown(&requests, "self").into_iter().map(|(_, score)| score).collect();
    assert_eq!(shown, [0.467, 0.5], "{}", optimized.report());
}

#[tokio::test]
async fn the_proposer_sees_the_score_on_all_rows_if_it_is_known() {
    let (data, requests) = (rows(60), Requests::default());
    let rows_of_val = Rows::new("valset", &data).unwrap();
    let (schedule, _) = Race::new().schedule(&rows_of_val, Seed::new(0));
    let late: Vec<_> = schedule.iter().skip(40).map(|row| row.values["question"].clone()).collect();
    // `a` has run on all rows in the first round, and is dropped by `b` in the second.
    let metric = move |row: &Row, output: &Values| match output["answer"].as_str().unwrap() {
        "a" if late.contains(&row.0["question"]) => 0.2,
        "b" => 0.9,
        _ => 0.5,
    };
    let texts: &[(&str, &[&str])] = &[("self", DROPPED)];
    let copro = Copro::builder().metric(metric).breadth(3).depth(3).proposer(in_rounds(&requests, texts));
    let optimized = copro.build().compile(one_step(&Obedient::new()), &data).await.unwrap();
    let shown = last_shown(&requests, "self");
    let scores: Vec<f64> = shown.iter().map(|(_, score)| *score).collect();
    assert_eq!((scores, &*shown[0].0), (vec![0.4, 0.5, 0.9], "cow=a"), "{}", optimized.report());
}

#[tokio::test]
async fn scores_are_adapted_to_the_present_instructions_of_the_others() {
    let requests = Requests::default();
    // `a` is dropped in its first race, then the right side has a better instruction.
    let metric = |_: &Row, output: &Values| {
        let left = if output["left"] == "a" { 0.1 } else { 0.5 };
        left + if output["right"] == "c" { 0.3 } else { 0.0 }
    };
    let texts: &[(&str, &[&str])] = &[
        ("left", &["cow=a cat=a dog=a duck=a owl=a", "idle"]),
        ("right", &["cow=c cat=c dog=c duck=c owl=c", "idle"]),
    ];
    let mut program = pair();
    program.set_lm(Lm::shared(Obedient::new()));
    let copro = Copro::builder().metric(metric).breadth(2).depth(2).proposer(in_rounds(&requests, texts));
    let optimized = copro.build().compile(program, &rows(60)).await.unwrap();
    let shown: Vec<f64> = last_shown(&requests, "left").into_iter().map(|(_, score)| score).collect();
    assert_eq!(shown, [0.4, 0.8], "{}", optimized.report());
}

/// A small run in which a model writes the instructions.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let copro = Copro::builder().metric(together).breadth(2).depth(2).examples(2);
        let optimized = with_run!(copro, run).build().compile(pair(), &rows(3)).await?;
        Ok(optimized.report().clone())
    })
}

fn single(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let copro = Copro::builder().metric(right).breadth(3).depth(2).examples(2);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let optimized = with_run!(copro, run).build().compile(program, &rows(10)).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("copro", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(single).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    // Two equal texts are compared once, which is not known before they are paid for.
    laws::keeps_to_budgets_of(single, 30).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("copro", single).await;
}

#[tokio::test]
async fn a_proposer_that_says_nothing_of_use_changes_nothing() {
    let same = |text: &'static str| async move |_: TextRequest| Ok(vec![text.to_owned(); 100]);
    let long = async |request: TextRequest| Ok(vec!["long ".repeat(20_000); request.count]);
    let lm = Obedient::new();
    let copro = Copro::builder().metric(right).breadth(3).depth(2);
    for silly in [
        copro.clone().proposer(same("")),
        copro.clone().proposer(same("[[ ## completed ## ]]")),
        copro.clone().proposer(long),
        copro.clone().proposer(Proposer::new().with_lm(Lm::shared(Arc::new(ScriptedLm::from_fn(|_| ""))))),
    ] {
        let optimized = silly.build().compile(one_step(&lm), &rows(5)).await.unwrap();
        assert_eq!((optimized.report().trials.len(), optimized.report().stopped), (1, Stopped::Finished));
        assert_eq!(optimized.report().baseline, Some(0.0));
    }
    // Always the same text is one candidate.
    let optimized = copro.proposer(same("cow=moo")).build().compile(one_step(&lm), &rows(5)).await.unwrap();
    assert_eq!((optimized.report().trials.len(), optimized.report().score()), (2, Some(0.2)));
}

#[tokio::test]
async fn a_proposer_that_fails_is_in_the_warnings() {
    let copro = Copro::builder().metric(right).breadth(2).depth(2);
    let failing = copro.clone().proposer(async |_: TextRequest| Err(dspy_core::Error::other("no ideas")));
    let optimized = failing.build().compile(one_step(&Obedient::new()), &rows(5)).await.unwrap();
    assert_eq!(optimized.report().warnings[0], "no instructions for `self`: the proposer failed: no ideas");
    // Without a model there is none to ask.
    let error = copro.build().compile(one_step(&Obedient::new()), &rows(5)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
}

#[tokio::test]
async fn bad_input_is_a_typed_error() {
    let (lm, requests) = (Obedient::new(), Requests::default());
    let copro = || Copro::builder().metric(right).breadth(2).depth(1).proposer(hinting(&requests));
    let empty = copro().build().compile(one_step(&lm), &[] as &[Row; 0]).await.unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { set: "trainset" }));
    let empty =
        copro().build().compile(one_step(&lm), Data::new(rows(3)).valset(Vec::new())).await.unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { set: "valset" }));
    for temperature in [f64::NAN, -1.0] {
        let error =
            copro().temperature(temperature).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Option { option: "temperature", .. }), "{error}");
    }
    let none = copro().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    let failing = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let copro = Copro::builder().metric(failing).breadth(2).proposer(hinting(&requests)).build();
    let error = copro.compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
    // A constant metric, or one that is NaN, keeps the program.
    for constant in [0.0, 1.0, f64::NAN] {
        let copro =
            Copro::builder().metric(move |_: &Row, _: &Values| constant).breadth(3).depth(1).max_errors(100);
        let result = copro.proposer(hinting(&requests)).build().compile(one_step(&lm), &rows(1)).await;
        match result {
            Ok(optimized) => assert!(!optimized.predictor().instruction().contains('='), "{constant}"),
            Err(error) => {
                assert!(constant.is_nan() && matches!(error, OptimizeError::Metric { .. }), "{error}");
            }
        }
    }
    let tiny = copro_of_one(&lm, &requests).await;
    assert_eq!(tiny.stopped, Stopped::Finished);
}

async fn copro_of_one(lm: &Arc<Obedient>, requests: &Requests) -> Report {
    let copro =
        Copro::builder().metric(right).proposer(hinting(requests)).budget(Budget::calls(1_000)).build();
    copro.compile(one_step(lm), &rows(1)).await.unwrap().report().clone()
}

#[tokio::test]
async fn blank_and_unchanged_instructions_are_counted_and_cost_no_run() {
    let lm = Obedient::new();
    let useless = async |request: TextRequest| {
        let current = format!("  {} \n", request.current);
        Ok(vec![String::new(), "  \n".to_owned(), current, "\"\"".to_owned()])
    };
    let copro = Copro::builder().metric(right).breadth(5).depth(2).proposer(useless).build();
    let optimized = copro.compile(one_step(&lm), &rows(10)).await.unwrap();
    let report = optimized.report();
    assert_eq!((lm.calls(), report.trials.len(), report.best), (10, 1, 0), "{report}");
    let warning =
        "the proposer has returned 6 blank texts, 2 unchanged texts for `self`; none of them was scored";
    assert_eq!(report.warnings[0], warning);
}

#[tokio::test]
async fn instructions_that_the_budget_cannot_compare_are_a_warning() {
    let (lm, requests) = (Obedient::new(), Requests::default());
    let optimizer =
        Copro::builder().metric(right).proposer(hinting(&requests)).budget(Budget::calls(30)).build();
    let optimized = optimizer.compile(one_step(&lm), Data::new(rows(20)).valset(rows(20))).await.unwrap();
    let said =
        optimized.report().warnings.iter().any(|warning| warning.contains("could be compared, which needs"));
    assert!(said && requests.lock().unwrap().is_empty(), "{}", optimized.report());
}

#[tokio::test]
async fn nothing_that_a_proposer_writes_is_obeyed_by_a_terminal() {
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{0}\u{9b}2J\u{202e}drah\u{2069}";
    let propose = move |request: TextRequest| async move {
        Ok((0..request.count).map(|at| format!("{hostile} {} {at}", HINTS.join(" "))).collect())
    };
    let lm = Obedient::new();
    let copro = Copro::builder().metric(right).breadth(3).depth(1).proposer(propose).build();
    let optimized = copro.compile(one_step(&lm), &rows(10)).await.unwrap();
    let report = optimized.report();
    assert_eq!(report.score(), Some(1.0), "{report}");
    let instruction = optimized.predictor().instruction().to_string();
    assert!(instruction.starts_with(hostile), "the program has the text as it was written");
    let changes = report.changes();
    for shown in [report.to_string(), changes.to_string(), format!("{}", report.trials[1])] {
        let obeyed =
            |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2069}');
        assert!(!shown.chars().any(obeyed), "{shown:?}");
    }
    assert!(changes.to_string().contains("␛]0;owned␇␛[31m␀�2J[U+202E]drah[U+2069]"), "{changes}");
}
