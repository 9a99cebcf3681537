//! The spans that programs leave.
//!
//! Every test of this binary begins with [`Capture::start`]. A callsite of tracing asks once who wants it, and whoever
//! reaches it first with no subscriber set answers for all; tests without a subscriber are in `observe.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in tests a panic is the report")]

mod capture;
mod worker;

use std::time::Duration;

use capture::Capture;
use dspy::lm::{Cache, Endpoint, LmError, Reply, ScriptedLm};
use dspy::observe::{LmHistory, Metrics};
use dspy::prelude::*;
use dspy::program::EventKind;
use dspy_test_server::{Server, chat, reply};
use worker::{Act, DONE, Events, PLANNED, lm, worker};

const TREE: &str = "\
invoke_workflow Worker
  predict plan.predict
    render
    chat scripted
    parse
  execute_tool look
  invoke_workflow Hands
    predict hands.act
      render
      chat scripted
      parse
  invoke_workflow Hands
    predict hands.act
      render
      chat scripted
      parse
  invoke_workflow Hands
    predict hands.act
      render
      chat scripted
      parse
";

#[tokio::test]
async fn a_program_leaves_a_tree_of_spans() {
    let (capture, _guard) = Capture::start();
    let settings = Settings::new().lm(lm().temperature(0.5).max_tokens(100));
    settings.scope(async { worker().call("Get there.").await }).await.unwrap();
    assert_eq!(capture.tree(), TREE);
    assert!(capture.spans().iter().all(|span| span.closed));

    let plan = capture.span("predict plan.predict");
    assert_eq!((&*plan.fields["dspy.signature"], &*plan.fields["dspy.attempts"]), ("Plan", "1"));
    let chat = capture.span("chat scripted");
    for (field, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "dspy"),
        ("gen_ai.request.model", "scripted"),
        ("gen_ai.request.temperature", "0.5"),
        ("gen_ai.request.max_tokens", "100"),
        ("gen_ai.output.type", "text"),
        ("gen_ai.response.finish_reasons", "[\"stop\"]"),
        ("dspy.predictor", "plan.predict"),
        ("dspy.cached", "false"),
        ("otel.kind", "internal"),
    ] {
        assert_eq!(chat.fields[field], value, "{field}");
    }
    assert!(chat.fields["gen_ai.usage.input_tokens"].parse::<u64>().unwrap() > 0);
    assert!(!chat.fields.contains_key("error.type"));
    let tool = capture.span("execute_tool look");
    assert_eq!((&*tool.fields["gen_ai.tool.name"], &*tool.fields["gen_ai.tool.type"]), ("look", "function"));
    let parses = capture.spans().into_iter().filter(|span| span.name == "parse");
    let repairs: Vec<u32> = parses.map(|span| span.fields["dspy.repairs"].parse().unwrap()).collect();
    assert!(repairs[0] == 0 && repairs[1..].iter().all(|repairs| *repairs > 0), "{repairs:?}");
    // Nobody has asked for content.
    for text in ["Get there.", "Go there.", "nothing at", "here", "It is near."] {
        assert!(!capture.everything().contains(text), "{text}");
    }
}

#[tokio::test]
async fn a_stream_leaves_the_same_spans() {
    let (capture, _guard) = Capture::start();
    let mut kinds = Vec::new();
    let worker = worker();
    Settings::new()
        .lm(lm())
        .scope(async {
            let mut run = worker.events("Get there.");
            while let Some(event) = run.next().await {
                kinds.push((event.call, event.parent, event.kind));
            }
            run.finish().await
        })
        .await
        .unwrap();
    // The tasks take turns at other places.
    let sorted = |tree: &str| {
        let mut lines: Vec<_> = tree.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&capture.tree()), sorted(TREE));
    let chat = capture.span("chat scripted");
    assert_eq!(chat.fields["gen_ai.request.stream"], "true");
    assert!(chat.fields.contains_key("gen_ai.response.time_to_first_chunk"));
    // The events of the stream are parts of each other in the same way.
    let (root, none, _) = kinds[0];
    assert_eq!(none, None);
    let (plan, parent, kind) = &kinds[1];
    assert!(matches!(kind, EventKind::Started { .. }) && *parent == Some(root) && *plan != root);
}

#[tokio::test]
async fn content_is_recorded_on_request() {
    let (capture, _guard) = Capture::start();
    let settings = Settings::new().lm(lm()).capture_content(true);
    settings.scope(async { worker().call("Get there.").await }).await.unwrap();
    let chat = capture.span("chat scripted");
    let said = |field: &str| serde_json::from_str::<serde_json::Value>(&chat.fields[field]).unwrap();
    assert!(said("gen_ai.system_instructions")[0]["content"].as_str().unwrap().contains("Plan the work."));
    let input = said("gen_ai.input.messages");
    assert_eq!(input[0]["role"], "user");
    assert!(input[0]["parts"][0]["content"].as_str().unwrap().contains("Get there."));
    assert_eq!(said("gen_ai.output.messages")[0]["parts"][0]["content"], PLANNED);
    let plan = capture.span("predict plan.predict");
    assert_eq!(plan.fields["dspy.inputs"], r#"{"goal":"Get there."}"#);
    assert_eq!(plan.fields["dspy.outputs"], r#"{"reasoning":"It is near.","step":"Go there."}"#);
    let tool = capture.span("execute_tool look");
    assert_eq!(tool.fields["gen_ai.tool.call.arguments"], r#"{"place":"here"}"#);
    assert_eq!(tool.fields["gen_ai.tool.call.result"], r#""nothing at here""#);
}

#[tokio::test]
async fn failures_are_named_without_quoting_anybody() {
    let (capture, _guard) = Capture::start();
    let failing = |reply: Reply| Lm::custom(ScriptedLm::from_fn(move |_| reply.clone()));
    let mut error = LmError::new(dspy::lm::LmErrorKind::RateLimit, "m", "the prompt was: SECRET");
    error.status = Some(429);
    Predict::<Act>::new().with_lm(failing(error.into())).call("SECRET").await.unwrap_err();
    let chat = capture.span("chat scripted");
    assert_eq!((&*chat.fields["error.type"], &*chat.fields["otel.status_code"]), ("rate_limit", "ERROR"));
    assert_eq!(chat.fields["otel.status_description"], "rate limited (HTTP 429)");
    // A program that is one predictor has its path, too.
    assert_eq!(capture.span("predict self").fields["error.type"], "rate_limit");

    let (capture, _guard) = Capture::start();
    let unreadable = failing("SECRET".into());
    dspy::chain_of_thought!("question -> answer: int").with_lm(unreadable).call("SECRET").await.unwrap_err();
    let predict = capture.span("predict predict");
    assert_eq!((&*predict.fields["error.type"], &*predict.fields["dspy.attempts"]), ("malformed_reply", "3"));
    assert!(predict.events[0].contains("error.type=malformed_reply"), "{:?}", predict.events);
    assert_eq!(capture.span("parse").fields["error.type"], "malformed_reply");
    assert!(!capture.everything().contains("SECRET"), "{}", capture.everything());
}

#[tokio::test]
async fn attempts_over_http_are_spans_of_their_own() {
    const KEY: &str = "sk-planted-0123456789";
    let (capture, _guard) = Capture::start();
    let unwell = reply(503, &[], &format!(r#"{{"error": {{"message": "{KEY} is unwell"}}}}"#));
    let server = Server::script(vec![unwell, chat(DONE)]).await;
    let endpoint = Endpoint::new(format!("http://{}/v1", server.address))
        .api_key(KEY)
        .backoff(Duration::from_millis(1), Duration::from_millis(1));
    let (history, metrics, events) = (LmHistory::default(), Metrics::new(), Events::default());
    let act = Predict::<Act>::new().with_lm(endpoint.model("tiny").unwrap());
    let settings =
        Settings::new().observe(history.clone()).observe(metrics.clone()).observe(events.observer());
    settings.capture_content(true).scope(async { act.call("Go.").await }).await.unwrap();

    let tree = "predict self\n  render\n  chat tiny\n    POST\n    POST\n  parse\n";
    assert_eq!(capture.tree(), tree);
    let posts: Vec<_> = capture.spans().into_iter().filter(|span| span.name == "POST").collect();
    assert_eq!(
        (&*posts[0].fields["http.response.status_code"], &*posts[0].fields["error.type"]),
        ("503", "server")
    );
    assert_eq!(posts[1].fields["http.request.resend_count"], "1");
    let sent = capture.span("chat tiny");
    assert!(sent.events.iter().any(|event| event.contains("will be retried")), "{:?}", sent.events);
    let (host, port) = server.address.split_once(':').unwrap();
    for (field, value) in [
        ("server.address", host),
        ("server.port", port),
        ("otel.kind", "client"),
        ("gen_ai.response.model", "served-model"),
        ("gen_ai.usage.input_tokens", "11"),
        ("gen_ai.usage.cache_read.input_tokens", "3"),
        ("dspy.retries", "1"),
    ] {
        assert_eq!(sent.fields[field], value, "{field}");
    }
    let record = &history.latest(1)[0];
    assert_eq!((record.retries, record.call.predictor.as_deref()), (1, Some("self")));
    assert_eq!(metrics.snapshot().models["tiny"].retries, 1);

    let shown = format!(
        "{}{:?}{}{:?}{}{}",
        capture.everything(),
        record,
        history.inspect(9),
        events.0.lock().unwrap(),
        metrics.snapshot(),
        metrics.prometheus()
    );
    assert!(!shown.contains("sk-planted"), "{shown}");
    assert!(server.seen().iter().all(|seen| seen.head.contains(KEY)));
}

#[tokio::test]
async fn models_made_of_models_are_one_call_and_a_span_each() {
    let (capture, _guard) = Capture::start();
    let (history, metrics) = (LmHistory::default(), Metrics::new());
    let error = LmError::new(dspy::lm::LmErrorKind::Server, "m", "no");
    let broken = Lm::custom(ScriptedLm::from_fn(move |_| Reply::from(error.clone())));
    let act = Predict::<Act>::new().with_lm(Lm::fallback([broken, lm()]));
    let settings = Settings::new().observe(history.clone()).observe(metrics.clone());
    settings.scope(async { act.call("Go.").await }).await.unwrap();
    let chats: Vec<_> = capture.spans().into_iter().filter(|span| span.name == "chat").collect();
    assert_eq!(capture.tree().matches("    chat scripted\n").count(), 2, "{}", capture.tree());
    assert_eq!((chats.len(), history.len()), (3, 1));
    assert_eq!(metrics.snapshot().models.values().map(|counts| counts.calls).sum::<u64>(), 1);
    // The tokens are in one span of the three.
    let counted = |span: &capture::Span| span.fields.contains_key("gen_ai.usage.input_tokens");
    assert_eq!(chats.iter().map(counted).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(chats[1].fields["error.type"], "server");
}

#[tokio::test]
async fn hits_of_a_cache_are_marked_and_free() {
    let (capture, _guard) = Capture::start();
    let (history, metrics) = (LmHistory::default(), Metrics::new());
    let act = Predict::<Act>::new().with_lm(lm().cache(&Cache::new()));
    act.call("Go.").await.unwrap();
    let before = capture.spans().len();
    let settings = Settings::new().observe(history.clone()).observe(metrics.clone());
    settings.scope(async { act.call("Go.").await }).await.unwrap();
    let spans = capture.spans().split_off(before);
    let chat = spans.iter().find(|span| span.name == "chat").unwrap();
    assert_eq!(chat.fields["dspy.cached"], "true");
    assert!(!chat.fields.contains_key("gen_ai.usage.input_tokens"));
    let counts = &metrics.snapshot().models["scripted"];
    assert_eq!((counts.calls, counts.cached, counts.usage.total_tokens()), (1, 1, 0));
    assert!(history.inspect(1).to_string().contains("[cached, "));
}

#[tokio::test]
async fn paths_do_not_depend_on_which_spans_are_wanted() {
    for (names, tree) in [
        (&["predict"][..], "predict plan.predict\npredict hands.act\npredict hands.act\npredict hands.act\n"),
        (&["chat"], "chat scripted\nchat scripted\nchat scripted\nchat scripted\n"),
        (
            &["invoke_workflow", "chat"],
            "\
invoke_workflow Worker
  chat scripted
  invoke_workflow Hands
    chat scripted
  invoke_workflow Hands
    chat scripted
  invoke_workflow Hands
    chat scripted
",
        ),
    ] {
        let (capture, _guard) = Capture::only(names);
        Settings::new().lm(lm()).scope(async { worker().call("Get there.").await }).await.unwrap();
        assert_eq!(capture.tree(), tree, "{names:?}");
        let chats = capture.spans().into_iter().filter(|span| span.name == "chat");
        let mut paths: Vec<_> = chats.map(|span| span.fields["dspy.predictor"].clone()).collect();
        paths.sort();
        if names.contains(&"chat") {
            assert_eq!(paths, ["hands.act", "hands.act", "hands.act", "plan.predict"], "{names:?}");
        }
    }
}
