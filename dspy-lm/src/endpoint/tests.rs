//! Tests of the addresses and names of endpoints.

use super::*;

/// Returns the endpoint of a provider's model for each of the protocols.
fn addresses(provider: &str, protocols: &[Protocol]) -> Vec<String> {
    let provider = providers::provider(provider).unwrap();
    let lookup = |name: &str| match name {
        "OPENAI_BASE_URL" => Some("http://proxy/v1".to_owned()),
        "AZURE_OPENAI_ENDPOINT" => Some("https://r.openai.azure.com".to_owned()),
        name => name.ends_with("_KEY").then(|| "key-value".to_owned()),
    };
    let mut endpoint = Endpoint::of(provider, "", &lookup).unwrap();
    let mut found = vec![endpoint.model("m").unwrap().endpoint().to_owned()];
    for protocol in protocols {
        endpoint = endpoint.protocol(*protocol);
        assert_eq!(endpoint.dialect.protocol, *protocol);
        found.push(endpoint.model("m").unwrap().endpoint().to_owned());
    }
    found
}

#[test]
fn protocols_have_their_addresses() {
    let native = "https://generativelanguage.googleapis.com/v1beta";
    let compatible = "https://generativelanguage.googleapis.com/v1beta/openai";
    let found = addresses("gemini", &[Protocol::Chat, Protocol::Gemini]);
    assert_eq!(found, [native, &format!("{compatible}/chat/completions"), native]);
    // A custom address is unchanged.
    assert_eq!(addresses("openai", &[Protocol::Responses]), ["http://proxy/v1", "http://proxy/v1/responses"]);
    let azure = "https://r.openai.azure.com/openai/v1";
    assert_eq!(
        addresses("azure", &[Protocol::Responses, Protocol::Chat]),
        [azure, &format!("{azure}/responses"), azure]
    );
}

#[test]
fn an_address_that_only_the_user_knows_is_asked_for() {
    let azure = providers::provider("azure").unwrap();
    let key = |name: &str| (name == "AZURE_OPENAI_API_KEY").then(|| "key-value".to_owned());
    let error = Endpoint::of(azure, "azure/m", &key).unwrap_err();
    assert_eq!(error.kind, LmErrorKind::Configuration);
    assert!(error.message.contains("AZURE_OPENAI_ENDPOINT"), "{error}");
}

#[test]
fn what_a_model_refuses_stays_refused_whatever_the_server_can_do() {
    let able = Capabilities::NONE.json_schema(true).strict(true);
    let dialect = |model: &str| Endpoint::new("http://h").capabilities(able).dialect_of(model);
    assert!(dialect("gpt-4o").capabilities.sampling && !dialect("o3").capabilities.sampling);
    assert_eq!(dialect("m").schema, crate::protocols::dialect::OPENAI_SCHEMA);
    let claude = Endpoint::new("http://h").protocol(Protocol::Anthropic).dialect_of("m");
    assert_eq!(claude.schema, crate::protocols::dialect::ANTHROPIC_SCHEMA);
}
