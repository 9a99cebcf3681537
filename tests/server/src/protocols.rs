//! What the tests of all protocols share.

use std::time::Duration;

use dspy_lm::{Delta, Endpoint, Lm, LmError, Message, Protocol, Request, Response};
use serde_json::{Value, json};

use crate::{Act, Server, chunks, reply};

/// Events whose data is this.
pub fn events(data: &[Value]) -> String {
    let event = |data: &Value| match data["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    };
    data.iter().map(event).collect()
}

/// All that a listener hears from a server that does these things.
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

/// The text and the reasoning that are left when the reply has arrived.
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

/// Streams `events` in pieces of many sizes, with other line ends and comments between.
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

/// An endpoint that hardly waits between attempts.
pub fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url).backoff(Duration::from_millis(1), Duration::from_millis(2))
}

/// An endpoint that speaks the protocol.
pub fn speaking(server: &Server, protocol: Protocol) -> Endpoint {
    endpoint(&format!("http://{}", server.address)).protocol(protocol)
}

/// A whole reply with this text and, if it is not null, this reason to stop before the end.
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

/// The events of a reply that has not come to its end, with this text and this reason to stop.
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

/// The end mark of a stream that begins with [`begun`].
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

/// The reply both ways: whole, and as events.
pub fn both(protocol: Protocol, text: &str, reason: &Value) -> [Act; 2] {
    let stream = begun(protocol, text, reason) + &end(protocol, text, reason);
    [reply(200, &[], &whole(protocol, text, reason).to_string()), chunks(&[stream.as_bytes()], true)]
}
