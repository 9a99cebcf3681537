//! Replies without a limit of their own.

use std::sync::Arc;

use dspy_core::lm::{Budget, BudgetRefusal, FinishReason, Limit, Lm, Price, ScriptedLm, Usage};

use crate::{Telling, Verbose, refused, request};

#[tokio::test]
async fn replies_are_limited_so_that_they_fit() {
    let script = Arc::new(ScriptedLm::new(vec!["yes"; 3]));
    let lm = Lm::shared(script.clone());
    Budget::calls(9).scope(lm.ask("?")).await.unwrap();
    Budget::UNLIMITED.tokens(1_000).scope(lm.ask("?")).await.unwrap();
    let known = lm.clone().price(Price::per_million(1.0, 1.0).max_output(500));
    Budget::UNLIMITED.usd(1.0).scope(known.ask("?")).await.unwrap();
    let limits: Vec<_> = script.requests().iter().map(|request| request.params.max_tokens).collect();
    assert_eq!(
        limits,
        [None, Some(919), None],
        "a budget of calls, one of tokens, a model with its own limit"
    );
}

#[tokio::test]
async fn a_reply_that_the_budget_cut_off_is_asked_for_again() {
    let account = Budget::UNLIMITED.tokens(100_000).start();
    let lm = Lm::custom(Verbose { cost: None });
    let response = account.enter(lm.complete(request("10000"))).await.unwrap();
    assert_eq!(response.usage.completion_tokens, 10_000);
    // The first try was cut off at 4096 tokens.
    assert_eq!((account.spent().requests, account.spent().completion_tokens), (2, 14_096));
    // Next time it is known how long replies are.
    account.enter(lm.complete(request("20000"))).await.unwrap();
    assert_eq!(account.spent().requests, 3);
}

#[tokio::test]
async fn a_reply_that_there_is_no_room_for_is_an_error_and_not_an_answer() {
    let account = Budget::UNLIMITED.tokens(6_000).start();
    let over = refused(account.enter(Lm::custom(Verbose { cost: None }).complete(request("10000"))).await);
    assert_eq!((over.why, over.cut), (BudgetRefusal::Limit(Limit::Tokens), Some(4_096)));
    assert!(over.to_string().contains("truncated after 4096 tokens"), "{over}");
    assert_eq!(account.spent().completion_tokens, 4_096);
}

#[tokio::test]
async fn a_reply_as_long_as_one_that_there_was_is_not_begun_without_the_room() {
    let account = Budget::UNLIMITED.tokens(20_000).start();
    let lm = Lm::custom(Verbose { cost: None });
    account.enter(lm.complete(request("10000"))).await.unwrap();
    assert_eq!(account.spent().requests, 2);
    assert_eq!(
        refused(account.enter(lm.complete(request("10000"))).await).why,
        BudgetRefusal::Limit(Limit::Tokens)
    );
    assert_eq!(account.spent().requests, 2);
}

#[tokio::test]
async fn a_limit_of_the_model_is_not_the_budgets() {
    let account = Budget::UNLIMITED.tokens(6_000).start();
    let lm = Lm::custom(Telling(Usage::tokens(10, 50), FinishReason::Length));
    let response = account.enter(lm.complete(request("?"))).await.unwrap();
    assert_eq!((response.completions[0].finish, account.spent().requests), (FinishReason::Length, 1));
}

#[tokio::test]
async fn a_limit_of_the_request_is_the_callers_own() {
    let account = Budget::UNLIMITED.tokens(6_000).start();
    let lm = Lm::custom(Verbose { cost: None }).max_tokens(10);
    let response = account.enter(lm.complete(request("100"))).await.unwrap();
    assert_eq!((response.usage.completion_tokens, account.spent().requests), (10, 1));
}

#[tokio::test]
async fn extra_members_of_the_body_limit_replies_too() {
    let mut asked = request("5");
    asked.params.extra.insert("max_tokens".into(), 7_000.into());
    let over = refused(Budget::UNLIMITED.tokens(6_000).scope(Lm::builtin().complete(asked)).await);
    assert!(over.asked.total_tokens() > 7_000);
}
