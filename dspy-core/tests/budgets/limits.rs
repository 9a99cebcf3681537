//! Calls, tokens and dollars.

use std::time::Duration;

use dspy_core::evaluate::{Evaluate, ItemError};
use dspy_core::lm::{
    Budget, BudgetRefusal, Cache, FinishReason, Limit, Lm, LmError, LmErrorKind, Price, Reply, ScriptedLm,
    Usage, track_usage,
};
use dspy_core::predict::DynPredict;
use dspy_core::program::{HasPredictors as _, spawn};
use dspy_core::signature::{Example, FieldError, Values};
use serde_json::json;

use crate::{Gate, Known, Telling, Verbose, refused, request, settle, why};

fn yes(times: usize) -> Lm {
    Lm::scripted(vec!["yes"; times])
}

#[tokio::test]
async fn calls_are_counted_out() {
    let account = Budget::calls(2).start();
    let lm = yes(9);
    for _ in 0..2 {
        account.enter(lm.ask("?")).await.unwrap();
    }
    let over = refused(account.enter(lm.ask("?")).await);
    assert_eq!((over.why, over.spent.requests), (BudgetRefusal::Limit(Limit::Calls), 2));
    assert_eq!(account.remaining().calls, Some(0));
    assert!(lm.ask("?").await.is_ok(), "outside nothing is limited");
}

#[tokio::test]
async fn a_call_must_fit_all_budgets_and_is_paid_from_each() {
    let (outer, inner) = (Budget::calls(3).start(), Budget::calls(2).start());
    let lm = yes(9);
    let within = outer.enter(async {
        for _ in 0..2 {
            inner.enter(lm.ask("?")).await.unwrap();
        }
        assert_eq!(why(inner.enter(lm.ask("?")).await), BudgetRefusal::Limit(Limit::Calls));
        lm.ask("?").await.unwrap();
        let other = Budget::calls(5).start();
        assert_eq!(why(other.enter(lm.ask("?")).await), BudgetRefusal::Limit(Limit::Calls));
        assert_eq!(other.spent().requests, 0, "what the outer one refuses is not paid from the inner one");
        assert_eq!(other.remaining().calls, Some(5));
    });
    within.await;
    assert_eq!((outer.spent().requests, inner.spent().requests), (3, 2));
}

#[tokio::test]
async fn accounts_can_be_entered_right_inside_one_another() {
    let (outer, inner) = (Budget::calls(3).start(), Budget::calls(2).start());
    let lm = yes(9);
    let (answer, report) = track_usage(outer.enter(inner.enter(lm.ask("?")))).await;
    assert_eq!(answer.unwrap(), "yes");
    assert_eq!((outer.spent().requests, inner.spent().requests, report.total.requests), (1, 1, 1));
}

#[tokio::test]
async fn what_is_known_beforehand_costs_nothing_even_when_nothing_is_left() {
    let account = Budget::calls(0).usd(0.0).start();
    let lm = yes(1).layer(Known);
    assert_eq!(account.enter(lm.ask("?")).await.unwrap(), "known");
    assert_eq!(account.spent(), Usage::default());
    assert_eq!(why(account.enter(yes(1).ask("?")).await), BudgetRefusal::Limit(Limit::Calls));
}

#[tokio::test]
async fn what_a_part_of_a_model_knows_costs_nothing() {
    let account = Budget::calls(2).start();
    let lm = Lm::fallback([yes(1).cache(&Cache::new())]);
    for _ in 0..3 {
        assert_eq!(account.enter(lm.ask("?")).await.unwrap(), "yes");
    }
    assert_eq!((account.spent().requests, account.remaining().calls), (1, Some(1)));
}

#[tokio::test]
async fn calls_that_a_cache_shares_are_paid_for_once() {
    let gate = Gate::new();
    let lm = gate.lm().cache(&Cache::new());
    let account = Budget::calls(1).tokens(1_000).start();
    gate.open.add_permits(1);
    let calls = account.enter(futures_util::future::join_all((0..10).map(|_| lm.ask("?"))));
    assert!(calls.await.into_iter().all(|answer| answer.is_ok_and(|answer| answer == "yes")));
    assert_eq!((gate.begun(), account.spent().requests, account.spent().total_tokens()), (1, 1, 11));
}

#[tokio::test]
async fn the_most_that_a_call_may_cost_is_set_aside() {
    // A million tokens cost a million dollars, so that one costs one.
    let lm = Lm::custom(Verbose { cost: None }).price(Price::per_million(1e6, 1e6)).max_tokens(100);
    let account = Budget::UNLIMITED.usd(250.0).start();
    let spent = account.enter(lm.complete(request("5"))).await.unwrap().usage;
    assert_eq!(spent.cost_usd, Some(6.0));
    assert_eq!(account.remaining().usd, Some(244.0));
    // 64 for the request, 16 for the message, 1 for its text, 100 for the reply.
    account.enter(lm.complete(request("60"))).await.unwrap();
    assert_eq!(account.remaining().usd, Some(182.0));
    let over = refused(account.enter(lm.clone().max_tokens(102).complete(request("5"))).await);
    assert_eq!(
        (over.why, over.asked.cost_usd),
        (BudgetRefusal::Limit(Limit::Usd), Some(183.000_000_000_001))
    );
    assert!(over.to_string().contains("US dollars"), "{over}");
}

#[tokio::test]
async fn all_replies_of_a_request_must_fit() {
    let lm = Lm::custom(Verbose { cost: None }).max_tokens(100);
    let samples = |n| {
        let mut request = request("5");
        request.params.n = Some(n);
        Budget::UNLIMITED.tokens(400).scope(lm.complete(request))
    };
    // 81 for the request.
    samples(3).await.unwrap();
    let over = refused(samples(4).await);
    assert_eq!((over.why, over.asked.total_tokens()), (BudgetRefusal::Limit(Limit::Tokens), 481));
}

#[tokio::test]
async fn an_answer_that_tells_no_tokens_costs_all_that_was_set_aside() {
    // A million tokens cost a million dollars, so that one costs one.
    let account = Budget::calls(9).tokens(1_000).usd(1_000.0).start();
    let lm = Lm::custom(Telling(Usage::default(), FinishReason::Stop));
    account.enter(lm.price(Price::per_million(1e6, 1e6)).max_tokens(10).ask("?")).await.unwrap();
    assert!(account.spent().cost_usd.is_some_and(|usd| (usd - 91.0).abs() < 1e-6));
    assert_eq!((account.spent().requests, account.spent().total_tokens()), (1, 91));
    assert_eq!(account.remaining().calls, Some(8));
}

#[tokio::test]
async fn prompts_that_are_longer_than_expected_are_expected_to_be() {
    let account = Budget::UNLIMITED.tokens(1_000).start();
    let lm = Lm::custom(Telling(Usage::tokens(500, 1), FinishReason::Stop)).max_tokens(10);
    account.enter(lm.ask("?")).await.unwrap();
    let over = refused(account.enter(lm.ask("?")).await);
    assert_eq!((over.why, over.asked.total_tokens()), (BudgetRefusal::Limit(Limit::Tokens), 510));
}

#[tokio::test]
async fn calls_wait_while_only_calls_under_way_stand_in_the_way() {
    let gate = Gate::new();
    let account = Budget::UNLIMITED.tokens(200).start();
    let lm = gate.lm().max_tokens(10);
    let mut calls: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(account.enter({
                let lm = lm.clone();
                async move { lm.ask("?").await }
            }))
        })
        .collect();
    settle().await;
    assert_eq!(gate.begun(), 2, "two times 91 tokens may be needed");
    gate.open.add_permits(1);
    settle().await;
    assert_eq!(gate.begun(), 3, "11 were");
    gate.open.add_permits(2);
    for call in calls.drain(..) {
        call.await.unwrap().unwrap();
    }
    assert_eq!(account.spent().total_tokens(), 33);
}

#[tokio::test]
async fn those_that_wait_are_let_through_in_order() {
    let gate = Gate::new();
    let account = Budget::UNLIMITED.tokens(1_000).start();
    let call = |max: u32| {
        let lm = gate.lm().max_tokens(max);
        tokio::spawn(account.enter(async move { lm.ask("?").await }))
    };
    let _first = call(500);
    settle().await;
    // The second does not fit beside the first. The third would, but must not overtake it.
    let second = call(600);
    settle().await;
    let third = call(1);
    settle().await;
    assert_eq!(gate.begun(), 1);
    // When the second is given up, the third has nobody before it.
    second.abort();
    settle().await;
    assert_eq!(gate.begun(), 2);
    gate.open.add_permits(2);
    third.await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_that_are_given_up_return_what_was_set_aside() {
    let gate = Gate::new();
    let account = Budget::calls(1).tokens(100).start();
    let call = || {
        let lm = gate.lm().max_tokens(10);
        tokio::spawn(account.enter(async move { lm.ask("?").await }))
    };
    let first = call();
    settle().await;
    assert_eq!((account.remaining().calls, account.remaining().tokens), (Some(0), Some(9)));
    let second = call();
    settle().await;
    first.abort();
    settle().await;
    assert_eq!(gate.begun(), 2, "the second went ahead");
    second.abort();
    settle().await;
    assert_eq!((account.remaining().calls, account.remaining().tokens), (Some(1), Some(100)));
    assert_eq!(account.spent(), Usage::default());
}

#[tokio::test]
async fn failures_are_charged_by_what_is_known() {
    for (kind, calls, tokens) in [
        (LmErrorKind::Server, 0, 0),
        (LmErrorKind::Transport, 0, 0),
        (LmErrorKind::RateLimit, 0, 0),
        (LmErrorKind::InvalidRequest, 1, 0),
        (LmErrorKind::ContextWindow, 1, 0),
        // These may have been generated, and paid for.
        (LmErrorKind::Timeout, 1, 91),
        (LmErrorKind::Decode, 1, 91),
    ] {
        let account = Budget::calls(9).tokens(1_000).start();
        let lm = Lm::scripted([LmError::new(kind, "m", "no")]).max_tokens(10);
        assert_eq!(account.enter(lm.ask("?")).await.unwrap_err().kind, kind);
        let spent = account.spent();
        assert_eq!((spent.requests, spent.total_tokens()), (calls, tokens), "{kind:?}");
        assert_eq!(account.remaining().calls, Some(9 - calls), "{kind:?}");
    }
}

#[tokio::test]
async fn dollars_without_prices_are_no_silent_promise() {
    let account = Budget::UNLIMITED.usd(1.0).start();
    let lm = Lm::custom(Verbose { cost: None });
    account.enter(lm.complete(request("5"))).await.unwrap();
    assert_eq!(account.unpriced().as_deref(), Some("verbose"));
    assert_eq!(why(account.enter(lm.complete(request("5"))).await), BudgetRefusal::UnknownPrice);
    // With another limit the calls go on, and the report says so.
    let account = Budget::calls(2).usd(1.0).start();
    for _ in 0..2 {
        account.enter(lm.complete(request("5"))).await.unwrap();
    }
    assert_eq!(why(account.enter(lm.complete(request("5"))).await), BudgetRefusal::Limit(Limit::Calls));
    assert_eq!((account.unpriced().as_deref(), account.spent().cost_usd), (Some("verbose"), None));
}

#[tokio::test]
async fn costs_that_endpoints_tell_are_learned() {
    let account = Budget::UNLIMITED.usd(1.0).start();
    let lm = Lm::custom(Verbose { cost: Some(0.01) });
    let mut made = 0;
    while account.enter(lm.complete(request("5"))).await.is_ok() {
        made += 1;
    }
    assert!((50..=100).contains(&made), "{made}");
    assert!(account.spent().cost_usd.unwrap() <= 1.0);
}

#[tokio::test]
async fn spawned_tasks_and_streams_are_paid_for() {
    let account = Budget::calls(3).start();
    let lm = yes(9);
    account
        .enter(async {
            let other = lm.clone();
            spawn(async move { other.ask("?").await }).await.unwrap().unwrap();
            let mut stream = lm.stream(request("?"));
            while stream.next().await.is_some() {}
            stream.finish().await.unwrap();
            lm.stream(request("?")).finish().await.unwrap();
            assert_eq!(why(lm.stream(request("?")).finish().await), BudgetRefusal::Limit(Limit::Calls));
        })
        .await;
    assert_eq!(account.spent().requests, 3);
}

#[tokio::test]
async fn accounts_go_on_from_what_was_spent() {
    let spent = Usage::tokens(50, 50).at_cost(0.25);
    let budget = Budget::calls(2).tokens(300).usd(1.0).time(Duration::from_mins(1));
    let account = budget.resume(spent, Duration::from_secs(20));
    let left = account.remaining();
    assert_eq!((left.calls, left.tokens, left.usd), (Some(1), Some(200), Some(0.75)));
    assert!(left.time.unwrap() <= Duration::from_secs(40));
    assert_eq!(account.spent(), spent);
}

struct Row;

impl Example for Row {
    type Input = Values;

    fn input(&self) -> Result<Values, FieldError> {
        Ok(serde_json::from_value(json!({"question": "?"})).unwrap())
    }

    fn values(&self) -> Result<Values, FieldError> {
        self.input()
    }
}

#[tokio::test]
async fn items_that_the_budget_has_no_room_for_have_no_score() {
    let model = ScriptedLm::from_fn(|_| Reply::from("[[ ## answer ## ]]\n42"));
    let mut program = DynPredict::new("question -> answer: int".parse().unwrap());
    program.set_lm(Lm::custom(model));
    let rows: Vec<_> = (0..10).map(|_| Row).collect();
    let evaluate = Evaluate::new(|_: &Row, output: &Values| output["answer"] == 42).concurrency(4);
    let result = Budget::calls(6).scope(evaluate.run(&program, &rows)).await.unwrap();
    assert_eq!((result.score(), result.summary().unscored()), (Some(1.0), 4));
    for item in result.errors() {
        let Err(ItemError::Program(error)) = &item.score else { panic!("{item:?}") };
        assert!(error.is_outage());
        assert_eq!(error.as_lm().unwrap().budget.as_ref().unwrap().why, BudgetRefusal::Limit(Limit::Calls));
    }
    assert_eq!(result.summary().usage().requests, 6);
}
