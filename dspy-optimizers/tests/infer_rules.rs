//! `InferRules`: demonstrations, rules, the best candidate, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{HINTS, Obedient, Parrot, Row, TwoSteps, first_block, lucky, one_step, right, rows};
use dspy_core::lm::{BoxFuture, Lm, LmError, LmErrorKind, Reply, ScriptedLm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::{Demo, Values};
use dspy_optimizers::{Budget, Data, InferRules, Limit, OptimizeError, Report, Stopped};
use laws::{Run, with_run};

/// A writer of rules with these replies in turn, and the number of its calls.
fn writer(replies: &'static [&'static str]) -> (Arc<ScriptedLm>, Lm) {
    let count = AtomicUsize::new(0);
    let script = ScriptedLm::from_fn(move |_| {
        let call = count.fetch_add(1, Ordering::SeqCst);
        format!("[[ ## rules ## ]]\n{}\n\n[[ ## completed ## ]]", replies[call % replies.len()])
    });
    let script = Arc::new(script);
    (script.clone(), Lm::shared(script))
}

#[tokio::test]
async fn the_best_candidate_is_the_result_and_the_original_stays_as_it_was() {
    let (lm, (script, prompt_lm)) =
        (Obedient::new(), writer(&["cow=moo", "cow=moo cat=meow dog=woof", "cow=no"]));
    let optimizer = InferRules::builder()
        .metric(right)
        .num_candidates(3)
        .num_rules(2)
        .max_bootstrapped_demos(0)
        .max_labeled_demos(0)
        .prompt_lm(prompt_lm)
        .concurrency(1)
        .published()
        .build();
    let program = one_step(&lm);
    let optimized = optimizer.compile(program.clone(), Data::new(rows(6)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    // Published: the whole valset for each candidate; the original and the bootstrapped program are the same here.
    assert_eq!((script.requests().len(), lm.calls()), (3, 10 * (3 + 1)));
    assert_eq!((report.baseline, report.score()), (Some(0.0), Some(0.6)), "{report}");
    let instruction = optimized.predictor().instruction();
    assert!(instruction.starts_with(program.predictor().instruction()), "{instruction}");
    assert!(instruction.ends_with("Follow these rules:\ncow=moo cat=meow dog=woof"), "{instruction}");
    assert!(!program.predictor().instruction().contains("rules"));
    let prompt = script.requests()[0].messages.last().unwrap().text().into_owned();
    for shown in ["owl number 4", "answer: hoot", "[[ ## most_rules ## ]]\n2"] {
        assert!(prompt.contains(shown), "{shown}: {prompt}");
    }
    let samples: Vec<_> = script.requests().iter().map(|request| request.rollout).collect();
    assert!(samples[0] != samples[1] && samples[1] != samples[2], "{samples:?}");
    assert!(script.requests().iter().all(|request| request.params.temperature == Some(1.0)));
}

#[tokio::test]
async fn without_new_demonstrations_the_program_keeps_its_own() {
    let (lm, (_, prompt_lm)) = (Obedient::new(), writer(&["cow=moo"]));
    let mut program = one_step(&lm);
    let own = Demo::new(rows(1)[0].0.clone());
    program.for_each_predictor(|_, predictor| predictor.set_demos(vec![own.clone()]));
    let optimizer = InferRules::builder().metric(right).num_candidates(1).prompt_lm(prompt_lm);
    let optimizer = optimizer.max_bootstrapped_demos(0).max_labeled_demos(0).build();
    let optimized = optimizer.compile(program, Data::new(rows(6)).valset(rows(10))).await.unwrap();
    assert_eq!(optimized.report().score(), Some(0.2), "{}", optimized.report());
    assert_eq!(optimized.predictor().demos(), [own]);
}

#[tokio::test]
async fn without_a_valset_the_first_half_is_for_learning() {
    let (lm, (script, prompt_lm)) = (Obedient::new(), writer(&["cow=moo"]));
    let optimizer =
        InferRules::builder().metric(right).num_candidates(1).max_labeled_demos(0).prompt_lm(prompt_lm);
    let optimized = optimizer.build().compile(one_step(&lm), &rows(9)).await.unwrap();
    let trial = &optimized.report().trials[0];
    assert_eq!(trial.items.iter().map(|item| item.index).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    let prompt = script.requests()[0].messages.last().unwrap().text().into_owned();
    assert!(prompt.contains("duck number 3") && !prompt.contains("owl number 4"), "{prompt}");
}

#[tokio::test]
async fn demonstrations_and_rules_go_together() {
    let (lm, (script, prompt_lm)) = (Parrot::new(), writer(&["Imitate the animal."]));
    let optimizer = InferRules::builder()
        .metric(right)
        .num_candidates(2)
        .max_labeled_demos(5)
        .prompt_lm(prompt_lm)
        .build();
    let optimized =
        optimizer.compile(TwoSteps::new(&lm), Data::new(rows(20)).valset(rows(10))).await.unwrap();
    let report = optimized.report();
    assert_eq!(script.requests().len(), 2 * 2, "one call for each candidate and predictor");
    // Two samples of the same rules are one candidate.
    let labels: Vec<_> = report.trials.iter().map(|trial| trial.label.as_str()).collect();
    assert_eq!(labels, ["original program", "bootstrapped demonstrations", "rules 1"]);
    let with_rules = &report.trials[2].parameters;
    // No row has a note, so the rules of the first step come from its demonstrations.
    for path in ["note", "answer"] {
        assert!(with_rules[path].instruction.contains("Imitate"), "{path}");
        assert_eq!(with_rules[path].demos, report.trials[1].parameters[path].demos);
        assert!(!with_rules[path].demos.is_empty());
    }
    assert_eq!(report.best, 1, "in a tie the earlier candidate wins: {report}");
}

#[tokio::test]
async fn rows_that_exceed_the_context_window_are_left_out() {
    let script = Arc::new(ScriptedLm::from_fn(|request| -> Reply {
        let shown = request.messages.last().unwrap().text().matches("# Example").count();
        if shown > 4 {
            LmError::new(LmErrorKind::ContextWindow, "scripted", "too long").into()
        } else {
            "[[ ## rules ## ]]\ncow=moo".into()
        }
    }));
    let lm = Obedient::new();
    let optimizer = InferRules::builder().metric(right).num_candidates(1).max_bootstrapped_demos(0);
    let optimizer = optimizer.max_labeled_demos(0).prompt_lm(Lm::shared(script.clone())).build();
    let optimized = optimizer.compile(one_step(&lm), &rows(40)).await.unwrap();
    assert_eq!(optimized.report().score(), Some(0.2));
    let shown: Vec<_> = script
        .requests()
        .iter()
        .map(|request| request.messages.last().unwrap().text().matches("# Example").count())
        .collect();
    let expected: Vec<usize> = [20].into_iter().chain((4..=18).rev()).collect();
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_race_that_the_budget_ends_replaces_no_program_that_is_not_beaten() {
    let first = first_block(60).await;
    for calls in [95, 1_000] {
        let (_, prompt_lm) = writer(&["cow=moo cat=meow dog=woof duck=quack owl=hoot"]);
        let metric = lucky(first.clone(), [1.0, 0.1], 0.0);
        let infer = InferRules::builder().metric(metric).num_candidates(1).prompt_lm(prompt_lm);
        let infer = infer.max_bootstrapped_demos(0).max_labeled_demos(0).budget(Budget::calls(calls));
        let data = Data::new(rows(4)).valset(rows(60));
        let optimized = infer.build().compile(one_step(&Obedient::new()), data).await.unwrap();
        let report = optimized.report();
        // On the first 20 rows, the rules have 0.55, on all rows less than 0.5.
        assert_eq!((report.best, report.score()), (0, Some(0.5)), "{report}");
        if calls == 95 {
            assert_eq!(report.stopped, Stopped::Budget(Limit::Calls));
            assert_eq!((report.trials[1].score, report.trials[1].items.len()), (None, 20), "{report}");
        } else {
            assert!(report.trials[1].score < Some(0.5), "{report}");
        }
    }
}

#[tokio::test]
async fn a_program_with_a_higher_score_on_all_rows_is_not_lost_in_a_race() {
    let (_, prompt_lm) = writer(&["cow=moo cat=meow dog=woof duck=quack owl=hoot"]);
    let infer = InferRules::builder().metric(lucky(first_block(60).await, [1.0, 1.0], 0.2)).num_candidates(1);
    let infer = infer.prompt_lm(prompt_lm).max_bootstrapped_demos(0).max_labeled_demos(0).build();
    let data = Data::new(rows(4)).valset(rows(60));
    let optimized = infer.compile(one_step(&Obedient::new()), data).await.unwrap();
    let report = optimized.report();
    // The original program is dropped after the first 20 rows.
    assert!(report.trials[1].score.is_some_and(|score| (0.46..0.47).contains(&score)), "{report}");
    assert_eq!((report.best, report.score()), (0, Some(0.5)), "{report}");
}

/// A small run in which the current model writes the rules.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let optimizer = InferRules::builder().metric(right).num_candidates(3).max_labeled_demos(2);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let optimized = with_run!(optimizer, run).build().compile(program, &rows(12)).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("infer-rules", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(small).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    laws::keeps_to_budgets_of(small, 30).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("infer-rules", small).await;
}

#[tokio::test]
async fn bad_input_changes_nothing_or_is_a_typed_error() {
    let lm = Obedient::new();
    let infer = || {
        InferRules::builder().metric(right).num_candidates(2).max_bootstrapped_demos(0).max_labeled_demos(0)
    };
    for reply in ["", "[[ ## rules ## ]]", "nonsense"] {
        let silly = infer().prompt_lm(Lm::from_fn(move |_| std::future::ready(reply)));
        let optimized = silly.build().compile(one_step(&lm), &rows(6)).await.unwrap();
        let report = optimized.report();
        assert_eq!((report.stopped, report.baseline), (Stopped::Finished, Some(0.0)), "{reply}: {report}");
    }
    let optimized = infer().num_candidates(0).build().compile(one_step(&lm), &rows(6)).await.unwrap();
    assert_eq!(optimized.report().trials.len(), 1, "there is nothing to try");
    let error =
        infer().num_candidates(usize::MAX).build().compile(one_step(&lm), &rows(6)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "num_candidates", .. }), "{error}");
    let one = infer().build().compile(one_step(&lm), &rows(1)).await.unwrap_err();
    assert!(matches!(one, OptimizeError::Split { set: "trainset", rows: 1, .. }), "{one}");
    let two = infer().prompt_lm(writer(&HINTS).1).build().compile(one_step(&lm), &rows(2)).await.unwrap();
    assert_eq!(two.report().stopped, Stopped::Finished);
    let error = infer().temperature(f64::NAN).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "temperature", .. }), "{error}");
    let none = infer().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    // Without a model there is none to write rules.
    let error = infer().build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Outage { .. }), "{error}");
    let metric = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error =
        InferRules::builder().metric(metric).build().compile(one_step(&lm), &rows(4)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
}
