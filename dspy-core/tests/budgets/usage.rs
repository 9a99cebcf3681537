//! Who has used what.

use dspy_core::lm::{
    BoxFuture, LanguageModel, Lm, LmError, Price, PriceTable, Request, Response, Usage, track_usage,
};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, Module as _, spawn};
use dspy_core::signature::Values;
use serde_json::json;

use crate::{Known, Verbose, request};

/// A model made of models: asks both, answers with the second.
struct Both(Lm, Lm);

impl LanguageModel for Both {
    fn id(&self) -> &'static str {
        "both"
    }

    fn price(&self) -> Option<Price> {
        Price::highest([self.0.unit_price(), self.1.unit_price()])
    }

    fn complete<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
        Box::pin(async move {
            let first = self.0.complete(request.clone()).await?;
            let mut second = self.1.complete(request.clone()).await?;
            second.usage += first.usage;
            Ok(second)
        })
    }
}

fn verbose() -> Lm {
    Lm::custom(Verbose { cost: None })
}

#[tokio::test]
async fn reports_add_up_by_model_through_nested_and_spawned_tasks() {
    let priced = verbose().price(Price::per_million(1.0, 2.0));
    let scripted = Lm::scripted(["a b", "c"]);
    let (inner, outer) = track_usage(async {
        priced.complete(request("10")).await.unwrap();
        let ((), inner) = track_usage(async {
            scripted.ask("one two").await.unwrap();
            let priced = priced.clone();
            spawn(async move { priced.complete(request("20")).await.unwrap() }).await.unwrap();
        })
        .await;
        scripted.ask("three").await.unwrap();
        inner
    })
    .await;
    assert_eq!((inner.total.requests, outer.total.requests), (2, 4));
    assert_eq!(inner.total.completion_tokens, 22);
    let names: Vec<_> = outer.models.iter().map(|part| (part.model.as_str(), part.usage.requests)).collect();
    assert_eq!(names, [("scripted", 2), ("verbose", 2)]);
    assert_eq!(outer.models[1].usage.cost_usd, Some((4.0 + 60.0) / 1e6));
    assert_eq!(outer.total.cost_usd, None, "what the scripted model costs is not known");
    assert!(outer.to_string().contains("cost unknown"), "{outer}");
}

#[tokio::test]
async fn trackers_beside_each_other_do_not_mix() {
    let lm = verbose();
    let track = |tokens: u64| {
        let lm = lm.clone();
        async move {
            let calls = (0..5).map(|_| lm.complete(request(tokens.to_string())));
            track_usage(futures_util::future::join_all(calls)).await.1
        }
    };
    let reports = futures_util::future::join_all((1..20).map(track)).await;
    for (report, tokens) in reports.iter().zip(1..) {
        assert_eq!((report.total.requests, report.total.completion_tokens), (5, 5 * tokens));
    }
}

#[tokio::test]
async fn answers_from_a_cache_are_counted_apart() {
    let cached = Lm::scripted(["never"]).layer(Known);
    let ((), report) = track_usage(async {
        cached.ask("?").await.unwrap();
        cached.ask("?").await.unwrap();
    })
    .await;
    assert_eq!(report.total, Usage::default());
    assert_eq!((report.cached.answers, report.cached.saved.cost_usd), (2, Some(1.0)));
    assert_eq!(report.models[0].cached, report.cached);
}

#[tokio::test]
async fn a_model_made_of_models_is_counted_once() {
    let part = || verbose().price(Price::per_million(1.0, 1.0));
    let both = Lm::custom(Both(part(), part()));
    assert_eq!(both.unit_price().map(|price| (price.input, price.output)), Some((1.0, 1.0)));
    let (_, report) = track_usage(both.complete(request("10"))).await;
    assert_eq!((report.models.len(), report.models[0].model.as_str()), (1, "both"));
    assert_eq!((report.total.requests, report.total.completion_tokens), (2, 20));
    assert_eq!(report.total.cost_usd, Some(24.0 / 1e6));
    let account = dspy_core::lm::Budget::calls(1).start();
    account.enter(both.complete(request("10"))).await.unwrap();
    assert_eq!((account.remaining().calls, account.spent().total_tokens()), (Some(0), 24));
}

#[tokio::test]
async fn predictions_know_what_they_cost() {
    let mut program = DynPredict::new("question -> answer".parse().unwrap());
    program.set_lm(Lm::scripted(["[[ ## answer ## ]]\nyes"]).price(Price::per_million(1.0, 1.0)));
    let inputs: Values = serde_json::from_value(json!({"question": "?"})).unwrap();
    let (answer, report) = track_usage(program.call(inputs)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.usage(), report.total);
    assert!(answer.usage().cost_usd.unwrap() > 0.0);
}

#[tokio::test]
async fn the_nearest_price_counts_and_what_is_not_known_is_none() {
    let cost = |lm: Lm| async move { lm.complete(request("10")).await.unwrap().usage.cost_usd };
    let own = Price::per_million(0.0, 1e6);
    assert_eq!(cost(verbose()).await, None);
    assert_eq!(cost(verbose().price(own)).await, Some(10.0));
    assert_eq!(cost(verbose().price(Price::FREE)).await, Some(0.0));
    let told = Lm::custom(Verbose { cost: Some(0.25) });
    assert_eq!(cost(told.price(own)).await, Some(0.25), "what the endpoint says counts");
    let mut table = PriceTable::new();
    table.insert("verb*", Price::per_million(0.0, 2e6));
    let both =
        async { (cost(verbose()).await, cost(verbose().price(own)).await, spawn(cost(verbose())).await) };
    let (scoped, handles_own, spawned) = table.scope(both).await;
    assert_eq!((scoped, handles_own, spawned.unwrap()), (Some(20.0), Some(10.0), Some(20.0)));
}

#[tokio::test]
async fn an_answer_without_token_counts_has_no_cost() {
    struct Silent;
    impl LanguageModel for Silent {
        fn id(&self) -> &'static str {
            "silent"
        }
        fn complete<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Result<Response, LmError>> {
            Box::pin(std::future::ready(Ok(Response::text("…"))))
        }
    }
    let lm = Lm::custom(Silent).price(Price::per_million(1.0, 1.0));
    let (_, report) = track_usage(lm.ask("?")).await;
    assert_eq!((report.total.requests, report.total.cost_usd), (1, None));
}
