//! Encoding of a request's body.

use serde_json::{Map, Value, json};

use super::{Contents, content, source, thinking};
use crate::protocols::wire::{Format, Parameter, Refused, merge, schema};
use crate::{Request, ToolChoice, ToolSpec};

impl Contents {
    pub(super) fn request(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
    ) -> Result<Value, String> {
        let able = self.dialect.capabilities;
        let mut body = Map::new();
        let turns = content::turns(&request.messages, source(&self.name), able.images)?;
        body.insert("contents".into(), turns.into());
        let system = content::system(&request.messages);
        if !system.is_empty() {
            body.insert("systemInstruction".into(), json!({ "parts": system }));
        }
        if !request.tools.is_empty() {
            let rules = self.dialect.schema.of_tools();
            let tool = |tool: &ToolSpec| {
                let mut declared = json!({"name": tool.name, "description": tool.description});
                // A tool without arguments must not have an object without properties.
                if tool
                    .parameters
                    .get("properties")
                    .and_then(Value::as_object)
                    .is_some_and(|map| !map.is_empty())
                    && let Some(parameters) = schema::lax(&tool.parameters, rules)
                {
                    declared["parametersJsonSchema"] = parameters;
                }
                declared
            };
            let declared: Vec<Value> = request.tools.iter().map(tool).collect();
            body.insert("tools".into(), json!([{"functionDeclarations": declared}]));
        }
        if let Some(choice) = choice(request) {
            body.insert("toolConfig".into(), json!({"functionCallingConfig": choice}));
        }
        let config = self.config(request, format, refused);
        if !config.is_empty() {
            body.insert("generationConfig".into(), config.into());
        }
        merge(&mut body, &request.params.extra);
        Ok(body.into())
    }

    fn config(&self, request: &Request, format: &Format, refused: Refused) -> Map<String, Value> {
        let params = &request.params;
        let able = self.dialect.capabilities;
        let mut config = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            config.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("temperature", params.temperature.filter(|_| able.sampling).map(|value| json!(value)));
        put("topP", params.top_p.filter(|_| able.sampling).map(|value| json!(value)));
        put("maxOutputTokens", params.max_tokens.map(Value::from));
        put("candidateCount", params.n.filter(|n| able.n && *n > 1).map(Value::from));
        put("seed", params.seed.map(Value::from));
        put("stopSequences", (!params.stop.is_empty()).then(|| json!(params.stop)));
        let logprobs = able.logprobs && params.wants_logprobs();
        put("responseLogprobs", logprobs.then_some(true.into()));
        put("logprobs", params.top_logprobs.filter(|_| logprobs).map(Value::from));
        if self.dialect.format_with_tools || request.tools.is_empty() {
            let (json, schema) = match format {
                Format::Strict(_, schema) | Format::Schema(_, schema) => (true, Some(schema.clone())),
                Format::Object => (true, None),
                Format::Text => (false, None),
            };
            put("responseMimeType", json.then_some("application/json".into()));
            put("responseJsonSchema", schema);
        }
        if !refused.has(Parameter::Effort) {
            put("thinkingConfig", thinking::config(&self.name, params.reasoning_effort, able.reasoning));
        }
        config
    }
}

fn choice(request: &Request) -> Option<Value> {
    match &request.tool_choice {
        _ if request.tools.is_empty() => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({"mode": "NONE"})),
        ToolChoice::Required => Some(json!({"mode": "ANY"})),
        ToolChoice::Named(name) => Some(json!({"mode": "ANY", "allowedFunctionNames": [&**name]})),
    }
}
