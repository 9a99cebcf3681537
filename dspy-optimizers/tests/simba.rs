//! `Simba`: runs that are compared, what they teach, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::sync::Arc;

use common::{Obedient, Row, one_step, right, rows};
use dspy_core::Seed;
use dspy_core::lm::{BoxFuture, Lm, Request, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Values;
use dspy_optimizers::{Budget, Data, OptimizeError, Race, Report, SharedMetric, Simba, Stopped};
use laws::{Run, with_run};
use serde_json::json;

/// A model that knows what its instruction or a demonstration says, and at a temperature guesses right in a third of
/// the runs.
fn wavering() -> Arc<ScriptedLm> {
    let reply = |request: &Request| {
        let asked = request.messages.last().unwrap().text().into_owned();
        let sounds = common::HINTS.map(|hint| hint.split_once('=').unwrap());
        let known = |text: &str| sounds.into_iter().find(|(animal, _)| text.contains(&format!(" {animal} ")));
        let (animal, sound) = known(&asked).unwrap();
        let told = request.messages[0].text().contains(&format!("{animal}={sound}"));
        let seed = Seed::new(request.rollout.unwrap_or_default()).branch(&asked);
        let lucky = request.params.temperature == Some(1.0) && seed.rng().unit() < 0.33;
        let answer = if told || lucky { sound } else { "silence" };
        format!("[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]")
    };
    Arc::new(ScriptedLm::from_fn(reply))
}

/// A model that reads the answer of the better run and writes it down.
fn advisor() -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::from_fn(|request: &Request| {
        let asked = request.messages.last().unwrap().text().into_owned();
        let better = asked.split("[[ ## better_trajectory ## ]]").nth(1).unwrap_or_default();
        let better = better.split("[[ ##").next().unwrap_or_default();
        let hint = common::HINTS.into_iter().find(|hint| better.contains(hint.split_once('=').unwrap().1));
        let advice = json!({"self": hint.unwrap_or("?"), "unknown": "x"});
        format!("[[ ## discussion ## ]]\nx\n\n[[ ## module_advice ## ]]\n{advice}\n\n[[ ## completed ## ]]")
    }))
}

fn program(lm: &Arc<ScriptedLm>) -> DynPredict {
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()));
    program
}

/// A search for rules on minibatches of ten rows, with three candidates for each step.
fn rules(steps: usize, writer: &Arc<ScriptedLm>) -> Simba<SharedMetric<Row, Values>> {
    let simba = Simba::builder().metric(right).minibatch(10).num_candidates(3).max_steps(steps).max_demos(0);
    simba.prompt_lm(Lm::shared(writer.clone()))
}

#[tokio::test]
async fn what_made_the_difference_becomes_a_rule() {
    let (lm, writer) = (wavering(), advisor());
    let optimized = rules(4, &writer).published().build().compile(program(&lm), &rows(10)).await.unwrap();
    let report = optimized.report();
    let new = report.trials.len() - 1;
    assert!((4..=4 * 4).contains(&new), "{report}");
    // The original program, the runs to compare, the new programs; the rows of the end have been run before.
    assert_eq!(lm.requests().len(), 10 + 4 * 10 * 3 + 10 * new);
    assert!(writer.requests().len() >= new, "each new program has advice");
    assert_eq!(report.baseline, Some(0.0));
    assert!(report.score() >= Some(0.6), "{report}");
    assert!(optimized.predictor().instruction().matches('=').count() >= 3);
    let prompt = writer.requests()[0].messages.last().unwrap().text().into_owned();
    for shown in ["better_score ## ]]\n1", "worse_score ## ]]\n0", "\"module\":\"self\"", "silence"] {
        assert!(prompt.contains(shown), "{shown}: {prompt}");
    }
}

#[tokio::test]
async fn the_best_runs_become_demonstrations() {
    let (lm, writer) = (wavering(), Arc::new(ScriptedLm::from_fn(|_: &Request| "nonsense".to_owned())));
    let optimizer = Simba::builder()
        .metric(right)
        .minibatch(5)
        .num_candidates(4)
        .max_steps(3)
        .max_demos(2)
        .prompt_lm(Lm::shared(writer))
        .build();
    let optimized = optimizer.compile(program(&lm), Data::new(rows(20)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    let demos = report.trials.iter().map(|trial| &trial.parameters["self"].demos);
    let most = demos.clone().map(Vec::len).max().unwrap();
    assert!((1..=2).contains(&most), "{report}");
    assert!(demos.flatten().all(|demo| demo.augmented && demo.values["answer"] != "silence"));
    assert!(report.warnings.iter().any(|warning| warning.contains("no advice")), "{:?}", report.warnings);
    // Demonstrations are no use to this model.
    assert_eq!((report.best, report.score()), (0, Some(0.0)), "{report}");
}

/// A model that writes advice, and works it in with all right answers of the runs that it sees.
fn writer() -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::from_fn(|request: &Request| {
        let asked = request.messages.last().unwrap().text().into_owned();
        if !asked.contains("current_text") {
            return "[[ ## discussion ## ]]\nx\n\n[[ ## module_advice ## ]]\n{\"self\": \"Listen.\"}\n\n[[ ## \
                    completed ## ]]"
                .to_owned();
        }
        let told = common::HINTS.into_iter().filter(|hint| {
            asked.contains(&format!("## Expected\nanswer: {}", hint.split_once('=').unwrap().1))
        });
        let text = told.collect::<Vec<_>>().join(" ");
        format!("[[ ## revised_text ## ]]\nKnow {text}\n\n[[ ## completed ## ]]")
    }))
}

#[tokio::test]
async fn advice_is_worked_in_with_the_runs_of_the_minibatch() {
    let (lm, writer) = (wavering(), writer());
    let simba = |calls| rules(3, &writer).budget(Budget::calls(calls)).build();
    let data = || Data::new(rows(20)).valset(rows(30));
    let optimized = simba(2_000).compile(program(&lm), data()).await.unwrap();
    assert!(optimized.predictor().instruction().matches('=').count() >= 3, "{}", optimized.report());
    assert!(optimized.report().score() > optimized.report().baseline);
    let revising = writer
        .requests()
        .into_iter()
        .find(|request| request.messages.last().unwrap().text().contains("current_text"));
    let prompt = revising.unwrap().messages.last().unwrap().text().into_owned();
    assert!(prompt.contains("Listen.") && prompt.matches("# Example").count() >= 10, "{prompt}");
    // Whatever the budget is, the result was run on all rows of the valset, and is no worse there.
    for calls in [40, 90, 140, 200] {
        let optimized = simba(calls).compile(program(&lm), data()).await.unwrap();
        let report = optimized.report();
        assert!(report.score() >= report.baseline, "{report}");
        assert_eq!(report.trials[report.best].items.len(), 30, "{report}");
    }
}

#[tokio::test]
async fn a_race_that_would_end_early_scores_the_result_on_all_rows() {
    let lm = wavering();
    let optimizer = rules(4, &writer()).race(Race::new().to_the_end(false)).build();
    let data = Data::new(rows(20)).valset(rows(100));
    let optimized = optimizer.compile(program(&lm), data).await.unwrap();
    let report = optimized.report();
    assert!(report.score() > report.baseline, "{report}");
    assert_eq!(report.trials[report.best].items.len(), 100, "{report}");
}

/// A metric with values between 0 and 1.
fn graded(example: &Row, output: &Values) -> f64 {
    let question = example.0["question"].as_str().unwrap();
    let digit = question.chars().filter_map(|c| c.to_digit(10)).sum::<u32>() % 3;
    if right(example, output) { 1.0 } else { f64::from(digit) * 0.3 }
}

/// A small run in which the current model writes the advice.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let optimizer =
            Simba::builder().metric(graded).minibatch(5).num_candidates(2).max_steps(3).max_demos(2);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let optimized = with_run!(optimizer, run).build().compile(program, &rows(9)).await?;
        Ok(optimized.report().clone())
    })
}

/// A run in the published form that only its budget ends.
fn endless(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let optimizer = rules(1_000, &advisor()).published();
        let data = Data::new(rows(20)).valset(rows(60));
        let optimized = with_run!(optimizer, run).build().compile(program(&wavering()), data).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_budget_leaves_the_published_form_enough_for_its_comparison() {
    laws::a_budget_leaves_enough_for_the_end(endless, 60, &[700, 800, 900]).await;
    laws::resumes_within_a_budget("simba-published", endless, 700).await;
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("simba", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(small).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    laws::keeps_to_budgets(small).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("simba", small).await;
}

#[tokio::test]
async fn bad_input_changes_nothing_or_is_a_typed_error() {
    let lm = Obedient::new();
    let simba = || Simba::builder().metric(graded).minibatch(3).num_candidates(2).max_steps(2);
    let large = simba().minibatch(7).build().compile(one_step(&lm), &rows(6)).await.unwrap_err();
    assert!(matches!(large, OptimizeError::Option { option: "minibatch", .. }), "{large}");
    assert_eq!(lm.calls(), 0);
    let endless: &'static str = "z".repeat(100_000).leak();
    for reply in
        ["", "nonsense", "[[ ## module_advice ## ]]", "[[ ## module_advice ## ]]\n{\"self\": 3}", endless]
    {
        let silly = simba().prompt_lm(Lm::from_fn(move |_| std::future::ready(reply)));
        let optimized = silly.build().compile(one_step(&lm), &rows(6)).await.unwrap();
        assert_eq!(optimized.report().stopped, Stopped::Finished);
        assert_eq!(optimized.predictor().instruction(), one_step(&lm).predictor().instruction());
    }
    for constant in [0.0, 1.0] {
        let optimizer = simba().metric(move |_: &Row, _: &Values| constant).prompt_lm(Lm::shared(lm.clone()));
        let optimized = optimizer.build().compile(one_step(&lm), &rows(6)).await.unwrap();
        assert_eq!((optimized.report().best, optimized.report().score()), (0, Some(constant)));
    }
    let one = simba().minibatch(1).prompt_lm(Lm::shared(lm.clone())).build();
    assert_eq!(one.compile(one_step(&lm), &rows(1)).await.unwrap().report().stopped, Stopped::Finished);
    let error = simba().num_candidates(usize::MAX).build().compile(one_step(&lm), &rows(3)).await;
    assert!(matches!(error, Err(OptimizeError::Option { option: "num_candidates", .. })));
    let error = simba().temperature_for_sampling(f64::NAN).build().compile(one_step(&lm), &rows(3)).await;
    assert!(matches!(error, Err(OptimizeError::Option { option: "temperature_for_sampling", .. })));
    let none = simba().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    let metric = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error = simba().metric(metric).build().compile(one_step(&lm), &rows(6)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
}

/// A model that is right on the share of the rows that its instruction states, in percent: `skill=30`. At a temperature
/// it is also right in a third of the runs.
fn skilled() -> Arc<ScriptedLm> {
    Arc::new(ScriptedLm::from_fn(|request: &Request| {
        let (system, asked) = (request.messages[0].text(), request.messages.last().unwrap().text());
        let hint = common::HINTS.into_iter().find(|hint| {
            let animal = hint.split('=').next().unwrap();
            asked.contains(&format!(" {animal} "))
        });
        let skill: Option<f64> = system.split("skill=").nth(1).map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        });
        let rate = if request.params.temperature == Some(1.0) { 33.0 } else { 0.0 };
        let seed = Seed::new(request.rollout.unwrap_or_default()).branch(&system).branch(&asked);
        let is_right = seed.rng().unit() * 100.0 < skill.unwrap_or(30.0).max(rate);
        let answer = if is_right { hint.unwrap().split('=').nth(1).unwrap() } else { "silence" };
        format!("[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]")
    }))
}

#[tokio::test]
async fn a_program_that_was_beaten_on_its_minibatch_is_not_run_on_the_valset() {
    const MINIBATCH: usize = 24;
    // Few texts are perfect. Most are better than the original program, and beaten.
    let writer = Arc::new(ScriptedLm::from_fn(|request: &Request| {
        let asked = request.messages.last().unwrap().text().into_owned();
        let draw = Seed::new(request.rollout.unwrap_or_default()).branch(&asked).rng().below(1_000);
        if !asked.contains("current_text") {
            let advice = json!({"self": format!("Listen {draw}.")});
            return format!(
                "[[ ## discussion ## ]]\nx\n\n[[ ## module_advice ## ]]\n{advice}\n\n[[ ## completed ## ]]"
            );
        }
        let skill = if draw.is_multiple_of(14) { 100 } else { 30 };
        format!("[[ ## revised_text ## ]]\nAnswer {draw}, skill={skill}\n\n[[ ## completed ## ]]")
    }));
    let (mut beaten, mut challengers) = (0, 0);
    for seed in 0..10 {
        let optimizer = rules(1, &writer).minibatch(MINIBATCH).num_candidates(12).seed(seed).build();
        let data = Data::new(rows(40)).valset(rows(30));
        let optimized = optimizer.compile(program(&skilled()), data).await.unwrap();
        let report = optimized.report();
        for trial in &report.trials[1..] {
            let note = trial.notes.iter().find_map(|note| note.split(" on a minibatch of ").nth(1)).unwrap();
            let run: usize = note.split(' ').next().unwrap().parse().unwrap();
            if run < MINIBATCH {
                // Its items are those of the minibatch, so it was not in a race on the valset.
                assert_eq!((trial.items.len(), trial.score), (run, None), "{seed}: {report}");
                beaten += 1;
            } else {
                challengers += usize::from(trial.items.len() != run);
            }
        }
    }
    assert!(beaten > 20 && challengers > 0, "{beaten} beaten, {challengers} challengers");
}
