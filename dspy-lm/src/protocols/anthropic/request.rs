//! Encoding of a request's body.

use serde_json::{Map, Value, json};

use super::Messages;
use super::content;
use super::models::{LEAST_BUDGET, Thinking, budget};
use crate::protocols::wire::{Format, Parameter, Refused, merge, schema};
use crate::{ReasoningEffort, Request, ToolChoice};

impl Messages {
    pub(super) fn request(
        &self,
        request: &Request,
        format: &Format,
        refused: Refused,
        stream: bool,
    ) -> Result<Value, String> {
        let params = &request.params;
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        put("model", self.name.as_str().into());
        let max_tokens = params.max_tokens.unwrap_or(self.family.max_tokens);
        put("max_tokens", max_tokens.into());

        let mut system = content::system(&request.messages);
        let able = self.dialect.capabilities;
        let mut turns = content::turns(&request.messages, self.source(), able.images)?;
        if params.prompt_cache.is_some() {
            // Two marks: one after the part that all requests of a program share, one after the part that the next
            // turn repeats.
            mark(system.last_mut());
            let before_last = turns.len().checked_sub(2).and_then(|at| turns.get_mut(at));
            mark(before_last.and_then(|turn| turn["content"].as_array_mut()?.last_mut()));
        }
        if !system.is_empty() {
            put("system", system.into());
        }
        put("messages", turns.into());

        let choice = self.choice(request);
        let forced =
            choice.as_ref().is_some_and(|choice| choice["type"] == "any" || choice["type"] == "tool");
        let (thinking, effort) = if refused.has(Parameter::Effort) {
            (None, None)
        } else {
            self.thinking(params.reasoning_effort, max_tokens, forced)
        };
        let thinks = thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled");
        // Sampling parameters are refused while the model reasons.
        if able.sampling && !thinks {
            if let Some(temperature) = params.temperature {
                put("temperature", json!(temperature));
            } else if let Some(top_p) = params.top_p {
                // Claude 4 refuses both parameters together.
                put("top_p", json!(top_p));
            }
        }
        if !params.stop.is_empty() {
            put("stop_sequences", json!(params.stop));
        }
        if !request.tools.is_empty() {
            let rules = self.dialect.schema.of_tools();
            let tool = |tool: &crate::ToolSpec| {
                let parameters = schema::lax(&tool.parameters, rules);
                json!({"name": tool.name, "description": tool.description,
                    "input_schema": parameters.unwrap_or_else(|| json!({"type": "object"}))})
            };
            put("tools", request.tools.iter().map(tool).collect());
        }
        if let Some(choice) = choice {
            put("tool_choice", choice);
        }
        if let Some(thinking) = thinking {
            put("thinking", thinking);
        }
        let mut output = Map::new();
        output.extend(effort.map(|effort| ("effort".to_owned(), effort.into())));
        if let (Format::Strict(_, schema) | Format::Schema(_, schema), true) =
            (format, self.dialect.format_with_tools || request.tools.is_empty())
        {
            output.insert("format".into(), json!({"type": "json_schema", "schema": schema}));
        }
        if !output.is_empty() {
            put("output_config", output.into());
        }
        if stream {
            put("stream", true.into());
        }
        merge(&mut body, &params.extra);
        Ok(body.into())
    }

    fn choice(&self, request: &Request) -> Option<Value> {
        match &request.tool_choice {
            _ if request.tools.is_empty() => None,
            ToolChoice::Auto => None,
            ToolChoice::None => Some(json!({"type": "none"})),
            // The closest supported choice.
            ToolChoice::Required | ToolChoice::Named(_) if !self.family.forced_tools => None,
            ToolChoice::Required => Some(json!({"type": "any"})),
            ToolChoice::Named(name) => Some(json!({"type": "tool", "name": &**name})),
        }
    }

    /// Returns the member that controls reasoning and the name of the effort.
    fn thinking(
        &self,
        effort: Option<ReasoningEffort>,
        max_tokens: u32,
        forced: bool,
    ) -> (Option<Value>, Option<&'static str>) {
        let shown = self.dialect.capabilities.reasoning;
        // Without `display`, reasoning is returned as a signature without text.
        let adaptive = || json!({"type": "adaptive", "display": "summarized"});
        let word = effort.map(|effort| self.family.effort(effort));
        match (self.family.thinking, effort) {
            (Thinking::No, _) | (Thinking::Asked, Some(ReasoningEffort::None)) => (None, None),
            (_, None) if !shown => (None, None),
            (Thinking::Budget, effort) => {
                let wanted = budget(effort.unwrap_or(ReasoningEffort::Medium));
                // Reasoning counts towards the limit, and the reply needs the rest.
                let tokens = wanted.min(max_tokens - max_tokens / 4);
                let fits = tokens >= LEAST_BUDGET && tokens < max_tokens && !forced;
                (fits.then(|| json!({"type": "enabled", "budget_tokens": tokens})), None)
            }
            (Thinking::Unasked, Some(ReasoningEffort::None)) => (Some(json!({"type": "disabled"})), None),
            (Thinking::Always, Some(ReasoningEffort::None)) => (None, word),
            (Thinking::Asked | Thinking::Unasked | Thinking::Always, _) => (Some(adaptive()), word),
        }
    }
}

/// Marks the end of a prefix that should be cached.
fn mark(block: Option<&mut Value>) {
    if let Some(Value::Object(block)) = block {
        block.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
}
