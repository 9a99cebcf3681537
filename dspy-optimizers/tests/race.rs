//! Races: who is dropped, what it saves, and that nothing else changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{
    HINTS, Obedient, Parrot, Row, TwoSteps, calls_in, folder, journal_of, leave, one_step, right, rows,
};
use dspy_core::predict::DynPredict;
use dspy_core::signature::Values;
use dspy_optimizers::engine::{Candidate, Contestant, Raced, Stop, Study};
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, Budget, Data, Limit, OptimizeError, Options, Race, Report,
    SharedMetric, Stopped, StudyEvent,
};

/// Programs that know so many of the five animals each.
fn contestants(lm: &Arc<Obedient>, known: &[usize]) -> Vec<Contestant<DynPredict>> {
    let program = |count: usize| {
        let candidate = Candidate::new().instruction("self", HINTS[..count].join(" \n"));
        candidate.applied_to(&one_step(lm)).unwrap()
    };
    known.iter().enumerate().map(|(at, count)| Contestant::new(format!("c{at}"), program(*count))).collect()
}

async fn race(race: Race, known: &[usize], count: usize, options: Options) -> (Raced, usize) {
    let lm = Obedient::new();
    let (data, metric) = (Data::new(rows(count)), SharedMetric::new(right));
    let study = Study::builder("Own", one_step(&lm), &data).options(&options).start(&metric).unwrap();
    let raced = study.race(&race, &contestants(&lm, known), study.val()).await.unwrap();
    (raced, lm.calls())
}

#[tokio::test]
async fn only_those_that_are_beaten_are_dropped() {
    let (raced, calls) = race(Race::new(), &[1, 5, 0, 4, 5], 100, Options::default()).await;
    let dropped: Vec<_> =
        raced.standings.iter().map(|standing| standing.dropped.as_ref().map(|d| d.rows)).collect();
    assert_eq!(dropped[0], Some(20), "one animal of five");
    assert_eq!(dropped[2], Some(20));
    assert!(dropped[3].is_some(), "four of five are beaten later, by five");
    assert_eq!((dropped[1], dropped[4]), (None, None), "equals stay");
    assert_eq!((raced.winner(), raced.stopped), (Some(1), None));
    assert_eq!(raced.ranking()[..2], [1, 4]);
    for standing in &raced.standings {
        let seen = standing.items.len();
        assert_eq!(seen, standing.dropped.as_ref().map_or(100, |dropped| dropped.rows));
        let beaten_by = standing.dropped.iter().flat_map(|dropped| &dropped.beaten_by);
        // Whoever beats another one is better on the rows that both have seen.
        for rival in beaten_by {
            let sum = |items: &[_]| {
                items
                    .iter()
                    .take(seen)
                    .filter_map(|item: &dspy_optimizers::ItemReport| item.score)
                    .sum::<f64>()
            };
            assert!(sum(&raced.standings[*rival].items) > sum(&standing.items));
        }
    }
    assert_eq!(calls, raced.standings.iter().map(|standing| standing.items.len()).sum::<usize>());
    assert!(calls < 400, "{calls} of 500");
    assert_eq!(raced.standings[1].mean, Some(1.0));
    // All have run on the same rows.
    let order =
        |place: usize| raced.standings[place].items[..20].iter().map(|item| item.index).collect::<Vec<_>>();
    assert!((1..5).all(|place| order(place) == order(0)));
}

#[tokio::test]
async fn the_options_of_a_race_hold() {
    let none = race(Race::new().alpha(0.0), &[0, 5], 60, Options::default()).await.0;
    assert!(none.standings.iter().all(|standing| standing.dropped.is_none() && standing.items.len() == 60));
    let two = race(Race::new().survivors(2), &[0, 5, 2, 4], 100, Options::default()).await.0;
    let left: Vec<_> = (0..4).filter(|place| two.standings[*place].dropped.is_none()).collect();
    assert_eq!(left, [1, 3]);
    let (short, _) = race(Race::new().to_the_end(false), &[0, 5], 100, Options::default()).await;
    assert_eq!(short.standings[1].items.len(), 20, "the last one need not run on");
    let (blocks, _) = race(Race::new().block(5), &[0, 5], 40, Options::default()).await;
    let dropped = blocks.standings[0].dropped.as_ref().unwrap().rows;
    assert_eq!(dropped, 10, "five rows that all say the same are chance in one of 32 races");
    assert_eq!(race(Race::new(), &[3], 7, Options::default()).await.0.winner(), Some(0));
    assert_eq!(race(Race::new(), &[], 7, Options::default()).await.0.winner(), None);
}

#[tokio::test]
async fn a_penalty_counts_where_contestants_are_compared_and_not_in_the_mean() {
    let lm = Obedient::new();
    let (data, metric) = (Data::new(rows(100)), SharedMetric::new(right));
    let study = Study::builder("Own", one_step(&lm), &data).start(&metric).unwrap();
    let mut all = contestants(&lm, &[4, 5]);
    all[1] = all[1].clone().penalty(0.5);
    let raced = study.race(&Race::new(), &all, study.val()).await.unwrap();
    assert_eq!(raced.winner(), Some(0));
    assert!(raced.standings[1].dropped.is_some());
    assert_eq!(raced.standings[1].mean, Some(1.0));
}

#[tokio::test]
async fn rows_that_a_contestant_has_run_on_cost_nothing() {
    let lm = Obedient::new();
    let (data, metric) = (Data::new(rows(60)), SharedMetric::new(right));
    let study = Study::builder("Own", one_step(&lm), &data).start(&metric).unwrap();
    let all = contestants(&lm, &[3, 5, 4]);
    study.race(&Race::new(), &all[..1], study.val()).await.unwrap();
    assert_eq!(lm.calls(), 60);
    // A child against its parent.
    let raced = study.race(&Race::new(), &all[..2], study.val()).await.unwrap();
    assert_eq!((raced.winner(), lm.calls()), (Some(1), 60 + 60));
}

#[tokio::test]
async fn a_race_is_the_same_at_any_concurrency_and_is_told_of() {
    let known = [1, 5, 0, 4, 3, 2];
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let told = told.clone();
        move |event: &StudyEvent| {
            if let StudyEvent::Dropped { contestant, rows, .. } = event {
                told.lock().unwrap().push((contestant.clone(), *rows));
            }
        }
    };
    let one = race(Race::new(), &known, 100, Options::default().concurrency(1).on_event(listener)).await;
    let many = race(Race::new(), &known, 100, Options::default().concurrency(16)).await;
    assert!(one == many);
    let dropped = one
        .0
        .standings
        .iter()
        .enumerate()
        .filter_map(|(place, standing)| Some((format!("c{place}"), standing.dropped.as_ref()?.rows)));
    let mut dropped: Vec<_> = dropped.collect();
    dropped.sort_by_key(|(name, rows)| (*rows, name.clone()));
    assert_eq!(*told.lock().unwrap(), dropped);
    assert!(
        race(Race::new(), &known, 100, Options::default().seed(5)).await.0 != one.0,
        "other rows come first"
    );
}

#[tokio::test]
async fn a_budget_ends_a_race_at_a_block() {
    for calls in [0, 39, 40, 79, 80, 119] {
        let options = Options::default().budget(Budget::calls(calls));
        let (raced, made) = race(Race::new(), &[3, 3], 60, options).await;
        let blocks = (calls / 40) as usize;
        assert!(raced.standings.iter().all(|standing| standing.items.len() == blocks * 20), "{calls}");
        assert_eq!(raced.stopped, Some(Limit::Calls));
        assert_eq!(raced.winner().is_some(), blocks > 0);
        // Of the first block nothing is known of what rollouts cost; no later one is begun in vain.
        assert_eq!(made, if blocks == 0 { calls as usize } else { blocks * 40 });
    }
}

async fn search(lm: &Arc<Parrot>, race: Option<Race>, folder: Option<&Path>, budget: Budget) -> Report {
    let mut search = BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(5)
        .max_labeled_demos(4)
        .budget(budget);
    if let Some(race) = race {
        search = search.race(race);
    }
    if let Some(folder) = folder {
        search = search.run_dir(folder).concurrency(3);
    }
    let data = Data::new(rows(15)).valset(rows(60));
    search.build().compile(TwoSteps::new(lm), data).await.unwrap().report().clone()
}

#[tokio::test]
async fn a_racing_search_finds_the_same_program_for_less() {
    let (published, racing) = (Parrot::new(), Parrot::new());
    let full = search(&published, None, None, Budget::UNLIMITED).await;
    let raced = search(&racing, Some(Race::new()), None, Budget::UNLIMITED).await;
    assert_eq!(
        raced.best_trial().unwrap().parameters,
        full.best_trial().unwrap().parameters,
        "{raced}\n{full}"
    );
    assert_eq!((raced.score(), raced.baseline), (full.score(), None), "{raced}");
    assert!(racing.calls() * 10 < published.calls() * 8, "{} of {}", racing.calls(), published.calls());
    let dropped = raced.trials.iter().filter(|trial| trial.score.is_none());
    assert!(dropped.clone().count() >= 2, "{raced}");
    assert!(
        dropped.into_iter().all(|trial| trial.notes.last().unwrap().starts_with("dropped after")),
        "{raced}"
    );
    let sum: u64 = raced.trials.iter().map(|trial| trial.usage.requests).sum();
    assert_eq!((sum, raced.usage.requests as usize), (raced.usage.requests, racing.calls()));
}

#[tokio::test]
async fn a_racing_search_resumes_at_every_event() {
    let (whole, part) = (folder("race-whole"), folder("race-part"));
    let lm = Parrot::new();
    let report = search(&lm, Some(Race::new()), Some(&whole), Budget::UNLIMITED).await;
    let (total, journal) = (lm.calls(), journal_of(&whole));
    for end in journal.match_indices('\n').map(|(at, _)| at + 1).step_by(23) {
        leave(&part, &journal[..end]);
        let lm = Parrot::new();
        assert!(search(&lm, Some(Race::new()), Some(&part), Budget::UNLIMITED).await == report, "byte {end}");
        assert_eq!(lm.calls(), total - calls_in(&journal[..end]), "cut at byte {end}");
    }
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn a_racing_search_has_a_result_whenever_its_budget_ends() {
    let whole = Parrot::new();
    search(&whole, Some(Race::new()), None, Budget::UNLIMITED).await;
    let total = whole.calls() as u64;
    let mut best = Vec::new();
    for calls in [0, 30, 200, total - 30, total - 1, total] {
        let lm = Parrot::new();
        let report = search(&lm, Some(Race::new()), None, Budget::calls(calls)).await;
        assert!(lm.calls() as u64 <= calls);
        assert_eq!(report.stopped == Stopped::Finished, calls == total, "{calls}: {report}");
        assert_eq!(report.trials.is_empty(), calls < 40, "{calls}: {report}");
        let partial = report.best_trial().and_then(|best| best.partial);
        let warned = report.warnings.iter().any(|warning| warning.starts_with("the result rests on "));
        assert_eq!(partial.is_some(), warned, "{report}");
        best.push(report.score().or(partial.map(|partial| partial.score)).unwrap_or_default());
    }
    assert!(best.windows(2).all(|pair| pair[0] <= pair[1] + 0.2), "{best:?}");
    assert!(best[3] > 0.5, "{best:?}");
}

#[tokio::test]
async fn an_alpha_that_makes_no_sense_is_an_error() {
    for alpha in [-0.1, 1.5, f64::NAN] {
        let search = BootstrapFewShotWithRandomSearch::builder().metric(right).race(Race::new().alpha(alpha));
        let error = search.build().compile(TwoSteps::new(&Parrot::new()), rows(3)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Option { option: "race.alpha", .. }), "{error}");
    }
}

#[tokio::test]
async fn rows_on_which_the_metric_fails_are_not_compared() {
    let lm = Obedient::new();
    let metric = SharedMetric::new(|row: &Row, output: &Values| -> Result<bool, String> {
        if row.0["answer"] == "hoot" { Err("no opinion on owls".into()) } else { Ok(right(row, output)) }
    });
    let data = Data::new(rows(60));
    let options = Options::default().max_errors(1_000);
    let study = Study::builder("Own", one_step(&lm), &data).options(&options).start(&metric).unwrap();
    let raced = study.race(&Race::new(), &contestants(&lm, &[4, 5, 1]), study.val()).await.unwrap();
    let dropped: Vec<_> = raced.standings.iter().map(|standing| standing.dropped.is_some()).collect();
    assert_eq!(dropped, [false, false, true], "they differ on owls alone");
    assert_eq!((raced.standings[0].mean, raced.winner()), (Some(1.0), Some(0)));
}

#[tokio::test]
async fn a_contestant_on_whose_rows_the_metric_fails_loses_and_ends_nothing() {
    let race = async |failing: &'static [&'static str], known: &[usize]| {
        let lm = Obedient::new();
        let metric = SharedMetric::new(move |row: &Row, output: &Values| -> Result<bool, String> {
            if failing.iter().any(|answer| output["answer"] == *answer) {
                return Err("no opinion".into());
            }
            Ok(right(row, output))
        });
        let data = Data::new(rows(20));
        let options = Options::default().max_errors(1_000);
        let study = Study::builder("Own", one_step(&lm), &data).options(&options).start(&metric).unwrap();
        study.race(&Race::new(), &contestants(&lm, known), study.val()).await
    };
    // One that knows nothing is silent on all rows.
    let raced = race(&["silence"], &[0, 3]).await.unwrap();
    assert_eq!((raced.standings[0].mean, raced.winner()), (None, Some(1)));
    let Stop::Error(error) = race(&["silence"], &[0, 0]).await.unwrap_err() else { panic!() };
    assert!(matches!(*error, OptimizeError::Metric { .. }), "{error}");
}
