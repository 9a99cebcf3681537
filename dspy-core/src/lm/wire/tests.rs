use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::formats::Formats;
use super::*;
use crate::lm::catalog::PROVIDERS;
use crate::lm::dialect::Dialect;
use crate::lm::{Message, PromptCache, ReasoningEffort, ResponseFormat, ToolSpec};

/// A request that asks for everything at once.
fn full(dialect: Dialect) -> Request {
    let mut request = Request::new(vec![Message::system("Rules."), Message::user("Hi")]);
    let params = &mut request.params;
    params.temperature = Some(0.5);
    params.max_tokens = Some(4_096);
    params.n = Some(2);
    params.seed = Some(7);
    params.top_logprobs = Some(1);
    params.reasoning_effort = Some(ReasoningEffort::High);
    params.prompt_cache = Some(PromptCache::Keyed("k".into()));
    if dialect.protocol != Protocol::Responses {
        params.stop = vec!["END".into()];
    }
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "minLength": 1, "pattern": "^x$"}},
        "required": []});
    request.format = ResponseFormat::JsonSchema { name: "answer".into(), schema: Arc::new(schema) };
    if dialect.capabilities.tools {
        request.tools = vec![ToolSpec::new("now", "The time.", json!({"type": "object", "properties": {}}))];
    }
    request
}

fn body(model: &str, dialect: Dialect) -> Value {
    let request = full(dialect);
    let formats = Formats::default();
    let (ladder, at) = formats.ladder(&request.format, dialect);
    let (name, format) = (model.to_owned(), ladder.format(at));
    let bytes = match dialect.protocol {
        Protocol::Chat => Chat::new(name, dialect).body(&request, format, true),
        Protocol::Responses => Responses::new(name, dialect).body(&request, format, true),
        Protocol::Anthropic => Messages::new(name, dialect).body(&request, format, true),
        Protocol::Gemini => Contents::new(name, dialect).body(&request, format, true),
    };
    serde_json::from_slice(&bytes.unwrap()).unwrap()
}

/// One member a line.
fn show(body: &Value) -> String {
    let mut members: Vec<_> = body.as_object().unwrap().iter().collect();
    members.sort_by_key(|(name, _)| *name);
    members.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "  {name}: {value}");
        text
    })
}

#[test]
fn what_every_provider_gets_of_a_request_for_everything() {
    let mut shown = String::new();
    for provider in PROVIDERS {
        let also = provider.also.iter().map(|also| also.dialect);
        for dialect in std::iter::once(provider.dialect).chain(also) {
            let model = if provider.small_model.is_empty() { "m" } else { provider.small_model };
            let mut endpoint = Endpoint::new("http://h");
            endpoint.dialect = dialect;
            let dialect = endpoint.dialect_of(model);
            let body = show(&body(model, dialect));
            let _ = write!(shown, "{} by {:?}\n{body}", provider.name, dialect.protocol);
        }
    }
    insta::assert_snapshot!(shown);
}
