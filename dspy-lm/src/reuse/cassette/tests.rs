//! Cassettes as tests use them.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::{Completion, Message, Reply, ScriptedLm, ToolCall, Usage};

/// A file that is removed when the test is over.
struct Path(PathBuf);

impl Path {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("dspy-cassette-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        Path(std::env::temp_dir().join(name).join("cassette.json"))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn ask(text: &str) -> Request {
    Request::new(vec![Message::system("Be brief."), Message::user(text)])
}

fn scripted<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Lm {
    Lm::custom(ScriptedLm::new(replies).with_capabilities(Capabilities::NONE.json_schema(true)))
}

/// Records these requests with these replies.
async fn recorded(requests: &[Request], replies: Vec<Reply>) -> Path {
    let path = Path::new();
    let lm = scripted(replies).layer(Cassette::record(&path.0));
    for request in requests {
        let _ = lm.complete(request.clone()).await;
    }
    path
}

fn replay(path: &Path, matching: Matching) -> (Cassette, Lm) {
    let cassette = Cassette::replay(&path.0).unwrap().matching(matching);
    let lm = cassette.lm("scripted").unwrap();
    (cassette, lm)
}

fn text(response: &Response) -> &str {
    &response.completions[0].text
}

#[tokio::test]
async fn what_was_recorded_is_given_again() {
    let error = {
        let mut error = LmError::new(LmErrorKind::RateLimit, "scripted", "slower, please");
        error.status = Some(429);
        error.retry_after = Some(std::time::Duration::from_millis(1_500));
        error.body = Some("{}".into());
        error
    };
    let call = ToolCall::new("f", json!({"x": "two\nlines"})).with_id("c1");
    let replies: Vec<Reply> = vec![
        "one line".into(),
        Completion::new("two\n\nlines\n").with_reasoning("why\nnot").calling([call]).into(),
        error.clone().into(),
    ];
    let (model, path) = (scripted(replies.clone()), Path::new());
    let lm = model.layer(Cassette::record(&path.0));
    let mut live = Vec::new();
    for name in ["a", "b\nb", "c"] {
        live.push(lm.complete(ask(name)).await);
    }
    let (cassette, lm) = replay(&path, Matching::Strict);
    assert_eq!((lm.id(), lm.capabilities()), ("scripted", Capabilities::NONE.json_schema(true)));
    for (name, live) in ["a", "b\nb", "c"].iter().zip(live) {
        match (lm.complete(ask(name)).await, live) {
            (Ok(again), Ok(live)) => assert_eq!(again, live),
            (Err(again), Err(live)) => {
                assert_eq!(format!("{again:?}"), format!("{live:?}"));
            }
            (again, live) => panic!("{again:?} {live:?}"),
        }
    }
    cassette.verify().unwrap();
}

#[tokio::test]
async fn the_file_is_for_people() {
    let mut request = ask("first\nsecond");
    request.params.temperature = Some(0.5);
    let path = recorded(&[request], vec!["yes\nand no".into()]).await;
    insta::assert_snapshot!(path.text());
}

#[tokio::test]
async fn usage_and_streams_are_as_they_were() {
    let path =
        recorded(&[ask("a")], vec![Completion::new("four words, in pieces").with_reasoning("r").into()])
            .await;
    let (_, lm) = replay(&path, Matching::Exact);
    let mut stream = lm.stream(ask("a"));
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta);
    }
    let expected =
        [Delta::Reasoning("r".into()), Delta::Text("four words, in p".into()), Delta::Text("ieces".into())];
    assert_eq!(deltas, expected);
    let response = stream.finish().await.unwrap();
    assert_eq!((response.cached, response.usage), (false, Usage::tokens(3, 4)));
}

#[tokio::test]
async fn repeated_requests_get_their_answers_in_order_and_no_more() {
    let path = recorded(&[ask("a"), ask("b"), ask("a")], vec!["1".into(), "2".into(), "3".into()]).await;
    let (_, lm) = replay(&path, Matching::Exact);
    for (name, answer) in [("a", "1"), ("a", "3"), ("b", "2")] {
        assert_eq!(text(&lm.complete(ask(name)).await.unwrap()), answer);
    }
    let error = lm.complete(ask("a")).await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Unrecorded);
    assert!(error.message.contains("recorded 2 times and requested once more"), "{error}");
}

#[tokio::test]
async fn strict_keeps_the_order() {
    let path = recorded(&[ask("a"), ask("b")], vec!["1".into(), "2".into()]).await;
    let (cassette, lm) = replay(&path, Matching::Strict);
    let error = lm.complete(ask("b")).await.unwrap_err();
    assert!(
        error.message.contains("the next one in the recorded order is another:\n  [user]\n- a\n+ b"),
        "{error}"
    );
    lm.complete(ask("a")).await.unwrap();
    let error = cassette.verify().unwrap_err().to_string();
    assert!(
        error.starts_with("1 of the interactions in") && error.ends_with("scripted was asked \"b\""),
        "{error}"
    );
    lm.complete(ask("b")).await.unwrap();
    cassette.verify().unwrap();
}

#[tokio::test]
async fn lenient_looks_at_the_messages_only() {
    let path = recorded(&[ask("two\n  words"), ask("b")], vec!["1".into(), "2".into()]).await;
    let asked = || ask(" two words\n").with_rollout(3);
    let other = Lm::scripted(Vec::<Reply>::new()).temperature(1.0);
    for matching in [Matching::Strict, Matching::Exact] {
        let cassette = Cassette::replay(&path.0).unwrap().matching(matching);
        assert!(other.clone().layer(cassette).complete(asked()).await.is_err());
    }
    let cassette = Cassette::replay(&path.0).unwrap().matching(Matching::Lenient);
    let lm = other.layer(cassette);
    assert_eq!(text(&lm.complete(ask("b")).await.unwrap()), "2");
    assert_eq!(text(&lm.complete(asked()).await.unwrap()), "1");
    let error = lm.complete(ask("two word")).await.unwrap_err();
    assert!(error.message.contains("the nearest one differs"), "{error}");
}

#[tokio::test]
async fn a_miss_shows_how_the_nearest_request_differs() {
    let long = |middle: &str| format!("{} {middle} {}", "before ".repeat(100), "after ".repeat(100));
    let path =
        recorded(&[ask("a\nb\nc\nd"), ask("z"), ask(&long("x"))], vec!["1".into(), "2".into(), "3".into()])
            .await;
    let (_, lm) = replay(&path, Matching::Exact);
    let error = lm.complete(ask("a\nB\nc\nd")).await.unwrap_err();
    assert!(error.message.contains("differs:\n  a\n- b\n+ B\n(with DSPY_CASSETTES=missing"), "{error}");
    let mut request = ask("z");
    request.params.temperature = Some(0.25);
    let error = lm.complete(request).await.unwrap_err();
    assert!(error.message.contains("differs:\n  model: scripted\n+ temperature: 0.25\n"), "{error}");
    let error = lm.complete(ask(&long("y"))).await.unwrap_err();
    assert!(error.message.len() < 800 && error.message.contains("before  y after"), "{error}");
}

#[tokio::test]
async fn what_is_missing_is_recorded_if_so_asked() {
    let path = recorded(&[ask("a")], vec!["1".into()]).await;
    let mode = |value: &'static str| move |name: &str| (name == VARIABLE).then(|| value.to_owned());
    let cassette = Cassette::by_variable(path.0.clone(), &mode("missing")).unwrap();
    let lm = cassette.lm_or("scripted", || Ok(scripted(["2"]))).unwrap();
    assert_eq!(text(&lm.complete(ask("a")).await.unwrap()), "1");
    assert_eq!(text(&lm.complete(ask("b")).await.unwrap()), "2");
    let (_, lm) = replay(&path, Matching::Strict);
    for (name, answer) in [("a", "1"), ("b", "2")] {
        assert_eq!(text(&lm.complete(ask(name)).await.unwrap()), answer);
    }

    let anew = Cassette::by_variable(path.0.clone(), &mode("record")).unwrap();
    anew.lm_or("scripted", || Ok(scripted(["3"]))).unwrap().complete(ask("c")).await.unwrap();
    assert_eq!(path.json()["interactions"].as_array().unwrap().len(), 1);

    let error = Cassette::by_variable(path.0.clone(), &mode("often")).unwrap_err().to_string();
    assert!(error.contains("`often`") && error.contains("`missing`"), "{error}");
    let nowhere = Cassette::by_variable("/nowhere/at/all.json".into(), &|_| None).unwrap();
    let error = scripted(["4"]).layer(nowhere.clone()).complete(ask("d")).await.unwrap_err();
    assert!(
        error.message.contains("nothing is recorded") && error.message.contains("DSPY_CASSETTES=missing")
    );
    let error = nowhere.lm("openai/m").unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Unrecorded);
    assert!(error.message.contains("no answer of any model is recorded"), "{error}");
}

/// The first call waits for the second.
struct Late(std::sync::Mutex<Option<tokio::sync::oneshot::Receiver<()>>>);
impl Layer for Late {
    fn call<'a>(&'a self, lm: &'a Lm, request: &'a Request, next: Next<'a>) -> LmFuture<'a> {
        let wait = self.0.lock().unwrap().take();
        Box::pin(async move {
            if let Some(wait) = wait {
                wait.await.unwrap();
            }
            next.run(lm, request).await
        })
    }
}

#[tokio::test]
async fn interactions_stand_in_the_order_in_which_they_began() {
    let path = Path::new();
    let (let_go, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = std::sync::Mutex::new(Some(wait));
    let lm = scripted(["1", "2"]).layer(Late(wait)).layer(Cassette::record(&path.0));
    let first = lm.complete(ask("a"));
    let second = async {
        lm.complete(ask("b")).await.unwrap();
        let_go.send(()).unwrap();
    };
    drop(tokio::join!(first, second));
    let path_json = path.json();
    let asked = |at: usize| path_json["interactions"][at]["request"]["messages"][1]["text"].clone();
    assert_eq!((asked(0), asked(1)), ("a".into(), "b".into()));
}

#[tokio::test]
async fn keys_are_written_nowhere() {
    let path = Path::new();
    let cassette = Cassette::record(&path.0).scrub(r"customer-\d+").unwrap();
    let reply = Completion::new("customer-77 has sk-abcdefghijklmnop0123456789");
    let failure = LmError::new(LmErrorKind::Auth, "scripted", "customer-77: Bearer abcdefghijkl");
    let lm = scripted([Reply::from(reply), failure.into()]).layer(cassette);
    let request = || {
        let mut request = ask("I am customer-77, my key is sk-abcdefghijklmnop0123456789");
        request.params.extra.insert("api_key".into(), "planted".into());
        request
    };
    lm.complete(request()).await.unwrap();
    lm.complete(request()).await.unwrap_err();
    let written = path.text();
    for secret in ["customer-77", "sk-abc", "planted", "abcdefghijkl"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
    let cassette = Cassette::replay(&path.0).unwrap().scrub(r"customer-\d+").unwrap();
    let lm = cassette.lm("scripted").unwrap();
    assert_eq!(text(&lm.complete(request()).await.unwrap()), "*** has ***");
    let other = ask("another");
    let shown = format!("{cassette:?} {} {:?}", lm.complete(other).await.unwrap_err(), cassette.verify());
    assert!(!shown.contains("customer-77") && !shown.contains("planted"), "{shown}");
}

#[test]
fn files_that_are_none() {
    for (text, why) in [
        ("", "EOF"),
        ("[]", "invalid"),
        (r#"{"cassette": 7, "new": 1}"#, "version 7"),
        (
            r#"{"cassette": 1, "models": {}, "interactions": [{"model": "m", "request": {}}]}"#,
            "interaction 1: it needs",
        ),
        (
            r#"{"cassette": 1, "models": {}, "interactions": [{"model": "m", "request": {}, "response": {"completions": 1}}]}"#,
            "in its response",
        ),
    ] {
        let path = Path::new();
        std::fs::create_dir_all(path.0.parent().unwrap()).unwrap();
        std::fs::write(&path.0, text).unwrap();
        let error = Cassette::replay(&path.0).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("cassette.json"), "{error}");
    }
    let error = Cassette::replay("/nowhere/at/all.json").unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.json"), "{error}");
}
