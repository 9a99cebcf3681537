//! Limits, circuits and denied requests, as callers of one endpoint meet them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dspy_core::lm::{
    Circuit, Limits, Lm, LmError, LmErrorKind, Message, Reply, Request, ScriptedLm, without_live_requests,
};
use dspy_core::program::{Event, EventKind, Settings};
use serde_json::json;
use tokio::sync::Notify;

use crate::{endpoint, lm, retries};
use dspy_test_server::{Act, Seen, Server, chat, chunks, reply};

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

/// A chat completion that says it took so many tokens.
fn chat_of(tokens: u64) -> Act {
    let body = json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 1},
    });
    reply(200, &[], &body.to_string())
}

#[tokio::test]
async fn tokens_are_counted_as_the_server_reports_them() {
    let limited = |server: &Server, key: &str| {
        let limited = endpoint(&server.url()).api_key(key).tokens_per_minute(3_000);
        limited.deadline(Duration::from_secs(30)).model("m").unwrap().max_tokens(2_500)
    };
    // Each is expected to use nearly a minute's worth, and uses 18: what is not used is given back, as otherwise the
    // second one would have to wait for longer than it may.
    let server = Server::script(vec![chat("hi")]).await;
    let lm = limited(&server, "few-tokens");
    for _ in 0..3 {
        lm.ask("Hi").await.unwrap();
    }
    // One that uses more than was expected of it is paid for by the next one.
    let server = Server::script(vec![chat_of(30_000)]).await;
    let lm = limited(&server, "many-tokens");
    lm.ask("Hi").await.unwrap();
    let error = lm.ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.status), (LmErrorKind::RateLimit, None), "{error}");
    // The debt is capped, so that one odd claim does not close an endpoint.
    assert!(error.retry_after > Some(Duration::from_secs(30)), "{error}");
    assert_eq!(server.seen().len(), 1);
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
    fn few(seen: &[Seen]) -> usize {
        seen.iter().filter(|seen| seen.header("authorization") == Some("Bearer few")).count()
    }
    let server = Server::start(|_, seen| match seen.header("authorization") {
        Some("Bearer few") => Act::Hang,
        _ => chat("free"),
    })
    .await;
    let lm = endpoint(&server.url()).api_key("few").max_concurrent(3).model("m").unwrap();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let lm = lm.clone();
            tokio::spawn(async move { lm.ask("Hi").await })
        })
        .collect();
    server.wait_until(|seen| few(seen) >= 3).await;
    // Others come and go meanwhile; what else had been sent would have arrived with them.
    let free = endpoint(&server.url()).api_key("free").model("m").unwrap();
    for _ in 0..10 {
        assert_eq!(free.ask("Hi").await.unwrap(), "free");
    }
    assert_eq!(few(&server.seen()), 3);
    // Dropped calls make room.
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    let more = tokio::spawn(async move { lm.ask("Hi").await });
    server.wait_until(|seen| few(seen) == 4).await;
    more.abort();
}

#[tokio::test]
async fn one_refusal_slows_all_callers_down() {
    const WAIT: Duration = Duration::from_millis(150);
    let server = Server::start(|number, _| match number {
        0 => reply(429, &[("retry-after-ms", "150")], ""),
        _ => chat("hi"),
    })
    .await;
    let endpoint = endpoint(&server.url()).api_key("slow");
    let first = endpoint.model("m").unwrap();
    let read = Arc::new(Notify::new());
    let told = read.clone();
    let settings = Settings::new().observe(move |event: &Event| {
        if matches!(event.kind, EventKind::LmRetried { .. }) {
            told.notify_one();
        }
    });
    let started = Instant::now();
    let refused = tokio::spawn(settings.scope(async move { first.ask("Hi").await }));
    // The caller has read the refusal.
    read.notified().await;
    endpoint.model("m").unwrap().ask("Hi").await.unwrap();
    // However slow the machine is, it cannot have taken less.
    assert!(started.elapsed() >= WAIT);
    assert_eq!(refused.await.unwrap().unwrap(), "hi");
}

#[tokio::test]
async fn a_circuit_opens_and_tells_until_when() {
    const COOL_DOWN: Duration = Duration::from_hours(1);
    let server = Server::script(vec![reply(503, &[], r#"{"error":{"message":"gone fishing"}}"#)]).await;
    let endpoint =
        endpoint(&server.url()).api_key("circuit").retries(1).circuit(Circuit::after(3).cool_down(COOL_DOWN));
    let lm = endpoint.model("m").unwrap();
    assert_eq!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::Server);
    // The first attempt is the third failure; no second one is made.
    let error = lm.ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.status), (LmErrorKind::CircuitOpen, None));
    assert!(error.is_outage() && error.is_retryable());
    assert!(error.retry_after.is_some_and(|wait| wait <= COOL_DOWN && wait > COOL_DOWN / 2));
    assert!(error.message.contains("after 3 failures in a row"), "{error}");
    assert!(error.message.contains("HTTP 503: gone fishing"), "{error}");
    // All handles to the endpoint know.
    assert_eq!(endpoint.model("n").unwrap().ask("Hi").await.unwrap_err().kind, LmErrorKind::CircuitOpen);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_circuit_that_may_try_closes_when_the_endpoint_is_back() {
    let server = Server::start(|number, _| if number < 4 { reply(503, &[], "") } else { chat("back") }).await;
    // With no time to cool down, every request may try.
    let endpoint = endpoint(&server.url()).api_key("closing").retries(0);
    let lm = endpoint.circuit(Circuit::after(3).cool_down(Duration::ZERO)).model("m").unwrap();
    for _ in 0..4 {
        assert_eq!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::Server);
    }
    for _ in 0..2 {
        assert_eq!(lm.ask("Hi").await.unwrap(), "back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_circuit_is_tried_by_one_when_its_time_has_come() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lm = Lm::custom(ScriptedLm::from_fn(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0..4 => Reply::from(LmError::new(LmErrorKind::Server, "m", "gone fishing")),
        _ => Reply::from("back"),
    }));
    let cool_down = Duration::from_secs(10);
    let lm = lm.limited(Limits::new().circuit(Circuit::after(3).cool_down(cool_down)));
    let kind = async || lm.ask("Hi").await.unwrap_err().kind;
    for _ in 0..3 {
        assert_eq!(kind().await, LmErrorKind::Server);
    }
    tokio::time::advance(Duration::from_millis(9_999)).await;
    assert_eq!((kind().await, asked.load(Ordering::SeqCst)), (LmErrorKind::CircuitOpen, 3));
    tokio::time::advance(Duration::from_millis(1)).await;
    // One tries in vain, and the circuit stays open.
    assert_eq!((kind().await, asked.load(Ordering::SeqCst)), (LmErrorKind::Server, 4));
    assert_eq!((kind().await, asked.load(Ordering::SeqCst)), (LmErrorKind::CircuitOpen, 4));
    tokio::time::advance(cool_down).await;
    for _ in 0..2 {
        assert_eq!(lm.ask("Hi").await.unwrap(), "back");
    }
}

#[tokio::test]
async fn refusals_open_no_circuit_and_failures_do() {
    for (status, opens) in [
        (400, false),
        (401, false),
        (404, false),
        (409, false),
        (422, false),
        (429, false),
        (500, true),
        (502, true),
        (503, true),
        (529, true),
    ] {
        let server = Server::script(vec![reply(status, &[("retry-after", "0")], "{}")]).await;
        let endpoint = endpoint(&server.url()).api_key("refused").circuit(Circuit::after(1)).retries(0);
        let lm = endpoint.model("m").unwrap();
        assert_ne!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::CircuitOpen, "{status}");
        let second = lm.ask("Hi").await.unwrap_err().kind;
        assert_eq!(second == LmErrorKind::CircuitOpen, opens, "{status}");
        assert_eq!(server.seen().len(), if opens { 1 } else { 2 }, "{status}");
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
    let call = async { lm.stream(Request::new(vec![Message::user("Hi")])).finish().await };
    let (outcome, retries) = retries(call).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.kind, retries), (LmErrorKind::Timeout, 1));
    assert!(error.message.contains("not a byte for 40ms"), "{error}");
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
