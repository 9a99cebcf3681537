//! Which failures are tried again, and how often.

use std::time::Duration;

use dspy_lm::{Lm, LmErrorKind, Message, Request};

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

#[tokio::test]
async fn an_error_counts_the_requests_that_were_sent() {
    let passing = Server::script(vec![reply(500, &[], "oops")]).await;
    let lasting = Server::script(vec![reply(401, &[], "no")]).await;
    for (server, attempts) in [(&passing, 3), (&lasting, 1)] {
        let lm = endpoint(&server.url()).retries(2).model("m").unwrap();
        for streamed in [false, true] {
            let request = Request::new(vec![Message::user("Hi")]);
            let answer =
                if streamed { lm.stream(request).finish().await } else { lm.complete(request).await };
            let error = answer.unwrap_err();
            assert_eq!(error.attempts, attempts);
            assert!(error.elapsed.is_some());
        }
        assert_eq!(server.seen().len(), 2 * attempts as usize);
    }
}

#[tokio::test]
async fn an_error_shows_its_attempts_where_there_were_several() {
    let server = Server::script(vec![reply(500, &[], "oops")]).await;
    let mut error = endpoint(&server.url()).retries(2).model("m").unwrap().ask("Hi").await.unwrap_err();
    error.elapsed = Some(Duration::from_millis(2_130));
    let text = "m: the endpoint failed (HTTP 500): oops";
    assert_eq!(error.to_string(), text);
    assert_eq!(format!("{error:?}"), format!("{text} (after 3 attempts in 2.1 s)"));
    error.message.push_str(", after 3 attempts in 2.1 s");
    assert_eq!(format!("{error:?}"), error.to_string(), "it is said already");
    let once = Server::script(vec![reply(401, &[], "no")]).await;
    let error = lm(&once).ask("Hi").await.unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[tokio::test]
async fn an_error_keeps_the_cause_of_a_broken_connection() {
    let server = Server::script(vec![Act::Reset]).await;
    let url = format!("http://{}/v1?code=s3cr3t-c0de", server.address);
    let mut error = endpoint(&url).retries(0).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (LmErrorKind::Transport, 1));
    let causes: Vec<_> = std::iter::successors(std::error::Error::source(&error), |cause| cause.source())
        .map(ToString::to_string)
        .collect();
    assert!(
        error.message.contains(causes.last().unwrap()),
        "the innermost cause is the message's: {causes:?}"
    );
    let shown = format!("{error:?} {error:#?}");
    assert!(shown.contains(&causes[0]), "{shown}");
    assert!(!shown.contains("s3cr3t-c0de"), "{shown}");
    let whole = error.clone();
    error.source = None;
    assert_eq!(error, whole, "how a cause is put makes no other error");
}

#[tokio::test]
async fn an_error_counts_requests_in_weaker_forms() {
    let refusal = r#"{"error":{"message":"Unsupported parameter: 'temperature'","param":"temperature"}}"#;
    let server = Server::script(vec![reply(400, &[], refusal), reply(500, &[], "oops")]).await;
    let lm = endpoint(&server.url()).retries(1).model("m").unwrap();
    let mut request = Request::new(vec![Message::user("Hi")]);
    request.params.temperature = Some(0.5);
    let error = lm.complete(request).await.unwrap_err();
    assert_eq!((error.kind, error.attempts, server.seen().len()), (LmErrorKind::Server, 3, 3));
}

#[tokio::test]
async fn an_error_of_several_models_counts_the_requests_of_all() {
    let server = Server::script(vec![reply(500, &[], "oops")]).await;
    let model = |name: &str, retries| endpoint(&server.url()).retries(retries).model(name).unwrap();
    let error = Lm::fallback([model("a", 0), model("b", 1)]).ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (LmErrorKind::Server, 3));
}

#[tokio::test]
async fn an_error_without_a_request_has_no_attempts() {
    let error = Lm::scripted([""; 0]).ask("Hi").await.unwrap_err();
    assert_eq!((error.attempts, error.elapsed), (0, None));
}
