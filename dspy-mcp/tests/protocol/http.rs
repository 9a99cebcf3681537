//! Servers over HTTP.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dspy_mcp::{McpClient, McpError};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::common::{tool, welcome};

/// A request: its method, its headers in lower case, and its message.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) method: String,
    headers: Vec<(String, String)>,
    pub(super) message: Value,
}

impl Heard {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn asks(&self, method: &str) -> bool {
        self.message["method"] == method
    }
}

/// An answer: the status, further headers, and the body; `None` never answers.
pub(super) type Answer = Option<(u16, Vec<(&'static str, String)>, Body)>;

pub(super) enum Body {
    Json(Value),
    Events(Vec<Value>),
    /// Content of this type without end.
    Endless(&'static str, String),
    Bytes(&'static str, usize),
    Raw(&'static str, String),
}

/// A server on localhost, and the requests that it has heard.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Heard, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), heard.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), log.clone());
                tokio::spawn(async move { serve(stream, &*answer, &log).await });
            }
        });
        Server { url, heard }
    }

    pub(super) fn calls(&self) -> usize {
        self.heard.lock().unwrap().iter().filter(|heard| heard.asks("tools/call")).count()
    }

    pub(super) fn client(&self) -> McpClient {
        McpClient::http(&self.url).connect_timeout(Duration::from_secs(10))
    }
}

async fn serve(
    stream: TcpStream,
    answer: &(dyn Fn(&Heard, usize) -> Answer + Send + Sync),
    log: &Mutex<Vec<Heard>>,
) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|length| length > 0) {
        let method = line.split(' ').next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        line.clear();
        let mut heard = Heard { method, headers, message: Value::Null };
        let mut body = vec![0; heard.header("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.unwrap();
        heard.message = serde_json::from_slice(&body).unwrap_or_default();
        let before = {
            let mut log = log.lock().unwrap();
            let same = log.iter().filter(|other| other.message["method"] == heard.message["method"]);
            let before = same.count();
            log.push(heard.clone());
            before
        };
        let given = match heard.method.as_str() {
            "POST" => answer(&heard, before),
            "DELETE" => Some((200, vec![], Body::Bytes("", 0))),
            _ => Some((405, vec![], Body::Bytes("", 0))),
        };
        let Some((status, headers, body)) = given else { std::future::pending().await };
        let (kind, body) = match body {
            Body::Json(message) => ("application/json", message.to_string()),
            Body::Events(messages) => {
                ("text/event-stream", messages.iter().map(|message| format!("data: {message}\n\n")).collect())
            }
            // It is noted when the client leaves.
            Body::Endless(kind, piece) => {
                let mut text = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n\r\n");
                while stream.write_all(text.as_bytes()).await.is_ok() {
                    text.clone_from(&piece);
                }
                return log.lock().unwrap().push(Heard { method: "ENDED".into(), ..heard });
            }
            Body::Bytes(text, times) => ("application/json", text.repeat(times)),
            Body::Raw(kind, text) => (kind, text),
        };
        let mut head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if stream.write_all(format!("{head}\r\n{body}").as_bytes()).await.is_err() {
            return;
        }
    }
}

pub(super) fn ok(request: &Heard, result: &Value) -> Body {
    Body::Json(json!({"jsonrpc": "2.0", "id": request.message["id"], "result": result}))
}

/// The answers to all but calls, in the session of that number.
#[expect(clippy::unnecessary_wraps, reason = "the functions of servers have this form")]
pub(super) fn usual(request: &Heard, before: usize) -> Answer {
    match request.message["method"].as_str() {
        Some("initialize") => {
            let session = format!("session-{before}");
            let message =
                json!({"jsonrpc": "2.0", "id": request.message["id"], "result": welcome(&request.message)});
            Some((200, vec![("mcp-session-id", session)], Body::Json(message)))
        }
        Some("tools/list") => Some((200, vec![], ok(request, &json!({"tools": [tool("t")]})))),
        Some("tools/call") => {
            let result = json!({"content": [{"type": "text", "text": "fine"}]});
            Some((200, vec![], ok(request, &result)))
        }
        _ => Some((202, vec![], Body::Bytes("", 0))),
    }
}

#[tokio::test]
async fn tools_over_http_have_the_headers_of_the_client() {
    let server = Server::start(usual).await;
    let client = server.client().bearer("a-secret-token\n").header("x-tenant", "tenant-secret");
    let tools = client.tools().await.unwrap();
    for _ in 0..3 {
        assert_eq!(tools[0].call(&json!({"n": 1})).await.unwrap(), "fine");
    }
    let heard = server.heard.lock().unwrap().clone();
    let posts: Vec<_> = heard.iter().filter(|heard| heard.method == "POST").collect();
    assert_eq!(posts.iter().filter(|heard| heard.asks("initialize")).count(), 1);
    assert_eq!(posts.iter().filter(|heard| heard.asks("tools/list")).count(), 1);
    for post in &posts {
        assert_eq!(post.header("authorization"), Some("Bearer a-secret-token"));
        assert_eq!(post.header("x-tenant"), Some("tenant-secret"));
    }
    assert!(posts[1..].iter().all(|post| post.header("mcp-session-id") == Some("session-0")));
    let shown = format!("{client:?}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn answers_may_be_streams_of_events() {
    let server = Server::start(|request, before| {
        if !request.asks("tools/call") {
            return usual(request, before);
        }
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
        let result = json!({"content": [], "structuredContent": {"a": 1}});
        let result = json!({"jsonrpc": "2.0", "id": request.message["id"], "result": result});
        Some((200, vec![], Body::Events(vec![progress, result])))
    })
    .await;
    assert_eq!(server.client().call("t", json!({})).await.unwrap(), json!({"a": 1}));
}

#[tokio::test]
async fn an_expired_session_is_opened_again_and_the_call_repeated_once() {
    // The first session expires after one call.
    let server = Server::start(|request, before| {
        let expired = request.header("mcp-session-id") == Some("session-0") && before >= 1;
        if request.asks("tools/call") && expired {
            return Some((404, vec![], Body::Bytes("", 0)));
        }
        usual(request, before)
    })
    .await;
    let client = server.client();
    assert_eq!(client.call("t", json!({})).await.unwrap(), "fine");
    assert_eq!(client.call("t", json!({})).await.unwrap(), "fine");
    assert_eq!(client.call("t", json!({})).await.unwrap(), "fine");
    let heard = server.heard.lock().unwrap().clone();
    assert_eq!(heard.iter().filter(|heard| heard.asks("initialize")).count(), 2);
    assert_eq!(server.calls(), 4);

    // A server whose sessions always expire is not asked for ever.
    let server = Server::start(|request, before| {
        if request.asks("tools/call") {
            Some((404, vec![], Body::Bytes("", 0)))
        } else {
            usual(request, before)
        }
    })
    .await;
    let error = server.client().call("t", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Closed { .. }), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn a_timeout_is_not_repeated() {
    let server = Server::start(
        |request, before| if request.asks("tools/call") { None } else { usual(request, before) },
    )
    .await;
    let started = Instant::now();
    let client = server.client().call_timeout(Duration::from_millis(300));
    let error = client.call("t", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn challenges_are_typed() {
    const CHALLENGE: &str = "Bearer resource_metadata=\"https://a.example/meta\", scope=\"files:read\"";
    let challenge = || Some((401, vec![("www-authenticate", CHALLENGE.to_owned())], Body::Bytes("", 0)));
    // From the start, and once the token has expired.
    let at_the_start = Server::start(move |_, _| challenge()).await;
    let later = Server::start(
        move |request, before| {
            if request.asks("tools/call") { challenge() } else { usual(request, before) }
        },
    )
    .await;
    for server in [at_the_start, later] {
        let error = server.client().bearer("expired-token").call("t", json!({})).await.unwrap_err();
        let McpError::Unauthorized { challenge, .. } = &error else { panic!("{error}") };
        assert_eq!(challenge.resource_metadata(), Some("https://a.example/meta"));
        assert_eq!(challenge.scope(), Some("files:read"));
        assert!(!error.to_string().contains("expired-token"), "{error}");
        assert!(server.calls() <= 1);
    }
}

#[tokio::test]
async fn an_overloaded_server_is_an_error_with_its_status() {
    let server = Server::start(|request, before| {
        let after = || vec![("retry-after", "7".to_owned())];
        if request.asks("tools/call") {
            Some((503, after(), Body::Bytes("", 0)))
        } else {
            usual(request, before)
        }
    })
    .await;
    let error = server.client().call("t", json!({})).await.unwrap_err();
    assert!(matches!(error, McpError::Refused { code: 503, .. }), "{error}");
    assert!(error.to_string().contains("HTTP status 503, retry after 7"), "{error}");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn hostile_answers_are_errors() {
    for (name, body) in [
        ("large", || Body::Bytes("x", 10_000_000)),
        ("large events", || Body::Events(vec![json!("x".repeat(10_000_000))])),
        ("no json", || Body::Bytes("<html>", 1)),
        ("no answer", || Body::Events(vec![])),
        ("flood", || {
            Body::Events(vec![
                json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
                20_000
            ])
        }),
    ] as [(&str, fn() -> Body); 5]
    {
        let server = Server::start(move |request, before| {
            if request.asks("tools/call") { Some((200, vec![], body())) } else { usual(request, before) }
        })
        .await;
        let started = Instant::now();
        let error =
            server.client().call_timeout(Duration::from_secs(10)).call("t", json!({})).await.unwrap_err();
        match name {
            "large" | "flood" => assert!(matches!(error, McpError::Limit { .. }), "{name}: {error}"),
            "no json" => assert!(matches!(error, McpError::Protocol { .. }), "{name}: {error}"),
            _ => assert!(matches!(error, McpError::Closed { .. }), "{name}: {error}"),
        }
        assert!(started.elapsed() < Duration::from_secs(15), "{name}");
        assert_eq!(server.calls(), 1, "{name}");
    }
}

#[tokio::test]
async fn servers_that_cannot_be_reached_and_settings_that_contradict() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for url in
        [format!("http://{address}/mcp?key=secret-key"), format!("http://user:secret-key@{address}/mcp")]
    {
        let error = McpClient::http(url).tools().await.unwrap_err();
        assert!(matches!(error, McpError::Connect { .. }), "{error}");
        assert!(!error.to_string().contains("secret-key"), "{error}");
        assert!(error.to_string().contains("refused") || error.to_string().contains("password"), "{error}");
    }

    let error = McpClient::http("no address").tools().await.unwrap_err();
    assert!(matches!(error, McpError::Connect { .. }), "{error}");
    let error = McpClient::http("http://127.0.0.1:1/").header("a b", "c").tools().await.unwrap_err();
    assert!(error.to_string().contains("the header `a b` is malformed"), "{error}");
    let process = McpClient::stdio(std::process::Command::new("server")).bearer("token");
    assert!(matches!(process.tools().await, Err(McpError::Settings { .. })));
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_errors_at_once() {
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let values = [deep, r#""\ud800""#.to_owned(), "1e999".to_owned(), "[1,".to_owned()];
    let started = Instant::now();
    for events in [true, false] {
        for (at, value) in values.iter().enumerate() {
            let value = value.clone();
            let server = Server::start(move |request, before| {
                if !request.asks("tools/call") {
                    return usual(request, before);
                }
                let id = &request.message["id"];
                let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{value}}}"#);
                Some((
                    200,
                    vec![],
                    if events {
                        Body::Raw("text/event-stream", format!("data: {message}\n\n"))
                    } else {
                        Body::Raw("application/json", message)
                    },
                ))
            })
            .await;
            let client = server.client().call_timeout(Duration::from_mins(5));
            let error = client.call("t", json!({})).await.unwrap_err();
            assert!(matches!(error, McpError::Protocol { .. }), "{at}, events {events}: {error}");
            assert_eq!(server.calls(), 1);
        }
    }
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn content_of_unknown_types_is_shown_and_structured_content_is_checked() {
    let server = Server::start(|request, before| match request.message["method"].as_str() {
        Some("tools/list") => {
            let schema = json!({"type": "object", "properties": {"sum": {"type": "integer"}}});
            let mut tool = tool("sum");
            tool["outputSchema"] = schema;
            Some((200, vec![], ok(request, &json!({"tools": [tool, super::common::tool("see")]}))))
        }
        Some("tools/call") if request.message["params"]["name"] == "sum" => {
            Some((200, vec![], ok(request, &json!({"content": [], "structuredContent": {"sum": "many"}}))))
        }
        Some("tools/call") => {
            let content = json!([{"type": "hologram", "of": 1}, {"type": "text", "text": "useful"}]);
            Some((200, vec![], ok(request, &json!({ "content": content }))))
        }
        _ => usual(request, before),
    })
    .await;
    let tools = server.client().tools().await.unwrap();
    let error = tools[0].call(&json!({})).await.unwrap_err().to_string();
    assert!(error.contains("output schema") && error.contains("many"), "{error}");
    let text = tools[1].call(&json!({})).await.unwrap().to_string();
    assert!(text.contains("hologram") && text.contains("useful"), "{text}");
}
