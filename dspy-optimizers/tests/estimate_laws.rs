//! The calls, tokens and US dollars of a run lie within its estimate, for every optimizer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the report")]

mod common;

use common::{Row, Steps, rows};
use dspy_core::evaluate::Score;
use dspy_core::lm::{Lm, Price};
use dspy_core::predict::DynPredict;
use dspy_core::program::Settings;
use dspy_core::signature::Values;
use dspy_optimizers::engine::Program;
use dspy_optimizers::{
    Ace, BetterTogether, BootstrapFewShot, BootstrapFewShotWithRandomSearch, BootstrapFewShotWithTpe, Budget,
    Capo, Copro, Data, Ensemble, EnsembleOptimizer, Gepa, InferRules, KnnFewShot, LabeledFewShot, MiproV2,
    ModuleOpro, NearestDemos, Optimizer, Portfolio, Simba,
};

fn taught(row: &Row, output: &Values) -> Score {
    Score::from(output["answer"] == row.0["answer"]).with_feedback(format!("expected {}", row.0["answer"]))
}

fn lm() -> Lm {
    Lm::builtin().price(Price::per_million(1.0, 4.0))
}

fn one() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
}

fn two() -> Steps {
    Steps(vec![one(), one()])
}

async fn within<P: Program, O: Optimizer<P, Row>>(name: &str, optimizer: &O, program: P, budget: Budget) {
    let data = rows(40);
    let (train, val) = data.split_at(24);
    let run = async {
        let estimate = optimizer.estimate(&program, Data::new(train).valset(val)).unwrap();
        let optimized = optimizer.compile(program.clone(), Data::new(train).valset(val)).await.unwrap();
        (estimate, optimized.report().clone())
    };
    let (estimate, report) = Settings::new().lm(lm()).scope(run).await;
    let usage = report.usage;
    let (calls, tokens, usd) = (usage.requests, usage.total_tokens(), usage.cost_usd.unwrap_or_default());
    let shown = format!("{name}: {calls} calls, {tokens} tokens, ${usd}, estimated {estimate}");
    assert!(estimate.calls().contains(calls), "{shown}");
    assert!(estimate.tokens.unwrap().contains(tokens), "{shown}");
    assert!(estimate.usd.unwrap().contains(usd), "{shown}");
    assert!(budget.calls.is_none_or(|limit| estimate.calls().most <= Some(limit)), "{shown}");
    // What is called first is the original program, whose prompts are known.
    if budget.calls == Some(1) && estimate.calls().least == 1 {
        assert!(estimate.tokens.unwrap().most.unwrap() < 2 * tokens, "{shown}");
    }
}

macro_rules! all_within {
    ($($name:literal: $builder:expr),+ $(,)?) => {{
        $(
            let all = Budget::UNLIMITED;
            within($name, &$builder.metric(taught).build(), one(), all).await;
            within($name, &$builder.metric(taught).build(), two(), all).await;
            for budget in BUDGETS {
                within($name, &$builder.metric(taught).budget(budget).build(), one(), budget).await;
            }
        )+
    }};
}

const BUDGETS: [Budget; 5] = [
    Budget::calls(0),
    Budget::calls(1),
    Budget::calls(30),
    Budget::calls(90),
    Budget::UNLIMITED.tokens(4_000),
];

#[tokio::test]
async fn of_demonstrations() {
    all_within! {
        "BootstrapFewShot": BootstrapFewShot::builder(),
        "BootstrapFewShotWithRandomSearch": BootstrapFewShotWithRandomSearch::builder().num_candidate_programs(4),
        "BootstrapFewShotWithTpe": BootstrapFewShotWithTpe::builder().num_candidate_programs(8),
    }
    let all = Budget::UNLIMITED;
    within("LabeledFewShot", &LabeledFewShot::builder().build(), one(), all).await;
    let knn = KnnFewShot::builder().metric(taught).build();
    within("KnnFewShot", &knn, NearestDemos::new(one()).k(3), all).await;
}

#[tokio::test]
async fn of_texts() {
    all_within! {
        "Ace": Ace::builder(),
        "Copro": Copro::builder().breadth(4),
        "Gepa": Gepa::builder().max_rollouts(200),
        "InferRules": InferRules::builder().num_candidates(4),
        "ModuleOpro": ModuleOpro::builder().steps(5),
    }
}

#[tokio::test]
async fn of_both() {
    all_within! {
        "Capo": Capo::builder().population(4).steps(2),
        "MiproV2": MiproV2::builder().num_candidates(4).num_trials(6),
        "Portfolio": Portfolio::builder(Budget::calls(400)),
        "Simba": Simba::builder().minibatch(8).num_candidates(3).max_steps(2),
    }
}

#[tokio::test]
async fn of_several_optimizers() {
    let small = |seed| {
        BootstrapFewShotWithRandomSearch::builder().metric(taught).num_candidate_programs(1).seed(seed)
    };
    for budget in BUDGETS.into_iter().chain([Budget::UNLIMITED]) {
        let members = EnsembleOptimizer::builder(move |seed| small(seed).build().boxed());
        let members = members.metric(taught).budget(budget).build();
        within("EnsembleOptimizer", &members, Ensemble::new(vec![one(); 2]), budget).await;
        let together = BetterTogether::builder()
            .optimizer("c", Copro::builder().metric(taught).breadth(2).depth(1).build().boxed())
            .optimizer("b", BootstrapFewShot::builder().metric(taught).build().boxed())
            .strategy("c -> b -> c")
            .metric(taught)
            .budget(budget)
            .build()
            .unwrap();
        within("BetterTogether", &together, one(), budget).await;
    }
}

#[test]
fn a_number_of_calls_per_run_keeps_the_budget() {
    let estimate = |budget: Budget| {
        let copro = Copro::builder().metric(taught).breadth(4).budget(budget).build();
        copro.estimate(&one().with_lm(lm()), &rows(20)[..]).unwrap()
    };
    let (free, limited) = (estimate(Budget::UNLIMITED), estimate(Budget::calls(100)));
    assert!(free.program_calls.most > Some(100) && limited.calls().most == Some(100));
    for calls in [0.5, 1.5, 3.0] {
        let (free, limited) =
            (free.clone().at_calls_per_rollout(calls), limited.clone().at_calls_per_rollout(calls));
        let most = free.calls().most.unwrap();
        assert_eq!(limited.calls().most, Some(most.min(100)), "{calls}");
        assert_eq!(free.program_calls.least, (20.0 * calls) as u64, "{calls}");
        assert!(limited.tokens.unwrap().most <= free.tokens.unwrap().most, "{calls}");
        let summed = limited.clone().then(limited.clone()).at_calls_per_rollout(2.0 * calls);
        assert_eq!(
            summed.calls().most,
            Some(2 * (free.at_calls_per_rollout(2.0 * calls)).calls().most.unwrap().min(100))
        );
    }
    assert_eq!(limited.clone().at_calls_per_rollout(f64::NAN), limited);
    let nothing = estimate(Budget::calls(0));
    assert_eq!((nothing.calls().most, nothing.tokens.unwrap().most), (Some(0), Some(0)), "{nothing}");
}

#[test]
fn the_limit_of_replies_is_that_of_the_settings() {
    let estimate = |lm: Lm| {
        let copro = Copro::builder().metric(taught).breadth(4).build();
        copro.estimate(&one().with_lm(lm), &rows(20)[..]).unwrap().tokens.unwrap().most.unwrap()
    };
    let (free, limited) = (estimate(lm()), estimate(lm().max_tokens(20)));
    assert!(limited < free && limited > free / 2, "{limited} of {free}");
}

#[tokio::test]
async fn what_is_free_is_free_in_any_number() {
    let portfolio = Portfolio::builder(Budget::UNLIMITED.tokens(4_000)).metric(taught).build();
    let estimate = async { portfolio.estimate(&one(), &rows(20)[..]).unwrap() };
    let estimate = Settings::new().lm(Lm::builtin().price(Price::FREE)).scope(estimate).await;
    let said = estimate.to_string();
    assert!(said.lines().next().is_some_and(|line| line.ends_with("$0.0000")), "{said}");
}
