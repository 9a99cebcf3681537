//! The stream of events: order, slow and dropped readers, dropped and failed runs, nested studies, resume.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;
use std::task::Poll;

use common::{HINTS, Obedient, Parrot, Row, TwoSteps, folder, journal_of, leave, one_step, right, rows};
use dspy_core::lm::{Budget, Limit};
use dspy_core::predict::DynPredict;
use dspy_core::signature::Values;
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, Copro, OptimizeError, Optimized,
    Optimizer as _, SharedMetric, Stopped, StudyEvent, StudyEvents,
};
use futures_util::StreamExt as _;

type Search = BootstrapFewShotWithRandomSearch<SharedMetric<Row, Values>>;

fn search() -> Search {
    BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(3).max_labeled_demos(4)
}

async fn all(mut events: StudyEvents) -> Vec<StudyEvent> {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event);
    }
    all
}

/// Runs a search and returns its result with all events.
async fn heard(search: Search) -> (Optimized<TwoSteps>, Vec<StudyEvent>) {
    let (run, events) = StudyEvents::of(search.build().compile(TwoSteps::new(&Parrot::new()), rows(8)));
    let (optimized, events) = tokio::join!(run, all(events));
    (optimized.unwrap(), events)
}

#[tokio::test]
async fn the_stream_has_the_whole_run() {
    let (optimized, events) = heard(search()).await;
    let report = optimized.report();
    assert!(matches!(&events[0], StudyEvent::Started { optimizer, .. } if optimizer == &report.optimizer));
    let end = StudyEvent::clone(events.last().unwrap());
    assert!(
        matches!(end, StudyEvent::Finished { stopped: Stopped::Finished, best, score, .. }
            if best == Some(report.best) && score == report.score()),
        "{end:?}"
    );
    let trials: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            StudyEvent::Trial { index, score, rows, best, .. } => Some((*index, *score, *rows, *best)),
            _ => None,
        })
        .collect();
    let mut highest = f64::NEG_INFINITY;
    let expected: Vec<_> = report
        .trials
        .iter()
        .enumerate()
        .map(|(index, trial)| {
            let best = trial.score.unwrap() > highest;
            highest = highest.max(trial.score.unwrap());
            (index, trial.score, trial.items.len(), best)
        })
        .collect();
    assert_eq!(trials, expected);
    let last_best = events.iter().rev().find_map(|event| match event {
        StudyEvent::Best { trial, score, .. } => Some((*trial, *score)),
        _ => None,
    });
    assert_eq!(last_best, Some((report.best, report.score())));
    let spent = events.iter().rev().find_map(|event| match event {
        StudyEvent::Spent { spent, left, elapsed, .. } => Some((*spent, left.calls, *elapsed)),
        _ => None,
    });
    let (spent, left, elapsed) = spent.unwrap();
    assert_eq!((spent, left), (report.usage, None));
    assert!(elapsed > 0.0);
    for event in &events {
        let json = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<StudyEvent>(&json).unwrap(), event, "{json}");
    }
}

#[tokio::test]
async fn phases_begin_and_end_in_turn_at_any_concurrency() {
    let mut runs = Vec::new();
    for concurrency in [1, 16] {
        let (_, events) = heard(search().concurrency(concurrency)).await;
        let mut open: Option<String> = None;
        let mut phases = Vec::new();
        for event in &events {
            match event {
                StudyEvent::Phase { name, .. } => {
                    assert!(open.as_ref().is_none_or(|open| open == name), "{name}");
                    if open.replace(name.clone()).is_none() {
                        phases.push(name.clone());
                    }
                }
                StudyEvent::PhaseEnded { name, .. } => assert_eq!(open.take().as_ref(), Some(name)),
                _ => {}
            }
        }
        assert_eq!(open, None);
        assert_eq!(phases[..2], ["search", "bootstrap"]);
        let timeless =
            |event: &StudyEvent| !matches!(event, StudyEvent::Spent { .. } | StudyEvent::Rollout { .. });
        runs.push(events.into_iter().filter(timeless).collect::<Vec<_>>());
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_slow_reader_gets_the_latest_result_and_the_end() {
    let search = search().num_candidate_programs(30).build();
    let (run, events) = StudyEvents::of(search.compile(TwoSteps::new(&Parrot::new()), rows(60)));
    let optimized = run.await.unwrap();
    let report = optimized.report();
    // Nothing was read while it ran. As a stream, too.
    let events: Vec<StudyEvent> = events.collect().await;
    assert!(events.len() <= 1 + 1_024, "{}", events.len());
    assert!(matches!(events[0], StudyEvent::Lagged { events: 1_000.., .. }), "{:?}", events[0]);
    assert!(events.iter().any(|event| matches!(event, StudyEvent::Started { .. })));
    let best =
        events.iter().any(|event| matches!(event, StudyEvent::Best { trial, .. } if *trial == report.best));
    assert!(best);
    assert!(matches!(events.last(), Some(StudyEvent::Finished { .. })));
}

#[tokio::test]
async fn a_dropped_stream_does_not_affect_the_run() {
    let (run, events) = StudyEvents::of(search().build().compile(TwoSteps::new(&Parrot::new()), rows(8)));
    drop(events);
    let unheard = search().build().compile(TwoSteps::new(&Parrot::new()), rows(8)).await.unwrap();
    assert_eq!(run.await.unwrap().report(), unheard.report());
}

#[tokio::test]
async fn the_stream_ends_with_the_run_however_it_ends() {
    let program = || TwoSteps::new(&Parrot::new());
    // Never started.
    let (run, events) = StudyEvents::of(search().build().compile(program(), rows(8)));
    drop(run);
    assert!(all(events).await.is_empty());
    // Dropped on its way.
    let (run, mut events) = StudyEvents::of(search().build().compile(program(), rows(8)));
    let mut run = Box::pin(run);
    for _ in 0..5 {
        assert!(std::future::poll_fn(|context| Poll::Ready(run.as_mut().poll(context).is_pending())).await);
    }
    assert!(matches!(events.next().await, Some(StudyEvent::Started { .. })));
    drop(run);
    let rest = all(events).await;
    assert!(
        !rest.iter().any(|event| matches!(event, StudyEvent::Finished { .. } | StudyEvent::Failed { .. }))
    );
    // Refused before it starts.
    let (run, events) = StudyEvents::of(search().build().compile(program(), rows(0)));
    let (error, events) = tokio::join!(run, all(events));
    assert!(matches!(error, Err(OptimizeError::Empty { .. })) && events.is_empty());
    // An outage.
    let down = TwoSteps::new(&Parrot::down_from(9));
    let (run, events) = StudyEvents::of(search().concurrency(1).build().compile(down, rows(8)));
    let (error, events) = tokio::join!(run, all(events));
    let message = error.unwrap_err().to_string();
    let retries: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            StudyEvent::Retry { attempt, error, .. } => {
                assert!(error.contains("out of reach"), "{error}");
                Some(*attempt)
            }
            _ => None,
        })
        .collect();
    assert_eq!(retries, [1, 2]);
    assert!(
        matches!(events.last(), Some(StudyEvent::Failed { error, .. }) if *error == message),
        "{message}"
    );
    // A budget.
    let (run, events) =
        StudyEvents::of(search().budget(Budget::calls(16)).build().compile(program(), rows(8)));
    let (optimized, events) = tokio::join!(run, all(events));
    optimized.unwrap();
    assert!(
        events.iter().any(|event| matches!(event, StudyEvent::Spent { left, .. } if left.calls == Some(0)))
    );
    let stopped = Stopped::Budget(Limit::Calls);
    assert!(matches!(events.last(), Some(StudyEvent::Finished { stopped: end, .. }) if *end == stopped));
}

#[tokio::test]
async fn nested_studies_have_paths() {
    let bootstrap = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(2).build();
    let together = BetterTogether::builder()
        .optimizer("b", bootstrap.boxed())
        .optimizer("s", search().build().boxed())
        .strategy("b -> s")
        .valset_ratio(0.4)
        .metric(right)
        .build()
        .unwrap()
        .boxed();
    let (run, events) = StudyEvents::of(together.compile(TwoSteps::new(&Parrot::new()), rows(10)));
    let (optimized, events) = tokio::join!(run, all(events));
    let started: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            StudyEvent::Started { optimizer, study, .. } => Some((optimizer.as_str(), study.as_str())),
            _ => None,
        })
        .collect();
    let names = [
        ("BetterTogether", ""),
        ("BootstrapFewShot", "step-0/"),
        ("BootstrapFewShotWithRandomSearch", "step-1/"),
    ];
    assert_eq!(started, names);
    let ends: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            StudyEvent::Finished { study, .. } => Some(study.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ends, ["step-0/", "step-1/", ""]);
    assert!(events.iter().any(|event| matches!(event, StudyEvent::Best { study, .. } if study == "step-1/")));
    assert_eq!(optimized.unwrap().report().trials.len(), 3);
}

#[tokio::test]
async fn each_run_has_its_own_stream() {
    let lm = Obedient::new();
    let propose = |request: dspy_optimizers::proposer::TextRequest| async move {
        Ok(vec![format!("{} {}", request.current, HINTS[0])])
    };
    let copro = Copro::builder().metric(right).breadth(2).depth(1).proposer(propose).build();
    let (one, one_events) = StudyEvents::of(copro.compile(one_step(&lm), rows(6)));
    let (two, two_events) = StudyEvents::of(search().build().compile(TwoSteps::new(&Parrot::new()), rows(6)));
    let (one, two, one_events, two_events) = tokio::join!(one, two, all(one_events), all(two_events));
    one.unwrap();
    two.unwrap();
    let name = |event: &StudyEvent| match event {
        StudyEvent::Started { optimizer, .. } => optimizer.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((name(&one_events[0]).as_str(), one_events.len() > 5), ("Copro", true));
    assert_eq!(name(&two_events[0]), "BootstrapFewShotWithRandomSearch");
    let starts = |events: &[StudyEvent]| {
        events.iter().filter(|event| matches!(event, StudyEvent::Started { .. })).count()
    };
    assert_eq!((starts(&one_events), starts(&two_events)), (1, 1));
    assert!(one_events.iter().any(|event| matches!(event, StudyEvent::Proposed { texts: 1, .. })));
}

#[tokio::test]
async fn a_resumed_run_reports_recorded_effects_again() {
    let (whole, part) = (folder("events-whole"), folder("events-part"));
    let timeless = |events: Vec<StudyEvent>| {
        let clock = |event: &StudyEvent| matches!(event, StudyEvent::Spent { .. });
        events.into_iter().filter(|event| !clock(event)).collect::<Vec<_>>()
    };
    let (_, unbroken) = heard(search().concurrency(1).run_dir(&whole)).await;
    let journal = journal_of(&whole);
    let half = journal[..journal.len() / 2].rfind('\n').unwrap() + 1;
    leave(&part, &journal[..half]);
    let (_, resumed) = heard(search().concurrency(1).run_dir(&part)).await;
    assert_eq!(timeless(resumed), timeless(unbroken));
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_stream_is_independent_of_the_task_that_reads_it() {
    let lm: Arc<Obedient> = Obedient::new();
    let program: DynPredict = one_step(&lm);
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(1).build();
    let (run, events) = StudyEvents::of(search.compile(program, rows(6)));
    let reader = tokio::spawn(all(events));
    tokio::spawn(run).await.unwrap().unwrap();
    assert!(matches!(reader.await.unwrap().last(), Some(StudyEvent::Finished { .. })));
}
