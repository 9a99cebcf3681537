//! Models made of models.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy_lm::{
    BoxFuture, Capabilities, Circuit, Delta, Endpoint, Fallback, Layer, Lm, LmError, LmErrorKind, Message,
    Next, Reply, Request, Response, RoundRobin, ScriptedLm, with_layer,
};

use crate::endpoint;
use dspy_test_server::{Server, chat, chat_events, chunks, reply};

fn failing(kind: LmErrorKind) -> Lm {
    let error = LmError::new(kind, "failing", "no");
    Lm::custom(ScriptedLm::from_fn(move |_| Reply::from(error.clone())))
}

fn request() -> Request {
    Request::new(vec![Message::user("Hi")])
}

#[tokio::test]
async fn a_fallback_goes_on_after_outages_and_not_after_refusals() {
    use LmErrorKind::{
        Auth, Billing, Budget, CircuitOpen, Configuration, ContentFilter, ContextWindow, Decode, Denied,
        Exhausted, InvalidRequest, NotFound, RateLimit, Server, Timeout, Transport, Unrecorded,
    };
    for (kind, goes_on) in [
        (RateLimit, true),
        (Server, true),
        (Timeout, true),
        (Transport, true),
        (CircuitOpen, true),
        (Auth, true),
        (Billing, true),
        (NotFound, true),
        (Configuration, true),
        (Decode, true),
        (ContextWindow, true),
        (ContentFilter, false),
        (InvalidRequest, false),
        (Budget, false),
        (Denied, false),
        (Unrecorded, false),
        (Exhausted, false),
    ] {
        let answer = Lm::fallback([failing(kind), Lm::scripted(["second"])]).ask("Hi").await;
        assert_eq!(answer.as_deref().ok(), goes_on.then_some("second"), "{kind:?}");
        if let Err(error) = answer {
            assert_eq!(error.kind, kind);
        }
    }
    let never = Lm::custom(Fallback::new([failing(Timeout), Lm::scripted(["second"])]).when(|_| false));
    assert_eq!(never.ask("Hi").await.unwrap_err().kind, Timeout);
}

#[tokio::test]
async fn the_error_tells_of_all_models() {
    let first = Server::script(vec![reply(429, &[("retry-after", "3600")], "")]).await;
    let second = Server::script(vec![reply(401, &[], r#"{"error":{"message":"who?"}}"#)]).await;
    let models =
        [(&first, "a"), (&second, "b")].map(|(server, name)| endpoint(&server.url()).model(name).unwrap());
    let lm = Lm::fallback(models);
    let error = lm.ask("Hi").await.unwrap_err();
    assert_eq!(
        (error.kind, error.status, error.model.as_str()),
        (LmErrorKind::RateLimit, Some(429), "fallback(a, b)")
    );
    assert_eq!(error.retry_after, Some(Duration::from_hours(1)));
    for part in
        ["2 of 2 models failed", "a: rate limited (HTTP 429)", "b: the key was refused (HTTP 401): who?"]
    {
        assert!(error.message.contains(part), "{error}");
    }
    let none = Lm::fallback([]).ask("Hi").await.unwrap_err();
    assert_eq!(none.kind, LmErrorKind::Configuration, "{none}");
    let limit = || failing(LmErrorKind::ContextWindow);
    assert_eq!(
        Lm::fallback([limit(), limit()]).ask("Hi").await.unwrap_err().kind,
        LmErrorKind::ContextWindow
    );
}

#[tokio::test]
async fn the_answer_tells_who_gave_it_and_parameters_are_filled_in() {
    let down = Server::script(vec![reply(500, &[], "")]).await;
    let up = Server::script(vec![chat("Hello")]).await;
    let lm = Lm::fallback([
        endpoint(&down.url()).retries(0).model("first").unwrap(),
        endpoint(&up.url()).model("second").unwrap().temperature(0.5).max_tokens(7),
    ])
    .temperature(0.25);
    let response = lm.complete(request()).await.unwrap();
    assert_eq!((response.model.as_str(), response.usage.requests), ("served-model", 1));
    let (body, other) = (up.seen()[0].json(), down.seen()[0].json());
    assert_eq!((body["temperature"].as_f64(), body["max_tokens"].as_u64()), (Some(0.25), Some(7)));
    assert_eq!((other["temperature"].as_f64(), other["max_tokens"].as_u64()), (Some(0.25), None));
}

#[tokio::test]
async fn a_reply_that_breaks_off_is_followed_by_that_of_the_next() {
    let cut = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Lon\"}}]}\n\n".as_slice();
    let first = Server::script(vec![chunks(&[cut], true)]).await;
    let whole = chat_events(&["Pa", "ris"]);
    let second = Server::script(vec![chunks(&[whole.as_bytes()], true)]).await;
    let lm = Lm::fallback([
        endpoint(&first.url()).retries(0).model("a").unwrap(),
        endpoint(&second.url()).model("b").unwrap(),
    ]);
    let mut stream = lm.stream(request());
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta);
    }
    let text = |text: &str| Delta::Text(text.into());
    assert_eq!(deltas, [text("Lon"), Delta::Restart, text("Pa"), text("ris")]);
    assert_eq!(stream.finish().await.unwrap().completions[0].text, "Paris");
}

/// Counts the calls that it sees.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Layer for Counter {
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        next.run(lm, request)
    }
}

/// A counter that the test keeps a hold of.
struct Shared(Arc<Counter>);
impl Layer for Shared {
    fn call<'a>(
        &'a self,
        lm: &'a Lm,
        request: &'a Request,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<Response, LmError>> {
        self.0.call(lm, request, next)
    }
}

#[tokio::test]
async fn the_scope_sees_one_call_and_handles_see_their_own() {
    let (scope, inner) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    let lm = Lm::round_robin([
        Lm::fallback([failing(LmErrorKind::Server), Lm::scripted(["yes"]).layer(Shared(inner.clone()))]),
        Lm::scripted(["no"]),
    ]);
    assert_eq!(with_layer(scope.clone(), lm.ask("Hi")).await.unwrap(), "yes");
    assert_eq!((scope.0.load(Ordering::Relaxed), inner.0.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test]
async fn only_what_all_can_do_is_claimed() {
    let able = |capabilities| Lm::custom(ScriptedLm::new(["x"]).with_capabilities(capabilities));
    let (all, some) =
        (Capabilities::NONE.tools(true).json_object(true), Capabilities::NONE.tools(true).reasoning(true));
    for lm in [
        Lm::fallback([able(all), able(some)]),
        Lm::round_robin([able(all), able(some)]),
        Lm::router("first", [able(all), able(some)], |_, models| &models[0]),
    ] {
        assert_eq!(lm.capabilities(), Capabilities::NONE.tools(true));
    }
    assert_eq!(Lm::fallback([]).capabilities(), Capabilities::NONE);
}

#[tokio::test]
async fn names_tell_different_mixtures_apart() {
    let model = |name: &str| Endpoint::new("http://127.0.0.1:1/v1").model(name).unwrap();
    let mixtures = [
        Lm::fallback([model("a"), model("b")]),
        Lm::fallback([model("b"), model("a")]),
        Lm::fallback([model("a").temperature(1.0), model("b")]),
        Lm::fallback([model("a"), model("b").temperature(1.0)]),
        Lm::fallback([model("a").rollout(1), model("b")]),
        Lm::round_robin([model("a"), model("b")]),
        Lm::router("one", [model("a"), model("b")], |_, models| &models[0]),
        Lm::router("two", [model("a"), model("b")], |_, models| &models[1]),
    ];
    let mut names: Vec<_> = mixtures.iter().map(|lm| format!("{} {}", lm.id(), lm.endpoint())).collect();
    assert_eq!(names[0], "fallback(a, b) http://127.0.0.1:1/v1, http://127.0.0.1:1/v1");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), mixtures.len());
}

#[tokio::test]
async fn turns_pass_over_open_circuits() {
    let dead = Server::script(vec![reply(500, &[], "")]).await;
    let fine = Server::script(vec![chat("fine")]).await;
    let dying = endpoint(&dead.url()).api_key("turns").retries(0).circuit(Circuit::after(1));
    let lm = Lm::round_robin([dying.model("a").unwrap(), endpoint(&fine.url()).model("b").unwrap()]);
    assert_eq!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::Server);
    for _ in 0..4 {
        assert_eq!(lm.ask("Hi").await.unwrap(), "fine");
    }
    assert_eq!((dead.seen().len(), fine.seen().len()), (1, 4));
    let error = Lm::round_robin([dying.model("a").unwrap()]).ask("Hi").await.unwrap_err();
    assert!(error.kind == LmErrorKind::CircuitOpen && error.retry_after.is_some(), "{error}");
}

#[tokio::test]
async fn turns_are_even_and_may_go_by_what_is_asked() {
    let counters = [(); 3].map(|()| Arc::new(ScriptedLm::from_fn(|_| "x")));
    let models = || counters.clone().map(|counter| Lm::shared(counter));
    let lm = Lm::round_robin(models());
    futures_util::future::join_all((0..30).map(|number| lm.ask(format!("{number}")))).await;
    assert_eq!(counters.clone().map(|counter| counter.requests().len()), [10, 10, 10]);
    let asked = || counters.clone().map(|counter| counter.requests().split_off(10));
    let lm = Lm::custom(RoundRobin::new(models()).by_request());
    for number in 0..30 {
        lm.ask(format!("{number}")).await.unwrap();
    }
    let first = asked();
    assert!(first.iter().all(|requests| requests.len() >= 3));
    futures_util::future::join_all((0..30).rev().map(|number| lm.ask(format!("{number}")))).await;
    let both = asked();
    for (first, both) in first.iter().zip(both) {
        assert_eq!(both.len(), 2 * first.len());
        assert!(both[first.len()..].iter().all(|request| first.contains(request)));
    }
}
