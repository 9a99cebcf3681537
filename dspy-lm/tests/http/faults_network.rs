//! Networks that misbehave: connections that are reset, certificates that nobody vouches for, replies of odd sizes and
//! shapes. What servers say in well-formed HTTP is in `faults`, broken streams are in `streaming`.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use dspy_lm::{LmErrorKind, Message, Request};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::{endpoint, lm, retries};
use dspy_test_server::{Act, Server, chat, chat_events, chunks, reply};

fn request() -> Request {
    Request::new(vec![Message::user("Hi")])
}

#[tokio::test]
async fn a_reset_connection_is_made_again() {
    let server = Server::script(vec![Act::Reset, chat("again")]).await;
    assert_eq!(lm(&server).ask("Hi").await.unwrap(), "again");
    let server = Server::script(vec![Act::Reset]).await;
    let error = endpoint(&server.url()).retries(2).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Transport, "{error}");
    assert!(error.message.contains("the connection broke"), "{error}");
    assert_eq!(server.seen().len(), 3);
}

/// A certificate for 127.0.0.1 that nobody has signed but itself, and its key, which guards nothing.
const CERTIFICATE: &str = "MIIBmDCCAT6gAwIBAgIUNAZPliqFptH2+3tKttGUOG0wtjEwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxo\
     b3N0MCAXDTI2MTEyNTIzMjcxMVoYDzIxMjYxMTAxMjMyNzExWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcq\
     hkjOPQIBBggqhkjOPQMBBwNCAAQyzcIjO0+3ReVxgl7rGb6WhDgczR1eUXfHYXHscMYXuXFyC6TVk6iZKecFmvL4\
     YkLEMfn5u2Nv+ZH6erx0opi9o2wwajAdBgNVHQ4EFgQUUH8UVL5ZKhwbmW482ngNPvaqy8IwHwYDVR0jBBgwFoAU\
     UH8UVL5ZKhwbmW482ngNPvaqy8IwGgYDVR0RBBMwEYcEfwAAAYIJbG9jYWxob3N0MAwGA1UdEwEB/wQCMAAwCgYI\
     KoZIzj0EAwIDSAAwRQIga8h3D+g34AjbRWEqwLnJPz/teuMHGWEDO9KtRJf1yS4CIQDnDFv+Fso321W78HY0X+jr\
     O0t1rWV1kT9beePsZWaS3A==";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmlrbLcFmptY+Z1I/es/LbQAgR55kXXQV9ECJBtHd\
     pDehRANCAAQyzcIjO0+3ReVxgl7rGb6WhDgczR1eUXfHYXHscMYXuXFyC6TVk6iZKecFmvL4YkLEMfn5u2Nv+ZH6\
     erx0opi9";

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_met_once() {
    let der = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let (certificate, key) = (CertificateDer::from(der(CERTIFICATE)), PrivatePkcs8KeyDer::from(der(KEY)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handshakes = Arc::new(AtomicUsize::new(0));
    let (count, config) = (handshakes.clone(), Arc::new(config));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let (mut stream, config) = (stream.unwrap(), config.clone());
            let mut connection = rustls::ServerConnection::new(config).unwrap();
            let mut request = Vec::new();
            let _ = rustls::Stream::new(&mut connection, &mut stream).read_to_end(&mut request);
            assert_eq!(request, b"", "nothing may be sent over such a connection");
        }
    });
    let error = endpoint(&format!("https://{address}/v1")).model("m").unwrap().ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, error.status), (LmErrorKind::Transport, None));
    assert!(error.message.contains("cannot connect") && error.message.contains("certificate"), "{error}");
    assert_eq!(handshakes.load(Ordering::SeqCst), 1, "it would be the same the next time");
}

#[tokio::test]
async fn compressed_replies_are_refused_by_name() {
    for stream in [false, true] {
        let zipped = reply(200, &[("content-encoding", "gzip")], "\u{1f}\u{8b}");
        let server = Server::script(vec![zipped]).await;
        let lm = lm(&server);
        let answer = if stream { lm.stream(request()).finish().await } else { lm.complete(request()).await };
        let error = answer.unwrap_err();
        assert_eq!((error.kind, error.status), (LmErrorKind::Decode, Some(200)));
        assert!(error.message.contains("compressed (gzip)"), "{error}");
        assert_eq!(server.seen().len(), 1);
        assert_eq!(server.seen()[0].header("accept-encoding"), None, "it was not asked for");
    }
    // What the status says needs no body.
    let server = Server::script(vec![reply(401, &[("content-encoding", "br")], "??")]).await;
    assert_eq!(lm(&server).ask("Hi").await.unwrap_err().kind, LmErrorKind::Auth);
    let server = Server::script(vec![reply(500, &[("content-encoding", "br")], "??"), chat("fine")]).await;
    assert_eq!(lm(&server).ask("Hi").await.unwrap(), "fine");
}

#[tokio::test]
async fn ten_megabytes_are_a_reply() {
    let text = "0123456789".repeat(1 << 20);
    let server = Server::script(vec![chat(&text)]).await;
    assert!(lm(&server).ask("Hi").await.unwrap() == text);
    let events = chat_events(&[&text[..100 << 10]; 10]);
    let pieces: Vec<&[u8]> = events.as_bytes().chunks(64 << 10).collect();
    let server = Server::script(vec![chunks(&pieces, true)]).await;
    let answer = lm(&server).stream(request()).finish().await.unwrap();
    assert_eq!(answer.completions[0].text.len(), 1_000 << 10);
}

#[tokio::test]
async fn a_reply_that_trickles_without_end_is_over_in_time() {
    let head = |kind: &str| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
        head.into_bytes()
    };
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    for (kind, piece) in
        [("application/json", " "), ("text/event-stream", ": on\n\n"), ("text/event-stream", event)]
    {
        let server = Server::script(vec![Act::Trickle(head(kind), chunk(piece))]).await;
        let impatient = endpoint(&server.url()).timeout(Duration::from_millis(80)).retries(1);
        // It is never silent for long: nothing but the time of an attempt can end it.
        let lm = impatient.idle_timeout(Duration::from_hours(1)).model("m").unwrap();
        let (outcome, retries) = retries(async { lm.stream(request()).finish().await }).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind, retries), (LmErrorKind::Timeout, 1), "{error}");
    }
}

#[tokio::test]
async fn streams_of_another_type_are_no_replies() {
    let events = chat_events(&["Paris"]);
    for (kind, body) in [("text/plain", events.as_str()), ("text/html", "<!DOCTYPE html><p>Log in"), ("", "")]
    {
        let server = Server::script(vec![reply(200, &[("content-type", kind)], body)]).await;
        let error = lm(&server).stream(request()).finish().await.unwrap_err();
        assert_eq!((error.kind, server.seen().len()), (LmErrorKind::Decode, 1), "{error}");
    }
}

#[tokio::test]
async fn no_call_is_lost_or_charged_twice() {
    // Every request fails in one way or another before it succeeds, and all are under way together.
    let tries = std::sync::Mutex::new(std::collections::HashMap::<String, usize>::new());
    let server = Server::start(move |_, seen| {
        let asked = seen.json()["messages"][0]["content"].as_str().unwrap().to_owned();
        let number: usize = asked.parse().unwrap();
        let mut tries = tries.lock().unwrap();
        let count = tries.entry(asked.clone()).or_default();
        *count += 1;
        if *count > 1 {
            return chat(&asked);
        }
        match number % 7 {
            0 => reply(500, &[], ""),
            1 if number < 28 => reply(429, &[("retry-after-ms", "1")], ""),
            2 => Act::Reset,
            3 => Act::SendAndClose(Vec::new()),
            4 => Act::SendAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"choices\":[".to_vec()),
            5 => reply(200, &[], r#"{"error":{"code":503,"message":"busy"}}"#),
            _ => reply(529, &[], "<html>"),
        }
    })
    .await;
    let endpoint = endpoint(&server.url());
    let calls = (0..70).map(async |number: usize| {
        // Those that are asked too often are not to slow down the others.
        let lm = endpoint.model(if number % 7 == 1 && number < 28 { "slow" } else { "m" }).unwrap();
        let answer = lm.complete(Request::new(vec![Message::user(number.to_string())])).await.unwrap();
        assert_eq!(answer.completions[0].text, number.to_string());
        answer.usage
    });
    let mut total = dspy_lm::Usage::default();
    futures_util::future::join_all(calls).await.into_iter().for_each(|usage| total += usage);
    assert_eq!((total.requests, total.completion_tokens), (70, 490));
    assert_eq!(server.seen().len(), 140);
}
