//! What answers of real endpoints cost.

use dspy_core::lm::{Budget, Limit, Lm, LmErrorKind, Price, Refusal, track_usage};

use crate::support::{Server, reply};
use crate::{endpoint, lm};

fn answer(usage: &str) -> crate::support::Act {
    reply(200, &[], &format!(r#"{{"choices":[{{"message":{{"content":"Hi"}}}}],"usage":{usage}}}"#))
}

const TOKENS: &str = r#"{"prompt_tokens":100,"completion_tokens":10}"#;

async fn cost(usage: &str, price: Option<Price>) -> Option<f64> {
    let server = Server::script(vec![answer(usage)]).await;
    let endpoint = endpoint(&server.url());
    let endpoint = price.into_iter().fold(endpoint, dspy_core::lm::Endpoint::price);
    let lm: Lm = endpoint.model("m").unwrap();
    let (answer, report) = track_usage(lm.ask("Hi")).await;
    answer.unwrap();
    report.total.cost_usd
}

#[tokio::test]
async fn the_cost_that_an_endpoint_tells_is_taken_before_any_price() {
    let price = Some(Price::per_million(1.0, 10.0));
    assert_eq!(cost(TOKENS, None).await, None);
    assert_eq!(cost(TOKENS, price).await, Some(0.0002));
    assert_eq!(cost(r#"{"prompt_tokens":100,"completion_tokens":10,"cost":0.5}"#, price).await, Some(0.5));
    let own_key = r#"{"prompt_tokens":100,"completion_tokens":10,"cost":0.5,"is_byok":true,
        "cost_details":{"upstream_inference_cost":0.25}}"#;
    assert_eq!(cost(own_key, None).await, Some(0.75));
    let ticks = r#"{"prompt_tokens":100,"completion_tokens":10,"cost_in_usd_ticks":25000000}"#;
    assert_eq!(cost(ticks, None).await, Some(0.0025));
    for without_tokens in ["{}", "null"] {
        assert_eq!(cost(without_tokens, price).await, None, "unknown is not zero");
    }
}

#[tokio::test]
async fn what_the_transport_tries_again_is_one_call() {
    let busy = || reply(503, &[], "");
    let server = Server::script(vec![busy(), busy(), answer(TOKENS), answer(TOKENS)]).await;
    let account = Budget::calls(1).tokens(1_000).start();
    let lm = lm(&server);
    account.enter(lm.ask("Hi")).await.unwrap();
    assert_eq!((server.seen().len(), account.spent().requests, account.spent().total_tokens()), (3, 1, 110));
    let sent = server.seen()[0].json();
    assert_eq!(sent["max_tokens"], 1_000 - 64 - 16 - 2, "so that the reply fits");
    let error = account.enter(lm.ask("Hi")).await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Budget);
    assert_eq!(error.budget.unwrap().why, Refusal::Limit(Limit::Calls));
    assert_eq!(server.seen().len(), 3, "nothing was sent");
}
