//! A thousand clients at once against the service and a local model server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

use std::sync::Arc;
use std::time::Instant;

use axum::routing::post;
use axum::{Json, Router};
use dspy::lm::{Endpoint, Lm};
use dspy_serve_example::{Limits, Service, play};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

/// A model server that answers only as often as it is allowed to.
struct Model {
    lm: Lm,
    /// The number of requests that have arrived.
    begun: watch::Receiver<usize>,
    /// The number of requests that are being answered.
    active: watch::Receiver<usize>,
    allowed: Arc<Semaphore>,
}

/// Counts a request while it is being answered, or until the client leaves.
struct Active(Arc<watch::Sender<usize>>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.send_modify(|active| *active -= 1);
    }
}

impl Model {
    async fn start() -> Self {
        let (begin, begun) = watch::channel(0);
        let (active_now, active) = watch::channel(0);
        let (begin, active_now, allowed) =
            (Arc::new(begin), Arc::new(active_now), Arc::new(Semaphore::new(0)));
        let permits = allowed.clone();
        let answer = move |_: Json<Value>| {
            let (begin, active_now, permits) = (begin.clone(), active_now.clone(), permits.clone());
            async move {
                active_now.send_modify(|active| *active += 1);
                let _active = Active(active_now);
                begin.send_modify(|begun| *begun += 1);
                permits.acquire().await.unwrap().forget();
                let text = "[[ ## summary ## ]]\nShort.\n\n[[ ## topics ## ]]\n[\"tests\"]";
                Json(json!({
                    "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                    "choices": [{
                        "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
                    }],
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
                }))
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/v1/chat/completions", post(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let lm = Endpoint::new(format!("http://{address}/v1")).model("m").unwrap();
        Model { lm, begun, active, allowed }
    }

    /// Waits until that many requests have arrived in all.
    async fn begun(&self, requests: usize) {
        self.begun.clone().wait_for(|begun| *begun >= requests).await.unwrap();
    }

    fn allow(&self, answers: usize) {
        self.allowed.add_permits(answers);
    }
}

struct Running {
    address: String,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// Waits until the service makes that many calls, by its own metrics.
    async fn met(&self, calls: usize) {
        loop {
            let metrics =
                send(&self.address, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into())
                    .await;
            let mut gauges = metrics.lines().filter(|line| line.starts_with("dspy_lm_in_flight{"));
            let in_flight =
                gauges.next().and_then(|line| line.rsplit_once(' ')?.1.trim().parse::<usize>().ok());
            if in_flight.is_some_and(|in_flight| in_flight >= calls) {
                return;
            }
        }
    }
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
    let model = Model::start().await;
    let service = start(model.lm.clone(), Limits { in_flight: 100, calls: 1_000, ..Limits::default() }).await;
    let started = Instant::now();
    let asked = (0..clients).map(|number| {
        let caller = format!("caller-{}", number % 20);
        send(&service.address, request("/summary", &caller, &json!({"text": format!("text {number}")})))
    });
    // All clients have sent their requests before the first is answered: as many are with the model as its limit of
    // concurrency lets through, and the others wait in the service.
    let answers = async {
        service.met(clients).await;
        model.allow(clients);
    };
    let (replies, ()) = tokio::join!(join_all(asked), answers);
    let is_right = |reply: &&String| reply.starts_with("HTTP/1.1 200") && reply.contains("\"Short.\"");
    let wrong = replies.iter().find(|reply| !is_right(reply));
    assert_eq!(wrong, None);
    println!("{clients} clients in {:?}", started.elapsed());
    service.stop.send(()).unwrap();
    service.ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_have_limits_and_budgets_of_their_own() {
    let model = Model::start().await;
    let service = start(model.lm.clone(), Limits { in_flight: 2, calls: 3, ..Limits::default() }).await;
    let ask = |caller: &str, number: usize| {
        send(&service.address, request("/summary", caller, &json!({"text": format!("text {number}")})))
    };
    let mut asked: FuturesUnordered<_> = (0..4).map(|number| ask("ann", number)).collect();
    for _ in 0..2 {
        let refused = asked.next().await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    }
    model.allow(4);
    for _ in 0..2 {
        let answered = asked.next().await.unwrap();
        assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    }
    for (caller, number, status) in [("ann", 4, 200), ("ann", 5, 402), ("bob", 6, 200)] {
        let reply = ask(caller, number).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{caller}: {reply}");
    }
    assert_eq!(*model.begun.borrow(), 4);
    let unnamed = request("/summary", "", &json!({"text": "x"})).replace("x-caller: \r\n", "");
    let unnamed = send(&service.address, unnamed).await;
    assert!(unnamed.starts_with("HTTP/1.1 401"), "{unnamed}");
    for name in ["", "  ", "ä", &"x".repeat(101)] {
        let empty = send(&service.address, request("/summary", name, &json!({"text": "x"}))).await;
        assert!(empty.starts_with("HTTP/1.1 400"), "{name}: {empty}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_stops_its_work_and_a_stop_answers_the_others() {
    let model = Model::start().await;
    let service = start(model.lm.clone(), Limits { in_flight: 1, calls: 100, ..Limits::default() }).await;
    let mut connection = TcpStream::connect(&service.address).await.unwrap();
    connection.write_all(request("/summary", "ann", &json!({"text": "x"})).as_bytes()).await.unwrap();
    model.begun(1).await;
    drop(connection);
    // The call of the model is gone without an answer, and the place of the caller is free.
    model.active.clone().wait_for(|active| *active == 0).await.unwrap();
    let address = service.address.clone();
    let next =
        tokio::spawn(async move { send(&address, request("/summary", "ann", &json!({"text": "y"}))).await });
    model.begun(2).await;
    service.stop.send(()).unwrap();
    assert!(!service.ended.is_finished(), "it waits for the answer");
    model.allow(1);
    let reply = next.await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    service.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(service.address).await.is_err(), "it is stopped");
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

#[tokio::test]
async fn what_is_wrong_has_a_status_before_any_event() {
    let limits = Limits { calls: 1, ..Limits::default() };
    let service = start(play(), limits).await;
    let ask = |path: &'static str, caller: &'static str, body: Value| {
        send(&service.address, request(path, caller, &body))
    };
    for (path, right) in [
        ("/summary", json!({"text": "x"})),
        ("/summary/stream", json!({"text": "x"})),
        ("/weather/events", json!({"question": "x"})),
    ] {
        let (name, _) = right.as_object().unwrap().iter().next().unwrap();
        let mut more = right.clone();
        more["tone"] = json!("kind");
        for (wrong, told) in [(more, "`tone`"), (json!({}), name.as_str()), (json!({ name: 5 }), name)] {
            let reply = ask(path, "ann", wrong).await;
            assert!(reply.starts_with("HTTP/1.1 422") && reply.contains(told), "{path}: {reply}");
        }
        assert!(ask(path, "ann", json!([1])).await.starts_with("HTTP/1.1 422"));
    }
    let reply = ask("/summary", "ann", json!({"text": "x"})).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    for (path, body) in
        [("/summary/stream", json!({"text": "y"})), ("/weather/events", json!({"question": "y"}))]
    {
        let reply = ask(path, "ann", body).await;
        assert!(reply.starts_with("HTTP/1.1 402") && reply.contains("budget"), "{path}: {reply}");
    }
    // An agent whose budget ends later tells so by an event.
    let reply = ask("/weather/events", "bob", json!({"question": "y"})).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("event: error"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_slow_clients_only_as_long_as_it_is_set_to() {
    let limits = Limits { to_end: std::time::Duration::from_millis(300), ..Limits::default() };
    let service = start(play(), limits).await;
    // Half a head, half a body, and a model that does not answer.
    let mut slow = Vec::new();
    let whole = request("/summary", "ann", &json!({"text": "x"}));
    for part in ["POST /summary HTTP/1.1\r\nhost: x\r\nx-ca", &whole[..whole.len() - 5]] {
        let mut connection = TcpStream::connect(&service.address).await.unwrap();
        connection.write_all(part.as_bytes()).await.unwrap();
        slow.push(connection);
    }
    let healthy =
        send(&service.address, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".into()).await;
    assert!(healthy.contains("ok"));
    service.stop.send(()).unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), service.ended).await;
    let result = ended.expect("it ends").unwrap();
    let error = result.expect_err("two requests are not answered");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(slow);
}

/// The service as a process, with its output.
#[cfg(unix)]
struct Process(std::process::Child, std::io::Lines<std::io::BufReader<std::process::ChildStdout>>, String);

#[cfg(unix)]
impl Process {
    fn start() -> Self {
        use std::io::BufRead as _;
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_serve"));
        command.env("PORT", "0").stdout(std::process::Stdio::piped());
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.ends_with("_API_KEY") || name == "DSPY_MODEL")
        {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let address = first.split("http://").nth(1).unwrap().split(';').next().unwrap().to_owned();
        Process(child, lines, address)
    }

    fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

#[cfg(unix)]
#[test]
fn signals_stop_the_process_and_a_second_one_at_once() {
    use std::io::Write as _;
    for signal in ["-TERM", "-INT"] {
        let mut idle = Process::start();
        idle.signal(signal);
        assert_eq!(idle.1.next().unwrap().unwrap(), "stopping");
        assert!(idle.0.wait().unwrap().success(), "{signal}");

        let mut busy = Process::start();
        let mut slow = std::net::TcpStream::connect(&busy.2).unwrap();
        let whole = request("/summary", "ann", &json!({"text": "x"}));
        slow.write_all(&whole.as_bytes()[..whole.len() - 5]).unwrap();
        // Connections are accepted in their order.
        let mut healthy = std::net::TcpStream::connect(&busy.2).unwrap();
        healthy.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        std::io::Read::read_to_string(&mut healthy, &mut String::new()).unwrap();
        busy.signal(signal);
        assert_eq!(busy.1.next().unwrap().unwrap(), "stopping");
        busy.signal(signal);
        // The first signal alone would end it, too, later and with another line.
        assert_eq!(busy.1.next().unwrap().unwrap(), "stopped");
        assert_eq!(busy.0.wait().unwrap().code(), Some(1), "{signal}");
    }
}
