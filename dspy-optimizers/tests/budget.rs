//! Budgets: what is never overshot, and what waits instead of being refused.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Parrot, Row, TwoSteps, right, rows};
use dspy_core::lm::{BoxFuture, LanguageModel, Lm, LmError, Request, Response, Usage};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Settings};
use dspy_optimizers::{
    BootstrapFewShotWithRandomSearch, BoxOptimizer, Budget, Limit, OptimizeError, Optimized, Optimizer as _,
    Report, Stopped,
};

async fn search(lm: impl LanguageModel, budget: Budget, concurrency: usize) -> Result<Report, OptimizeError> {
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::custom(lm));
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(2);
    let run = search.max_labeled_demos(2).budget(budget).concurrency(concurrency).build();
    Ok(run.compile(program, rows(10)).await?.report().clone())
}

/// Answers with a fixed usage, after letting others run.
struct Meter {
    usage: Usage,
    spent: Arc<AtomicUsize>,
}

impl LanguageModel for Meter {
    fn id(&self) -> &'static str {
        "meter"
    }

    fn complete<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.spent.fetch_add(1, Ordering::SeqCst);
            Ok(Response::text("[[ ## answer ## ]]\nmoo").with_usage(self.usage))
        })
    }
}

fn meter(usage: Usage) -> (Meter, Arc<AtomicUsize>) {
    let spent = Arc::new(AtomicUsize::new(0));
    (Meter { usage, spent: spent.clone() }, spent)
}

#[tokio::test]
async fn the_same_candidates_come_out_at_any_concurrency() {
    for calls in [20, 25, 40, 57] {
        let mut reports = Vec::new();
        for concurrency in [1, 4, 16] {
            let (lm, spent) = meter(Usage::tokens(100, 10));
            reports.push(search(lm, Budget::calls(calls), concurrency).await.unwrap());
            // No evaluation is started that cannot be finished.
            assert_eq!(spent.load(Ordering::SeqCst) as u64, reports[0].usage.requests);
            assert!((20..=calls).contains(&reports[0].usage.requests), "{calls}");
        }
        let best = reports[0].best_trial().unwrap();
        assert!(reports.iter().all(|report| report.trials == reports[0].trials), "{calls}");
        assert!(best.score.is_some());
        assert_eq!(reports[0].stopped, Stopped::Budget(Limit::Calls));
    }
}

#[tokio::test]
async fn tokens_and_dollars_hold_under_concurrency() {
    // The prompt's length is an upper bound of what this model reports, so that nothing may overshoot.
    let usage = Usage::tokens(100, 10).at_cost(0.001);
    for concurrency in [1, 16] {
        let (lm, spent) = meter(usage);
        let report = search(lm, Budget::UNLIMITED.tokens(5_000), concurrency).await.unwrap();
        assert_eq!(report.stopped, Stopped::Budget(Limit::Tokens));
        assert!(report.usage.total_tokens() <= 5_000, "{report}");
        assert!(spent.load(Ordering::SeqCst) > 30, "most of it is used");

        let (lm, spent) = meter(usage);
        let report = search(lm, Budget::UNLIMITED.usd(0.03), concurrency).await.unwrap();
        assert_eq!(report.stopped, Stopped::Budget(Limit::Usd));
        assert!(report.usage.cost_usd.unwrap() <= 0.03, "{report}");
        assert!(spent.load(Ordering::SeqCst) >= 15, "most of it is used: {spent:?}");
    }
}

#[tokio::test]
async fn budgets_of_nothing_pay_nothing() {
    for budget in [
        Budget::calls(0),
        Budget::UNLIMITED.tokens(0),
        Budget::UNLIMITED.usd(0.0),
        Budget::UNLIMITED.time(Duration::ZERO),
    ] {
        let (lm, spent) = meter(Usage::tokens(10, 1).at_cost(0.0));
        let report = search(lm, budget, 8).await.unwrap();
        assert!(matches!(report.stopped, Stopped::Budget(_)), "{budget}: {report}");
        assert_eq!((report.best_trial(), report.score()), (None, None));
        assert_eq!(spent.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn dollars_without_prices_are_no_silent_promise() {
    let (lm, spent) = meter(Usage::tokens(10, 1));
    let error = search(lm, Budget::UNLIMITED.usd(1.0), 16).await.unwrap_err();
    assert!(matches!(&error, OptimizeError::UnknownPrice { model } if model == "meter"), "{error}");
    assert_eq!(spent.load(Ordering::SeqCst), 1, "the first answer tells");

    let (lm, _) = meter(Usage::tokens(10, 1));
    let report = search(lm, Budget::calls(10_000).usd(1.0), 16).await.unwrap();
    assert_eq!(report.stopped, Stopped::Finished);
    assert!(report.to_string().contains("the price of `meter` is unknown"), "{report}");
    assert_eq!(report.usage.cost_usd, None);
}

/// A model made of another model.
struct Outer(Lm);

impl LanguageModel for Outer {
    fn id(&self) -> &'static str {
        "outer"
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(self.0.complete(request.clone()))
    }
}

#[tokio::test]
async fn a_model_made_of_models_is_one_call() {
    let (inner, spent) = meter(Usage::tokens(10, 1));
    let report = search(Outer(Lm::custom(inner)), Budget::calls(20), 16).await.unwrap();
    assert_eq!((report.usage.requests, spent.load(Ordering::SeqCst)), (20, 20));
}

#[tokio::test]
async fn the_usage_of_trials_adds_up() {
    let lm = Parrot::new();
    let search = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(3).build();
    let optimized = search.compile(TwoSteps::new(&lm), rows(10)).await.unwrap();
    let report = optimized.report();
    let mut sum = Usage::default();
    report.trials.iter().for_each(|trial| sum += trial.usage);
    assert_eq!((sum.requests, sum.total_tokens()), (report.usage.requests, report.usage.total_tokens()));
    assert!((sum.cost_usd.unwrap() - report.usage.cost_usd.unwrap()).abs() < 1e-9);
    // (N + 3) evaluations of ten rows, two calls each, and the bootstraps.
    let bootstraps: u64 = report.trials.iter().map(|trial| trial.usage.requests - 20).sum();
    assert_eq!(report.usage.requests, (3 + 3) * 10 * 2 + bootstraps);
}

/// A search by the model of the current settings, which would make more than 50 calls.
fn unlimited() -> BoxOptimizer<DynPredict, Row> {
    BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(2).build().boxed()
}

fn unbound() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
}

fn stops(run: Result<Optimized<DynPredict>, OptimizeError>) {
    assert_eq!(run.unwrap().report().stopped, Stopped::Budget(Limit::Calls));
}

#[tokio::test]
async fn what_an_optimization_is_given_to_applies() {
    let lm = || {
        let (lm, spent) = meter(Usage::tokens(100, 10));
        (Settings::new().lm(Lm::custom(lm)), move || spent.load(Ordering::SeqCst))
    };
    let typed = BootstrapFewShotWithRandomSearch::builder().metric(right).num_candidate_programs(2).build();

    // A budget around the future, and settings around both.
    let (settings, spent) = lm();
    stops(settings.scope(Budget::calls(7).scope(typed.compile(unbound(), rows(10)))).await);
    assert_eq!(spent(), 7);
    let (settings, spent) = lm();
    stops(settings.scope(Budget::calls(7).scope(unlimited().compile(unbound(), rows(10)))).await);
    assert_eq!(spent(), 7, "erased");

    // A budget that was started before, with the settings inside.
    let (settings, spent) = lm();
    let account = Budget::calls(7).start();
    stops(account.enter(settings.scope(typed.compile(unbound(), rows(10)))).await);
    assert_eq!((spent(), account.spent().requests), (7, 7));

    // The scopes of the task that runs the future go before those that it was made in.
    let ((made_in, unused), (run_in, spent)) = (lm(), lm());
    let mut run = None;
    made_in.scope(async { run = Some(typed.compile(unbound(), rows(10))) }).await;
    stops(run_in.scope(Budget::calls(7).scope(run.unwrap())).await);
    assert_eq!((unused(), spent()), (0, 7));

    // A spawned task is in no scope, so those apply that the future was made in.
    for erased in [false, true] {
        let (settings, spent) = lm();
        let (typed, boxed) = (typed.clone(), unlimited());
        let spawned = settings.scope(Budget::calls(7).scope(async move {
            let run = if erased {
                let boxed: &'static BoxOptimizer<DynPredict, Row> = Box::leak(Box::new(boxed));
                tokio::spawn(boxed.compile(unbound(), rows(10)))
            } else {
                tokio::spawn(typed.compile(unbound(), rows(10)))
            };
            run.await.unwrap()
        }));
        stops(spawned.await);
        assert_eq!(spent(), 7, "spawned, erased: {erased}");
    }
}
