//! `ModuleOpro`: joint steps of all predictors, credit, grounding, and what every optimizer keeps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;
#[path = "common/laws.rs"]
mod laws;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, one_step, pair, right, rows, writer};
use dspy_core::lm::{BoxFuture, Lm};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::Values;
use dspy_optimizers::proposer::{Grounding, GroundingRequest, Proposer, TextProposer, TextRequest};
use dspy_optimizers::{Data, ModuleOpro, OptimizeError, Report, Stopped};
use laws::{Run, with_run};

/// A proposer that adds one hint after the other to the best instruction, and keeps what it was asked.
#[derive(Clone, Default)]
struct Hinting(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    texts: Vec<TextRequest>,
    grounding: Vec<GroundingRequest>,
}

impl TextProposer for Hinting {
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        let best = request.history.last().map_or(request.current.clone(), |best| best.text.clone());
        let missing = HINTS.iter().find(|hint| !best.contains(**hint));
        let texts = missing.map(|hint| format!("{best} {hint}")).into_iter().collect();
        self.0.lock().unwrap().texts.push(request);
        Box::pin(async move { Ok(texts) })
    }

    fn ground(&self, request: GroundingRequest) -> BoxFuture<'_, dspy_core::Result<Grounding>> {
        let mut grounding = Grounding::default();
        grounding.dataset = Some(format!("{} rows", request.examples.len()));
        self.0.lock().unwrap().grounding.push(request);
        Box::pin(async move { Ok(grounding) })
    }
}

/// Half of the score for each side that knows the sound.
fn sides(row: &Row, output: &Values) -> f64 {
    ["left", "right"].iter().filter(|side| output[**side] == row.0["answer"]).count() as f64 / 2.0
}

#[tokio::test]
async fn all_predictors_change_in_each_step_and_get_the_score_of_the_program() {
    let (lm, proposer) = (Obedient::new(), Hinting::default());
    let mut program = pair();
    program.set_lm(Lm::shared(lm.clone()));
    let opro = ModuleOpro::builder().metric(sides).steps(4).published().proposer(proposer.clone());
    let optimized = opro.build().compile(program, &rows(10)).await.unwrap();
    let report = optimized.report();
    // Published: the whole valset in every step, and once for the original; two calls in a run.
    assert_eq!((lm.calls(), report.trials.len()), (2 * 10 * (4 + 1), 5));
    assert_eq!((report.baseline, report.score()), (Some(0.0), Some(0.8)));
    let asked = proposer.0.lock().unwrap();
    let paths: Vec<_> = asked.texts.iter().map(|request| request.component.predictor().to_owned()).collect();
    assert_eq!(paths, ["left", "right"].repeat(4));
    for request in &asked.texts[6..] {
        let scores: Vec<_> = request.history.iter().map(|text| (text.score * 10.0).round()).collect();
        assert_eq!(scores, [0.0, 2.0, 4.0, 6.0], "each instruction has the score of its program");
        assert_eq!((request.count, request.grounding.dataset.as_deref()), (1, Some("10 rows")));
        assert_eq!(request.demos.len(), 10);
    }
    let [grounding] = &asked.grounding[..] else { unreachable!("one request") };
    assert_eq!(
        grounding.modules.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["left", "right"]
    );
}

#[tokio::test]
async fn the_calls_are_those_of_the_formulas() {
    let (lm, model) = (Obedient::new(), writer());
    let mut program = pair();
    program.set_lm(Lm::shared(lm.clone()));
    let opro = ModuleOpro::builder().metric(sides).steps(4).minibatch(10);
    let opro = opro.proposer(Proposer::new().with_lm(Lm::shared(model.clone())));
    let data = || Data::new(rows(120)).valset(rows(30));
    let optimized = opro.clone().build().compile(program.clone(), data()).await.unwrap();
    // Four steps of two predictors; ten batches of rows, their summary, the program and two predictors.
    assert_eq!(model.requests().len(), 4 * 2 + 12 + 2);
    // No instruction helps, so none runs on the whole valset. There are two calls in a run.
    assert_eq!(lm.calls(), 2 * (30 + 4 * 10), "{}", optimized.report());
    opro.grounding(false).published().build().compile(program, data()).await.unwrap();
    assert_eq!(model.requests().len(), 2 * 4 * 2 + 12 + 2);
    assert_eq!(lm.calls(), 2 * (30 + 4 * 10) + 2 * 30 * (4 + 1));
}

#[tokio::test]
async fn without_grounding_there_are_only_the_signature_and_the_history() {
    let (lm, proposer) = (Obedient::new(), Hinting::default());
    let opro =
        ModuleOpro::builder().metric(right).steps(3).grounding(false).history(2).proposer(proposer.clone());
    opro.build().compile(one_step(&lm), &rows(10)).await.unwrap();
    let asked = proposer.0.lock().unwrap();
    assert!(asked.grounding.is_empty());
    assert!(
        asked
            .texts
            .iter()
            .all(|request| request.demos.is_empty() && request.grounding == Grounding::default())
    );
    assert_eq!(asked.texts[2].history.len(), 2);
}

#[tokio::test]
async fn minibatches_find_the_same_with_fewer_calls() {
    let run = |published: bool| async move {
        let lm = Obedient::new();
        // Every other instruction is of no use.
        let propose = move |request: TextRequest| async move {
            let best = request.history.last().map_or(request.current, |best| best.text.clone());
            let hint = HINTS.iter().find(|hint| !best.contains(**hint)).copied().unwrap_or("=");
            let useless = request.sample.is_multiple_of(2);
            Ok(vec![if useless { format!("Guess {}", request.sample) } else { format!("{best} {hint}") }])
        };
        let opro = ModuleOpro::builder().metric(right).steps(20).minibatch(10).proposer(propose);
        let opro = if published { opro.published() } else { opro };
        let optimized = opro.build().compile(one_step(&lm), &rows(100)).await.unwrap();
        let best = optimized.report().ranking()[0].score;
        assert_eq!(optimized.report().score(), best);
        (optimized.report().score(), lm.calls())
    };
    let ((full, all), (sampled, fewer)) = (run(true).await, run(false).await);
    assert_eq!((full, sampled), (Some(1.0), Some(1.0)));
    assert!(fewer < all / 2, "{fewer} of {all}");
}

#[tokio::test]
async fn an_instruction_has_the_mean_score_of_the_programs_that_used_it() {
    // The left side has the same instruction in each step.
    let last = Arc::new(Mutex::new(Vec::new()));
    let seen = last.clone();
    let propose = move |request: TextRequest| {
        let left = request.component.predictor() == "left";
        let step = request.history.len();
        if left {
            *seen.lock().unwrap() = request.history;
        }
        let text =
            if left { "cow=moo".to_owned() } else { ["", "cow=no", "cow=moo", "cow=so"][step].to_owned() };
        async move { Ok(vec![text]) }
    };
    let mut program = pair();
    program.set_lm(Lm::shared(Obedient::new()));
    let cows = vec![rows(1)[0].clone(); 4];
    let opro = ModuleOpro::builder().metric(sides).steps(3).proposer(propose);
    let optimized = opro.build().compile(program, &cows).await.unwrap();
    assert_eq!(optimized.report().score(), Some(1.0), "{}", optimized.report());
    let scores: Vec<f64> = last.lock().unwrap().iter().map(|text| text.score).collect();
    assert_eq!(scores, [0.0, 0.75], "the original, and the mean of 0.5 and 1");
}

/// A small run in which a model writes the instructions.
fn small(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let opro = ModuleOpro::builder().metric(sides).steps(2).minibatch(2).examples(2);
        let optimized = with_run!(opro, run).build().compile(pair(), &rows(5)).await?;
        Ok(optimized.report().clone())
    })
}

fn single(run: Run) -> BoxFuture<'static, Result<Report, OptimizeError>> {
    Box::pin(async move {
        let opro = ModuleOpro::builder().metric(right).steps(4).minibatch(5).examples(2);
        let program = DynPredict::new("question -> answer".parse().unwrap());
        let optimized = with_run!(opro, run).build().compile(program, &rows(10)).await?;
        Ok(optimized.report().clone())
    })
}

#[tokio::test]
async fn a_killed_run_ends_as_the_unbroken_one() {
    laws::resumes_at_every_event("module-opro", small).await;
}

#[tokio::test]
async fn the_seed_alone_decides() {
    laws::depends_on_the_seed_alone(single).await;
}

#[tokio::test]
async fn budgets_are_kept() {
    laws::keeps_to_budgets(single).await;
}

#[tokio::test]
async fn an_outage_is_an_error() {
    laws::outages_are_errors("module-opro", single).await;
}

#[tokio::test]
async fn bad_input_changes_nothing_or_is_a_typed_error() {
    let lm = Obedient::new();
    let opro = || ModuleOpro::builder().metric(right).steps(3);
    let failing = opro().proposer(async |_: TextRequest| Err(dspy_core::Error::other("no ideas")));
    let optimized = failing.build().compile(one_step(&lm), &rows(5)).await.unwrap();
    assert_eq!(optimized.report().warnings[0], "no instruction for `self`: the proposer failed: no ideas");
    for text in ["", "[[ ## completed ## ]]", &"long ".repeat(20_000)] {
        let text = text.to_owned();
        let silly = opro().proposer(move |_: TextRequest| std::future::ready(Ok(vec![text.clone()])));
        let optimized = silly.build().compile(one_step(&lm), &rows(5)).await.unwrap();
        assert_eq!((optimized.report().trials.len(), optimized.report().stopped), (1, Stopped::Finished));
    }
    // The same text again is no new program; a minibatch that is larger than the valset is the valset.
    let same = opro().minibatch(1_000).proposer(async |_: TextRequest| Ok(vec!["cow=moo".to_owned()]));
    let optimized = same.build().compile(one_step(&lm), &rows(5)).await.unwrap();
    assert_eq!((optimized.report().trials.len(), optimized.report().score()), (2, Some(0.2)));

    let error = opro().temperature(f64::INFINITY).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Option { option: "temperature", .. }), "{error}");
    let empty = opro().build().compile(one_step(&lm), &[] as &[Row; 0]).await.unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { set: "trainset" }));
    let empty =
        opro().build().compile(one_step(&lm), Data::new(rows(3)).valset(Vec::new())).await.unwrap_err();
    assert!(matches!(empty, OptimizeError::Empty { set: "valset" }));
    let none = opro().build().compile(common::Steps(Vec::new()), &rows(3)).await.unwrap_err();
    assert!(matches!(none, OptimizeError::NoPredictors));
    let metric = |_: &Row, _: &Values| -> Result<f64, &'static str> { Err("no opinion") };
    let error =
        ModuleOpro::builder().metric(metric).build().compile(one_step(&lm), &rows(3)).await.unwrap_err();
    assert!(matches!(error, OptimizeError::Metric { .. }), "{error}");
}

#[tokio::test]
async fn a_metric_that_fails_on_a_whole_minibatch_is_no_error() {
    let metric = |row: &Row, output: &Values| match row.0["answer"].as_str() {
        Some("woof") => Err("cannot judge dogs"),
        _ => Ok(right(row, output)),
    };
    let count = AtomicUsize::new(0);
    let guess = move |_: TextRequest| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(vec![format!("{} Guess {number}.", HINTS[number % 5])]) }
    };
    let opro = ModuleOpro::builder().metric(metric).steps(20).minibatch(1).max_errors(1_000).proposer(guess);
    let optimized = opro.build().compile(one_step(&Obedient::new()), &rows(10)).await.unwrap();
    let report = optimized.report();
    let unscored = |trial: &dspy_optimizers::Trial| trial.notes == ["no score on a minibatch of 1 row"];
    assert!(report.trials.iter().any(unscored), "{report}");
    assert!(report.score() > report.baseline, "{report}");
}
