//! Helpers for the tests of all protocols.

use std::time::Duration;

use dspy_lm::{Delta, Endpoint, Lm, LmError, Message, Protocol, Request, Response};
use serde_json::{Value, json};

use crate::{Act, Server, chunks, reply};

/// Returns server-sent events with this data.
pub fn events(data: &[Value]) -> String {
    let event = |data: &Value| match data["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    };
    data.iter().map(event).collect()
}

/// Streams a request to a server that performs these actions. Returns the deltas, the result and the server.
pub async fn heard(
    acts: Vec<Act>,
    lm: impl Fn(&Server) -> Lm,
) -> (Vec<Delta>, Result<Response, LmError>, Server) {
    let server = Server::script(acts).await;
    let mut stream = lm(&server).stream(Request::new(vec![Message::user("Hi")]));
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta);
    }
    (deltas, stream.finish().await, server)
}

/// Returns the text and the reasoning that result from these deltas.
pub fn reading(deltas: &[Delta]) -> (String, String) {
    let (mut text, mut reasoning) = (String::new(), String::new());
    for delta in deltas {
        match delta {
            Delta::Text(more) => text.push_str(more),
            Delta::Reasoning(more) => reasoning.push_str(more),
            Delta::Restart => {
                text.clear();
                reasoning.clear();
            }
            _ => {}
        }
    }
    (text, reasoning)
}

/// Streams `events` in pieces of several sizes, also with CRLF line ends after a comment, and checks each
/// response.
pub async fn in_pieces(events: &str, lm: impl Fn(&Server) -> Lm, check: impl Fn(Response)) {
    let odd = format!(": hello\r\n\r\n{}", events.replace('\n', "\r\n"));
    for (text, size) in [(events, 1), (&odd, 1), (&odd, 2), (events, 7), (&odd, 31)] {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let (deltas, response, _server) = heard(vec![chunks(&pieces, true)], &lm).await;
        let response = response.unwrap();
        let (text, reasoning) = reading(&deltas);
        assert_eq!(text, response.completions[0].text);
        assert_eq!(reasoning, response.completions[0].reasoning.clone().unwrap_or_default());
        check(response);
    }
}

/// All protocols.
pub const ALL: [Protocol; 4] = [Protocol::Chat, Protocol::Responses, Protocol::Anthropic, Protocol::Gemini];

/// Creates an endpoint with a backoff of 1 to 2 ms between attempts.
pub fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url).backoff(Duration::from_millis(1), Duration::from_millis(2))
}

/// Creates an endpoint for a server, with this protocol.
pub fn speaking(server: &Server, protocol: Protocol) -> Endpoint {
    endpoint(&format!("http://{}", server.address)).protocol(protocol)
}

/// Returns the body of a whole reply with this text and, if not null, this finish reason.
pub fn whole(protocol: Protocol, text: &str, reason: &Value) -> Value {
    match protocol {
        Protocol::Responses => {
            let status = if reason.is_null() { "completed" } else { "incomplete" };
            json!({"status": status, "incomplete_details": {"reason": reason}, "output": [
                {"type": "message", "content": [{"type": "output_text", "text": text}]}]})
        }
        Protocol::Anthropic => {
            json!({"type": "message", "content": [{"type": "text", "text": text}], "stop_reason": reason})
        }
        Protocol::Gemini => {
            json!({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason, "index": 0}]})
        }
        _ => json!({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": reason}]}),
    }
}

/// Returns the events of a reply without its end mark, with this text and this finish reason.
pub fn begun(protocol: Protocol, text: &str, reason: &Value) -> String {
    events(&match protocol {
        Protocol::Responses => vec![
            json!({"type": "response.created", "response": {"status": "in_progress", "output": []}}),
            json!({"type": "response.output_text.delta", "delta": text}),
        ],
        Protocol::Anthropic => vec![
            json!({"type": "message_start", "message": {"type": "message", "stop_reason": null}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason}}),
        ],
        Protocol::Gemini => vec![
            json!({"candidates": [{"content": {"parts": [{"text": text}]}, "index": 0, "finishReason": reason}]}),
        ],
        _ => vec![json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})],
    })
}

/// Returns the end mark of a stream that starts with [`begun`].
pub fn end(protocol: Protocol, text: &str, reason: &Value) -> String {
    match protocol {
        Protocol::Responses => {
            let response = whole(protocol, text, reason);
            let status = response["status"].as_str().unwrap();
            events(&[json!({"type": format!("response.{status}"), "response": response})])
        }
        Protocol::Anthropic => events(&[json!({"type": "message_stop"})]),
        Protocol::Gemini => String::new(),
        _ => "data: [DONE]\n\n".into(),
    }
}

/// Returns the reply in both forms: whole, and as a stream of events.
pub fn both(protocol: Protocol, text: &str, reason: &Value) -> [Act; 2] {
    let stream = begun(protocol, text, reason) + &end(protocol, text, reason);
    [reply(200, &[], &whole(protocol, text, reason).to_string()), chunks(&[stream.as_bytes()], true)]
}
