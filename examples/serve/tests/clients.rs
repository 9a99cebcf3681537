//! A thousand clients at once against the service and a local model server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use dspy::lm::{Endpoint, Lm};
use dspy_serve_example::{Limits, Service, play};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Counts the requests that a model server has received and answered.
#[derive(Clone, Default)]
struct Counts {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

/// Starts a model server with a latency; returns a model on it.
async fn model_server(latency: Duration) -> (Lm, Counts) {
    let counts = Counts::default();
    let counted = counts.clone();
    let answer = move |_: Json<Value>| {
        let counts = counted.clone();
        async move {
            counts.begun.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(latency).await;
            counts.ended.fetch_add(1, Ordering::SeqCst);
            let text = "[[ ## summary ## ]]\nShort.\n\n[[ ## topics ## ]]\n[\"tests\"]";
            Json(json!({
                "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let lm = Endpoint::new(format!("http://{address}/v1")).model("m").unwrap();
    (lm, counts)
}

struct Running {
    address: String,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(lm: Lm, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel();
    let service = Service::new(lm, limits).unwrap();
    let ended = tokio::spawn(service.serve(listener, async move { drop(stopped.await) }));
    Running { address, stop, ended }
}

fn request(path: &str, caller: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-caller: {caller}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn send(address: &str, request: String) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    connection.read_to_string(&mut reply).await.unwrap();
    reply
}

/// Returns 1,000, or fewer where the process may open too few files: each client needs up to four connections here.
fn clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = open.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    let clients = soft.map_or(100, |soft| (soft.saturating_sub(100) / 4).min(1_000));
    if clients < 1_000 {
        println!("only {clients} clients: the limit of open files is too low for 1,000");
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_are_answered_at_once() {
    let clients = clients();
    let (lm, counts) = model_server(Duration::from_millis(500)).await;
    let service = start(lm, Limits { in_flight: 100, calls: 1_000 }).await;
    let started = Instant::now();
    let asked = (0..clients).map(|number| {
        let caller = format!("caller-{}", number % 20);
        send(&service.address, request("/summary", &caller, &json!({"text": format!("text {number}")})))
    });
    let replies = join_all(asked).await;
    let right = replies
        .iter()
        .filter(|reply| reply.starts_with("HTTP/1.1 200") && reply.contains("\"Short.\""))
        .count();
    let elapsed = started.elapsed();
    assert_eq!(right, clients, "{:?}", replies.iter().find(|reply| !reply.starts_with("HTTP/1.1 200")));
    assert_eq!(counts.ended.load(Ordering::SeqCst), clients);
    println!("{clients} clients in {elapsed:?}");
    service.stop.send(()).unwrap();
    service.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_have_limits_and_budgets_of_their_own() {
    let (lm, counts) = model_server(Duration::from_millis(300)).await;
    let service = start(lm, Limits { in_flight: 2, calls: 3 }).await;
    let body = |number: usize| json!({"text": format!("text {number}")});
    let asked = (0..4).map(|number| send(&service.address, request("/summary", "ann", &body(number))));
    let mut states: Vec<_> = join_all(asked).await.iter().map(|reply| reply[9..12].to_owned()).collect();
    states.sort();
    assert_eq!(states, ["200", "200", "429", "429"]);
    let third = send(&service.address, request("/summary", "ann", &body(9))).await;
    assert!(third.starts_with("HTTP/1.1 200"), "{third}");
    let fourth = send(&service.address, request("/summary", "ann", &body(10))).await;
    assert!(fourth.starts_with("HTTP/1.1 402"), "{fourth}");
    let other = send(&service.address, request("/summary", "bob", &body(11))).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    assert_eq!(counts.begun.load(Ordering::SeqCst), 4);
    let nobody =
        send(&service.address, request("/summary", "", &body(1)).replace("x-caller: \r\n", "")).await;
    assert!(nobody.starts_with("HTTP/1.1 401"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_stops_its_work_and_a_stop_answers_the_others() {
    let (lm, counts) = model_server(Duration::from_millis(600)).await;
    let service = start(lm, Limits { in_flight: 1, calls: 100 }).await;
    let mut connection = TcpStream::connect(&service.address).await.unwrap();
    connection.write_all(request("/summary", "ann", &json!({"text": "x"})).as_bytes()).await.unwrap();
    while counts.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(connection);
    // The place of the caller is free as soon as its work has stopped.
    let again = async {
        loop {
            let reply = send(&service.address, request("/summary", "ann", &json!({"text": "y"}))).await;
            if !reply.starts_with("HTTP/1.1 429") {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let started = Instant::now();
    let address = service.address.clone();
    let stop = async {
        while counts.begun.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        service.stop.send(()).unwrap();
        service.ended.await.unwrap().unwrap();
    };
    let (reply, ()) = tokio::join!(again, stop);
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(started.elapsed() >= Duration::from_millis(500), "the stop waited for the answer");
    assert!(TcpStream::connect(address).await.is_err(), "it is stopped");
}

#[tokio::test]
async fn streams_are_events_of_typed_partials_and_of_tools() {
    let service = start(play(), Limits::default()).await;
    let reply = send(&service.address, request("/summary/stream", "ann", &json!({"text": "x"}))).await;
    assert!(reply.contains("event: partial") && reply.contains("event: output"), "{reply}");
    let reply =
        send(&service.address, request("/weather/events", "ann", &json!({"question": "Bergen?"}))).await;
    assert!(reply.contains("{\"tool\":\"rain\",\"result\":12}") && reply.contains("12 mm"), "{reply}");
    let metrics =
        send(&service.address, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into()).await;
    assert!(metrics.contains("200 OK") && metrics.contains("# TYPE"), "{metrics}");
}
