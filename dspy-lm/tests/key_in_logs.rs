//! A planted key is looked for in all that is logged and shown. It is the only test of its binary, as the subscriber of
//! a process must be there before the first callsite of tracing is reached.

#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dspy_lm::{Circuit, Endpoint, Fallback, Lm, Message, Request, RoundRobin, without_live_requests};
use dspy_test_server::{Act, Server, chunks, reply};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const KEY: &str = "sk-planted-0123456789abcdef";

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
    tracing::subscriber::set_global_default(log.clone()).unwrap();
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
        let endpoint = Endpoint::new(format!("{}?key={KEY}", server.url()))
            .backoff(Duration::from_millis(1), Duration::from_millis(2))
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
    let log = log.0.lock().unwrap();
    for part in
        ["out of service", "HTTP 503: bad key ***", "no turn before the deadline", "live requests are denied"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(log.contains("the endpoint is out of service") && log.contains("will be retried"), "{log}");
    for text in [&shown, &*log] {
        assert!(!text.contains("sk-planted"), "{text}");
    }
}
