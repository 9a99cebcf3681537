//! An HTTP server on this machine that answers what a test tells it to, well or badly.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the report")]

pub mod protocols;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The path and query.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends these bytes and keeps the connection.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Sends these bytes and never goes on.
    SendAndHang(Vec<u8>),
    /// Sends the first bytes, then the others again and again.
    Trickle(Vec<u8>, Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Never answers.
    Hang,
}

/// A reply with a status, headers and a body.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Act {
    let mut text = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        text.push_str("content-type: application/json\r\n");
    }
    Act::Send(format!("{text}\r\n{body}").into_bytes())
}

/// A successful chat completion with this text.
pub fn chat(text: &str) -> Act {
    let body = json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "served-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 3}},
    });
    reply(200, &[], &body.to_string())
}

/// A stream of events, each piece in an HTTP chunk of its own. With `whole` the last chunk is marked as the last.
pub fn chunks(pieces: &[&[u8]], whole: bool) -> Act {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
        bytes.extend(*piece);
        bytes.extend(b"\r\n");
    }
    if whole {
        bytes.extend(b"0\r\n\r\n");
        Act::Send(bytes)
    } else {
        Act::SendAndClose(bytes)
    }
}

/// The events of a chat completion whose text comes in these pieces.
pub fn chat_events(pieces: &[&str]) -> String {
    let event = |value: Value| format!("data: {value}\n\n");
    let piece = |text: &&str| {
        event(
            json!({"id": "chatcmpl-1", "model": "served-model", "choices": [{"index": 0, "delta": {"content": text}}]}),
        )
    };
    let mut text: String = pieces.iter().map(piece).collect();
    text += &event(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}));
    text += &event(json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}));
    text + "data: [DONE]\n\n"
}

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Host and port.
    pub address: String,
    log: Arc<Log>,
    task: tokio::task::JoinHandle<()>,
}

/// The requests of a server, and a bell that rings at each.
#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    arrived: Notify,
}

impl Server {
    /// A server that does these things in order and the last one from then on.
    pub async fn script(acts: Vec<Act>) -> Self {
        Self::start(move |number, _| acts[number.min(acts.len() - 1)].clone()).await
    }

    /// A server that decides by the number of the request, from 0, and the request.
    pub async fn start(act: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = fresh_listener().await;
        let address = listener.local_addr().unwrap().to_string();
        let log = Arc::new(Log::default());
        let (kept, act) = (log.clone(), Arc::new(act));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, kept.clone(), act.clone()));
            }
        });
        Server { address, log, task }
    }

    /// The usual base URL.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// Waits until the requests so far are as `enough` says.
    pub async fn wait_until(&self, enough: impl Fn(&[Seen]) -> bool) {
        loop {
            let arrived = self.log.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            // Before the look, so that nothing is missed.
            arrived.as_mut().enable();
            if enough(&self.log.seen.lock().unwrap()) {
                return;
            }
            arrived.await;
        }
    }

    /// Waits for that many requests.
    pub async fn wait_for(&self, requests: usize) {
        self.wait_until(|seen| seen.len() >= requests).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener on a port that no server of this process has had. What the library learns of an endpoint, refusals and
/// circuits included, outlives the server that it was learned from.
async fn fresh_listener() -> TcpListener {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut refused = Vec::new();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if USED.lock().unwrap().insert(listener.local_addr().unwrap().port()) {
            return listener;
        }
        // Kept until another port is found, so that this one does not come again.
        refused.push(listener);
    }
}

async fn serve(
    mut stream: TcpStream,
    log: Arc<Log>,
    act: Arc<impl Fn(usize, &Seen) -> Act + Send + Sync + 'static>,
) {
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut seen = log.seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        log.arrived.notify_waiters();
        match act(number, &request) {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::SendAndClose(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Act::SendAndHang(bytes) => {
                let _ = stream.write_all(&bytes).await;
                std::future::pending::<()>().await;
            }
            Act::Trickle(first, again) => {
                let mut sent = stream.write_all(&first).await;
                while sent.is_ok() {
                    sent = stream.write_all(&again).await;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
                return;
            }
            Act::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
            Act::Hang => std::future::pending().await,
        }
    }
}

/// The next request of a connection.
async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let mut seen =
                Seen { head: String::from_utf8_lossy(&bytes[..end]).into(), body: bytes.split_off(end + 4) };
            let length: usize =
                seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            while seen.body.len() < length {
                if stream.read_buf(&mut seen.body).await.ok()? == 0 {
                    return None;
                }
            }
            return Some(seen);
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        // The start of a TLS handshake, which no server of ours speaks.
        if bytes[0] == 0x16 {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return None;
        }
    }
}
