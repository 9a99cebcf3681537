//! The gate between a search and its user: rows that the search has never seen.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{HINTS, Obedient, Row, calls_in, folder, journal_of, leave, one_step, right, rows};
use dspy_core::predict::DynPredict;
use dspy_core::signature::Values;
use dspy_optimizers::engine::{Candidate, ExampleFor, Program, Stop, Study};
use dspy_optimizers::{
    BootstrapFewShot, BootstrapFewShotWithRandomSearch, Budget, Data, IntoData, OptimizeError, Optimized,
    Optimizer, Options, Report, SharedMetric, Stopped, StudyEvent, Verification, Verify,
};

/// Tries texts as the instruction. With `cram`, the first is one that knows the rows that it is selected by by heart.
struct Pick {
    texts: Vec<String>,
    cram: bool,
    options: Options,
}

impl Optimizer<DynPredict, Row> for Pick {
    async fn compile<D: IntoData<DynPredict, Row>>(
        &self,
        program: DynPredict,
        data: D,
    ) -> Result<Optimized<DynPredict>, OptimizeError> {
        let (data, metric) = (data.into_data(), SharedMetric::new(right));
        let study = Study::builder("Pick", program, &data).options(&self.options).start(&metric)?;
        let searched = self.search(&study).await;
        study.finish(searched).await
    }
}

impl Pick {
    async fn search<P>(&self, study: &Study<'_, P, Row>) -> Result<Stopped, Stop>
    where
        P: Program<Output = Values>,
        Row: ExampleFor<P>,
    {
        if self.cram {
            let learnt = study.val().iter().map(|row| {
                let answer = row.values["answer"].as_str().unwrap();
                format!("#{}={answer} \n", row.position)
            });
            study
                .score("by heart", &Candidate::new().instruction("self", learnt.collect::<String>()))
                .await?;
        }
        for text in &self.texts {
            study.score(text, &Candidate::new().instruction("self", text)).await?;
        }
        Ok(Stopped::Finished)
    }
}

fn pick(texts: &[&str], cram: bool, options: Options) -> Pick {
    Pick { texts: texts.iter().map(|text| format!("{text} ")).collect(), cram, options }
}

/// What knows two of five animals, and so is right on 40 % of all rows.
fn two_animals(lm: &Arc<Obedient>) -> DynPredict {
    Candidate::new().instruction("self", HINTS[..2].join(" \n")).applied_to(&one_step(lm)).unwrap()
}

async fn run(pick: &Pick, lm: &Arc<Obedient>, count: usize) -> Optimized<DynPredict> {
    pick.compile(two_animals(lm), &rows(count)).await.unwrap()
}

fn verify(rows: usize) -> Options {
    Options::default().verify(Verify::rows(rows))
}

#[tokio::test]
async fn a_candidate_that_overfits_is_not_returned() {
    let lm = Obedient::new();
    let optimized = run(&pick(&[], true, verify(20)), &lm, 60).await;
    let report = optimized.report();
    let Verification::Failed(verified) = &report.verification else { panic!("{report}") };
    assert_eq!((verified.rows, verified.score, verified.search_score), (20, 0.0, Some(1.0)));
    assert!((0.2..0.6).contains(&verified.baseline) && verified.margin == 0.0, "{verified:?}");
    assert_eq!(optimized.predictor().instruction(), two_animals(&lm).predictor().instruction());
    assert!(report.changes().is_empty(), "{report}");
    assert_eq!(report.best_trial().unwrap().label, "original program");
    assert!(report.to_string().contains("the result is the original program"), "{report}");
    // Without the gate it is what the search would return.
    let optimized = run(&pick(&[], true, Options::default()), &lm, 60).await;
    assert_eq!(
        (optimized.report().score(), &optimized.report().verification),
        (Some(1.0), &Verification::Off)
    );
}

#[tokio::test]
async fn what_is_better_on_unseen_rows_passes() {
    let lm = Obedient::new();
    let all = HINTS.join(" \n");
    let optimized = run(&pick(&[HINTS[0], &all], false, verify(20)), &lm, 60).await;
    let report = optimized.report();
    let Verification::Passed(verified) = &report.verification else { panic!("{report}") };
    assert_eq!((verified.rows, verified.trial, verified.score), (20, 1, 1.0));
    assert!(
        report.to_string().contains("verified on 20 held-out rows: 100.0 % (± 0.0), original program"),
        "{report}"
    );
    assert!(optimized.predictor().instruction().contains("owl"));
    assert_eq!(report.usage.requests as usize, lm.calls());
}

#[tokio::test]
async fn the_next_best_may_be_the_one_that_holds() {
    let lm = Obedient::new();
    let all = HINTS[..4].join(" \n");
    let optimized = run(&pick(&[HINTS[0], &all], true, verify(20)), &lm, 60).await;
    let Verification::Passed(verified) = &optimized.report().verification else { panic!() };
    assert_eq!((verified.trial, optimized.report().best), (2, 2), "the one by heart was first in the search");
    // With one finalist, that is the only one that can pass.
    let options = Options::default().verify(Verify::rows(20).finalists(1));
    let optimized = run(&pick(&[HINTS[0], &all], true, options), &lm, 60).await;
    assert!(matches!(optimized.report().verification, Verification::Failed(_)));
}

#[tokio::test]
async fn the_rows_to_verify_on_are_a_fair_sample_for_every_seed() {
    let lm = Obedient::new();
    let all = HINTS.join(" \n");
    for seed in 0..20 {
        // The original program is right on two of five animals, and each animal has a fifth of the rows.
        let optimized = run(&pick(&[&all], false, verify(20).seed(seed)), &lm, 60).await;
        let Verification::Passed(verified) = &optimized.report().verification else { panic!() };
        assert_eq!((verified.rows, verified.baseline), (20, 0.4), "{seed}");
    }
}

#[tokio::test]
async fn the_search_never_sees_the_rows_that_are_set_aside() {
    for (own_holdout, count) in [(false, 60), (true, 40)] {
        let seen = Arc::new(Mutex::new((BTreeSet::new(), BTreeSet::new())));
        let listener = {
            let seen = seen.clone();
            move |event: &StudyEvent| {
                if let StudyEvent::Rollout { name, .. } = event {
                    let mut seen = seen.lock().unwrap();
                    let row = name.rsplit('/').next().unwrap().to_owned();
                    if name.starts_with("verify-") {
                        seen.1.insert(row)
                    } else {
                        seen.0.insert(row)
                    };
                }
            }
        };
        let lm = Obedient::new();
        let optimizer = pick(&[&HINTS.join(" \n")], false, verify(20).on_event(listener));
        let data = Data::new(rows(count));
        let data = if own_holdout { data.holdout(rows(20)) } else { data };
        let optimized = optimizer.compile(two_animals(&lm), data).await.unwrap();
        assert!(matches!(optimized.report().verification, Verification::Passed(_)));
        let (search, verification) = &*seen.lock().unwrap();
        assert_eq!((search.len(), verification.len()), (40, 20));
        assert!(search.is_disjoint(verification));
    }
}

#[tokio::test]
async fn too_few_rows_are_said_to_be_and_change_nothing() {
    let lm = Obedient::new();
    let optimizer = |options| pick(&[&HINTS.join(" \n")], false, options);
    let optimized = run(&optimizer(verify(100)), &lm, 15).await;
    assert_eq!(optimized.report().verification, Verification::TooFewRows { rows: 7 });
    assert!(optimized.report().to_string().contains("7 rows could be held out, at least 10 are needed"));
    assert_eq!(optimized.report().trials[0].items.len(), 15, "all are selected by");
    let plain = run(&optimizer(Options::default()), &lm, 15).await;
    assert_eq!(optimized.report().trials, plain.report().trials);
    assert!(!plain.report().to_string().contains("verified"));
    // At most half of the rows are held out.
    let half = run(&optimizer(verify(100)), &lm, 40).await;
    assert!(matches!(&half.report().verification, Verification::Passed(verified) if verified.rows == 20));
}

#[tokio::test]
async fn only_what_is_better_in_the_search_is_verified() {
    let lm = Obedient::new();
    let given = run(&pick(&[], false, verify(10)), &lm, 40).await;
    assert_eq!(given.report().verification, Verification::NothingFound);
    // The program itself, and a worse one: there is nothing to return instead.
    let mut optimizer = pick(&["nothing"], false, verify(10));
    optimizer.texts.push(HINTS[..2].join(" \n"));
    let worse = run(&optimizer, &lm, 40).await;
    assert_eq!((&worse.report().verification, worse.report().best), (&Verification::NothingFound, 1));
    assert_eq!(worse.report().baseline, worse.report().score());
}

#[tokio::test]
async fn a_reserve_that_makes_no_sense_is_an_error() {
    for reserve in [-0.1, 1.1, f64::NAN] {
        let options = Options::default().verify(Verify::rows(20).reserve(reserve));
        let lm = Obedient::new();
        let error = pick(&[], false, options).compile(two_animals(&lm), rows(40)).await.unwrap_err();
        assert!(matches!(error, OptimizeError::Option { option: "verify.reserve", .. }), "{error}");
    }
}

#[tokio::test]
async fn a_holdout_switches_it_on_for_every_optimizer() {
    let lm = Obedient::new();
    let optimizer = BootstrapFewShot::builder().metric(right).max_bootstrapped_demos(2).build();
    let data = Data::new(rows(20)).holdout(rows(12));
    let optimized = optimizer.compile(two_animals(&lm), data).await.unwrap();
    let Verification::Passed(verified) = &optimized.report().verification else { panic!() };
    // It knows no more than before, and is not worse.
    assert_eq!((verified.rows, verified.search_score), (12, None));
    assert!(!optimized.predictor().demos().is_empty());
    // These rows are also in the trainset.
    let warned =
        |warning: &String| warning.starts_with("12 of 12 rows of the holdout are also in the trainset");
    assert!(optimized.report().warnings.iter().any(warned), "{}", optimized.report());
}

#[tokio::test]
async fn the_search_leaves_enough_of_the_budget() {
    let texts: Vec<_> = (0..30).map(|n| format!("{} {n}", HINTS[n % 5])).chain([HINTS.join(" \n")]).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    for calls in [300, 400, 600] {
        let lm = Obedient::new();
        let options = verify(10).budget(Budget::calls(calls));
        let optimized = run(&pick(&texts, false, options), &lm, 50).await;
        let report = optimized.report();
        assert!(matches!(report.stopped, Stopped::Budget(_)), "{report}");
        let (Verification::Passed(verified) | Verification::Failed(verified)) = &report.verification else {
            panic!("{report}")
        };
        assert_eq!(verified.rows, 10);
        assert!(lm.calls() as u64 <= calls);
    }
    // Where it does not suffice, the report says so.
    let lm = Obedient::new();
    let optimizer = Options::default().verify(Verify::rows(20).reserve(0.0)).budget(Budget::calls(90));
    let optimized = run(&pick(&texts, false, optimizer), &lm, 60).await;
    assert_eq!(optimized.report().verification, Verification::OutOfBudget);
    assert!(optimized.report().to_string().contains("not verified: the budget was exhausted"));
}

#[tokio::test]
async fn it_resumes_and_keeps_its_budget_over_kills() {
    let run = async |folder: &Path, concurrency: usize, budget: Budget| -> (Report, usize) {
        let lm = Obedient::new();
        let all = HINTS.join(" \n");
        let options = verify(12).run_dir(folder).concurrency(concurrency).budget(budget);
        let optimized = run(&pick(&[HINTS[0], &all], true, options), &lm, 30).await;
        (optimized.report().clone(), lm.calls())
    };
    let (whole, part) = (folder("verify-whole"), folder("verify-part"));
    let budget = Budget::calls(110);
    let (report, total) = run(&whole, 1, budget).await;
    assert!(matches!(report.verification, Verification::Passed(_)), "{report}");
    let journal = journal_of(&whole);
    for end in journal.match_indices('\n').map(|(at, _)| at + 1).step_by(3) {
        leave(&part, &journal[..end]);
        let (resumed, calls) = run(&part, 1, budget).await;
        assert_eq!(calls, total - calls_in(&journal[..end]), "cut at byte {end}");
        assert!(resumed == report, "cut at byte {end}");
    }
    std::fs::remove_dir_all(&part).unwrap();
    assert!(run(&part, 16, budget).await.0 == report, "the same at any concurrency");
    for folder in [whole, part] {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn as_many_finalists_as_the_budget_pays_for_are_verified_on_all_rows() {
    let good = (2..=5).rev().map(|count| HINTS[..count].join(" \n"));
    let texts: Vec<String> = good.chain((0..30).map(|n| format!("{} {n}", HINTS[n % 5]))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    // 15 % of them pay for this many programs beside the original one, on 20 rows each.
    for (calls, finalists) in [(280, Some(1)), (400, Some(2)), (540, None)] {
        let lm = Obedient::new();
        let options = Options::default().verify(Verify::rows(20)).budget(Budget::calls(calls));
        let optimized = run(&pick(&texts, false, options), &lm, 60).await;
        let report = optimized.report();
        let Verification::Passed(verified) = &report.verification else { panic!("{report}") };
        assert_eq!(verified.rows, 20);
        let said = finalists.map(|count| format!("verified {count} of 3 finalists"));
        let decided = |said: &String| report.decisions.iter().any(|line| line.contains(said));
        assert_eq!(said.as_ref().is_some_and(decided), said.is_some(), "{calls}: {report}");
        assert!(lm.calls() as u64 <= calls);
    }
}

/// A search of demonstrations with a verification on 20 rows that were not used before.
fn verified(budget: Budget) -> BootstrapFewShotWithRandomSearch<SharedMetric<Row, Values>> {
    BootstrapFewShotWithRandomSearch::builder()
        .metric(right)
        .num_candidate_programs(2)
        .budget(budget)
        .verify(Verify::rows(20))
        .build()
}

#[tokio::test]
async fn a_reserve_that_cannot_pay_is_said_before_the_run_and_the_least_budget_is_named() {
    let lm = Obedient::new();
    let warned = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let (warned, lm) = (warned.clone(), lm.clone());
        move |event: &StudyEvent| {
            if let StudyEvent::Warning { message, .. } = event {
                warned.lock().unwrap().push((lm.calls(), message.clone()));
            }
        }
    };
    let options = verify(20).budget(Budget::calls(100)).on_event(listener);
    let all = HINTS.join(" \n");
    let optimized =
        pick(&[HINTS[0], &all], false, options).compile(two_animals(&lm), &rows(60)).await.unwrap();
    let (calls, message) = warned.lock().unwrap()[0].clone();
    // The original program and a candidate on 20 rows take 40 calls, 15 % of 267.
    assert!(calls == 0 && message.contains("takes at least 40 calls"), "{calls} {message}");
    assert!(message.contains("15 are reserved") && message.contains("at least 267 calls"), "{message}");
    assert_eq!(optimized.report().verification, Verification::OutOfBudget);
    assert!(optimized.report().warnings.contains(&message), "{}", optimized.report());

    let estimate = verified(Budget::calls(100)).estimate(&two_animals(&lm), &rows(60)).unwrap();
    assert!(estimate.to_string().contains("\nwarning: the verification"), "{estimate}");
    let enough = verified(Budget::calls(267)).estimate(&two_animals(&lm), &rows(60)).unwrap();
    assert!(enough.warnings.is_empty(), "{enough}");
}

#[tokio::test]
async fn the_lower_end_of_an_estimate_leaves_the_reserve_out() {
    for calls in [7, 40, 100, 400] {
        let (lm, budget) = (Obedient::new(), Budget::calls(calls));
        let estimate = verified(budget).estimate(&two_animals(&lm), &rows(60)).unwrap();
        let optimized = verified(budget).compile(two_animals(&lm), &rows(60)).await.unwrap();
        let report = optimized.report();
        let shown = format!("{calls}: {} calls, estimated {estimate}\n{report}", report.usage.requests);
        assert!(estimate.calls().contains(report.usage.requests), "{shown}");
        let too_small = "needs at least 46 calls";
        assert_eq!(calls < 46, estimate.to_string().contains(too_small), "{shown}");
        assert_eq!(calls < 46, report.to_string().contains(too_small), "{shown}");
    }
}

#[tokio::test]
async fn no_more_is_reserved_than_a_verification_can_need() {
    // 15 % of 10,000 calls are 1,500; three candidates and the original program on 20 rows take 80 calls at one call
    // a row, and up to 800 at ten.
    let spent = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let spent = spent.clone();
        move |event: &StudyEvent| {
            if let StudyEvent::Spent { left, spent: so_far, .. } = event {
                spent.lock().unwrap().push(left.calls.unwrap() + so_far.requests);
            }
        }
    };
    let lm = Obedient::new();
    let options = verify(20).budget(Budget::calls(10_000)).on_event(listener);
    run(&pick(&[HINTS[0]], false, options), &lm, 60).await;
    // Up to eight calls are in flight.
    let first = spent.lock().unwrap()[0];
    assert!((9_192..=9_200).contains(&first), "{first}");
}
