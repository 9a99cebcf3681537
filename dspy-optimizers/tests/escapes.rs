//! Programs and functions of a user that an optimization cannot trust: calls in tasks of their own, endless retries,
//! panics.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{HINTS, Obedient, Row, calls_in, folder, journal_of, one_step, right, rows};
use dspy_core::lm::{Cache, Lm};
use dspy_core::predict::{DynPredict, Prediction};
use dspy_core::program::{HasPredictors, Module, Settings, Visitor, VisitorMut};
use dspy_core::signature::Values;
use dspy_optimizers::proposer::TextRequest;
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, Budget, Copro, OptimizeError, Optimized, Stopped, StudyEvent,
};

/// A program that calls its predictor in its own way.
#[derive(Debug, Clone)]
struct Wayward(DynPredict, Way);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// In a task that is in no scope.
    BareSpawn,
    /// In a task that is in the scopes of this one.
    Spawn,
    /// Again and again, until there is an answer.
    RetryForEver,
    /// The same in tasks.
    RetryInTasks,
}

impl HasPredictors for Wayward {
    fn visit<'a>(&'a self, visitor: &mut Visitor<'a, '_>) {
        self.0.visit(visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.0.visit_mut(visitor);
    }
}

impl Module for Wayward {
    type Input = Values;
    type Output = Values;

    async fn forward(&self, input: Values) -> dspy_core::Result<Prediction<Values>> {
        let predictor = self.0.clone();
        match self.1 {
            Way::BareSpawn => tokio::spawn(async move { predictor.call(input).await }).await.unwrap(),
            Way::Spawn => {
                dspy_core::program::spawn(async move { predictor.call(input).await }).await.unwrap()
            }
            Way::RetryForEver => Ok(persist(&predictor, &input).await),
            Way::RetryInTasks => {
                let work = async move { persist(&predictor, &input).await };
                Ok(dspy_core::program::spawn(work).await.unwrap())
            }
        }
    }
}

async fn persist(predictor: &DynPredict, input: &Values) -> Prediction<Values> {
    loop {
        if let Ok(answer) = predictor.call(input.clone()).await {
            return answer;
        }
    }
}

fn search(
    budget: Budget,
) -> dspy_optimizers::BootstrapFewShotWithRandomSearch<dspy_optimizers::SharedMetric<Row, Values>> {
    BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1).budget(budget).build()
}

fn escaped(optimized: &Optimized<impl Sized>) -> bool {
    let escaped = |warning: &String| warning.contains("`tokio::spawn`") && warning.contains("`dspy::spawn`");
    let shown = optimized.report().to_string().contains("start them with `dspy::spawn`");
    assert_eq!(shown, optimized.report().warnings.iter().any(escaped), "{}", optimized.report());
    shown
}

#[tokio::test]
async fn calls_that_no_scope_sees_are_a_warning() {
    let lm = Obedient::new();
    let run = |way| {
        let program = Wayward(one_step(&lm), way);
        async move { search(Budget::UNLIMITED).compile(program, &rows(10)).await.unwrap() }
    };
    assert!(escaped(&run(Way::BareSpawn).await));
    assert!(lm.calls() > 0);
    // A limit that cannot hold is an error after the first scores.
    let before = lm.calls();
    let limited =
        search(Budget::calls(1000)).compile(Wayward(one_step(&lm), Way::BareSpawn), &rows(10)).await;
    assert!(matches!(limited.unwrap_err(), OptimizeError::Escaped));
    assert_eq!(lm.calls() - before, 10);
    assert!(!escaped(&run(Way::Spawn).await));
    assert!(!escaped(&search(Budget::UNLIMITED).compile(one_step(&lm), &rows(10)).await.unwrap()));
}

#[tokio::test]
async fn replies_of_the_journal_or_a_cache_are_seen() {
    let (lm, at) = (Obedient::new(), folder("seen"));
    let cached = Cache::new();
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::shared(lm.clone()).cache(&cached));
    for again in [false, true] {
        let before = lm.calls();
        let optimized = search(Budget::UNLIMITED).compile(program.clone(), &rows(10)).await.unwrap();
        assert!(!escaped(&optimized) && (before == lm.calls()) == again, "{}", optimized.report());
    }
    for _ in 0..2 {
        let search =
            BootstrapFewShotWithRandomSearch::builder().metric(right).run_dir(&at).num_candidate_programs(1);
        let optimized = search.build().compile(one_step(&lm), &rows(10)).await.unwrap();
        assert!(!escaped(&optimized));
    }
    // A resumed run has the warning of the first one.
    std::fs::remove_dir_all(&at).unwrap();
    for _ in 0..2 {
        let search =
            BootstrapFewShotWithRandomSearch::builder().metric(right).run_dir(&at).num_candidate_programs(1);
        let optimized =
            search.build().compile(Wayward(one_step(&lm), Way::BareSpawn), &rows(10)).await.unwrap();
        assert!(escaped(&optimized));
    }
    std::fs::remove_dir_all(at).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_retries_for_ever_ends_with_the_budget() {
    for way in [Way::RetryForEver, Way::RetryInTasks] {
        for calls in [0, 7, 25] {
            let lm = Obedient::new();
            let search = search(Budget::calls(calls));
            let run = search.compile(Wayward(one_step(&lm), way), rows(10));
            // In a task, as a program that never yields would keep the timer from ending it.
            let run = tokio::spawn(Settings::new().scope(run));
            let optimized =
                tokio::time::timeout(Duration::from_secs(20), run).await.unwrap().unwrap().unwrap();
            assert!(matches!(optimized.report().stopped, Stopped::Budget(_)), "{}", optimized.report());
            // No evaluation of ten rows begins with less than it needs.
            let made = lm.calls() as u64;
            assert!(made <= calls && calls - made < 10, "{made} of {calls}: {way:?}");
        }
    }
}

#[tokio::test]
async fn a_proposer_that_panics_is_an_error_and_what_was_paid_is_kept() {
    let (lm, at, asked) = (Obedient::new(), folder("panicking-proposer"), Arc::new(AtomicUsize::new(0)));
    let run = |fixed: bool| {
        let asked = asked.clone();
        let proposer = move |request: TextRequest| {
            asked.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(fixed, "no idea for {}", request.component);
                Ok(vec![HINTS.join(" ")])
            }
        };
        let copro =
            Copro::builder().metric(right).breadth(2).depth(1).proposer(proposer).run_dir(&at).build();
        let program = one_step(&lm);
        async move { copro.compile(program, rows(10)).await }
    };
    let error = run(false).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(&error, OptimizeError::Panic { run_dir: Some(_), .. }), "{message}");
    assert!(message.contains("the proposer") && message.contains("no idea for"), "{message}");
    assert!(message.contains("to resume, run again with the run_dir"), "{message}");
    let paid = lm.calls();
    assert_eq!((paid, calls_in(&journal_of(&at))), (10, 10));
    let optimized = run(true).await.unwrap();
    assert_eq!(optimized.report().score(), Some(1.0));
    assert_eq!(lm.calls(), 20, "the ten calls of the first run are not made again");
    std::fs::remove_dir_all(at).unwrap();
}

#[tokio::test]
async fn a_listener_that_panics_receives_nothing_more_and_the_run_goes_on() {
    let (lm, heard) = (Obedient::new(), Arc::new(AtomicUsize::new(0)));
    let counted = heard.clone();
    let search = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(1)
        .on_event(move |event: &StudyEvent| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(!matches!(event, StudyEvent::Rollout { .. }), "cannot draw this");
        });
    let optimized = search.build().compile(one_step(&lm), &rows(10)).await.unwrap();
    let report = optimized.report();
    assert!(report.to_string().contains("`on_event` panicked"), "{report}");
    assert!(report.to_string().contains("cannot draw this"), "{report}");
    let before = heard.load(Ordering::SeqCst);
    assert!((1..10).contains(&before) && report.trials.len() > 1, "{before}");
}
