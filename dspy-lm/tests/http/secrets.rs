//! A planted key is looked for in errors; in logs it is looked for by a test binary of its own, `key_in_logs`.

use dspy_lm::{Endpoint, Lm, LmErrorKind, Protocol};

use crate::endpoint;
use dspy_test_server::{Act, Server, reply};

const KEY: &str = "sk-planted-0123456789abcdef";

#[tokio::test]
async fn the_key_is_in_no_error() {
    let echo = format!(r#"{{"error":{{"message":"bad key {KEY}","code":"{KEY}"}}}}"#);
    let cut = format!("{}{KEY}", "x".repeat(2040));
    let acts = [
        reply(401, &[("x-request-id", KEY)], &echo),
        reply(500, &[], &cut),
        reply(200, &[], &format!("{KEY} is no JSON")),
        reply(200, &[], &echo),
        reply(302, &[("location", &format!("http://h/{KEY}?k={KEY}"))], ""),
        Act::SendAndClose(Vec::new()),
    ];
    for act in acts {
        let server = Server::script(vec![act]).await;
        for endpoint in [
            endpoint(&server.url()).api_key(KEY),
            endpoint(&server.url()).api_key(KEY).protocol(Protocol::Responses),
            endpoint(&server.url()).api_key(KEY).protocol(Protocol::Anthropic),
            endpoint(&server.url()).api_key(KEY).protocol(Protocol::Gemini),
            Endpoint::azure(server.url()).api_key(KEY),
            endpoint(&server.url()).header("x-api-key", KEY),
            endpoint(&server.url()).header("authorization", format!("Token {KEY}")),
            endpoint(&format!("{}?key={KEY}", server.url())),
        ] {
            let endpoint = endpoint.retries(0);
            let lm = endpoint.model("m").unwrap();
            let error = lm.ask("Hi").await.unwrap_err();
            let all = format!("{error}{error:?}{endpoint:?}{lm:?}{}", lm.endpoint());
            assert!(!all.contains("sk-planted"), "{all}");
            assert!(server.seen().last().unwrap().head.contains(KEY));
        }
    }
}

#[test]
fn keys_that_cannot_be_sent_are_refused_unseen() {
    let bad = format!("{KEY}\n{KEY}");
    for error in [
        Endpoint::new("http://h/v1").api_key(bad.as_str()).model("m").unwrap_err(),
        Endpoint::new("http://h/v1").header("x-api-key", bad.as_str()).model("m").unwrap_err(),
        Endpoint::new(format!("http://user:{KEY}@h/v1")).model("m").unwrap_err(),
        Lm::from_vars(|name| (name == "OPENAI_API_KEY").then(|| bad.clone())).unwrap_err(),
    ] {
        assert_eq!(error.kind, LmErrorKind::Configuration);
        assert!(!format!("{error}{error:?}").contains("sk-planted"), "{error}");
    }
    let shown =
        format!("{:?}", Endpoint::new(format!("http://u:{KEY}@h/v1?k={KEY}")).header("x", KEY).api_key(KEY));
    assert!(!shown.contains("sk-planted"), "{shown}");
}
