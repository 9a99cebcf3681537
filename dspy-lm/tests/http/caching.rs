//! Caches and cassettes before a real endpoint.

use std::path::{Path, PathBuf};

use dspy_lm::{Cache, CacheMode, Cassette, Delta, Lm, LmErrorKind, Message, Request, without_live_requests};

use crate::endpoint;
use dspy_test_server::{Server, chat, chat_events, chunks, reply};

const KEY: &str = "sk-planted-key-0123456789";

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dspy-http-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn ask(text: &str) -> Request {
    Request::new(vec![Message::user(text)])
}

/// Everything in a folder, names and contents.
fn everything(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all += &path.to_string_lossy();
        all += &if path.is_dir() { everything(&path) } else { std::fs::read_to_string(&path).unwrap() };
    }
    all
}

async fn shown(lm: &Lm, request: Request) -> (String, bool) {
    let mut stream = lm.stream(request);
    let mut text = String::new();
    while let Some(delta) = stream.next().await {
        match delta {
            Delta::Text(more) => text += &more,
            Delta::Restart => text.clear(),
            _ => {}
        }
    }
    let response = stream.finish().await.unwrap();
    assert_eq!(response.completions[0].text, text);
    (text, response.cached)
}

#[tokio::test]
async fn what_failed_on_the_way_is_not_kept() {
    let cut = chunks(&[chat_events(&["half"]).split_inclusive("\n\n").next().unwrap().as_bytes()], false);
    let whole = chunks(&[chat_events(&["who", "le"]).as_bytes()], true);
    let server = Server::script(vec![reply(500, &[], "no"), cut.clone(), cut, whole]).await;
    let cache = Cache::new();
    let lm = endpoint(&server.url()).retries(0).model("m").unwrap().cache(&cache);
    for _ in 0..2 {
        assert!(lm.stream(ask("?")).finish().await.is_err());
    }
    // What was shown before the second attempt is void, for the cache as for the reader.
    let lm = endpoint(&server.url()).retries(1).model("m").unwrap().cache(&cache);
    assert_eq!(shown(&lm, ask("?")).await, ("whole".into(), false));
    assert_eq!(shown(&lm, ask("?")).await, ("whole".into(), true));
    assert!(lm.complete(ask("?")).await.unwrap().cached);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn two_servers_never_share() {
    let (one, two) = (Server::script(vec![chat("one")]).await, Server::script(vec![chat("two")]).await);
    let cache = Cache::new();
    for _ in 0..2 {
        for (server, text) in [(&one, "one"), (&two, "two")] {
            let lm = endpoint(&server.url()).model("m").unwrap().cache(&cache);
            assert_eq!(lm.ask("?").await.unwrap(), text);
        }
    }
    assert_eq!((one.seen().len(), two.seen().len()), (1, 1));
}

#[tokio::test]
async fn rollouts_are_never_sent() {
    let server = Server::script(vec![chat("hi")]).await;
    let lm = endpoint(&server.url()).model("m").unwrap().cache(&Cache::new());
    for rollout in [0, 1, 1] {
        lm.complete(ask("?").with_rollout(rollout)).await.unwrap();
    }
    let [first, second] = &server.seen()[..] else { panic!("{} requests", server.seen().len()) };
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_key_is_in_no_file_and_in_no_message() {
    let server = Server::start(|number, seen| match number {
        0 => chat("fine"),
        // A server that says what it was sent.
        _ => reply(
            401,
            &[],
            &format!(r#"{{"error":{{"message":"bad {}"}}}}"#, seen.header("authorization").unwrap()),
        ),
    })
    .await;
    let dir = folder("planted");
    let cache = Cache::builder().dir(dir.join("cache")).keep_requests(true).build();
    let cassette = Cassette::record(dir.join("cassette.json"));
    let lm = endpoint(&server.url()).api_key(KEY).header("x-key", KEY).model("m").unwrap();
    let lm = lm.layer(cassette.clone()).cache(&cache);
    let request = || ask(&format!("My key is {KEY}"));
    lm.complete(request()).await.unwrap();
    let error = lm.complete(request().with_rollout(1)).await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Auth);
    let replay = Cache::builder().dir(dir.join("cache")).mode(CacheMode::Replay).build();
    let missing = lm.clone().cache(&replay).complete(ask(&format!("another with {KEY}"))).await.unwrap_err();
    let shown = format!("{error}{error:?}{missing}{missing:?}{cache:?}{cassette:?}{lm:?}{:?}", cache.stats());
    let files = everything(&dir);
    assert!(files.contains("My key is ***") && files.contains("fine"), "{files}");
    for text in [files, shown] {
        assert!(!text.contains(KEY) && !text.contains("planted-key"), "{text}");
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_cassette_needs_neither_server_nor_key() {
    let path = folder("cassette").join("calls.json");
    {
        let server =
            Server::script(vec![chat("first"), reply(400, &[], r#"{"error":{"message":"too long"}}"#)]).await;
        let cassette = Cassette::record(&path);
        let lm = cassette.lm_or("m", || endpoint(&server.url()).api_key(KEY).model("m")).unwrap();
        assert_eq!(lm.ask("a").await.unwrap(), "first");
        lm.ask("b").await.unwrap_err();
    }
    let cassette = Cassette::replay(&path).unwrap();
    let lm = cassette.lm("m").unwrap();
    assert!(lm.endpoint().starts_with("http://127.0.0.1"));
    assert_eq!(shown(&lm, ask("a")).await, ("first".into(), false));
    let error = lm.ask("b").await.unwrap_err();
    assert_eq!((error.kind, error.status), (LmErrorKind::InvalidRequest, Some(400)));
    cassette.verify().unwrap();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn what_is_known_is_given_where_live_requests_are_denied() {
    let dir = folder("denied");
    let server = Server::script(vec![chat("live")]).await;
    let lm = endpoint(&server.url()).model("m").unwrap();
    let (cache, cassette) = (Cache::at(dir.join("cache")), Cassette::record(dir.join("c.json")));
    let recorded = lm.clone().layer(cassette);
    let cached = lm.clone().cache(&cache);
    let replayed = || lm.clone().layer(Cassette::replay(dir.join("c.json")).unwrap());
    // Nothing is asked, so there is nothing to write down.
    let denied =
        async { [recorded.ask("?").await, cached.ask("?").await].map(|result| result.unwrap_err().kind) };
    assert_eq!(without_live_requests(denied).await, [LmErrorKind::Denied; 2]);
    assert!(!dir.exists() && server.seen().is_empty());

    recorded.ask("?").await.unwrap();
    cached.ask("?").await.unwrap();
    let known = async { [replayed().ask("?").await, cached.ask("?").await].map(Result::unwrap) };
    assert_eq!(without_live_requests(known).await, ["live"; 2]);
    // A test that replays must not be answered by another model.
    let error =
        without_live_requests(Lm::fallback([replayed(), Lm::builtin()]).ask("new")).await.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Unrecorded);
    assert_eq!(server.seen().len(), 2);
    std::fs::remove_dir_all(dir).unwrap();
}
