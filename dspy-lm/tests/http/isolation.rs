//! What one deployment or tenant answered is never given to another.

use std::path::PathBuf;

use dspy_lm::{Cache, Cassette, Endpoint, Lm, LmErrorKind};

use crate::endpoint;
use dspy_test_server::{Server, chat, reply};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("dspy-isolation-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// A server that answers with what it was sent.
async fn mirror() -> Server {
    Server::start(|_, seen| {
        let headers = ["anthropic-beta", "openai-project", "x-region", "authorization", "user-agent"];
        let headers = headers.map(|name| seen.header(name).unwrap_or_default().to_owned());
        chat(&format!("{} {}", seen.path(), headers.join(" ")))
    })
    .await
}

/// Ways to two deployments of one server, in pairs that must not share.
fn pairs(server: &Server) -> Vec<[Endpoint; 2]> {
    let at = |more: &str| endpoint(&format!("{}{more}", server.url()));
    let plain = || at("");
    vec![
        [at("?deployment=red"), at("?deployment=blue")],
        [at("?deployment=red"), plain()],
        [at("?a=1&b=2"), at("?b=2&a=1")],
        [at("/sk-tenant-one-0001"), at("/sk-tenant-two-0002")],
        [plain().api_version("2024-10-21"), plain().api_version("2025-01-01")],
        [plain().header("anthropic-beta", "a"), plain().header("anthropic-beta", "b")],
        [plain().header("OpenAI-Project", "one"), plain().header("OpenAI-Project", "two")],
        [plain().header("x-region", "eu"), plain()],
        [plain().tenant("acme"), plain().tenant("other")],
        [plain().tenant("acme"), plain()],
        [
            plain().api_key("key-of-acme").vary_by_header("Authorization"),
            plain().api_key("key-of-other").vary_by_header("Authorization"),
        ],
        [
            plain().header("user-agent", "one/1").vary_by_header("user-agent"),
            plain().header("user-agent", "two/2").vary_by_header("user-agent"),
        ],
    ]
}

#[tokio::test]
async fn deployments_share_no_answers() {
    let server = mirror().await;
    for (number, endpoints) in pairs(&server).into_iter().enumerate() {
        let [one, two] = endpoints.map(|endpoint| endpoint.model("m").unwrap());
        assert_ne!(one.endpoint(), two.endpoint(), "{number}");
        let cache = Cache::new();
        let before = server.seen().len();
        for _ in 0..2 {
            one.clone().cache(&cache).ask("?").await.unwrap();
            two.clone().cache(&cache).ask("?").await.unwrap();
        }
        assert_eq!(server.seen().len(), before + 2, "{number}");
        // At the same time, too.
        let (cache, before) = (Cache::new(), server.seen().len());
        let (a, b) = (one.cache(&cache), two.cache(&cache));
        let (a, b) = tokio::join!(a.ask("?"), b.ask("?"));
        assert_eq!((a.is_ok(), b.is_ok(), server.seen().len()), (true, true, before + 2), "{number}");
    }
}

#[tokio::test]
async fn who_asks_and_how_it_is_traced_makes_no_difference() {
    let server = mirror().await;
    let plain = || endpoint(&server.url());
    let expected = plain().model("m").unwrap().endpoint().to_owned();
    assert_eq!(expected, server.url());
    for endpoint in [
        plain().api_key("key-of-one"),
        plain().header("authorization", "Bearer of-another"),
        plain().header("x-api-key", "k-0123456"),
        plain().header("user-agent", "me/1.0"),
        plain().header("traceparent", "00-0-0-01"),
        plain().header("X-Request-Id", "17"),
    ] {
        assert_eq!(endpoint.model("m").unwrap().endpoint(), expected);
    }
}

#[test]
fn a_header_that_is_not_sent_tells_nothing_apart() {
    let error = Endpoint::new("http://h/v1").vary_by_header("x-tenat").model("m").unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Configuration);
    assert!(error.message.contains("x-tenat"), "{error}");
}

#[test]
fn endpoints_do_not_show_what_tells_them_apart() {
    for endpoint in [
        Endpoint::new("http://h/v1?key=hush-hush-hush"),
        Endpoint::new("http://h/v1/token/hush-hush-hush-0123456789"),
        Endpoint::new("http://h/hushhushhush0123/v1"),
        Endpoint::new("http://h/v1").tenant("t").header("x-plan", "hush-hush-hush"),
        Endpoint::new("http://h/v1").api_key("hush-hush-hush").vary_by_header("authorization"),
    ] {
        let (lm, embedder) = (endpoint.model("m").unwrap(), endpoint.embedder("m").unwrap());
        let shown =
            format!("{endpoint:?} {lm:?} {} {} {}", lm.endpoint(), lm.deployment(), embedder.endpoint());
        assert!(!shown.contains("hush"), "{shown}");
        assert!(lm.endpoint().contains('#') && embedder.endpoint().contains('#'), "{shown}");
    }
}

#[tokio::test]
async fn a_cassette_keeps_deployments_apart() {
    let path = folder("cassette").join("calls.json");
    let server = mirror().await;
    let colour =
        |colour: &str| endpoint(&format!("{}?deployment={colour}", server.url())).model("m").unwrap();
    let cassette = Cassette::record(&path);
    for name in ["red", "blue"] {
        let lm = cassette.lm_or("m", || Ok(colour(name))).unwrap();
        assert!(lm.ask("?").await.unwrap().contains(name));
    }
    let sent = server.seen().len();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("v1?"), "{text}");

    let cassette = Cassette::replay(&path).unwrap();
    for name in ["blue", "red"] {
        let lm = cassette.lm_or("m", || Ok(colour(name))).unwrap();
        assert!(lm.ask("?").await.unwrap().contains(name));
    }
    cassette.verify().unwrap();
    // Green was never asked, and nobody else's answer is given for it.
    let error = Cassette::replay(&path).unwrap().lm_or("m", || Ok(colour("green"))).unwrap().ask("?").await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Unrecorded);
    assert!(error.message.contains("endpoint: http://127.0.0.1"), "{error}");
    // Which of the two is meant is asked, not guessed.
    let nobody = || Err(dspy_lm::LmError::new(LmErrorKind::Configuration, "m", "no key"));
    let error = Cassette::replay(&path).unwrap().lm_or("m", nobody).unwrap_err();
    assert!(error.message.contains("several endpoints"), "{error}");
    assert_eq!(server.seen().len(), sent);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn one_cache_for_many_tenants() {
    let dir = folder("tenants");
    let ask = async |lm: &Lm, cache: &Cache| lm.clone().cache(cache).ask("?").await.unwrap();
    let lm = Lm::scripted(["all", "acme", "other"]);
    let cache = Cache::at(&dir);
    let (acme, other) = (cache.tenant("acme"), cache.tenant("other"));
    for _ in 0..2 {
        assert_eq!(ask(&lm, &cache).await, "all");
        assert_eq!(ask(&lm, &acme).await, "acme");
        assert_eq!(ask(&lm, &other).await, "other");
    }
    // In another process.
    assert_eq!(ask(&lm, &Cache::at(&dir).tenant("acme")).await, "acme");
    let request = dspy_lm::Request::new(vec![dspy_lm::Message::user("?")]);
    assert!(acme.remove(&lm, &request).await.unwrap());
    assert!(acme.get(&lm, &request).await.is_none() && other.get(&lm, &request).await.is_some());
    assert_eq!(cache.stats().memory_hits, 3);
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_dead_deployment_does_not_close_the_circuit_of_another() {
    let server =
        Server::start(|_, seen| if seen.path().contains("red") { reply(500, &[], "") } else { chat("fine") })
            .await;
    let at = |colour: &str| {
        let url = format!("{}?deployment={colour}", server.url());
        endpoint(&url).retries(0).circuit(dspy_lm::Circuit::after(1)).model("m").unwrap()
    };
    let (red, blue) = (at("red"), at("blue"));
    assert_eq!(red.ask("?").await.unwrap_err().kind, LmErrorKind::Server);
    assert_eq!(red.ask("?").await.unwrap_err().kind, LmErrorKind::CircuitOpen);
    assert_eq!(blue.ask("?").await.unwrap(), "fine");
}
