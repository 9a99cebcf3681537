//! Which failures are tried again, and how often.

use std::time::Duration;

use dspy_lm::LmErrorKind;

use crate::{endpoint, lm};
use dspy_test_server::{Act, Server, chat, reply};

#[tokio::test]
async fn passing_failures_are_waited_out() {
    for act in [
        reply(408, &[], ""),
        reply(409, &[], ""),
        reply(425, &[], ""),
        reply(429, &[("retry-after", "0")], ""),
        reply(429, &[("retry-after-ms", "1")], ""),
        reply(429, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], ""),
        reply(500, &[], "oops"),
        reply(502, &[("content-type", "text/html")], "<html>Bad Gateway</html>"),
        reply(504, &[], ""),
        reply(503, &[("content-type", "text/html")], "<html>"),
        reply(529, &[], ""),
        reply(200, &[], r#"{"error":{"code":503,"message":"busy"}}"#),
        Act::SendAndClose(Vec::new()),
        Act::SendAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()),
    ] {
        let server = Server::script(vec![act.clone(), act.clone(), chat("at last")]).await;
        assert_eq!(lm(&server).ask("Hi").await.unwrap(), "at last", "{act:?}");
        let seen = server.seen();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[0].body, seen[2].body);
    }
}

#[tokio::test]
async fn lasting_failures_are_met_once() {
    for (status, body) in [
        (400, "{}"),
        (401, "{}"),
        (402, "{}"),
        (403, "{}"),
        (404, "{}"),
        (422, "{}"),
        (429, r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#),
        (200, "<html>"),
        (302, ""),
    ] {
        let server = Server::script(vec![reply(status, &[], body)]).await;
        assert!(!lm(&server).ask("Hi").await.unwrap_err().is_retryable(), "{status}");
        assert_eq!(server.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_that_breaks_off_is_still_a_refusal() {
    let bytes = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 99\r\n\r\n{\"error\":".to_vec();
    let server = Server::script(vec![Act::SendAndClose(bytes)]).await;
    assert_eq!(lm(&server).ask("Hi").await.unwrap_err().kind, LmErrorKind::Auth);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn retries_end() {
    let server = Server::script(vec![reply(500, &[], "")]).await;
    let error = endpoint(&server.url()).retries(2).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Server);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let dates = [("date", "Sun, 06 Nov 1994 08:00:00 GMT"), ("retry-after", "Sun, 06 Nov 1994 09:00:00 GMT")];
    for headers in [&dates[..], &[("retry-after", "3600")]] {
        let server = Server::script(vec![reply(429, headers, "")]).await;
        let error = lm(&server).ask("Hi").await.unwrap_err();
        assert_eq!((error.kind, error.retry_after), (LmErrorKind::RateLimit, Some(Duration::from_hours(1))));
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_dropped_call_is_over() {
    let server = Server::script(vec![reply(500, &[], ""), Act::Hang]).await;
    let lm = lm(&server);
    let call = tokio::spawn(async move { lm.ask("Hi").await });
    server.wait_for(2).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(server.seen().len(), 2);
}
