//! `Gepa` with a model whose answers vary: means over many scores decide, not single lucky ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Caller, Row, calls_in, folder, journal_of, leave, right, rows};
use dspy_core::Seed;
use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, Request, Response};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors;
use dspy_core::signature::Values;
use dspy_optimizers::gepa::{Evolve, Noisy};
use dspy_optimizers::proposer::{AdviceRequest, TextProposer, TextRequest};
use dspy_optimizers::{Budget, Data, Gepa, Limit, OptimizeError, Report, Stopped};

/// A model that answers right with the probability that its instruction states, in percent: `skill=70`. Samples of one
/// request differ.
#[derive(Debug, Default)]
struct Moody {
    calls: AtomicUsize,
}

impl LanguageModel for Moody {
    fn id(&self) -> &'static str {
        "moody"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let (system, asked) = (request.messages[0].text(), request.messages.last().unwrap().text());
            let skill: f64 = system.split("skill=").nth(1).map_or(40.0, |rest| {
                rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
            });
            let animal = asked.split("does ").nth(1).unwrap().split(' ').next().unwrap();
            let hint = common::HINTS.iter().find(|hint| hint.starts_with(animal)).unwrap();
            let sound = hint.split('=').nth(1).unwrap();
            let seed = Seed::new(request.rollout.unwrap_or_default()).branch(&system).branch(&asked);
            let answer = if seed.rng().unit() * 100.0 < skill { sound } else { "silence" };
            Ok(Response::text(format!("[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]")))
        })
    }
}

fn program(lm: &Arc<Moody>) -> DynPredict {
    let mut program =
        DynPredict::new("question -> answer".parse().unwrap()).with_instruction("Answer. skill=40");
    program.set_lm(Lm::shared(lm.clone()));
    program
}

/// Texts of any skill from 10 to 70, at random.
async fn guess(request: TextRequest) -> dspy_core::Result<Vec<String>> {
    let mut rng = Seed::new(request.sample).branch(&request.current).rng();
    let skill = rng.between(10, 70);
    Ok(vec![format!("Answer {} {} skill={skill}", rng.bits(), rng.bits())])
}

fn noisy() -> Gepa {
    Gepa::builder().proposer(guess).noisy(Noisy::new().explored(3))
}

async fn run(
    lm: &Arc<Moody>,
    rollouts: usize,
    folder: Option<&Path>,
    concurrency: usize,
) -> Result<Report, OptimizeError> {
    let mut optimizer = noisy().metric(right).max_rollouts(rollouts).concurrency(concurrency);
    if let Some(folder) = folder {
        optimizer = optimizer.run_dir(folder);
    }
    let data = Data::new(rows(9)).valset(rows(20));
    Ok(optimizer.build().compile(program(lm), data).await?.report().clone())
}

fn skill(report: &Report) -> usize {
    let instruction = &report.best_trial().unwrap().parameters["self"].instruction;
    instruction.split("skill=").nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn lucky_candidates_fall_and_good_ones_are_found() {
    let lm = Arc::new(Moody::default());
    let report = run(&lm, 600, None, 8).await.unwrap();
    assert_eq!(report.stopped, Stopped::Finished);
    assert!(skill(&report) >= 55, "{report}");
    assert!(lm.calls.load(Ordering::SeqCst) <= 600);
    // All candidates are in the report, only the finalists with a score: three and the given program.
    assert!(report.trials.len() > 10);
    assert!((1..=4).contains(&report.trials.iter().filter(|trial| trial.score.is_some()).count()));
    assert!(report.trials[1..].iter().all(|trial| trial.parents.len() == 1));
    let scores = |at: usize| -> usize {
        report.trials[at].notes[0].split(" over ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    assert!(scores(report.best) >= 9, "it was scored again: {:?}", report.trials[report.best].notes);
}

#[tokio::test]
async fn it_resumes_exactly_at_any_concurrency() {
    let (whole, part) = (folder("noisy-whole"), folder("noisy-part"));
    let lm = Arc::new(Moody::default());
    let report = run(&lm, 150, Some(&whole), 4).await.unwrap();
    let (total, journal) = (lm.calls.load(Ordering::SeqCst), journal_of(&whole));
    for end in journal.match_indices('\n').map(|(at, _)| at + 1).step_by(7) {
        leave(&part, &journal[..end]);
        let lm = Arc::new(Moody::default());
        assert!(run(&lm, 150, Some(&part), 16).await.unwrap() == report, "cut at {end}");
        assert_eq!(lm.calls.load(Ordering::SeqCst), total - calls_in(&journal[..end]), "cut at {end}");
    }
    assert!(run(&Arc::new(Moody::default()), 150, None, 1).await.unwrap() == report);
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_budget_leaves_enough_for_the_finals() {
    for calls in [120, 300] {
        let lm = Arc::new(Moody::default());
        let optimizer = noisy().metric(right).budget(Budget::calls(calls)).build();
        let data = Data::new(rows(9)).valset(rows(20));
        let optimized = optimizer.compile(program(&lm), data).await.unwrap();
        let report = optimized.report();
        assert!(report.score().is_some() && report.stopped == Stopped::Budget(Limit::Calls), "{report}");
        assert!(lm.calls.load(Ordering::SeqCst) as u64 <= calls);
    }
    // Not even for the first step: the given program is the result.
    let optimizer = noisy().metric(right).budget(Budget::calls(2)).build();
    let data = Data::new(rows(9)).valset(rows(20));
    let optimized = optimizer.compile(program(&Arc::new(Moody::default())), data).await.unwrap();
    assert_eq!(optimized.report().stopped, Stopped::Budget(Limit::Calls));
    assert!(optimized.predictor().instruction().contains("skill=40"));
    let warnings = &optimized.report().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("too small")), "{warnings:?}");
}

#[tokio::test]
async fn the_given_program_has_a_score_and_the_estimate_holds_at_any_budget() {
    for calls in [5, 19, 20, 21, 40, 60, 150] {
        let lm = Arc::new(Moody::default());
        let optimizer = noisy().metric(right).budget(Budget::calls(calls)).build();
        let data = || Data::new(rows(9)).valset(rows(20));
        let estimate = optimizer.estimate(&program(&lm), data()).unwrap();
        let optimized = optimizer.compile(program(&lm), data()).await.unwrap();
        let made = lm.calls.load(Ordering::SeqCst) as u64;
        assert!(estimate.calls().contains(made), "{made} of {calls}, estimated {estimate}");
        assert_eq!(optimized.report().baseline.is_some(), calls >= 20, "{calls}");
    }
    let perfect = noisy().metric(|_: &Row, _: &Values| 1.0).max_rollouts(300).build();
    let data = Data::new(rows(9)).valset(rows(40));
    let optimized = perfect.compile(program(&Arc::new(Moody::default())), data).await.unwrap();
    assert_eq!(optimized.report().stopped, Stopped::NoHeadroom);
}

/// Guesses, and notes the advice that it is asked with. Its advice counts the runs that it has seen.
#[derive(Debug, Default, Clone)]
struct Adviser {
    heard: Arc<Mutex<Vec<Option<String>>>>,
    asked: Arc<Mutex<Vec<AdviceRequest>>>,
}

impl TextProposer for Adviser {
    fn propose(&self, request: TextRequest) -> BoxFuture<'_, dspy_core::Result<Vec<String>>> {
        self.heard.lock().unwrap().push(request.advice.clone());
        Box::pin(guess(request))
    }

    fn advise(&self, request: AdviceRequest) -> BoxFuture<'_, dspy_core::Result<Option<String>>> {
        let number = request.sample;
        self.asked.lock().unwrap().push(request);
        // The third time it has nothing to say, the fourth time it fails.
        Box::pin(async move {
            match number {
                2 => Ok(None),
                3 => Err(dspy_core::Error::other("no idea")),
                number => Ok(Some(format!("advice {number}"))),
            }
        })
    }
}

#[tokio::test]
async fn runs_become_advice_for_the_proposer() {
    let adviser = Adviser::default();
    let run = async |noisy: Noisy| {
        let lm = Arc::new(Moody::default());
        let optimizer = Gepa::builder().metric(right).noisy(noisy).proposer(adviser.clone());
        let data = Data::new(rows(9)).valset(rows(20));
        optimizer.max_rollouts(300).build().compile(program(&lm), data).await.unwrap().report().clone()
    };
    let report = run(Noisy::new().explored(3)).await;
    assert!(report.warnings.concat().contains("no idea"), "{:?}", report.warnings);
    let heard = std::mem::take(&mut *adviser.heard.lock().unwrap());
    let heard: Vec<&str> = heard.iter().map(|advice| advice.as_deref().unwrap()).collect();
    assert_eq!(heard[0], "advice 0");
    let number = |advice: &str| advice.trim_start_matches("advice ").parse::<u64>().unwrap();
    let in_order = heard.windows(2).all(|two| number(two[0]) <= number(two[1]));
    assert!(in_order && heard.contains(&"advice 4"), "{heard:?}");
    // Without new advice, the earlier one holds.
    assert!(!heard.contains(&"advice 2") && !heard.contains(&"advice 3"), "{heard:?}");
    let asked = std::mem::take(&mut *adviser.asked.lock().unwrap());
    let earlier: Vec<Option<&str>> = asked.iter().take(5).map(|request| request.earlier.as_deref()).collect();
    assert_eq!(earlier, [None, Some("advice 0"), Some("advice 1"), Some("advice 1"), Some("advice 1")]);
    // The best and the worst run of each of three rows, with labels, outputs and scores.
    assert!(asked.iter().all(|request| (3..=6).contains(&request.runs.len())));
    let shown = &asked[0].runs[0];
    assert!(shown.expected.contains_key("answer") && shown.outputs.contains_key("answer"), "{shown:?}");
    assert!(shown.inputs.contains_key("question") && shown.score.is_some());
    assert!(asked[0].program.contains("skill=40"));

    let report = run(Noisy::new().explored(3).advice(false)).await;
    assert!(!report.warnings.concat().contains("no idea") && adviser.asked.lock().unwrap().is_empty());
    assert!(adviser.heard.lock().unwrap().iter().all(Option::is_none));
}

#[tokio::test]
async fn near_duplicates_are_refused() {
    let same = async |request: TextRequest| Ok(vec![request.current + "!"]);
    let lm = Arc::new(Moody::default());
    let optimizer = noisy().proposer(same).metric(right).max_rollouts(10_000).build();
    let report = optimizer.compile(program(&lm), &rows(9)).await.unwrap().report().clone();
    assert_eq!(report.trials.len(), 1);
    assert!(lm.calls.load(Ordering::SeqCst) < 100, "nothing new is tried");
}

#[test]
fn settings_are_checked() {
    let wrong = noisy().noisy(Noisy::new().exploration(f64::NAN)).metric(|_: &Row, _: &Values| 1.0).build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(wrong.compile(program(&Arc::default()), &rows(3))).unwrap_err();
    assert!(error.to_string().contains("NaN and 0.1 of the option `noisy`"), "{error}");
    // At this distance, every text is near to any other.
    let wrong = noisy().noisy(Noisy::new().distance(1.5)).metric(|_: &Row, _: &Values| 1.0).build();
    let error = runtime.block_on(wrong.compile(program(&Arc::default()), &rows(3))).unwrap_err();
    assert!(error.to_string().contains("0.3 and 1.5 of the option `noisy`"), "{error}");
    let small = noisy().max_rollouts(11).metric(|_: &Row, _: &Values| 1.0).build();
    let error = runtime.block_on(small.compile(program(&Arc::default()), &rows(3))).unwrap_err();
    assert!(error.to_string().contains("11, less than 12, of the option `max_rollouts`"), "{error}");
}

#[tokio::test]
async fn limits_are_kept_at_any_size() {
    for (explored, rollouts) in [(usize::MAX, 300), (usize::MAX, 46), (1, 46), (3, 100), (0, 100)] {
        let lm = Arc::new(Moody::default());
        let optimizer = noisy().noisy(Noisy::new().explored(explored)).metric(right).max_rollouts(rollouts);
        let data = Data::new(rows(9)).valset(rows(20));
        let report = optimizer.build().compile(program(&lm), data).await.unwrap().report().clone();
        assert!(report.trials.len() > 1 && report.score().is_some(), "{explored} {rollouts}: {report}");
        assert!(lm.calls.load(Ordering::SeqCst) <= rollouts, "{explored} {rollouts}");
    }
}

#[tokio::test]
async fn near_duplicates_are_refused_although_tools_were_found_in_between() {
    let spec = "question, tools: list[Tool] -> answer, calls: Optional[ToolCalls]";
    let lm = Arc::new(Moody::default());
    let mut program = Caller(
        DynPredict::new(spec.parse().unwrap()).with_instruction("Answer. skill=40"),
        "A zoo of animals.",
    );
    program.set_lm(Lm::shared(lm.clone()));
    let same = async |request: TextRequest| Ok(vec![request.current + "!"]);
    let optimizer = noisy().components([Evolve::Instructions, Evolve::Tools]).proposer(same).metric(right);
    let optimizer = optimizer.max_rollouts(10_000).build();
    // The tool is not known when the words of the given program are counted first.
    let report = optimizer.compile(program, &rows(9)).await.unwrap().report().clone();
    assert_eq!(report.trials.len(), 1, "{report}");
}
