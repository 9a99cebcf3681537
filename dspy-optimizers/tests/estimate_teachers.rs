//! Estimates with a teacher: its model, its demonstrations, and a price that is not known.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use common::{Row, rows};
use dspy_core::error::BoxError;
use dspy_core::lm::{BoxFuture, Lm, Price, Request, Response, ScriptedLm, Usage};
use dspy_core::predict::DynPredict;
use dspy_core::program::HasPredictors as _;
use dspy_core::signature::{Demo, Values};
use dspy_optimizers::{
    BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, BootstrapFinetune, Data, Ensemble,
    EnsembleOptimizer, Estimate, KnnFewShot, NearestDemos, Optimizer, Trainer, TrainingJob,
};
use serde_json::json;

/// A model that always answers, and counts a token for each four bytes.
fn model(name: &str) -> Lm {
    let respond = |request: &Request| {
        let tokens: usize = request.messages.iter().map(|message| message.text().len().div_ceil(4)).sum();
        let reply = "[[ ## answer ## ]]\nmoo\n\n[[ ## completed ## ]]";
        Response::text(reply).with_usage(Usage::tokens(tokens as u64, reply.len() as u64 / 4))
    };
    Lm::custom(ScriptedLm::from_fn(respond).with_id(name))
}

/// A program with this model and this many long demonstrations.
fn program(lm: Lm, demos: usize) -> DynPredict {
    let mut program = DynPredict::new("question -> answer".parse().unwrap()).with_lm(lm);
    let demo = |number: usize| {
        let question = format!("{number} {}", "what does it say ".repeat(20));
        Demo::new(serde_json::from_value(json!({"question": question, "answer": "moo"})).unwrap())
    };
    let demos: Vec<Demo> = (0..demos).map(demo).collect();
    program.for_each_predictor(|_, predictor| predictor.set_demos(demos.clone()));
    program
}

struct Tuned;

impl Trainer for Tuned {
    fn identity(&self) -> String {
        "tuned".into()
    }

    fn train<'a>(&'a self, _: &'a TrainingJob) -> BoxFuture<'a, Result<Lm, BoxError>> {
        Box::pin(async move { Ok(model("tuned").price(Price::per_million(1.0, 1.0))) })
    }
}

fn any(_: &Row, _: &Values) -> bool {
    true
}

/// Runs an optimizer with a teacher and returns its estimate, after a check that the run is within it.
async fn within<P, O>(name: &str, optimizer: &O, student: P, teacher: P) -> Estimate
where
    P: dspy_optimizers::engine::Program,
    O: Optimizer<P, Row>,
{
    let data = rows(12);
    let data = || Data::new(&data).teacher(teacher.clone());
    let estimate = optimizer.estimate(&student, data()).unwrap();
    let report = optimizer.compile(student, data()).await.unwrap().report().clone();
    let (tokens, usd) = (report.usage.total_tokens(), report.usage.cost_usd.unwrap());
    let bounds = estimate.tokens.unwrap();
    assert!(
        bounds.least <= tokens && bounds.most.is_none_or(|most| tokens <= most),
        "{name}: {tokens} of {bounds:?}"
    );
    let dollars = estimate.usd.unwrap();
    assert!(
        dollars.least <= usd && dollars.most.is_none_or(|most| usd <= most),
        "{name}: {usd} of {dollars:?}"
    );
    estimate
}

#[tokio::test]
async fn the_model_and_the_demonstrations_of_a_teacher_are_in_the_estimate() {
    let cheap = || model("cheap").price(Price::per_million(0.1, 0.1));
    let dear = || model("dear").price(Price::per_million(1000.0, 1000.0));
    let (student, teacher) = (|| program(cheap(), 0), || program(dear(), 40));

    let tune = BootstrapFinetune::builder(Tuned).metric(any).build();
    let few = BootstrapFewShot::builder().metric(any).build();
    let search = BootstrapFewShotWithRandomSearch::builder().metric(any).num_candidate_programs(2);
    let search = search.best_score(None).build();
    let estimates = [
        within("BootstrapFinetune", &tune, student(), teacher()).await,
        within("BootstrapFewShot", &few, student(), teacher()).await,
        within("RandomSearch", &search, student(), teacher()).await,
    ];
    for estimate in &estimates {
        assert!(estimate.usd.unwrap().most.unwrap() > 1.0, "{estimate}");
    }
    // Only the teacher runs, so its price is the lower end as well.
    assert!(estimates[0].usd.unwrap().least > 10.0, "{}", estimates[0]);
    // A model of the teacher replaces its own.
    let tune = BootstrapFinetune::builder(Tuned).metric(any).teacher_lm(cheap()).build();
    let estimate = within("teacher_lm", &tune, student(), teacher()).await;
    assert!(estimate.usd.unwrap().most.unwrap() < 0.1, "{estimate}");

    let together = BetterTogether::builder()
        .optimizer("p", BootstrapFewShot::builder().metric(any).build().boxed())
        .optimizer("w", BootstrapFinetune::builder(Tuned).metric(any).build().boxed())
        .strategy("p -> w")
        .metric(any)
        .best_score(None)
        .build()
        .unwrap();
    within("BetterTogether", &together, student(), teacher()).await;

    let ensemble = EnsembleOptimizer::builder(|_| BootstrapFewShot::builder().metric(any).build().boxed());
    let ensemble = ensemble.metric(any).best_score(None).build();
    let two = |one: DynPredict| Ensemble::new([one.clone(), one]);
    let estimate = within("EnsembleOptimizer", &ensemble, two(student()), two(teacher())).await;
    assert!(estimate.usd.unwrap().most.unwrap() > 1.0, "{estimate}");

    let knn = KnnFewShot::builder().metric(any).build();
    let shown = |program: DynPredict| NearestDemos::new(program).k(2);
    let data = rows(12);
    let data = || Data::new(&data).teacher(shown(teacher()));
    let estimate = knn.estimate(&shown(student()), data()).unwrap();
    let report = knn.compile(shown(student()), data()).await.unwrap().report().clone();
    let usd = report.usage.cost_usd.unwrap();
    let dollars = estimate.usd.unwrap();
    assert!(dollars.least <= usd && usd <= dollars.most.unwrap(), "{usd}, {estimate}");
}

#[test]
fn a_teacher_of_unknown_price_has_no_estimate_in_dollars() {
    let student = program(model("cheap").price(Price::per_million(0.1, 0.1)), 0);
    let data = rows(12);
    let data = || Data::new(&data).teacher(program(model("unknown"), 0));
    let few = BootstrapFewShot::builder().metric(any).build();
    assert_eq!(few.estimate(&student, data()).unwrap().usd, None);
    let tune = BootstrapFinetune::builder(Tuned).metric(any).build();
    assert_eq!(tune.estimate(&student, data()).unwrap().usd, None);
    // It does not run if it gets another model.
    let known = model("known").price(Price::per_million(1.0, 1.0));
    let tune = BootstrapFinetune::builder(Tuned).metric(any).teacher_lm(known).build();
    assert!(tune.estimate(&student, data()).unwrap().usd.is_some());
}

#[test]
fn a_program_that_selects_demonstrations_pays_for_those_that_it_shows() {
    let lm = || model("cheap").price(Price::per_million(1.0, 1.0));
    let tune = BootstrapFinetune::builder(Tuned).metric(any).build();
    let all = tune.estimate(&program(lm(), 40), &rows(12)).unwrap().tokens.unwrap();
    let two = tune.estimate(&NearestDemos::new(program(lm(), 40)).k(2), &rows(12)).unwrap().tokens.unwrap();
    assert!(two.least * 5 < all.least && two.most.unwrap() * 5 < all.most.unwrap(), "{two:?} {all:?}");
}
