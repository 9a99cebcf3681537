//! `Capo`: population, crossover, mutation, shots, races with a length penalty, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::sync::{Arc, Mutex};

use common::{Obedient, Parrot, Row, TwoSteps, one_step, right, rows};
use dspy_core::lm::{BoxFuture, Lm, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::TextRequest;
use dspy_optimizers::{Budget, Capo, Data, OptimizeError, Report, Stopped, StudyEvent};
use laws::{Run, with_run};

/// A model that joins the two instructions that it is to merge, and repeats the one that it is to vary.
fn joiner() -> (Arc<ScriptedLm>, Lm) {
    let script = Arc::new(ScriptedLm::from_fn(|request| {
        let asked = request.messages.last().unwrap().text().into_owned();
        let part = |name: &str| {
            let rest = asked.split(&format!("[[ ## {name} ## ]]\n")).nth(1)?;
            Some(rest.split("\n\n").next()?.trim().to_owned())
        };
        match (part("first_instruction"), part("second_instruction"), part("instruction_to_vary")) {
            (Some(first), Some(second), _) => format!("[[ ## merged_instruction ## ]]\n{first} {second}"),
            (_, _, Some(same)) => format!("[[ ## paraphrase ## ]]\n{same}"),
            _ => "nothing".to_owned(),
        }
    }));
    (script.clone(), Lm::shared(script))
}

/// The initial instructions know one animal each.
async fn one_hint_each(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    Ok(common::HINTS.iter().map(|hint| (*hint).to_owned()).take(request.count).collect())
}

#[tokio::test]
async fn merged_instructions_know_more_and_win() {
    let (lm, (script, prompt_lm)) = (Obedient::new(), joiner());
    let capo = Capo::builder()
        .metric(right)
        .population(6)
        .steps(6)
        .max_shots(0)
        .prompt_lm(prompt_lm)
        .proposer(one_hint_each)
        .build();
    let optimized = capo.compile(one_step(&lm), Data::new(rows(5)).valset(rows(50))).await.unwrap();
    let report = optimized.report();
    assert_eq!(report.baseline, Some(0.0));
    assert!(report.score().unwrap() >= 0.6, "{report}");
    // For each child at most one call to merge and one to vary.
    let calls = script.requests().len();
    assert!(calls <= 2 * 4 * 6 && calls > 4 * 6, "{calls}");
    let rollouts = lm.calls();
    assert!(rollouts <= 50 * (6 + 4 * 6 + 1), "{rollouts}");
    assert_eq!(report.usage.requests as usize, calls + rollouts);
    assert!(optimized.predictor().demos().is_empty());
}

#[tokio::test]
async fn shots_are_right_runs_or_labels_and_go_to_all_predictors() {
    let (lm, (_, prompt_lm)) = (Parrot::new(), joiner());
    let capo = Capo::builder().metric(right).population(8).steps(2).max_shots(3).prompt_lm(prompt_lm);
    let capo = capo.proposer(async |_: TextRequest| Ok(Vec::new())).length_penalty(0.0).build();
    let data = Data::new(rows(20)).valset(rows(10));
    let optimized = capo.compile(TwoSteps::new(&lm), data).await.unwrap();
    let report = optimized.report();
    // A parrot without demonstrations is never right, so the shots are labels, which the first step has none of.
    for trial in &report.trials {
        let (note, answer) = (&trial.parameters["note"].demos, &trial.parameters["answer"].demos);
        assert!(note.is_empty() && answer.len() <= 3 && answer.iter().all(|demo| !demo.augmented), "{trial}");
    }
    assert!(report.score() > report.baseline, "{report}");

    // With a metric that every answer satisfies, they are the runs of both steps.
    let (_, prompt_lm) = joiner();
    let capo = Capo::builder()
        .metric(|_: &Row, _: &Values| 1.0)
        .best_score(None)
        .population(4)
        .steps(1)
        .prompt_lm(prompt_lm);
    let capo = capo.proposer(async |_: TextRequest| Ok(Vec::new())).build();
    let optimized = capo.compile(TwoSteps::new(&lm), &rows(30)).await.unwrap();
    let trials = &optimized.report().trials;
    assert!(trials.iter().any(|trial| !trial.parameters["note"].demos.is_empty()));
    for trial in trials {
        let (note, answer) = (&trial.parameters["note"].demos, &trial.parameters["answer"].demos);
        assert!(note.iter().chain(answer).all(|demo| demo.augmented));
        let questions = |demos: &[dspy_core::signature::Demo]| {
            demos.iter().map(|demo| demo.values["question"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(questions(note), questions(answer));
    }
    assert_eq!(optimized.report().best, 0, "of equal scores the shortest prompt is the best");
}

#[tokio::test]
async fn of_equal_scores_the_shorter_prompt_wins() {
    let (lm, (_, prompt_lm)) = (Obedient::new(), joiner());
    let texts = async |_: TextRequest| {
        let long = format!("cow=moo {}", "and mind the animal ".repeat(10));
        Ok(vec![long, "cow=moo".to_owned()])
    };
    let capo = |penalty| {
        let capo = Capo::builder().metric(right).population(3).steps(0).max_shots(0).length_penalty(penalty);
        capo.prompt_lm(prompt_lm.clone()).proposer(texts).build()
    };
    for (penalty, found) in [(0.05, "cow=moo".len()), (0.0, 208)] {
        let optimized =
            capo(penalty).compile(one_step(&lm), Data::new(rows(5)).valset(rows(5))).await.unwrap();
        assert_eq!(optimized.report().score(), Some(0.2), "the report has the score without the penalty");
        let instruction = optimized.predictor().instruction();
        assert_eq!(instruction.len().div_euclid(10), found.div_euclid(10), "{penalty}: {instruction}");
    }
    // A penalty that no score is worth leaves the shortest.
    let optimized = capo(10.0).compile(one_step(&lm), Data::new(rows(5)).valset(rows(5))).await.unwrap();
    assert_eq!(optimized.predictor().instruction(), "cow=moo", "it is shorter than the original");
}

#[tokio::test]
async fn rows_for_shots_are_not_raced_on() {
    let (lm, (_, prompt_lm)) = (Parrot::new(), joiner());
    let capo = Capo::builder().metric(right).population(6).steps(2).prompt_lm(prompt_lm);
    let capo = capo.proposer(async |_: TextRequest| Ok(Vec::new())).build();
    let all = rows(30);
    let optimized = capo.compile(TwoSteps::new(&lm), &all).await.unwrap();
    let report = optimized.report();
    let raced: Vec<_> = report.trials[0].items.iter().map(|item| &all[item.index].0["question"]).collect();
    assert_eq!(raced.len(), 24, "a fifth is for shots");
    for trial in &report.trials {
        for demo in &trial.parameters["answer"].demos {
            assert!(!raced.contains(&&demo.values["question"]), "{trial}");
        }
    }
}

#[tokio::test]
async fn beaten_members_are_dropped_early() {
    let (lm, (_, prompt_lm)) = (Obedient::new(), joiner());
    let dropped = Arc::new(Mutex::new(0));
    let seen = dropped.clone();
    let texts = async |request: TextRequest| {
        let good = "cow=moo cat=meow dog=woof duck=quack owl=hoot";
        Ok((1..=request.count).map(|n| format!("{} {n}", if n == 1 { good } else { "Guess" })).collect())
    };
    let capo =
        Capo::builder().metric(right).population(3).steps(1).crossovers(8).max_shots(0).prompt_lm(prompt_lm);
    let capo = capo.proposer(texts).on_event(move |event| {
        if let StudyEvent::Dropped { .. } = event {
            *seen.lock().unwrap() += 1;
        }
    });
    let optimized = capo.build().compile(one_step(&lm), Data::new(rows(5)).valset(rows(300))).await.unwrap();
    assert_eq!(optimized.report().score(), Some(1.0));
    let dropped = *dropped.lock().unwrap();
    assert!(
        dropped >= 2 && lm.calls() < 300 * (3 + 8 + 1 - dropped) + 100 * dropped,
        "{dropped}, {}",
        lm.calls()
    );
}

#[tokio::test]
async fn children_that_the_budget_does_not_cover_hide_no_member() {
    for calls in (170..300).step_by(10) {
        let (lm, (script, prompt_lm)) = (Obedient::new(), joiner());
        // The population is never full, so that nobody has to go.
        let capo = Capo::builder().metric(right).population(30).steps(6).max_shots(0).prompt_lm(prompt_lm);
        let capo = capo.proposer(one_hint_each).budget(Budget::calls(calls)).build();
        let optimized = capo.compile(one_step(&lm), Data::new(rows(5)).valset(rows(20))).await.unwrap();
        let report = optimized.report();
        assert!(matches!(report.stopped, Stopped::Budget(_)), "{report}");
        assert!((lm.calls() + script.requests().len()) as u64 <= calls);
        // The original program and five members with a hint each are scored; the first race is 208 calls.
        assert!(calls < 210 || report.score() > Some(0.1), "{calls}: {report}");
    }
}

/// A small run in which the current model writes the instructions.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let capo =
            Capo::builder().metric(right).population(3).steps(1).crossovers(2).max_shots(2).examples(1);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let optimized = with_run!(capo, run).build().compile(program, &rows(8)).await?;
        Ok(optimized.report().clone())
    })
}

/// A run that only its budget ends.
fn endless(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let capo =
            Capo::builder().metric(right).population(5).steps(1_000).crossovers(3).max_shots(0).examples(5);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let data = Data::new(rows(10)).valset(rows(90));
        let optimized = with_run!(capo, run).build().compile(program, data).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_budget_leaves_enough_for_the_last_race() {
    laws::a_budget_leaves_enough_for_the_end(endless, 90, &[900, 1_000, 1_100]).await;
    laws::resumes_within_a_budget("capo", endless, 900).await;
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("capo", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(small).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    // Two equal texts are compared once, which is not known before they are paid for.
    laws::keeps_to_budgets_of(small, 30).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("capo", small).await;
}

#[tokio::test]
async fn bad_input_changes_nothing_or_is_a_typed_error() {
    let lm = Obedient::new();
    let capo = || Capo::builder().metric(right).population(3).steps(2).max_shots(1);
    let silent = async |_: TextRequest| Ok(vec![String::new()]);
    // A writer and a proposer without a word: the shots still evolve, and nothing is worse.
    let long: &'static str = Box::leak("[[ ## paraphrase ## ]]\nlong ".repeat(5_000).into_boxed_str());
    for reply in ["", "[[ ## completed ## ]]", long] {
        let writer = Lm::from_fn(move |_| std::future::ready(reply));
        let optimized =
            capo().prompt_lm(writer).proposer(silent).build().compile(one_step(&lm), &rows(9)).await.unwrap();
        let report = optimized.report();
        assert_eq!((report.stopped, report.baseline), (Stopped::Finished, Some(0.0)), "{report}");
        assert!(!optimized.predictor().instruction().contains("long"));
    }
    for count in [1, 2, 3] {
        let (_, prompt_lm) = joiner();
        let tiny = capo().prompt_lm(prompt_lm).proposer(one_hint_each).budget(Budget::calls(500)).build();
        let optimized = tiny.compile(one_step(&lm), &rows(count)).await.unwrap();
        assert_eq!(optimized.report().stopped, Stopped::Finished, "{count}");
    }
    for (penalty, threshold, option) in
        [(f64::NAN, 0.0, "length_penalty"), (0.0, f64::NAN, "metric_threshold")]
    {
        let bad = capo().length_penalty(penalty).metric_threshold(threshold).build();
        let error = bad.compile(one_step(&lm), &rows(3)).await.unwrap_err();
        assert!(matches!(&error, OptimizeError::Option { option: name, .. } if *name == option), "{error}");
    }
    for (bad, option) in
        [(capo().population(usize::MAX), "population"), (capo().crossovers(usize::MAX), "crossovers")]
    {
        let error = bad.build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
        assert!(matches!(&error, OptimizeError::Option { option: name, .. } if *name == option), "{error}");
    }
    let (_, prompt_lm) = joiner();
    let many =
        capo().max_shots(usize::MAX).examples(usize::MAX).prompt_lm(prompt_lm).proposer(silent).build();
    let optimized = many.compile(one_step(&lm), &rows(9)).await.unwrap();
    assert_eq!(optimized.report().stopped, Stopped::Finished);
    let empty = capo().build().compile(one_step(&lm), &[] as &[Row; 0]).await.unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { set: "trainset" }));
    let none = capo().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    // Without a model there is none to write.
    let error = capo().build().compile(one_step(&lm), &rows(5)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
    let metric = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error = Capo::builder().metric(metric).build().compile(one_step(&lm), &rows(4)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
    let constant = Capo::builder().metric(|_: &Row, _: &Values| 0.5).population(3).steps(1).max_shots(1);
    let (_, prompt_lm) = joiner();
    let constant = constant.prompt_lm(prompt_lm).proposer(silent).build();
    let optimized = constant.compile(one_step(&lm), &rows(10)).await.unwrap();
    assert_eq!(optimized.report().best, 0, "the original program is the shortest");
}

#[tokio::test]
async fn the_penalty_is_in_units_of_the_longest_prompt_of_the_initial_population() {
    let (lm, (_, prompt_lm)) = (Obedient::new(), joiner());
    // Ten times as long as the given instruction, and right on a fifth of the rows.
    let texts = async |_: TextRequest| Ok(vec![format!("cow=moo {}", "and mind the animal ".repeat(25))]);
    let capo = |penalty| {
        let capo = Capo::builder().metric(right).population(2).steps(1).crossovers(0).max_shots(0);
        capo.length_penalty(penalty).prompt_lm(prompt_lm.clone()).proposer(texts).build()
    };
    // In units of the given instruction, the penalty would be above the gain.
    for (penalty, is_long) in [(0.15, true), (0.3, false)] {
        let data = Data::new(rows(5)).valset(rows(50));
        let optimized = capo(penalty).compile(one_step(&lm), data).await.unwrap();
        let instruction = optimized.predictor().instruction();
        assert!(instruction.len() > 500 || !is_long, "{instruction}");
        assert_eq!(instruction.contains("cow=moo"), is_long, "{penalty}: {}", optimized.report());
    }
}
