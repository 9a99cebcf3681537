//! What the tests of all protocols share.

use dspy_core::lm::{Delta, Lm, LmError, Message, Request, Response};
use serde_json::Value;

use crate::support::{Act, Server, chunks};

/// Events whose data is this.
pub(crate) fn events(data: &[Value]) -> String {
    let event = |data: &Value| match data["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    };
    data.iter().map(event).collect()
}

/// All that a listener hears from a server that does these things.
pub(crate) async fn heard(
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
pub(crate) fn reading(deltas: &[Delta]) -> (String, String) {
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
pub(crate) async fn in_pieces(events: &str, lm: impl Fn(&Server) -> Lm, check: impl Fn(Response)) {
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
