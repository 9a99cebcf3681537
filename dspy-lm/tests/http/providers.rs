//! What differs from provider to provider: addresses, keys, several completions, hints, vectors.

use std::collections::HashMap;

use dspy_lm::{
    Capabilities, Delta, Embedder, Endpoint, Lm, LmErrorKind, Message, PromptCache, Protocol, Request,
};
use serde_json::{Value, json};

use dspy_test_server::protocols::heard;
use dspy_test_server::{Act, Seen, Server, chat, chat_events, chunks, reply};

/// The model that these variables lead to.
fn found(vars: &[(&str, &str)]) -> Lm {
    let vars: HashMap<_, _> = vars.iter().copied().collect();
    Lm::from_vars(|name| vars.get(name).map(ToString::to_string)).unwrap()
}

#[tokio::test]
async fn every_provider_is_spoken_to_in_its_own_way() {
    for (provider, url_var, key_var, path, header, key) in [
        (
            "openai",
            "OPENAI_BASE_URL",
            "OPENAI_API_KEY",
            "/chat/completions",
            "authorization",
            "Bearer key-value",
        ),
        ("anthropic", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "/v1/messages", "x-api-key", "key-value"),
        (
            "gemini",
            "GEMINI_BASE_URL",
            "GEMINI_API_KEY",
            "/v1beta/models/m:generateContent",
            "x-goog-api-key",
            "key-value",
        ),
        (
            "azure",
            "AZURE_OPENAI_ENDPOINT",
            "AZURE_OPENAI_API_KEY",
            "/openai/v1/chat/completions",
            "api-key",
            "key-value",
        ),
        (
            "groq",
            "GROQ_BASE_URL",
            "GROQ_API_KEY",
            "/v1/chat/completions",
            "authorization",
            "Bearer key-value",
        ),
        (
            "mistral",
            "MISTRAL_BASE_URL",
            "MISTRAL_API_KEY",
            "/v1/chat/completions",
            "authorization",
            "Bearer key-value",
        ),
    ] {
        let server = Server::script(vec![reply(401, &[], "{}")]).await;
        let url = format!("http://{}", server.address);
        let lm = found(&[("DSPY_MODEL", &format!("{provider}/m")), (url_var, &url), (key_var, "key-value")]);
        assert_eq!(lm.id(), format!("{provider}/m"));
        let error = lm.ask("Hi").await.unwrap_err();
        assert!(error.kind == LmErrorKind::Auth && error.message.contains(key_var), "{error}");
        let seen = &server.seen()[0];
        assert!(seen.path().ends_with(path), "{}", seen.path());
        assert_eq!(seen.header(header), Some(key), "{provider}");
        assert_eq!(seen.head.matches("key-value").count(), 1);
    }
}

#[tokio::test]
async fn azure_by_deployment() {
    let server = Server::script(vec![chat("ok")]).await;
    let resource = format!("http://{}", server.address);
    let vars = [
        ("DSPY_MODEL", "azure/my-gpt"),
        ("AZURE_OPENAI_API_KEY", "key-value"),
        ("AZURE_OPENAI_ENDPOINT", resource.as_str()),
        ("OPENAI_API_VERSION", "2024-10-21"),
    ];
    found(&vars).ask("Hi").await.unwrap();
    let azure = Endpoint::azure(&resource).api_key("key-value").api_version("2025-01-01");
    azure.model("my-gpt").unwrap().ask("Hi").await.unwrap();
    azure.clone().protocol(Protocol::Responses).model("my-gpt").unwrap().ask("Hi").await.unwrap_err();
    azure.embedder("my-vectors").unwrap().embed(["Hi"]).await.unwrap_err();
    Endpoint::azure(&resource).model("my-gpt").unwrap().ask("Hi").await.unwrap();
    let seen: Vec<String> = server.seen().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(
        seen,
        [
            "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
            "/openai/deployments/my-gpt/chat/completions?api-version=2025-01-01",
            "/openai/responses?api-version=2025-01-01",
            "/openai/deployments/my-vectors/embeddings?api-version=2025-01-01",
            "/openai/v1/chat/completions",
        ]
    );
    assert_eq!(server.seen()[1].header("api-key"), Some("key-value"));
}

#[test]
fn a_server_of_ones_own_may_speak_any_protocol() {
    let own =
        |protocol| Endpoint::new("http://h").protocol(protocol).model("m").unwrap().endpoint().to_owned();
    // What two protocols say at one address must not be taken for the same by caches and journals.
    assert_eq!(own(Protocol::Chat), "http://h/v1");
    assert_eq!(own(Protocol::Responses), "http://h/v1/responses");
    assert_eq!(own(Protocol::Anthropic), "http://h/v1/messages");
    assert_eq!(own(Protocol::Gemini), "http://h/v1beta/models/m:generateContent");
}

#[tokio::test]
async fn a_deployment_that_is_said_to_reason_gets_the_parameters_of_one() {
    let server = Server::script(vec![chat("ok")]).await;
    let able = Capabilities::NONE.sampling(false).logprobs(false);
    let lm = crate::endpoint(&server.url()).capabilities(able).model("my-deployment").unwrap();
    let mut request = Request::new(vec![Message::user("Hi")]);
    request.params.temperature = Some(0.5);
    request.params.max_tokens = Some(9);
    request.params.logprobs = Some(true);
    lm.temperature(1.0).complete(request).await.unwrap();
    let expected = json!({"model": "my-deployment", "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 9});
    assert_eq!(server.seen()[0].json(), expected);
}

#[tokio::test]
async fn tokens_come_with_their_probabilities() {
    let token = |token: &str, logprob: f64| {
        json!({"token": token, "logprob": logprob, "bytes": null,
        "top_logprobs": [{"token": token, "logprob": logprob}, {"token": "?", "logprob": -9.0}, {"odd": 1}]})
    };
    let content = json!([token("Pa", -0.1), token("ris", -0.2), "odd"]);
    let body = json!({"choices": [{"message": {"content": "Paris"}, "logprobs": {"content": content}}]});
    let piece = |text: &str, token: Value| {
        let choice = json!({"index": 0, "delta": {"content": text}, "logprobs": {"content": [token]}});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let events = piece("Pa", token("Pa", -0.1)) + &piece("ris", token("ris", -0.2)) + "data: [DONE]\n\n";
    let whole = reply(200, &[], &body.to_string());
    for act in [whole, chunks(&[events.as_bytes()], true)] {
        let (_, response, _server) = heard(vec![act], crate::lm).await;
        let logprobs = response.unwrap().completions.remove(0).logprobs;
        let read: Vec<_> = logprobs.iter().map(|token| (token.token.as_str(), token.logprob)).collect();
        assert_eq!(read, [("Pa", -0.1), ("ris", -0.2)]);
        assert_eq!(logprobs[1].top, [("ris".to_owned(), -0.2), ("?".to_owned(), -9.0)]);
    }
    let server = Server::script(vec![chat("ok")]).await;
    let mut request = Request::new(vec![Message::user("Hi")]);
    request.params.top_logprobs = Some(2);
    crate::lm(&server).complete(request).await.unwrap();
    let body = server.seen()[0].json();
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(true), &json!(2)));
}

/// A server that says how many requests came before.
async fn counting() -> Server {
    Server::start(|number, _| chat(&number.to_string())).await
}

fn three() -> Request {
    let mut request = Request::new(vec![Message::user("Hi")]);
    request.params.n = Some(3);
    request.params.seed = Some(7);
    request
}

#[tokio::test]
async fn endpoints_that_sample_once_are_asked_several_times() {
    let server = counting().await;
    let lm = crate::endpoint(&server.url()).capabilities(Capabilities::NONE.n(false)).model("m").unwrap();
    let response = lm.complete(three()).await.unwrap();
    assert_eq!(response.completions.len(), 3);
    assert_eq!((response.usage.requests, response.usage.prompt_tokens), (3, 33));
    let mut seeds: Vec<_> = server.seen().iter().map(|seen| seen.json()["seed"].as_u64().unwrap()).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [7, 8, 9]);
    assert!(server.seen().iter().all(|seen| seen.json().get("n").is_none()));
}

#[tokio::test]
async fn one_of_several_completions_is_shown() {
    let server = Server::start(|_, seen| match seen.json().get("stream") {
        Some(_) => chunks(&[chat_events(&["Pa", "ris"]).as_bytes()], true),
        None => chat("Rome"),
    })
    .await;
    let lm = crate::endpoint(&server.url()).capabilities(Capabilities::NONE.n(false)).model("m").unwrap();
    let mut stream = lm.stream(three());
    let mut deltas = Vec::new();
    while let Some(delta) = stream.next().await {
        deltas.push(delta);
    }
    assert_eq!(deltas, [Delta::Text("Pa".into()), Delta::Text("ris".into())]);
    let response = stream.finish().await.unwrap();
    let texts: Vec<_> = response.completions.iter().map(|completion| completion.text.as_str()).collect();
    assert_eq!(texts, ["Paris", "Rome", "Rome"]);
}

#[tokio::test]
async fn no_more_than_a_handful_of_requests_are_in_flight_for_one() {
    let held = |seen: &[Seen]| seen.iter().filter(|seen| seen.json()["model"] == "held").count();
    let server =
        Server::start(|_, seen| if seen.json()["model"] == "held" { Act::Hang } else { chat("free") }).await;
    let model = |name: &str| {
        crate::endpoint(&server.url()).capabilities(Capabilities::NONE.n(false)).model(name).unwrap()
    };
    let (lm, free) = (model("held"), model("free"));
    let mut request = three();
    request.params.n = Some(u32::MAX);
    let waiting = tokio::spawn(async move { lm.complete(request).await });
    server.wait_until(|seen| held(seen) >= 8).await;
    // What else had been sent would have arrived with these.
    for _ in 0..10 {
        free.ask("Hi").await.unwrap();
    }
    assert_eq!(held(&server.seen()), 8);
    waiting.abort();
}

#[tokio::test]
async fn one_failure_fails_all_and_is_not_hidden() {
    let server =
        Server::start(|number, _| if number == 1 { reply(401, &[], "{}") } else { chat("ok") }).await;
    let lm = crate::endpoint(&server.url()).capabilities(Capabilities::NONE.n(false)).model("m").unwrap();
    assert_eq!(lm.complete(three()).await.unwrap_err().kind, LmErrorKind::Auth);
}

#[tokio::test]
async fn hints_and_costs() {
    let body = json!({"choices": [{"message": {"content": "ok"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "cost": 0.0125}});
    let server = Server::script(vec![reply(200, &[], &body.to_string())]).await;
    let url = format!("http://{}", server.address);
    let keyed = |model: &str, url_var: &str, key_var: &str| {
        let lm = found(&[("DSPY_MODEL", model), (url_var, &url), (key_var, "key-value")]);
        let mut request = Request::new(vec![Message::user("Hi")]);
        request.params.prompt_cache = Some(PromptCache::Keyed("program-7".into()));
        async move { lm.complete(request).await.unwrap() }
    };
    let response = keyed("openai/m", "OPENAI_BASE_URL", "OPENAI_API_KEY").await;
    assert_eq!(response.usage.cost_usd, Some(0.0125));
    keyed("groq/m", "GROQ_BASE_URL", "GROQ_API_KEY").await;
    let seen = server.seen();
    assert_eq!(seen[0].json()["prompt_cache_key"], "program-7");
    assert_eq!(seen[1].json().get("prompt_cache_key"), None);
}

fn vectors(seen: &Value) -> Act {
    let vector = |(index, text): (usize, &Value)| json!({"object": "embedding", "index": index, "embedding": [text.as_str().unwrap().len(), 0.5]});
    let mut data: Vec<Value> = seen["input"].as_array().unwrap().iter().enumerate().map(vector).collect();
    data.reverse();
    let body = json!({"data": data, "model": "v", "usage": {"prompt_tokens": 4, "total_tokens": 4}});
    reply(200, &[], &body.to_string())
}

fn embedder(server: &Server) -> Embedder {
    crate::endpoint(&server.url()).api_key("sk-key").embedder("vectors").unwrap()
}

#[tokio::test]
async fn texts_become_vectors_in_batches() {
    let server = Server::start(|_, seen| vectors(&seen.json())).await;
    let embedder = embedder(&server).batch(2).dimensions(2);
    assert_eq!((embedder.id(), embedder.endpoint()), ("vectors", server.url().as_str()));
    let embeddings = embedder.embed(["a", "bb", "ccc", "dddd", "eeeee"]).await.unwrap();
    let firsts: Vec<f32> = embeddings.vectors.iter().map(|vector| vector[0]).collect();
    assert_eq!(firsts, [1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!((embeddings.usage.requests, embeddings.usage.prompt_tokens), (3, 12));
    let seen = server.seen();
    let first = seen.iter().find(|seen| seen.json()["input"][0] == "a").unwrap();
    assert_eq!(first.json(), json!({"model": "vectors", "input": ["a", "bb"], "dimensions": 2}));
    assert_eq!((first.path(), first.header("authorization")), ("/v1/embeddings", Some("Bearer sk-key")));
    assert_eq!(embedder.embed([""; 0]).await.unwrap().vectors.len(), 0);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn vectors_in_every_form_that_servers_send() {
    let of = |embedding: Value| reply(200, &[], &json!({"data": [{"embedding": embedding}]}).to_string());
    for (act, expected) in [
        (of(json!([1, -0.5])), Ok(vec![1.0, -0.5])),
        (of(json!("AACAPwAAAL8=")), Ok(vec![1.0, -0.5])),
        (of(json!("AACAPw")), Err(LmErrorKind::Decode)),
        (of(json!("AACAPwA=")), Err(LmErrorKind::Decode)),
        (of(json!({})), Err(LmErrorKind::Decode)),
        (reply(200, &[], r#"{"data": []}"#), Err(LmErrorKind::Decode)),
        (
            reply(200, &[], r#"{"error": {"message": "no", "code": "invalid_api_key"}}"#),
            Err(LmErrorKind::Auth),
        ),
        (reply(404, &[], "{}"), Err(LmErrorKind::NotFound)),
    ] {
        let server = Server::script(vec![act]).await;
        let read = embedder(&server).embed_one("x").await.map_err(|error| error.kind);
        assert_eq!(read, expected);
    }
}
