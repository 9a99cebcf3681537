//! Tools in requests and replies: definitions, calls, and the reasoning effort.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::json::string;
use crate::network::transport::Failure;
use crate::protocols::dialect::{EffortMember, SchemaRules};
use crate::protocols::wire::{read_arguments, schema};
use crate::{LmErrorKind, ReasoningEffort, Request, ToolCall, ToolChoice, ToolSpec};

#[derive(Serialize)]
#[serde(tag = "type", content = "function", rename_all = "snake_case")]
pub(super) enum WireTool<'a> {
    Function { name: &'a str, description: &'a str, parameters: Value },
}

/// Returns the definition of a tool. Its arguments are checked when it is called, so strict mode is never requested.
pub(super) fn wire(tool: &ToolSpec, rules: SchemaRules) -> WireTool<'_> {
    let parameters = parameters(tool, rules);
    WireTool::Function { name: &tool.name, description: &tool.description, parameters }
}

/// Returns the definition of a tool as JSON, for files of messages.
///
/// # Errors
/// An error if its JSON cannot be written.
pub fn tool_value(tool: &ToolSpec) -> serde_json::Result<Value> {
    serde_json::to_value(wire(tool, crate::protocols::dialect::PLAIN.schema))
}

pub(super) fn choice(request: &Request) -> Option<Value> {
    match &request.tool_choice {
        _ if request.tools.is_empty() => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "function": {"name": &**name}})),
    }
}

/// Tool calls of earlier turns, as sent back to the endpoint.
pub(super) struct Calls<'a>(pub(super) &'a [ToolCall]);

impl Serialize for Calls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for call in self.0 {
            let arguments = arguments_text(&call.arguments);
            list.serialize_element(&json!({
                "id": call.id.as_deref().unwrap_or_default(),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments},
            }))?;
        }
        list.end()
    }
}

/// Returns arguments as a string that contains JSON.
pub(crate) fn arguments_text(arguments: &Value) -> String {
    match arguments {
        Value::String(text) => text.clone(),
        Value::Null => "{}".into(),
        value => value.to_string(),
    }
}

/// Returns the JSON Schema of a tool's parameters.
pub(crate) fn parameters(tool: &ToolSpec, rules: SchemaRules) -> Value {
    let parameters = schema::lax(&tool.parameters, rules.of_tools());
    let mut parameters = parameters.unwrap_or_else(|| json!({"type": "object"}));
    // OpenAI refuses an object without `properties`, even if the tool takes no arguments.
    if parameters.get("properties").is_none() {
        parameters["properties"] = json!({});
    }
    parameters
}

/// Reads the calls of a reply. Entries that are no calls are skipped; arguments without the name of a tool are an
/// error.
pub(super) fn read_calls(calls: Value) -> Result<Vec<ToolCall>, Failure> {
    let Value::Array(calls) = calls else { return Ok(Vec::new()) };
    let nameless = |call: &Value| {
        let function = call.get("function");
        let name = function.and_then(|function| string(function.get("name")));
        let arguments = function.and_then(|function| function.get("arguments"));
        name.is_none() && arguments.is_some_and(|arguments| !arguments.is_null() && arguments != "")
    };
    if calls.iter().any(nameless) {
        return Err(Failure::new(LmErrorKind::Decode, "a call of a tool does not name the tool"));
    }
    Ok(calls.into_iter().filter_map(read_call).collect())
}

/// Reads one call; its arguments are a string that contains JSON, or for some servers JSON itself.
fn read_call(mut call: Value) -> Option<ToolCall> {
    let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    let function = call.get_mut("function")?;
    let name = string(function.get("name"))?;
    let arguments = function.get_mut("arguments").map(Value::take).unwrap_or_default();
    Some(ToolCall { id, name, arguments: read_arguments(arguments) })
}

/// The members for the reasoning effort, in the format of the endpoint.
#[derive(Default)]
pub(super) struct Thinking {
    pub(super) reasoning_effort: Option<&'static str>,
    pub(super) reasoning: Option<Value>,
    pub(super) switch: Option<Value>,
}

impl Thinking {
    pub(super) fn new(effort: Option<ReasoningEffort>, member: EffortMember) -> Self {
        let mut words = Thinking::default();
        let Some(effort) = effort else { return words };
        let off = effort == ReasoningEffort::None;
        match member {
            EffortMember::Plain => words.reasoning_effort = Some(effort.as_str()),
            EffortMember::Nested => words.reasoning = Some(json!({"effort": effort.as_str()})),
            EffortMember::Switch => {
                words.switch = Some(json!({"type": if off { "disabled" } else { "enabled" }}));
                words.reasoning_effort = Some(effort.as_str()).filter(|_| !off);
            }
            EffortMember::None => {}
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::openai::request::body;
    use crate::protocols::wire::Format;
    use crate::{Message, Protocol, providers};

    /// Returns the body sent to a provider for a request by chat completions, without model and messages.
    fn sent(provider: &str, change: impl FnOnce(&mut Request)) -> Value {
        let mut request = Request::new(vec![Message::user("Hi")]);
        change(&mut request);
        let known = providers::provider(provider).unwrap();
        let mut dialects = std::iter::once(known.dialect).chain(known.also.iter().map(|also| also.dialect));
        let dialect = dialects.find(|dialect| dialect.protocol == Protocol::Chat).unwrap().for_model("m");
        let body = body("m", &request, &Format::Object, dialect, false).unwrap();
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let members = body.as_object_mut().unwrap();
        ["model", "messages"].into_iter().for_each(|known| drop(members.remove(known)));
        body
    }

    #[test]
    fn every_provider_has_its_word_for_the_effort() {
        let object = json!({"type": "json_object"});
        for (provider, effort, expected) in [
            ("openai", ReasoningEffort::Minimal, json!({"reasoning_effort": "minimal"})),
            ("openrouter", ReasoningEffort::High, json!({"reasoning": {"effort": "high"}})),
            ("deepseek", ReasoningEffort::None, json!({"thinking": {"type": "disabled"}})),
            (
                "deepseek",
                ReasoningEffort::High,
                json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
            ),
            ("anthropic", ReasoningEffort::High, json!({})),
        ] {
            let mut expected = expected;
            expected["response_format"] = object.clone();
            let body = sent(provider, |request| request.params.reasoning_effort = Some(effort));
            assert_eq!(body, expected, "{provider}");
        }
    }

    #[test]
    fn formats_and_tools_go_together_where_that_is_allowed() {
        let tool = || ToolSpec::new("stop", "", json!({"type": "object"}));
        let formatted =
            |provider| sent(provider, |request| request.tools.push(tool())).get("response_format").is_some();
        assert!(formatted("openai"));
        assert!(!formatted("groq"));
        let body = sent("openai", |request| request.tools.push(tool()));
        assert_eq!(body["tools"][0]["function"]["parameters"], json!({"type": "object", "properties": {}}));
    }
}
