//! Whole addresses as they stand in documentation and consoles, given as base URLs.

use std::collections::HashMap;

use dspy_lm::{Endpoint, Lm, LmError};
use serde_json::Value;

use dspy_test_server::protocols::{ALL, whole};
use dspy_test_server::{Server, chat, reply};

#[tokio::test]
async fn the_address_of_a_method_chooses_its_protocol() {
    for (address, path, at) in [
        ("/v1/chat/completions", "/v1/chat/completions", 0),
        ("/v1/responses", "/v1/responses", 1),
        ("/openai/responses?api-version=preview", "/openai/responses?api-version=preview", 1),
        ("/v1/messages/", "/v1/messages", 2),
        ("/v1beta/models/m:generateContent", "/v1beta/models/m:generateContent", 3),
    ] {
        let server =
            Server::script(vec![reply(200, &[], &whole(ALL[at], "hi", &Value::Null).to_string())]).await;
        let endpoint = Endpoint::new(format!("http://{}{address}", server.address)).api_key("secret-key");
        assert_eq!(endpoint.model("m").unwrap().ask("Hi").await.unwrap(), "hi", "{address}");
        assert_eq!(server.seen()[0].path(), path);
        // What is said counts before what the address says.
        let _ = endpoint.protocol(ALL[0]).retries(0).model("m").unwrap().ask("Hi").await;
        assert!(server.seen()[1].path().contains("/chat/completions"), "{}", server.seen()[1].path());
    }
}

#[tokio::test]
async fn the_target_uri_of_azures_portal_is_understood() {
    let server = Server::script(vec![chat("hi")]).await;
    let uri = |below: &str| format!("http://{}{below}", server.address);
    let target = uri("/openai/deployments/my-d/chat/completions?api-version=2024-10-21");
    let found = |url: &str, more: &[(&str, &str)]| -> Result<Lm, LmError> {
        let mut vars = HashMap::from([("DSPY_MODEL", "azure/gpt-4o"), ("AZURE_OPENAI_API_KEY", "key-value")]);
        vars.insert("AZURE_OPENAI_ENDPOINT", url);
        vars.extend(more.iter().copied());
        Lm::from_vars(|name| vars.get(name).map(ToString::to_string))
    };
    let azure = |url: &str| Endpoint::azure(url).api_key("key-value");
    for (lm, path) in [
        (
            Endpoint::new(&target).model("gpt-4o"),
            "/openai/deployments/my-d/chat/completions?api-version=2024-10-21",
        ),
        (azure(&target).model("gpt-4o"), "/openai/deployments/my-d/chat/completions?api-version=2024-10-21"),
        (
            azure(&target).api_version("2025-01-01").model("gpt-4o"),
            "/openai/deployments/my-d/chat/completions?api-version=2025-01-01",
        ),
        (found(&target, &[]), "/openai/deployments/my-d/chat/completions?api-version=2024-10-21"),
        (
            found(&target, &[("OPENAI_API_VERSION", "2025-01-01")]),
            "/openai/deployments/my-d/chat/completions?api-version=2025-01-01",
        ),
        (azure(&uri("/openai/v1/chat/completions")).model("gpt-4o"), "/openai/v1/chat/completions"),
        (azure(&uri("/openai/v1/responses")).model("gpt-4o"), "/openai/v1/responses"),
        (
            azure(&uri("/openai/responses?api-version=2025-04-01-preview")).model("gpt-4o"),
            "/openai/responses?api-version=2025-04-01-preview",
        ),
    ] {
        let _ = lm.unwrap().ask("Hi").await;
        assert_eq!(server.seen().last().unwrap().path(), path);
    }
    assert_eq!(server.seen()[1].header("api-key"), Some("key-value"));
    assert_eq!(server.seen()[3].header("api-key"), Some("key-value"));
}
