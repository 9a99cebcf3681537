//! A planted key is looked for wherever people can read.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use dspy_core::lm::{
    Circuit, Endpoint, Fallback, Lm, LmErrorKind, Message, Protocol, Request, RoundRobin,
    without_live_requests,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::endpoint;
use crate::support::{Act, Server, chunks, reply};

const KEY: &str = "sk-planted-0123456789abcdef";

#[tokio::test]
async fn the_key_is_in_no_error() {
    let echo = format!(r#"{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}"#);
    let cut = format!("{}{KEY}", "x".repeat(2040));
    let acts = [
        reply(401, &[("x-request-id", KEY)], &echo),
        reply(500, &[], &cut),
        reply(200, &[], &format!("{KEY} is no JSON")),
        reply(200, &[], &echo),
        reply(302, &[("location", &format!("http://h/{KEY}?k={KEY}"))], ""),
        Act::SendAndClose(Vec::new()),
    ];
    for act in acts {
        let server = Server::script(vec![act]).await;
        for endpoint in [
            endpoint(&server.url()).api_key(KEY),
            endpoint(&server.url()).api_key(KEY).protocol(Protocol::Responses),
            endpoint(&server.url()).api_key(KEY).protocol(Protocol::Anthropic),
            endpoint(&server.url()).api_key(KEY).protocol(Protocol::Gemini),
            Endpoint::azure(server.url()).api_key(KEY),
            endpoint(&server.url()).header("x-api-key", KEY),
            endpoint(&server.url()).header("authorization", format!("Token {KEY}")),
            endpoint(&format!("{}?key={KEY}", server.url())),
        ] {
            let endpoint = endpoint.retries(0);
            let lm = endpoint.model("m").unwrap();
            let error = lm.ask("Hi").await.unwrap_err();
            let all = format!("{error}{error:?}{endpoint:?}{lm:?}{}", lm.endpoint());
            assert!(!all.contains("sk-planted"), "{all}");
            assert!(server.seen().last().unwrap().head.contains(KEY));
        }
    }
}

#[test]
fn keys_that_cannot_be_sent_are_refused_unseen() {
    let bad = format!("{KEY}\n{KEY}");
    for error in [
        Endpoint::new("http://h/v1").api_key(bad.as_str()).model("m").unwrap_err(),
        Endpoint::new("http://h/v1").header("x-api-key", bad.as_str()).model("m").unwrap_err(),
        Endpoint::new(format!("http://user:{KEY}@h/v1")).model("m").unwrap_err(),
        Lm::from_vars(|name| (name == "OPENAI_API_KEY").then(|| bad.clone())).unwrap_err(),
    ] {
        assert_eq!(error.kind, LmErrorKind::Configuration);
        assert!(!format!("{error}{error:?}").contains("sk-planted"), "{error}");
    }
    let shown =
        format!("{:?}", Endpoint::new(format!("http://u:{KEY}@h/v1?k={KEY}")).header("x", KEY).api_key(KEY));
    assert!(!shown.contains("sk-planted"), "{shown}");
}

/// Writes down all that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field} = {value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn the_key_is_in_no_log_and_in_no_message_of_the_gates() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let echo = format!(r#"{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}"#);
    let event = format!("data: {{\"error\":{{\"message\":\"{KEY}\",\"code\":429}}}}\n\n");
    let mut shown = String::new();
    for act in [
        reply(503, &[], &echo),
        reply(401, &[("x-request-id", KEY)], &echo),
        reply(429, &[("retry-after", "3600")], &echo),
        reply(302, &[("location", &format!("http://h/{KEY}?k={KEY}"))], ""),
        reply(200, &[("content-encoding", KEY)], ""),
        chunks(&[event.as_bytes()], true),
        chunks(&[KEY.as_bytes()], true),
        Act::Reset,
    ] {
        let server = Server::script(vec![act]).await;
        let endpoint = endpoint(&format!("{}?key={KEY}", server.url()))
            .api_key(KEY)
            .header("authorization", format!("Token {KEY}"))
            .retries(2)
            .requests_per_minute(120)
            .circuit(Circuit::after(2));
        let lm = endpoint.model("m").unwrap();
        let fallback = Lm::fallback([lm.clone(), lm.clone()]);
        let request = || Request::new(vec![Message::user("Hi")]);
        // The second one meets a closed gate, where the first one has closed it.
        let errors = [
            lm.ask("Hi").await.unwrap_err(),
            lm.ask("Hi").await.unwrap_err(),
            fallback.ask("Hi").await.unwrap_err(),
            lm.stream(request()).finish().await.unwrap_err(),
            without_live_requests(lm.ask("Hi")).await.unwrap_err(),
        ];
        write!(shown, "{errors:?} {endpoint:?} {lm:?} {fallback:?} {:?} ", lm.stream(request())).unwrap();
        write!(shown, "{:?} {:?} ", Fallback::new([lm.clone()]), RoundRobin::new([lm.clone()])).unwrap();
        errors.iter().for_each(|error| write!(shown, "{error} ").unwrap());
        write!(shown, "{} {} {}", fallback.id(), fallback.endpoint(), lm.endpoint()).unwrap();
    }
    drop(guard);
    let log = log.0.lock().unwrap();
    for part in
        ["out of service", "HTTP 503: bad key ***", "no turn before the deadline", "live requests are denied"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(log.contains("the endpoint is out of service") && log.contains("will be sent again"), "{log}");
    for text in [&shown, &*log] {
        assert!(!text.contains("sk-planted"), "{text}");
    }
}
