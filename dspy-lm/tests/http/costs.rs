//! What answers of real endpoints cost.

use dspy_lm::{Budget, BudgetRefusal, Limit, Lm, LmErrorKind, Price, PriceTable, track_usage};

use crate::{endpoint, lm};
use dspy_test_server::{Server, reply};

fn answer(usage: &str) -> dspy_test_server::Act {
    reply(200, &[], &format!(r#"{{"choices":[{{"message":{{"content":"Hi"}}}}],"usage":{usage}}}"#))
}

const TOKENS: &str = r#"{"prompt_tokens":100,"completion_tokens":10}"#;

async fn cost(usage: &str, price: Option<Price>) -> Option<f64> {
    let server = Server::script(vec![answer(usage)]).await;
    let endpoint = endpoint(&server.url());
    let endpoint = price.into_iter().fold(endpoint, dspy_lm::Endpoint::price);
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
    assert_eq!(error.budget.unwrap().why, BudgetRefusal::Limit(Limit::Calls));
    assert_eq!(server.seen().len(), 3, "nothing was sent");
}

/// What a server may claim.
const BEYOND_MEASURE: [&str; 2] = [
    r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615,"cost":1e300}"#,
    r#"{"prompt_tokens":1e300,"completion_tokens":18446744073709551614}"#,
];

#[tokio::test]
async fn claims_beyond_measure_leave_no_call_waiting() {
    for usage in BEYOND_MEASURE {
        for (budget, answered) in [
            (Budget::calls(10), 10),
            (Budget::calls(10).usd(1e6), 1),
            (Budget::calls(10).tokens(1_000_000), 1),
            (Budget::calls(10).tokens(u64::MAX).usd(f64::MAX), 1),
        ] {
            let server = Server::script(vec![answer(usage)]).await;
            let lm = endpoint(&server.url())
                .price(Price::per_million(1.0, 1.0))
                .model("m")
                .unwrap()
                .max_tokens(16);
            let account = budget.start();
            let calls = (0..100).map(|_| account.enter(lm.ask("Hi")));
            let (answers, report) = track_usage(futures_util::future::join_all(calls)).await;
            let given = answers.iter().filter(|answer| answer.is_ok()).count();
            assert!((answered..=10).contains(&given), "{budget}: {given}");
            for error in answers.into_iter().filter_map(Result::err) {
                assert_eq!(error.kind, LmErrorKind::Budget, "{error}");
            }
            assert_eq!(report.total.total_tokens(), u64::MAX);
            assert_eq!(account.spent().requests, given as u64);
            assert_eq!(account.remaining().calls, Some(10 - given as u64), "nothing stays set aside");
        }
    }
}

#[tokio::test]
async fn prices_below_nothing_are_refused_before_anything_is_sent() {
    let server = Server::script(vec![answer(TOKENS)]).await;
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        let price = Price::per_million(1.0, rate);
        let refused = endpoint(&server.url()).price(price).model("m").unwrap_err();
        assert_eq!(refused.kind, LmErrorKind::Configuration);
        let mut table = PriceTable::new();
        table.insert("m", price);
        for error in [
            lm(&server).price(price).ask("Hi").await.unwrap_err(),
            table.scope(lm(&server).ask("Hi")).await.unwrap_err(),
        ] {
            assert_eq!(error.kind, LmErrorKind::Configuration);
            assert!(error.message.contains("is no price"), "{error}");
        }
    }
    let below = r#"{"as_of": "2026-11-28", "vendors": [{"provider": "p", "models": {"m": {"input": -1, "output": 1}}}]}"#;
    assert!(PriceTable::from_json(below).unwrap_err().to_string().contains("is no price"));
    assert_eq!(server.seen().len(), 0);
    // What an endpoint tells is no better.
    for told in ["-0.5", "\"NaN\"", "\"free\"", "null"] {
        let usage = TOKENS.replace('}', &format!(",\"cost\":{told}}}"));
        assert_eq!(cost(&usage, Some(Price::per_million(1.0, 10.0))).await, Some(0.0002), "{told}");
    }
}
