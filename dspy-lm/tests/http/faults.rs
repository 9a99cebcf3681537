//! Servers that misbehave, and the errors that callers see.

use std::time::Duration;

use dspy_lm::{LmError, LmErrorKind};

use crate::{endpoint, retries};
use dspy_test_server::{Act, Server, chat, reply};

/// What one attempt at a server that does this ends in.
async fn outcome(act: Act) -> LmError {
    let server = Server::script(vec![act]).await;
    let error = endpoint(&server.url()).retries(0).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!(server.seen().len(), 1);
    error
}

#[tokio::test]
async fn statuses_become_kinds() {
    use LmErrorKind::{
        Auth, Billing, ContentFilter, ContextWindow, InvalidRequest, NotFound, RateLimit, Server, Timeout,
    };
    for (status, body, kind) in [
        (400, r#"{"error":{"message":"no","code":"context_length_exceeded"}}"#, ContextWindow),
        (400, r#"{"error":{"message":"no","code":"content_filter"}}"#, ContentFilter),
        (400, r#"{"error":{"message":"no"}}"#, InvalidRequest),
        (401, r#"{"error":{"message":"no"}}"#, Auth),
        (402, "", Billing),
        (403, "", Auth),
        (404, "not here", NotFound),
        (408, "", Timeout),
        (409, "", Server),
        (413, "", InvalidRequest),
        (422, r#"{"detail":"no"}"#, InvalidRequest),
        (429, "", RateLimit),
        (429, r#"{"error":{"message":"no","code":"insufficient_quota"}}"#, Billing),
        (500, "", Server),
        (529, "", Server),
    ] {
        let error = outcome(reply(status, &[("x-request-id", "req-9")], body)).await;
        assert_eq!((error.kind, error.status), (kind, Some(status)), "{error}");
        assert_eq!(error.request_id.as_deref(), Some("req-9"));
        assert_eq!(error.body.as_deref().unwrap_or_default(), body);
        assert_eq!(error.model, "m");
    }
}

#[tokio::test]
async fn a_wrong_address_is_hinted_at() {
    let error = outcome(reply(404, &[("content-type", "text/html")], "<html>Not found</html>")).await;
    assert_eq!(error.kind, LmErrorKind::NotFound);
    assert!(
        error.message.contains("HTML") && error.message.contains("base URL http://127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn successes_that_are_none() {
    for (headers, body, kind, part) in [
        (
            &[("content-type", "text/html")][..],
            "<!DOCTYPE html>\n<title>Hi</title>",
            LmErrorKind::Decode,
            "HTML",
        ),
        (&[("content-type", "text/plain")], "OK", LmErrorKind::Decode, "cannot be read"),
        (&[("content-type", "text/event-stream")], "data: {}\n\n", LmErrorKind::Decode, "cannot be read"),
        (&[], "", LmErrorKind::Decode, "empty"),
        (&[], r#"{"choices":[{"message":{"conte"#, LmErrorKind::Decode, "cannot be read"),
        (&[], "{}", LmErrorKind::Decode, "no choices"),
        (&[], r#"{"choices":[]}"#, LmErrorKind::Decode, "no choices"),
        (&[], r#"{"choices":[{"index":0}]}"#, LmErrorKind::Decode, "no message"),
        (
            &[],
            r#"{"error":{"code":429,"message":"upstream is busy"}}"#,
            LmErrorKind::RateLimit,
            "upstream is busy",
        ),
        (&[], r#"{"error":{"type":"invalid_api_key","message":"no"}}"#, LmErrorKind::Auth, "no"),
        (&[], r#"{"choices":[{"error":{"code":502,"message":"cut"}}]}"#, LmErrorKind::Server, "cut"),
    ] {
        let error = outcome(reply(200, headers, body)).await;
        assert_eq!((error.kind, error.status), (kind, Some(200)), "{error}");
        assert!(error.message.contains(part), "{error}");
        assert_eq!(error.body.as_deref().unwrap_or_default(), body);
    }
}

#[tokio::test]
async fn error_bodies_are_kept_in_part() {
    let error = outcome(reply(500, &[], &"ü".repeat(100_000))).await;
    assert_eq!(error.body.unwrap(), "ü".repeat(1024));
    assert!(error.message.len() < 3_000);
}

#[tokio::test]
async fn broken_connections() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\":[",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"ch",
        b"this is no HTTP\r\n\r\n",
    ] {
        let error = outcome(Act::SendAndClose(bytes.to_vec())).await;
        assert_eq!(error.kind, LmErrorKind::Transport, "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    // A port that is taken, so that nobody else gets it, but not listened at.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let lm = endpoint(&format!("http://{address}/v1")).model("m").unwrap();
    let error = lm.ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.status), (LmErrorKind::Transport, None));
    assert!(error.message.contains(&address) && error.message.contains("is the server running?"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    // Too long a label to be looked up at all: the resolver refuses it without asking anyone.
    let url = format!("http://{}.invalid/v1", "x".repeat(70));
    let error = endpoint(&url).retries(1).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Transport, "{error}");
    assert!(error.message.contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls() {
    let server = Server::script(vec![chat("hi")]).await;
    let url = format!("https://{}/v1", server.address);
    let error = endpoint(&url).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Transport, "{error}");
    assert!(error.message.starts_with("cannot connect: received corrupt message"), "{error}");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let body_missing = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{".to_vec();
    for act in [Act::Hang, Act::Send(body_missing)] {
        let server = Server::script(vec![act]).await;
        let endpoint = endpoint(&server.url()).retries(1).timeout(Duration::from_millis(40));
        let lm = endpoint.model("m").unwrap();
        let (outcome, retries) = retries(lm.ask("Hi")).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind, retries), (LmErrorKind::Timeout, 1), "{error}");
        assert!(server.seen().len() <= 2);
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::script(vec![chat("stolen")]).await;
    for status in [301, 302, 307, 308] {
        let target = format!("http://user:word@{}/v1/chat/completions?key=1", elsewhere.address);
        let error = outcome(reply(status, &[("location", &target)], "")).await;
        assert_eq!((error.kind, error.status), (LmErrorKind::Configuration, Some(status)));
        assert!(error.message.contains("base URL http://127.0.0.1:"), "{error}");
        assert!(error.message.contains(&elsewhere.address) && !error.message.contains("word"), "{error}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn replies_are_bounded() {
    let huge = reply(200, &[], &" ".repeat((32 << 20) + 1));
    let error = outcome(huge).await;
    assert_eq!(error.kind, LmErrorKind::Decode);
    assert!(error.message.contains("32 MiB"), "{error}");
}
