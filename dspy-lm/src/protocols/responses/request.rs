//! Encoding of a request's body.

use serde_json::{Map, Value, json};

use super::{Responses, input, source};
use crate::protocols::openai::parameters;
use crate::protocols::wire::{Format, Parameter, Refused, merge};
use crate::{PromptCache, Request, ToolChoice, ToolSpec};

impl Responses {
    pub(super) fn request(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        stream: bool,
    ) -> Result<Value, String> {
        let params = &request.params;
        if self.dialect.stop && !params.stop.is_empty() {
            return Err(
                "the responses protocol has no stop sequences; use `Protocol::Chat`, or omit `stop`".into()
            );
        }
        let able = self.dialect.capabilities;
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        put("model", self.name.as_str().into());
        put("input", input::items(&request.messages, source(&self.name), able.images)?.into());
        // Nothing is stored at the endpoint.
        put("store", false.into());
        if able.sampling {
            if let Some(temperature) = params.temperature {
                put("temperature", json!(temperature));
            }
            if let Some(top_p) = params.top_p {
                put("top_p", json!(top_p));
            }
        }
        if let Some(max_tokens) = params.max_tokens {
            put("max_output_tokens", max_tokens.into());
        }
        let mut include = Vec::new();
        if able.logprobs && params.wants_logprobs() {
            include.push("message.output_text.logprobs");
            put("top_logprobs", params.top_logprobs.unwrap_or_default().into());
        }
        // Only reasoning models have reasoning to encrypt, and other models refuse the parameter. It is needed only
        // if the conversation continues with the results of tools.
        if !able.sampling && !request.tools.is_empty() && !refused.has(Parameter::Encrypted) {
            include.push("reasoning.encrypted_content");
        }
        if !include.is_empty() {
            put("include", json!(include));
        }
        let mut reasoning = Map::new();
        if let Some(effort) = params.reasoning_effort {
            reasoning.insert("effort".into(), effort.as_str().into());
        }
        if able.reasoning && !refused.has(Parameter::Summary) {
            reasoning.insert("summary".into(), "auto".into());
        }
        if !reasoning.is_empty() {
            put("reasoning", reasoning.into());
        }
        if !request.tools.is_empty() {
            let tool = |tool: &ToolSpec| {
                json!({"type": "function", "name": tool.name, "description": tool.description,
                    "parameters": parameters(tool, self.dialect.schema), "strict": false})
            };
            put("tools", request.tools.iter().map(tool).collect());
        }
        if let Some(choice) = choice(request) {
            put("tool_choice", choice);
        }
        if (self.dialect.format_with_tools || request.tools.is_empty())
            && let Some(format) = text_format(format)
        {
            put("text", json!({ "format": format }));
        }
        if let Some(PromptCache::Keyed(key)) = params.prompt_cache.as_ref().filter(|_| self.dialect.cache_key)
        {
            put("prompt_cache_key", (&**key).into());
        }
        if stream {
            put("stream", true.into());
        }
        merge(&mut body, &params.extra);
        Ok(body.into())
    }
}

fn choice(request: &Request) -> Option<Value> {
    match &request.tool_choice {
        _ if request.tools.is_empty() => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "name": &**name})),
    }
}

fn text_format(format: &Format) -> Option<Value> {
    let schema = |name: &str, strict: bool, schema: &Value| {
        Some(json!({"type": "json_schema", "name": name, "strict": strict, "schema": schema}))
    };
    match format {
        Format::Strict(name, value) => schema(name, true, value),
        Format::Schema(name, value) => schema(name, false, value),
        Format::Object => Some(json!({"type": "json_object"})),
        Format::Text => None,
    }
}
