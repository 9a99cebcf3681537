//! Cases that every protocol has to pass. A protocol is [`Described`] by what its servers send; where one lacks
//! something, its description says so.
//!
//! | | chat | responses | messages | contents |
//! |---|---|---|---|---|
//! | text, reasoning, calls, usage | ✓ | ✓ | ✓ | ✓ |
//! | a complete reply without its last event | end mark | – | end mark | – |
//! | a reason to stop in the middle of a normal end | ✓ | only for incomplete replies | ✓ | ✓ |
//! | a refusal with a text of its own | ✓ | ✓ | – | ✓ |
//! | several completions in one request | ✓ | – | – | ✓ |

use dspy_lm::{
    Capabilities, Delta, Endpoint, FinishReason, Lm, LmErrorKind, Message, Protocol, Request, Response,
    ToolCall,
};
use serde_json::{Value, json};

use dspy_test_server::protocols::{both, heard, in_pieces, reading};
use dspy_test_server::{Act, Server, chunks, reply};

/// What the servers of a protocol send.
pub(crate) struct Described {
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: fn(&Server) -> Endpoint,
    pub(crate) model: &'static str,
    /// A whole reply: the thoughts "Hm. ", the text "Let me see." and `calls`.
    pub(crate) whole: Value,
    /// The same reply as events, two for the thoughts and two for the text.
    pub(crate) events: String,
    /// How many events at the end the reply is complete without.
    pub(crate) spare: usize,
    pub(crate) calls: Vec<ToolCall>,
    /// What goes back to the model, where the protocol has such a thing.
    pub(crate) opaque: Option<Value>,
    /// The names of the model and of the reply.
    pub(crate) served: (&'static str, &'static str),
    /// Of the prompt, of the completion, read from the cache, of thoughts.
    pub(crate) tokens: [u64; 4],
    /// Reasons to stop.
    pub(crate) reasons: &'static [(&'static str, FinishReason)],
    /// Refusals, each with its text.
    pub(crate) refusals: Vec<(Act, &'static str)>,
    /// Errors instead of a reply.
    pub(crate) errors: Vec<(Act, LmErrorKind)>,
    /// Streams that are errors, or have one in them.
    pub(crate) errors_within: Vec<(String, LmErrorKind)>,
    /// Two completions, "one" and then "two", which the limit cuts: whole, and as events. `None` if a request has one.
    pub(crate) several: Option<(Value, String)>,
}

impl Described {
    fn lm(&self, server: &Server) -> Lm {
        (self.endpoint)(server).model(self.model).unwrap()
    }

    /// A model that is asked once.
    fn once(&self, server: &Server) -> Lm {
        (self.endpoint)(server).retries(0).model(self.model).unwrap()
    }

    /// The reply as a stream.
    fn stream(&self) -> Act {
        chunks(&[self.events.as_bytes()], true)
    }

    /// Checks a reading of the reply.
    fn check(&self, response: &Response) {
        let (protocol, completion) = (self.protocol, &response.completions[0]);
        assert_eq!(
            (completion.text.as_str(), completion.reasoning.as_deref()),
            ("Let me see.", Some("Hm. ")),
            "{protocol:?}"
        );
        assert_eq!((completion.finish, &completion.tool_calls), (FinishReason::ToolCalls, &self.calls));
        let opaque = completion.opaque.as_ref().map(|opaque| &opaque["items"]);
        assert_eq!(opaque, self.opaque.as_ref(), "{protocol:?}");
    }
}

fn all() -> [Described; 4] {
    [
        crate::chat::described(),
        crate::responses::described(),
        crate::anthropic::described(),
        crate::gemini::described(),
    ]
}

fn request() -> Request {
    Request::new(vec![Message::user("Hi")])
}

#[tokio::test]
async fn a_stream_and_a_whole_reply_are_read_alike() {
    for described in all() {
        let protocol = described.protocol;
        let server = Server::script(vec![reply(200, &[], &described.whole.to_string())]).await;
        let whole = described.lm(&server).complete(request()).await.unwrap();
        described.check(&whole);
        let usage = whole.usage;
        let tokens =
            [usage.prompt_tokens, usage.completion_tokens, usage.cache_read_tokens, usage.reasoning_tokens];
        assert_eq!((tokens, usage.requests), (described.tokens, 1), "{protocol:?}");
        assert_eq!((whole.model.as_str(), whole.request_id.as_deref().unwrap()), described.served);
        let (deltas, streamed, server) = heard(vec![described.stream()], |server| described.lm(server)).await;
        assert_eq!(streamed.unwrap(), whole, "{protocol:?}");
        let said = |text: &str| Delta::Text(text.into());
        let thought = |text: &str| Delta::Reasoning(text.into());
        assert_eq!(deltas.len(), 4, "{protocol:?} {deltas:?}");
        assert_eq!(deltas[..2], [thought("Hm"), thought(". ")], "{protocol:?}");
        assert!(
            deltas[2..] == [said("Let me "), said("see.")] || deltas[2..] == [said("Let "), said("me see.")]
        );
        let body = server.seen()[0].json();
        assert!(body["stream"] == true || protocol == Protocol::Gemini, "{protocol:?}");
    }
}

#[tokio::test]
async fn it_does_not_matter_where_the_bytes_are_split() {
    for described in all() {
        let check = |response| described.check(&response);
        in_pieces(&described.events, |server| described.lm(server), check).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_starts_anew_wherever_it_is_cut() {
    for described in all() {
        let ends: Vec<usize> = described.events.match_indices("\n\n").map(|(at, _)| at + 2).collect();
        let needed = ends.len() - described.spare;
        for (count, end) in ends.iter().enumerate() {
            let cut = chunks(&[&described.events.as_bytes()[..*end]], true);
            let lm = |server: &Server| described.lm(server);
            let (deltas, response, server) = heard(vec![cut, described.stream()], lm).await;
            described.check(&response.unwrap());
            let requests = if count + 1 < needed { 2 } else { 1 };
            assert_eq!(server.seen().len(), requests, "{:?} after {} events", described.protocol, count + 1);
            assert_eq!(reading(&deltas), ("Let me see.".into(), "Hm. ".into()));
        }
    }
}

#[tokio::test]
async fn reasons_to_stop() {
    for described in all() {
        let protocol = described.protocol;
        for (reason, finish) in described.reasons {
            let [whole, stream] = both(protocol, "Pa", &json!(reason));
            let server = Server::script(vec![whole]).await;
            let whole = described.lm(&server).complete(request()).await.unwrap();
            let (_, streamed, _server) = heard(vec![stream], |server| described.lm(server)).await;
            for response in [whole, streamed.unwrap()] {
                let completion = &response.completions[0];
                assert_eq!(
                    (completion.text.as_str(), completion.finish),
                    ("Pa", *finish),
                    "{protocol:?} {reason}"
                );
            }
        }
    }
}

#[tokio::test]
async fn refusals_are_stopped_by_a_filter_and_keep_their_text() {
    for described in all() {
        for (act, text) in &described.refusals {
            // A whole reply to a request for a stream is read, too.
            let (_, response, server) = heard(vec![act.clone()], |server| described.lm(server)).await;
            let completion = response.unwrap().completions.remove(0);
            let read = (completion.text.as_str(), completion.finish);
            assert_eq!(read, (*text, FinishReason::ContentFilter), "{:?}", described.protocol);
            assert_eq!(server.seen().len(), 1);
        }
    }
}

#[tokio::test]
async fn errors_instead_of_a_reply_keep_their_kind() {
    for described in all() {
        for (act, kind) in &described.errors {
            for streamed in [false, true] {
                let server = Server::script(vec![act.clone()]).await;
                let lm = described.once(&server);
                let answer =
                    if streamed { lm.stream(request()).finish().await } else { lm.complete(request()).await };
                let error = answer.unwrap_err();
                assert_eq!(error.kind, *kind, "{:?} {error}", described.protocol);
                let shown = format!("{error:?} {error:#?}");
                assert!(!shown.contains("sk-") && !shown.contains("AIza"), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn errors_inside_a_stream_keep_their_kind() {
    for described in all() {
        let nonsense = ["data: {}\n\n", "data: nonsense\n\n", "data: {\"odd\":1}\n\n"];
        let nonsense = nonsense.map(|events| (events.to_owned(), LmErrorKind::Decode));
        for (events, kind) in described.errors_within.iter().chain(&nonsense) {
            let act = chunks(&[events.as_bytes()], true);
            let (_, response, _server) = heard(vec![act.clone()], |server| described.once(server)).await;
            let error = response.unwrap_err();
            assert_eq!(error.kind, *kind, "{:?} {events} {error}", described.protocol);
            if kind.is_retryable() {
                let (_, response, server) =
                    heard(vec![act, described.stream()], |server| described.lm(server)).await;
                described.check(&response.unwrap());
                assert_eq!(server.seen().len(), 2);
            }
        }
    }
}

#[tokio::test]
async fn several_completions_are_in_their_order() {
    for described in all() {
        let protocol = described.protocol;
        let mut request = request();
        request.params.n = Some(2);
        let Some((whole, events)) = &described.several else {
            // As many requests as completions.
            let server = Server::script(vec![reply(200, &[], &described.whole.to_string())]).await;
            let endpoint = (described.endpoint)(&server).capabilities(Capabilities::NONE.n(false));
            let response = endpoint.model(described.model).unwrap().complete(request).await.unwrap();
            assert_eq!((response.completions.len(), response.usage.requests), (2, 2), "{protocol:?}");
            assert_eq!(server.seen().len(), 2);
            continue;
        };
        let server =
            Server::script(vec![reply(200, &[], &whole.to_string()), chunks(&[events.as_bytes()], true)])
                .await;
        let lm = described.lm(&server);
        let whole = lm.complete(request.clone()).await.unwrap();
        let mut stream = lm.stream(request);
        let mut deltas = Vec::new();
        while let Some(delta) = stream.next().await {
            deltas.push(delta);
        }
        assert_eq!(reading(&deltas).0, "one", "who watches sees the first: {protocol:?}");
        for response in [whole, stream.finish().await.unwrap()] {
            let read: Vec<_> = response.completions.iter().map(|c| (c.text.as_str(), c.finish)).collect();
            assert_eq!(read, [("one", FinishReason::Stop), ("two", FinishReason::Length)], "{protocol:?}");
        }
        assert_eq!(server.seen().len(), 2);
    }
}
