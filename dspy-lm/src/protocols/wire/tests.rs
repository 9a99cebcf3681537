use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::formats::Formats;
use super::{Answer, Chat, Codec, Contents, Messages, Protocol, Refused, Request, Responses};
use crate::network::transport::Events as _;
use crate::protocols::dialect::Dialect;
use crate::providers::PROVIDERS;
use crate::{Endpoint, Message, PromptCache, ReasoningEffort, ResponseFormat, ToolSpec};

/// Returns a request with all features at once.
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
        Protocol::Chat => Chat::new(name, dialect).body(&request, format, Refused::default(), true),
        Protocol::Responses => Responses::new(name, dialect).body(&request, format, Refused::default(), true),
        Protocol::Anthropic => Messages::new(name, dialect).body(&request, format, Refused::default(), true),
        Protocol::Gemini => Contents::new(name, dialect).body(&request, format, Refused::default(), true),
    };
    serde_json::from_slice(&bytes.unwrap()).unwrap()
}

/// Returns a body with one member per line.
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

/// The member names that random replies are made of.
const NAMES: &[&str] = &[
    "type",
    "error",
    "message",
    "content",
    "text",
    "thinking",
    "signature",
    "delta",
    "index",
    "usage",
    "id",
    "name",
    "input",
    "stop_reason",
    "content_block",
    "partial_json",
    "candidates",
    "parts",
    "thought",
    "functionCall",
    "args",
    "finishReason",
    "logprobsResult",
    "chosenCandidates",
    "promptFeedback",
    "blockReason",
    "usageMetadata",
    "response",
    "output",
    "item",
    "output_index",
    "summary",
    "arguments",
    "status",
    "incomplete_details",
    "choices",
    "tool_calls",
    "function",
    "logprobs",
    "finish_reason",
    "input_tokens_details",
    "encrypted_content",
];
const WORDS: &[&str] = &[
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "text",
    "thinking",
    "tool_use",
    "text_delta",
    "thinking_delta",
    "input_json_delta",
    "signature_delta",
    "error",
    "message",
    "reasoning",
    "function_call",
    "response.output_text.delta",
    "response.output_item.done",
    "response.completed",
    "failed",
    "STOP",
    "",
    "{\"a\"",
    "é",
];

fn odd_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u64..4).prop_map(Value::from),
        proptest::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let members = proptest::collection::vec((proptest::sample::select(NAMES), inner.clone()), 0..5);
        let object = members.prop_map(|members| {
            Value::from(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>(),
            )
        });
        prop_oneof![3 => object, 1 => proptest::collection::vec(inner, 0..4).prop_map(Value::from)]
    })
}

/// Reads events, and the first of them as a whole reply; nothing may panic.
fn survive(codec: &impl Codec, events: &[Value]) {
    let whole = events.first().map(Value::to_string).unwrap_or_default();
    let _ = codec.read(&Answer::of(whole.as_bytes()));
    let (mut reader, mut deltas) = (codec.events(), Vec::new());
    for event in events {
        if !matches!(reader.read(&event.to_string(), &mut deltas), Ok(false)) {
            break;
        }
    }
    let _ = reader.finish(&Answer::of(b""));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn replies_of_any_shape_do_no_harm(events in proptest::collection::vec(odd_json(), 0..6)) {
        let dialect = |protocol| Endpoint::new("http://h").protocol(protocol).dialect_of("m");
        survive(&Chat::new("m".into(), dialect(Protocol::Chat)), &events);
        survive(&Responses::new("m".into(), dialect(Protocol::Responses)), &events);
        survive(&Messages::new("m".into(), dialect(Protocol::Anthropic)), &events);
        survive(&Contents::new("m".into(), dialect(Protocol::Gemini)), &events);
    }
}
