//! Limits of time, and accounts that are closed.

use std::time::Duration;

use dspy_core::lm::{Budget, BudgetRefusal, Limit, Usage};
use tokio::time::Instant;

use crate::{Gate, settle, why};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn when_time_is_over_calls_under_way_and_calls_that_wait_are_given_up() {
    let gate = Gate::new();
    let started = Instant::now();
    let account = Budget::calls(1).time(MINUTE).start();
    let lm = gate.lm();
    let (first, second) = tokio::join!(account.enter(lm.ask("?")), account.enter(lm.ask("?")));
    assert_eq!(started.elapsed(), MINUTE);
    assert_eq!(
        (why(first), why(second)),
        (BudgetRefusal::Limit(Limit::Time), BudgetRefusal::Limit(Limit::Time))
    );
    assert_eq!(why(account.enter(lm.ask("?")).await), BudgetRefusal::Limit(Limit::Time));
    assert_eq!((gate.begun(), account.spent().requests), (1, 0));
    assert_eq!(account.remaining().time, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn time_goes_on_where_an_earlier_account_ended() {
    let gate = Gate::new();
    let started = Instant::now();
    let account = Budget::UNLIMITED.time(MINUTE).resume(Usage::default(), Duration::from_secs(50));
    assert_eq!(why(account.enter(gate.lm().ask("?")).await), BudgetRefusal::Limit(Limit::Time));
    assert_eq!(started.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_inner_budget_ends_only_its_own_calls() {
    let gate = Gate::new();
    let (outer, inner) = (Budget::calls(2).start(), Budget::UNLIMITED.time(MINUTE).start());
    let lm = gate.lm();
    let ended = outer.enter(async { inner.enter(lm.ask("?")).await }).await;
    assert_eq!(why(ended), BudgetRefusal::Limit(Limit::Time));
    gate.open.add_permits(2);
    outer.enter(lm.ask("?")).await.unwrap();
    assert_eq!(outer.remaining().calls, Some(1), "what was set aside for the first was given back");
}

#[tokio::test]
async fn closing_lets_calls_end_and_aborting_does_not() {
    for abort in [false, true] {
        let gate = Gate::new();
        let account = Budget::calls(1).start();
        let call = || {
            let lm = gate.lm();
            tokio::spawn(account.enter(async move { lm.ask("?").await }))
        };
        let (first, second) = (call(), call());
        settle().await;
        if abort {
            account.abort();
        } else {
            account.close();
        }
        assert_eq!(why(second.await.unwrap()), BudgetRefusal::Closed);
        assert_eq!(why(call().await.unwrap()), BudgetRefusal::Closed);
        gate.open.add_permits(1);
        let first = first.await.unwrap();
        if abort {
            assert_eq!(why(first), BudgetRefusal::Closed);
            assert_eq!(account.spent().requests, 0);
        } else {
            assert_eq!(first.unwrap(), "yes");
            assert_eq!(account.spent().requests, 1);
        }
    }
}
