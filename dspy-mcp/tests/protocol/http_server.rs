//! Servers over HTTP.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dspy::prelude::*;
use dspy_core::lm::Part;
use dspy_core::tools::{Tool, ToolContext};
use dspy_mcp::{McpClient, McpError, McpServer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::common::ROLE;
use super::processes::{Nothing, block_on, chart, tools};

const TOKEN: &str = "a-secret-token";

/// Serves tools in a process of its own, and says where.
pub(super) fn serve() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\nlistening {}", listener.local_addr().unwrap());
        McpServer::new(tools()).bearer(TOKEN).serve_http(listener).await.unwrap();
    });
}

/// A server in a process of its own, which ends with the test.
struct Server(Child, String);

impl Server {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "server_process", "--nocapture"]).env(ROLE, "http");
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let address = lines.find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
        Server(child, format!("http://{}/mcp", address.unwrap()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Serves in this task while a client works.
async fn serving<T>(server: McpServer, client: impl AsyncFnOnce(SocketAddr) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::select! {
        served = server.serve_http(listener) => panic!("the server ended: {served:?}"),
        result = client(address) => result,
    }
}

/// Sends bytes on a connection of their own, and returns the answer.
async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse before it has read all.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_mins(1), read).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(headers: &str, message: &str) -> String {
    let length = message.len();
    let usual =
        "Connection: close\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream";
    format!("POST /mcp HTTP/1.1\r\n{usual}\r\nContent-Length: {length}\r\n{headers}\r\n{message}")
}

fn list() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}).to_string()
}

fn add() -> Tool {
    tools().into_iter().find(|tool| tool.name() == "add").unwrap()
}

#[tokio::test]
async fn the_tools_of_a_server_process_are_those_of_an_agent() {
    let server = Server::start();
    let client = McpClient::http(&server.1).bearer(TOKEN);
    let tools = client.tools().await.unwrap();
    assert_eq!(tools[0].spec().description, "Adds two numbers.");
    assert_eq!(tools[0].call(&json!({"a": "40", "b": 2})).await.unwrap(), json!("42"));
    assert_eq!(client.call("pair", json!({"a": 1, "b": 2})).await.unwrap(), json!({"a": 1, "b": 2}));
    assert_eq!(client.call("shout", json!({"text": "hey"})).await.unwrap(), json!({"shouted": "HEY"}));
    for (tool, arguments, problem) in [
        ("fail", json!({}), "no disk in drive a"),
        ("pay", json!({}), "needs the approval of a person"),
        ("none", json!({}), "there is no tool `none`"),
    ] {
        let error = client.call(tool, arguments).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
    let drawn = tools.iter().find(|tool| tool.name() == "chart").unwrap();
    let drawn = drawn.call_with(&json!({}), ToolContext::new()).await.unwrap();
    let [Part::Media(image)] = drawn.parts() else { panic!("{drawn:?}") };
    assert_eq!(*image.url, *chart().url());
    let calls = (0..50).map(|n| client.call("add", json!({"a": n, "b": 1000})));
    for (n, sum) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(sum.unwrap(), json!((n + 1000).to_string()));
    }

    for client in [McpClient::http(&server.1), McpClient::http(&server.1).bearer("another-token!")] {
        let error = client.tools().await.unwrap_err();
        assert!(matches!(error, McpError::Unauthorized { .. }), "{error}");
    }
}

#[tokio::test]
async fn calls_run_with_the_model_and_the_usage_of_the_task_that_serves() {
    let shout = tools().into_iter().find(|tool| tool.name() == "shout").unwrap();
    let work = Box::pin(serving(McpServer::new([shout]), async |address| {
        McpClient::http(format!("http://{address}/")).call("shout", json!({"text": "hey"})).await.unwrap()
    }));
    let lm = Lm::scripted(["[[ ## shouted ## ]]\nHO\n\n[[ ## completed ## ]]"]);
    let (shouted, usage) = dspy::lm::track_usage(Settings::from(lm).scope(work)).await;
    assert_eq!((shouted, usage.total.requests), (json!({"shouted": "HO"}), 1));
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_call() {
    struct Stopped(Arc<AtomicUsize>, Arc<Notify>);
    impl Drop for Stopped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.notify_one();
        }
    }
    let (stopped, started, ended) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (count, starts, ends) = (stopped.clone(), started.clone(), ended.clone());
    let slow = Tool::new("slow", "Waits.", move |_: Nothing| {
        let (stopped, starts) = (Stopped(count.clone(), ends.clone()), starts.clone());
        async move {
            let _stopped = stopped;
            starts.notify_one();
            std::future::pending::<()>().await;
        }
    });
    serving(McpServer::new([slow]), async |address| {
        let client = McpClient::http(format!("http://{address}/"));
        tokio::select! {
            result = client.call("slow", json!({})) => panic!("{result:?}"),
            () = started.notified() => {}
        }
        drop(client);
        tokio::time::timeout(Duration::from_mins(1), ended.notified()).await.unwrap();
    })
    .await;
    assert_eq!(stopped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_from_elsewhere_are_refused() {
    let status = |answer: &str| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    serving(McpServer::new([add()]), async |address| {
        let answer = send(address, &post("Host: localhost\r\n", &list())).await;
        assert!(status(&answer) == "200" && answer.contains("Adds two numbers."), "{answer}");
        // A web page, also one whose name points to this machine.
        for headers in ["Host: localhost\r\nOrigin: http://evil.example\r\n", "Host: evil.example\r\n"] {
            let answer = send(address, &post(headers, &list())).await;
            assert_eq!(status(&answer), "403", "{answer}");
        }
    })
    .await;
    serving(McpServer::new([add()]).bearer(TOKEN), async |address| {
        for (authorization, expected) in [
            (format!("Authorization: Bearer {TOKEN}\r\n"), "200"),
            (format!("authorization: bearer {TOKEN}\r\n"), "200"),
            (format!("Authorization: Bearer {TOKEN}x\r\n"), "401"),
            (format!("Authorization: Basic {TOKEN}\r\n"), "401"),
            ("Authorization: Bearer \r\n".to_owned(), "401"),
            (String::new(), "401"),
        ] {
            let headers = format!("Host: mcp.example.com\r\n{authorization}");
            let answer = send(address, &post(&headers, &list())).await;
            assert_eq!(status(&answer), expected, "{authorization}: {answer}");
            assert_eq!(answer.to_lowercase().contains("www-authenticate: bearer"), expected == "401");
        }
        assert!(!format!("{:?}", McpServer::new([add()]).bearer(TOKEN)).contains(TOKEN));
    })
    .await;
}

#[tokio::test]
async fn clients_that_violate_the_protocol_do_no_harm() {
    serving(McpServer::new([add()]).max_message_bytes(10_000), async |address| {
        let host = "Host: localhost\r\n";
        for request in [
            "no http\r\n\r\n".to_owned(),
            "\0\u{1}\u{2}".repeat(1000),
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000)),
            post(host, "no json"),
            post(host, "{}"),
            post(host, &"[".repeat(5000)),
            post(host, &list().repeat(1000)),
            post(host, "{\"jsonrpc\": \"2.0\", \"id\": 7}"),
        ] {
            let answer = send(address, &request).await;
            assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        // Connections that say nothing do not keep others from being answered.
        let idle = futures_util::future::join_all((0..50).map(|_| TcpStream::connect(address))).await;
        let sum = McpClient::http(format!("http://{address}/")).call("add", json!({"a": 1, "b": 2})).await;
        assert_eq!(sum.unwrap(), json!("3"));
        drop(idle);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_cannot_serve_safely_is_an_error() {
    let anywhere = || TcpListener::bind("0.0.0.0:0");
    let error = McpServer::new([add()]).serve_http(anywhere().await.unwrap()).await.unwrap_err();
    assert!(matches!(&error, McpError::Settings { .. }) && error.to_string().contains("`bearer`"), "{error}");
    let error = McpServer::new([add()]).bearer("").serve_http(anywhere().await.unwrap()).await.unwrap_err();
    assert!(matches!(error, McpError::Settings { .. }), "{error}");
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = here.local_addr().unwrap().to_string();
    let error = dspy_mcp::serve_http(&taken, [add()]).await.unwrap_err();
    assert!(matches!(&error, McpError::Connect { .. }) && error.to_string().contains(&taken), "{error}");
    let error = McpServer::new([add(), add()]).serve_http(here).await.unwrap_err();
    assert!(matches!(error, McpError::Duplicate { .. }), "{error}");
}
