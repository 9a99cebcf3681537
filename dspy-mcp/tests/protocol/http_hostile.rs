//! Servers over HTTP that send without end, redirect and refuse: typed errors in bounded time and memory.

use std::time::{Duration, Instant};

use super::http::{Body, Server, usual};
use dspy_mcp::McpError;
use serde_json::json;

/// Starts a server whose tool answers so.
async fn server(
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: impl Fn() -> Body + Send + Sync + 'static,
) -> Server {
    Server::start(move |request, before| {
        if request.asks("tools/call") {
            Some((status, headers.clone(), body()))
        } else {
            usual(request, before)
        }
    })
    .await
}

#[tokio::test]
async fn answers_without_end_are_errors() {
    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n\n";
    for (status, kind, piece, wanted) in [
        (200, "application/json", "x", "exceeded a limit"),
        (500, "application/json", "x", "HTTP status 500"),
        (500, "text/plain", "x", "HTTP status 500"),
        (200, "text/html", "<p>", "text/html"),
        (200, "text/event-stream", "x", "max_message_bytes"),
        (200, "text/event-stream", "data: x\n", "max_message_bytes"),
        (200, "text/event-stream", ping, "answered no request"),
        (200, "text/event-stream", ": ping\n\n", "did not answer"),
        (200, "text/event-stream", "data: loading\n\n", "did not answer"),
        (200, "text/event-stream", "id: 1\nevent: ping\ndata: 1\n\n", "did not answer"),
    ] {
        let server = server(status, vec![], move || Body::Endless(kind, piece.repeat(1_000))).await;
        let limit = if wanted == "did not answer" { Duration::from_secs(3) } else { Duration::from_mins(5) };
        let client = server.client().call_timeout(limit);
        let started = Instant::now();
        let error = client.call("t", json!({})).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{kind} {piece}: {error}");
        assert!(started.elapsed() < Duration::from_mins(2), "{kind} {piece}");
        // The client does not go on to receive it.
        let is_ended = || server.heard.lock().unwrap().iter().any(|heard| heard.method == "ENDED");
        while !is_ended() {
            assert!(started.elapsed() < Duration::from_mins(4), "{kind} {piece}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.calls(), 2, "the call, and the note of its end: {kind} {piece}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::start(usual).await;
    for status in [301, 302, 303, 307, 308] {
        let to = vec![("location", other.url.clone())];
        let server = server(status, to, || Body::Bytes("", 0)).await;
        let error = server.client().bearer("a-secret-token").call("t", json!({})).await.unwrap_err();
        assert!(
            matches!(error, McpError::Refused { code, .. } if code == i32::from(status)),
            "{status}: {error}"
        );
        assert!(error.to_string().contains("redirects are not followed"), "{status}: {error}");
        assert_eq!(server.calls(), 1);
    }
    assert!(other.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn refusals_have_their_status() {
    for (status, words) in [(400, "Bad Request"), (401, "Unauthorized"), (403, "Forbidden"), (500, "500")] {
        let server = server(status, vec![], || Body::Bytes("no a-secret-token", 1)).await;
        let error = server.client().bearer("a-secret-token").call("t", json!({})).await.unwrap_err();
        assert!(
            matches!(error, McpError::Refused { code, .. } if code == i32::from(status)),
            "{status}: {error}"
        );
        let text = error.to_string();
        assert!(text.contains(words) && !text.contains("a-secret-token"), "{status}: {text}");
        assert_eq!(server.calls(), 1);
    }
    let challenge =
        vec![("www-authenticate", "Bearer error=\"insufficient_scope\", scope=\"files:write\"".into())];
    let server = server(403, challenge, || Body::Bytes("no", 1)).await;
    let error = server.client().bearer("a-secret-token").call("t", json!({})).await.unwrap_err();
    assert!(
        matches!(&error, McpError::Unauthorized { challenge, .. } if challenge.scope() == Some("files:write")),
        "{error}"
    );
}
