//! Parameters that an endpoint refuses although others take them.

use dspy_lm::{
    Budget, Capabilities, Lm, LmErrorKind, Message, PromptCache, Protocol, ReasoningEffort, Request, ToolSpec,
};
use serde_json::{Value, json};

use crate::endpoint;
use dspy_test_server::protocols::{ALL, both, heard, speaking, whole};
use dspy_test_server::{Act, Seen, Server, chat, reply};

fn refuse(parameter: &str, words: &str) -> Act {
    let message = words.replace("{}", parameter);
    let error = json!({"message": message, "type": "invalid_request_error", "param": parameter,
        "code": "unsupported_parameter"});
    reply(400, &[], &json!({ "error": error }).to_string())
}

fn full() -> Request {
    let mut request = Request::new(vec![Message::user("Hi")]);
    let params = &mut request.params;
    params.temperature = Some(0.5);
    params.top_p = Some(0.5);
    params.max_tokens = Some(64);
    params.n = Some(2);
    params.seed = Some(7);
    params.logprobs = Some(true);
    params.stop = vec!["END".into()];
    params.reasoning_effort = Some(ReasoningEffort::Low);
    request
}

fn members(seen: &Seen) -> Vec<String> {
    seen.json().as_object().unwrap().keys().cloned().collect()
}

/// A server that refuses a member of the body in these words.
async fn picky(member: &'static str, words: &'static str) -> Server {
    Server::start(move |_, seen| match seen.json().get(member) {
        Some(_) => refuse(member, words),
        None => chat("ok"),
    })
    .await
}

const WORDS: [&str; 3] = [
    "Unsupported parameter: '{}' is not supported with this model.",
    "Unrecognized request argument supplied: {}",
    "{}: Extra inputs are not permitted",
];

#[tokio::test]
async fn what_a_request_can_do_without_is_left_out_and_that_is_remembered() {
    for (at, member) in
        ["temperature", "top_p", "seed", "logprobs", "stop", "reasoning_effort"].into_iter().enumerate()
    {
        let server = picky(member, WORDS[at % 3]).await;
        let lm = endpoint(&server.url()).model("m").unwrap();
        let account = Budget::calls(3).start();
        account.enter(lm.complete(full())).await.unwrap();
        account.enter(lm.clone().complete(full())).await.unwrap();
        let sent: Vec<_> = server.seen().iter().map(members).collect();
        assert_eq!(sent.len(), 3, "{member}: once is enough");
        let rest: Vec<_> = sent[0].iter().filter(|name| *name != member).cloned().collect();
        assert_eq!((&sent[1], &sent[2]), (&rest, &rest), "nothing else is left out");
        assert_eq!(account.spent().requests, 2, "the refusal costs no call");
    }
}

#[tokio::test]
async fn the_limit_goes_under_its_other_name_and_never_away() {
    let server = picky("max_tokens", WORDS[0]).await;
    let lm = endpoint(&server.url()).model("my-deployment").unwrap();
    for _ in 0..2 {
        lm.complete(full()).await.unwrap();
    }
    let limits: Vec<_> =
        server.seen().iter().map(|seen| seen.json()["max_completion_tokens"].clone()).collect();
    assert_eq!(limits, [Value::Null, json!(64), json!(64)]);
    // The other way round, and both refused.
    let server = Server::start(|_, seen| {
        let body = seen.json();
        let refused =
            ["max_completion_tokens", "max_tokens"].into_iter().find(|name| body.get(*name).is_some());
        refused.map_or_else(|| chat("ok"), |name| refuse(name, WORDS[0]))
    })
    .await;
    let able = Capabilities::NONE.sampling(false);
    let lm = endpoint(&server.url()).capabilities(able).model("m").unwrap().max_tokens(9);
    assert_eq!(lm.ask("Hi").await.unwrap_err().kind, LmErrorKind::InvalidRequest);
    let sent: Vec<_> = server.seen().iter().map(members).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent[0].contains(&"max_completion_tokens".into()) && sent[1].contains(&"max_tokens".into()));
}

#[tokio::test]
async fn several_refusals_are_learnt_one_after_the_other() {
    let server = Server::start(|_, seen| {
        let body = seen.json();
        let refused =
            ["max_tokens", "temperature", "top_p", "stop"].into_iter().find(|name| body.get(*name).is_some());
        refused.map_or_else(|| chat("ok"), |name| refuse(name, WORDS[0]))
    })
    .await;
    let lm = endpoint(&server.url()).model("m").unwrap();
    for _ in 0..3 {
        lm.complete(full()).await.unwrap();
    }
    assert_eq!(server.seen().len(), 5 + 2);
}

#[tokio::test]
async fn several_completions_are_asked_for_one_by_one() {
    let server = Server::start(|_, seen| match seen.json().get("n") {
        Some(_) => reply(400, &[], r#"{"error":{"message":"'n' : number must be at most 1"}}"#),
        None => chat("ok"),
    })
    .await;
    let lm = endpoint(&server.url()).model("m").unwrap();
    for _ in 0..2 {
        assert_eq!(lm.complete(full()).await.unwrap().completions.len(), 2);
    }
    assert_eq!(server.seen().len(), 1 + 2 + 2);
}

#[tokio::test]
async fn what_changes_the_meaning_or_was_written_by_hand_stays_an_error() {
    let once = |server: &Server| server.seen().len();
    // A value that is out of range.
    let server = Server::script(vec![reply(
        400,
        &[],
        r#"{"error":{"message":"Invalid 'temperature': Expected a value <= 2, but got 3.","param":"temperature","code":"decimal_above_max_value"}}"#,
    )])
    .await;
    let error = crate::lm(&server).temperature(3.0).ask("Hi").await.unwrap_err();
    assert_eq!((error.kind, once(&server)), (LmErrorKind::InvalidRequest, 1));
    // Tools.
    let server = picky("tools", WORDS[0]).await;
    let mut request = full();
    request.tools = vec![ToolSpec::new("now", "", json!({"type": "object"}))];
    let error = crate::lm(&server).complete(request).await.unwrap_err();
    assert_eq!((error.kind, once(&server)), (LmErrorKind::InvalidRequest, 1));
    // By hand.
    let server = picky("seed", WORDS[0]).await;
    let mut request = full();
    request.params.extra.insert("seed".into(), 9.into());
    let error = crate::lm(&server).complete(request).await.unwrap_err();
    assert_eq!((error.kind, once(&server)), (LmErrorKind::InvalidRequest, 1));
    // Refused without it, too: the error that is left is shown, and nothing is remembered.
    let server = Server::start(|_, seen| match seen.json().get("seed") {
        Some(_) => refuse("seed", WORDS[0]),
        None => reply(401, &[], r#"{"error":{"message":"no"}}"#),
    })
    .await;
    let lm = crate::lm(&server);
    for _ in 0..2 {
        assert_eq!(lm.complete(full()).await.unwrap_err().kind, LmErrorKind::Auth);
    }
    assert_eq!(once(&server), 4);
}

#[tokio::test]
async fn what_goes_with_streams_may_be_refused() {
    for member in ["stream_options", "stream"] {
        let server =
            Server::start(move |_, seen| match (seen.json().get(member), seen.json().get("stream")) {
                (Some(_), _) => refuse(member, WORDS[1]),
                (None, Some(_)) => both(Protocol::Chat, "ok", &json!("stop"))[1].clone(),
                (None, None) => both(Protocol::Chat, "ok", &json!("stop"))[0].clone(),
            })
            .await;
        let lm = crate::lm(&server);
        for _ in 0..2 {
            let mut stream = lm.stream(Request::new(vec![Message::user("Hi")]));
            let delta = stream.next().await;
            assert_eq!(delta, Some(dspy_lm::Delta::Text("ok".into())), "{member}");
            assert_eq!(stream.finish().await.unwrap().completions[0].text, "ok");
        }
        assert_eq!(server.seen().len(), 3, "{member}");
    }
    let (_, response, _server) = heard(vec![refuse("model", WORDS[0])], crate::lm).await;
    assert_eq!(response.unwrap_err().kind, LmErrorKind::InvalidRequest);
}

#[tokio::test]
async fn every_protocol_learns() {
    for protocol in ALL {
        let (member, words) = match protocol {
            Protocol::Gemini => (
                "/generationConfig/topP",
                "Invalid JSON payload received. Unknown name \"topP\" at 'generation_config': Cannot find field.",
            ),
            Protocol::Anthropic => ("/temperature", "`temperature` is deprecated for this model."),
            _ => ("/top_p", "Unsupported parameter: 'top_p' is not supported with this model."),
        };
        let server = Server::start(move |_, seen| match seen.json().pointer(member) {
            Some(_) => reply(400, &[], &json!({"error": {"message": words}}).to_string()),
            None => reply(200, &[], &whole(protocol, "ok", &Value::Null).to_string()),
        })
        .await;
        let lm = speaking(&server, protocol).model("m").unwrap();
        for _ in 0..2 {
            let mut request = full();
            request.params.n = None;
            request.params.stop.clear();
            lm.complete(request).await.unwrap_or_else(|error| panic!("{protocol:?}: {error}"));
        }
        assert_eq!(server.seen().len(), 3, "{protocol:?}");
    }
}

#[tokio::test]
async fn reasoning_models_get_no_stop_sequences() {
    let server = Server::script(vec![chat("ok")]).await;
    let sent = async |lm: Lm| {
        let mut request = Request::new(vec![Message::user("Hi")]);
        request.params.stop = vec!["END".into()];
        request.params.prompt_cache = Some(PromptCache::Prefix);
        let _ = lm.complete(request).await;
        server.seen().pop().unwrap().json()
    };
    let model = |name: &str| endpoint(&server.url()).model(name).unwrap();
    assert_eq!(sent(model("o3")).await.get("stop"), None);
    assert_eq!(sent(model("openai/gpt-5-mini")).await.get("stop"), None);
    assert_eq!(sent(model("gpt-4o")).await["stop"], json!(["END"]));
    let responses = |name: &str| endpoint(&server.url()).protocol(Protocol::Responses).model(name).unwrap();
    assert_eq!(sent(responses("o3")).await["model"], "o3", "it is sent without");
    let claude = endpoint(&server.url()).protocol(Protocol::Anthropic).model("claude-opus-4-8").unwrap();
    assert_eq!(sent(claude).await["stop_sequences"], json!(["END"]), "Anthropic's take them");
}
