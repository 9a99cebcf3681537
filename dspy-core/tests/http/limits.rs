//! Limits, circuits and denied requests, as callers of one endpoint meet them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspy_core::lm::{Circuit, Limits, LmErrorKind, Message, Request, without_live_requests};

use crate::support::{Act, Server, chat, chunks, reply};
use crate::{endpoint, lm};

#[tokio::test]
async fn a_limit_holds_for_handles_that_know_nothing_of_each_other() {
    let server = Server::script(vec![chat("hi")]).await;
    let limited = endpoint(&server.url()).api_key("limit-one").requests_per_minute(1);
    limited.model("a").unwrap().ask("Hi").await.unwrap();
    for (name, key, free) in [("a", "limit-one", false), ("b", "limit-one", false), ("a", "limit-two", true)]
    {
        let impatient = endpoint(&server.url()).api_key(key).deadline(Duration::from_secs(5));
        let answer = impatient.model(name).unwrap().ask("Hi").await;
        assert_eq!(answer.is_ok(), free);
        if let Err(error) = answer {
            assert_eq!((error.kind, error.status), (LmErrorKind::RateLimit, None));
            assert!(error.message.contains("no turn before the deadline"), "{error}");
            assert!(error.retry_after > Some(Duration::from_secs(50)), "{error}");
        }
    }
    assert_eq!(server.seen().len(), 2, "what is too late is not sent");
}

#[tokio::test]
async fn tokens_are_counted_as_the_server_reports_them() {
    let server = Server::script(vec![chat("hi")]).await;
    let limited = endpoint(&server.url()).api_key("tokens").tokens_per_minute(3_000);
    let lm = limited.deadline(Duration::from_secs(5)).model("m").unwrap().max_tokens(2_500);
    // Each is expected to use more than a minute's worth at once, and uses 18.
    for _ in 0..3 {
        lm.ask("Hi").await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_beyond_measure_holds_back_its_own_model_for_a_minute_at_most() {
    for claimed in [1_000_000_000_000, u64::MAX] {
        let usage = format!(r#"{{"prompt_tokens":{claimed},"completion_tokens":{claimed}}}"#);
        let body = format!(r#"{{"choices":[{{"message":{{"content":"hi"}}}}],"usage":{usage}}}"#);
        let server = Server::script(vec![reply(200, &[], &body), chat("hi")]).await;
        let limited = endpoint(&server.url()).api_key("claims").tokens_per_minute(600_000);
        let limited = limited.deadline(Duration::from_secs(20));
        let claiming = limited.model("claiming").unwrap();
        claiming.ask("Hi").await.unwrap();
        for other in ["one", "two", "three"] {
            limited.model(other).unwrap().ask("Hi").await.unwrap();
        }
        let error = claiming.ask("Hi").await.unwrap_err();
        assert_eq!(error.kind, LmErrorKind::RateLimit);
        assert!(error.retry_after <= Some(Duration::from_mins(1)), "{error}");
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_may_be() {
    let server = Server::script(vec![Act::Hang]).await;
    let lm = endpoint(&server.url()).api_key("few").max_concurrent(3).model("m").unwrap();
    let mut calls: Vec<_> = (0..10).map(|_| Box::pin(lm.ask("Hi"))).collect();
    let seen = async {
        while server.seen().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    let all = futures_util::future::join_all(calls.iter_mut());
    tokio::select! { _ = all => unreachable!(), () = seen => {} }
    assert_eq!(server.seen().len(), 3);
    // Dropped calls make room.
    drop(calls);
    let more = async {
        while server.seen().len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { _ = lm.ask("Hi") => unreachable!(), () = more => {} }
}

#[tokio::test]
async fn one_refusal_slows_all_callers_down() {
    let server = Server::start(|number, _| match number {
        0 => reply(429, &[("retry-after-ms", "150")], ""),
        _ => chat("hi"),
    })
    .await;
    let endpoint = endpoint(&server.url()).api_key("slow");
    let first = endpoint.model("m").unwrap();
    let started = Instant::now();
    let refused = tokio::spawn(async move { first.ask("Hi").await });
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // The refusal has been sent; wait until the caller has read it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    endpoint.model("m").unwrap().ask("Hi").await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(refused.await.unwrap().unwrap(), "hi");
}

#[tokio::test]
async fn a_circuit_opens_tells_until_when_and_closes_again() {
    let down = Arc::new(AtomicUsize::new(4));
    let left = down.clone();
    let server = Server::start(move |_, _| {
        let is_down =
            left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_down { reply(503, &[], r#"{"error":{"message":"gone fishing"}}"#) } else { chat("back") }
    })
    .await;
    let endpoint = endpoint(&server.url())
        .api_key("circuit")
        .retries(1)
        .circuit(Circuit::after(3).cool_down(Duration::from_millis(300)));
    let lm = endpoint.model("m").unwrap();
    assert_eq!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::Server);
    // The first attempt is the third failure; no second one is made.
    let error = lm.ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.status), (LmErrorKind::CircuitOpen, None));
    assert!(error.is_outage() && error.is_retryable());
    assert!(error.retry_after.is_some_and(|wait| wait <= Duration::from_millis(300)));
    assert!(error.message.contains("after 3 failures in a row"), "{error}");
    assert!(error.message.contains("HTTP 503: gone fishing"), "{error}");
    // All handles to the endpoint know.
    assert_eq!(endpoint.model("n").unwrap().ask("Hi").await.unwrap_err().kind, LmErrorKind::CircuitOpen);
    assert_eq!(server.seen().len(), 3);
    tokio::time::sleep(Duration::from_millis(310)).await;
    // One tries in vain, and the circuit stays open.
    assert_eq!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::CircuitOpen);
    assert_eq!(server.seen().len(), 4);
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(lm.ask("Hi").await.unwrap(), "back");
    assert_eq!(lm.ask("Hi").await.unwrap(), "back");
}

#[tokio::test]
async fn refusals_open_no_circuit() {
    for status in [400, 401, 404, 409, 422, 429] {
        let server = Server::script(vec![reply(status, &[("retry-after", "0")], "{}")]).await;
        let endpoint = endpoint(&server.url()).api_key("refused").circuit(Circuit::after(1)).retries(1);
        let lm = endpoint.model("m").unwrap();
        for _ in 0..2 {
            assert_ne!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::CircuitOpen, "{status}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_stops_in_the_middle_is_given_up() {
    let start = chunks(
        &[b": still here\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Pa\"}}]}\n\n"],
        false,
    );
    let Act::SendAndClose(bytes) = start else { unreachable!() };
    let server = Server::script(vec![Act::SendAndHang(bytes)]).await;
    let endpoint = endpoint(&server.url()).retries(1).idle_timeout(Duration::from_millis(40));
    let lm = endpoint.model("m").unwrap();
    let error = lm.stream(Request::new(vec![Message::user("Hi")])).finish().await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Timeout);
    assert!(error.message.contains("not a byte for 40ms"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn denied_requests_are_not_sent() {
    let server = Server::script(vec![chat("hi")]).await;
    let live = lm(&server);
    let request = || Request::new(vec![Message::user("Hi")]);
    let stream = without_live_requests(async { live.stream(request()) }).await;
    let errors = [
        without_live_requests(live.ask("Hi")).await.unwrap_err(),
        without_live_requests(async {
            dspy_core::program::spawn({
                let live = live.clone();
                async move { live.ask("Hi").await }
            })
            .await
            .unwrap()
        })
        .await
        .unwrap_err(),
        stream.finish().await.unwrap_err(),
        without_live_requests(dspy_core::lm::Lm::fallback([live.clone(), live.clone()]).ask("Hi"))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, LmErrorKind::Denied, "{error}");
        assert!(error.is_outage() && !error.is_retryable());
        assert!(error.message.contains("Lm::scripted"), "{error}");
    }
    let scripted = dspy_core::lm::Lm::scripted(["yes"]);
    assert_eq!(without_live_requests(scripted.ask("Hi")).await.unwrap(), "yes");
    assert!(server.seen().is_empty());
    assert_eq!(live.ask("Hi").await.unwrap(), "hi");
}

#[tokio::test(start_paused = true)]
async fn models_of_ones_own_can_be_limited() {
    let lm = dspy_core::lm::Lm::custom(dspy_core::lm::ScriptedLm::from_fn(|_| "x"));
    let lm = lm.limited(Limits::new().requests_per_minute(60));
    let start = tokio::time::Instant::now();
    futures_util::future::join_all((0..5).map(|_| lm.ask("Hi"))).await;
    assert_eq!(start.elapsed().as_secs(), 3);
}
