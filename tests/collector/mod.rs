//! A collector that keeps what it is sent, and reads what the tests want to know of it.
#![allow(unreachable_pub, reason = "a part of a test binary")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request: its head and its body.
type Seen = (String, Vec<u8>);

/// A collector in a thread of its own, as telemetry is flushed by blocking.
pub struct Collector {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A span as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub trace: Vec<u8>,
    pub id: Vec<u8>,
    pub parent: Vec<u8>,
    pub name: String,
    pub kind: u64,
    pub attributes: BTreeMap<String, String>,
    pub events: Vec<String>,
    pub failed: bool,
    start: u64,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &kept));
            }
        });
        Collector { url, seen }
    }

    fn sent_to(&self, path: &str) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        let sent = seen.iter().filter(|(head, _)| head.starts_with(&format!("POST {path} ")));
        sent.map(|(_, body)| body.clone()).collect()
    }

    pub fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }

    pub fn bodies(&self) -> String {
        self.seen.lock().unwrap().iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect()
    }

    /// All spans, in the order in which they began.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for body in self.sent_to("/v1/traces") {
            for resource in all(&body, 1) {
                for scope in all(resource, 2) {
                    spans.extend(all(scope, 2).map(span));
                }
            }
        }
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The names of the services that sent spans.
    pub fn services(&self) -> Vec<String> {
        let bodies = self.sent_to("/v1/traces");
        let resources = bodies.iter().flat_map(|body| all(body, 1)).flat_map(|spans| all(spans, 1));
        let mut names: Vec<_> = resources
            .filter_map(|resource| all(resource, 1).map(key_value).find(|(name, _)| name == "service.name"))
            .map(|(_, value)| value)
            .collect();
        names.dedup();
        names
    }

    /// The names of all metrics.
    pub fn metrics(&self) -> Vec<String> {
        let mut names = Vec::new();
        for body in self.sent_to("/v1/metrics") {
            for resource in all(&body, 1) {
                for scope in all(resource, 2) {
                    names.extend(all(scope, 2).map(|metric| text(one(metric, 1))));
                }
            }
        }
        names
    }
}

/// The names of spans, each below its parent; failed ones are marked.
pub fn tree(spans: &[Span]) -> String {
    fn branches(spans: &[Span], parent: &[u8], depth: usize, text: &mut String) {
        for span in spans.iter().filter(|span| span.parent == parent) {
            let mark = if span.failed { " !" } else { "" };
            text.push_str(&format!("{:1$}{2}{mark}\n", "", depth * 2, span.name));
            branches(spans, &span.id, depth + 1, text);
        }
    }
    let mut text = String::new();
    branches(spans, &[], 0, &mut text);
    text
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            });
            let whole = end + 4 + length.unwrap_or_default();
            if buffer.len() >= whole {
                seen.lock().unwrap().push((head, buffer[end + 4..whole].to_vec()));
                buffer.drain(..whole);
                let reply =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(reply.as_bytes()).unwrap();
                continue;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

/// A value of the wire format of protocol buffers.
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// The fields of a message, in their order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => Wire::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Wire::Bytes(take(&mut bytes, length))
            }
            5 => Wire::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()))),
            other => panic!("no wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

/// The messages in a field.
fn all(bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(bytes).into_iter().filter_map(move |(found, value)| match value {
        Wire::Bytes(bytes) if found == number => Some(bytes),
        _ => None,
    })
}

fn one(bytes: &[u8], number: u64) -> &[u8] {
    all(bytes, number).next().unwrap_or_default()
}

fn number(bytes: &[u8], number: u64) -> u64 {
    let found = fields(bytes).into_iter().find_map(|(found, value)| match value {
        Wire::Number(value) if found == number => Some(value),
        _ => None,
    });
    found.unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn span(bytes: &[u8]) -> Span {
    Span {
        trace: one(bytes, 1).to_vec(),
        id: one(bytes, 2).to_vec(),
        parent: one(bytes, 4).to_vec(),
        name: text(one(bytes, 5)),
        kind: number(bytes, 6),
        start: number(bytes, 7),
        attributes: all(bytes, 9).map(key_value).collect(),
        events: all(bytes, 11).map(|event| text(one(event, 2))).collect(),
        failed: number(one(bytes, 15), 3) == 2,
    }
}

fn key_value(bytes: &[u8]) -> (String, String) {
    (text(one(bytes, 1)), value(one(bytes, 2)))
}

/// A value as text.
fn value(bytes: &[u8]) -> String {
    match fields(bytes).pop() {
        Some((1, Wire::Bytes(bytes))) => text(bytes),
        Some((2, Wire::Number(truth))) => (truth == 1).to_string(),
        Some((3, Wire::Number(count))) => count.to_string(),
        Some((4, Wire::Number(bits))) => f64::from_bits(bits).to_string(),
        Some((5, Wire::Bytes(list))) => {
            format!("[{}]", all(list, 1).map(value).collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}
