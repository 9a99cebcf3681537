//! Replies that arrive in pieces, as servers really send them.

use dspy_lm::{Delta, FinishReason, LmError, LmErrorKind, Message, Request, Response};
use serde_json::json;

use crate::{endpoint, lm};
use dspy_test_server::{Act, Server, chat, chat_events, chunks, reply};

fn request() -> Request {
    Request::new(vec![Message::user("Capital of France?")])
}

/// All that a listener hears from a server that does these things.
async fn heard(acts: Vec<Act>) -> (Vec<Delta>, Result<Response, LmError>, Server) {
    let server = Server::script(acts).await;
    let mut stream = lm(&server).stream(request());
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta);
    }
    (deltas, stream.finish().await, server)
}

/// The text that is left when the reply has arrived.
fn shown(deltas: &[Delta]) -> String {
    let mut text = String::new();
    for delta in deltas {
        match delta {
            Delta::Text(more) => text.push_str(more),
            Delta::Restart => text.clear(),
            _ => {}
        }
    }
    text
}

#[tokio::test]
async fn pieces_and_then_the_answer() {
    let events = chat_events(&["Pa", "ris", " é."]);
    let (deltas, answer, server) = heard(vec![chunks(&[events.as_bytes()], true)]).await;
    assert_eq!(deltas, ["Pa", "ris", " é."].map(|text| Delta::Text(text.into())));
    let answer = answer.unwrap();
    assert_eq!(answer.completions[0].text, "Paris é.");
    assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (11, 7));
    assert_eq!((answer.model.as_str(), answer.request_id.as_deref()), ("served-model", Some("chatcmpl-1")));
    let body = server.seen()[0].json();
    assert_eq!((&body["stream"], &body["stream_options"]), (&json!(true), &json!({"include_usage": true})));
}

#[tokio::test]
async fn it_does_not_matter_where_the_bytes_are_split() {
    let events =
        format!(": hello\r\n\r\n{}", chat_events(&["a é ü", " 漢字", "\n\n[x]"]).replace('\n', "\r\n"));
    let bytes = events.as_bytes();
    for size in [1, 2, 3, 7] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        let (deltas, answer, _server) = heard(vec![chunks(&pieces, true)]).await;
        assert_eq!(answer.unwrap().completions[0].text, "a é ü 漢字\n\n[x]");
        assert_eq!(shown(&deltas), "a é ü 漢字\n\n[x]");
    }
}

#[tokio::test]
async fn ends_without_an_end_mark() {
    let events = chat_events(&["Paris"]).replace("data: [DONE]\n\n", "");
    // Not even the blank line after the last event.
    let (_, answer, _server) = heard(vec![chunks(&[events.trim_end().as_bytes()], true)]).await;
    let answer = answer.unwrap();
    assert_eq!((answer.completions[0].text.as_str(), answer.usage.completion_tokens), ("Paris", 7));
    assert_eq!(answer.completions[0].finish, FinishReason::Stop);
}

#[tokio::test]
async fn a_broken_stream_starts_anew() {
    let cut =
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Lon\"}}]}\n\ndata: {\"cho".as_slice();
    let whole = chat_events(&["Pa", "ris"]);
    for broken in [chunks(&[cut], false), chunks(&[cut], true)] {
        let first =
            if matches!(broken, Act::Send(_)) { chunks(&[&cut[..cut.len() - 11]], true) } else { broken };
        let (deltas, answer, server) = heard(vec![first, chunks(&[whole.as_bytes()], true)]).await;
        assert_eq!(
            deltas,
            [Delta::Text("Lon".into()), Delta::Restart, Delta::Text("Pa".into()), Delta::Text("ris".into())]
        );
        assert_eq!(answer.unwrap().completions[0].text, "Paris");
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn servers_that_do_not_stream() {
    let (deltas, answer, _server) = heard(vec![reply(503, &[], ""), chat("Paris")]).await;
    assert_eq!(deltas, [Delta::Text("Paris".into())]);
    assert_eq!(answer.unwrap().completions[0].text, "Paris");
}

#[tokio::test]
async fn events_that_are_no_text_are_an_error() {
    let (_, answer, _server) = heard(vec![chunks(&[b"data: \xff\xfe\n\n"], true)]).await;
    assert_eq!(answer.unwrap_err().kind, LmErrorKind::Decode);
}

#[tokio::test]
async fn an_endless_stream_ends() {
    let line = vec![b'x'; 1 << 20];
    let pieces: Vec<&[u8]> = std::iter::repeat_n(line.as_slice(), 40).collect();
    let (_, answer, server) = heard(vec![chunks(&pieces, false)]).await;
    let error = answer.unwrap_err();
    assert!(error.kind == LmErrorKind::Decode && error.message.contains("larger than"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn dropping_the_stream_stops_the_request() {
    let start = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"choices\":[{\"index\":0,\
                 \"delta\":{\"content\":\"Pa\"}}]}\n\n";
    let server = Server::script(vec![Act::SendAndHang(start.into()), chat("Rome")]).await;
    let model = endpoint(&server.url()).model("m").unwrap();
    let mut stream = model.stream(request());
    assert_eq!(stream.next().await, Some(Delta::Text("Pa".into())));
    drop(stream);
    assert_eq!(model.ask("Capital of Italy?").await.unwrap(), "Rome");
}

#[tokio::test]
async fn calls_of_tools_are_put_together() {
    let event = |calls: serde_json::Value| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}))
    };
    let events = event(json!([{"index": 0, "id": "a", "function": {"name": "search", "arguments": ""}}]))
        + &event(json!([{"index": 0, "function": {"arguments": "{\"query\": \"la"}}]))
        + &event(json!([{"index": 1, "id": "b", "function": {"name": "now", "arguments": null}}]))
        + &event(json!([{"index": 0, "function": {"arguments": "mps\"}"}}]))
        + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
    let (deltas, answer, _server) = heard(vec![chunks(&[events.as_bytes()], true)]).await;
    assert_eq!(deltas, [], "there is no text to show");
    let completion = answer.unwrap().completions.remove(0);
    assert_eq!(completion.finish, FinishReason::ToolCalls);
    let calls: Vec<_> =
        completion.tool_calls.iter().map(|call| (call.name.as_str(), &call.arguments)).collect();
    assert_eq!(calls, [("search", &json!({"query": "lamps"})), ("now", &json!({}))]);
    let wild = event(json!([{"index": 4_000_000_000u64, "function": {"name": "x"}}]));
    let (_, answer, _server) = heard(vec![chunks(&[wild.as_bytes()], true)]).await;
    assert_eq!(answer.unwrap_err().kind, LmErrorKind::Decode);
}
