//! Scopes: which of them apply to a future or a stream that is made in one place and runs in another.

#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::sync::Arc;

use dspy_core::lm::{Budget, Cache, Lm, Message, Request, track_usage, without_live_requests};
use dspy_core::predict::DynPredict;
use dspy_core::program::{Module as _, Settings, trace};
use dspy_core::signature::Values;

fn program() -> DynPredict {
    DynPredict::new("question -> answer".parse().unwrap())
}

fn question() -> Values {
    Values::from_iter([("question".to_owned(), "Is it?".into())])
}

fn asked() -> Request {
    Request::new(vec![Message::user("Is it?")])
}

/// Settings with a model that always has this answer.
fn saying(answer: &'static str) -> Settings {
    Settings::new().lm(Lm::from_fn(move |_| async move { format!("[[ ## answer ## ]]\n{answer}") }))
}

#[tokio::test]
async fn scopes_around_other_scopes_apply() {
    // Each inner scope is made before the outer one is entered.
    let program = program();
    let answer = saying("yes").scope(Settings::new().rollout(1).scope(program.call(question()))).await;
    assert_eq!(answer.unwrap()["answer"], "yes");

    let account = Budget::calls(10).start();
    let cache = Cache::new();
    let call = saying("yes").scope(program.call(question()));
    let (answer, usage) = track_usage(account.enter(cache.scope(without_live_requests(call)))).await;
    assert!(answer.is_ok());
    assert_eq!((account.spent().requests, usage.total.requests, cache.stats().stores), (1, 1, 1));

    let ((answer, inner), outer) = trace(trace(saying("yes").scope(program.call(question())))).await;
    assert!(answer.is_ok());
    assert_eq!((inner.steps.len(), outer.steps.len()), (1, 0), "the inner trace has the steps");
}

#[tokio::test]
async fn streams_run_in_the_scopes_of_their_reader() {
    let (program, account) = (program(), Budget::calls(10).start());
    let (events, batch) = (program.events(question()), program.batch([question()]).results());
    let lm = Lm::from_fn(|_| async { "yes" });
    let stream = lm.stream(asked());
    let run = saying("yes").scope(async move {
        let mut batch = batch;
        let first = batch.next().await.unwrap().unwrap();
        (events.finish().await.unwrap(), first, stream.finish().await.unwrap())
    });
    let (one, other, _) = account.enter(run).await;
    assert_eq!((&one["answer"], &other["answer"]), (&"yes".into(), &"yes".into()));
    assert_eq!(account.spent().requests, 3);
}

#[tokio::test]
async fn streams_of_a_reader_without_scopes_run_in_those_they_were_made_in() {
    let (program, account) = (Arc::new(program()), Budget::calls(10).start());
    let lm = Lm::from_fn(|_| async { "yes" });
    let made = account.enter(saying("yes").scope(async {
        (program.events(question()), program.batch([question()]).results(), lm.stream(asked()))
    }));
    let (events, mut batch, stream) = made.await;
    assert_eq!(events.finish().await.unwrap()["answer"], "yes");
    assert_eq!(batch.next().await.unwrap().unwrap()["answer"], "yes");
    stream.finish().await.unwrap();
    assert_eq!(account.spent().requests, 3);
}

#[tokio::test]
async fn a_budget_stays_if_the_reader_has_another_kind_of_scope() {
    let (program, account) = (program(), Budget::calls(10).start());
    let made = account.enter(async { program.events(question()) }).await;
    let (answer, usage) = track_usage(saying("yes").scope(made.finish())).await;
    assert!(answer.is_ok());
    assert_eq!((account.spent().requests, usage.total.requests), (1, 1));
}
