//! A loopback HTTP server for tests, with scripted answers and failures.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "in tests a panic is the report")]

pub mod protocols;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A received request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The request line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the path and query.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An action of the server in response to a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends these bytes and keeps the connection open.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
    /// Sends these bytes, then nothing more, and keeps the connection open.
    SendAndHang(Vec<u8>),
    /// Sends the first bytes, then the others repeatedly, every 2 ms.
    Trickle(Vec<u8>, Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Never answers.
    Hang,
}

/// Creates a reply with a status, headers and a body. The content type is JSON unless a header sets it.
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

/// Creates a successful chat completion with this text.
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

/// Creates a stream of events with one HTTP chunk for each piece. `whole` adds the final chunk; otherwise the
/// connection is closed without it.
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

/// Returns the events of a chat completion whose text arrives in these pieces.
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

/// A running server, which stops when dropped.
#[derive(Debug)]
pub struct Server {
    /// The host and port.
    pub address: String,
    log: Arc<Log>,
    task: tokio::task::JoinHandle<()>,
}

/// The requests of a server, and a notification for each.
#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    arrived: Notify,
}

impl Server {
    /// Starts a server that performs these actions in order, and repeats the last one.
    pub async fn script(acts: Vec<Act>) -> Self {
        Self::start(move |number, _| acts[number.min(acts.len() - 1)].clone()).await
    }

    /// Starts a server that chooses its action by the number of the request, from 0, and the request.
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

    /// Returns the base URL, which ends in `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// Waits until `enough` returns true for the requests so far.
    pub async fn wait_until(&self, enough: impl Fn(&[Seen]) -> bool) {
        loop {
            let arrived = self.log.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            // Enabled before the check, so that no request is missed.
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

/// Returns a listener on a port that no server of this process has used, because the library's knowledge of
/// an endpoint, such as refused parameters and circuits, outlives the server.
async fn fresh_listener() -> TcpListener {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut refused = Vec::new();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if USED.lock().unwrap().insert(listener.local_addr().unwrap().port()) {
            return listener;
        }
        // Kept until another port is found, so that this one is not assigned again.
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

/// Reads the next request of a connection; `None` at its end.
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
        // The start of a TLS handshake, which this server does not support.
        if bytes[0] == 0x16 {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return None;
        }
    }
}
