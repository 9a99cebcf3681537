//! A readable JSON form of requests, for cassettes and for caches that store requests.

use serde_json::{Map, Value, json};

use crate::{
    Content, Media, Message, Params, Part, PromptCache, ReasoningEffort, Request, ResponseFormat, ToolChoice,
};

/// The most bytes of content in a `data:` URI that are written inline; longer content is replaced by its
/// digest.
const INLINE: usize = 256;

/// Converts a request to JSON. Requests that differ in anything that is sent, or in their rollout, have
/// different JSON.
pub(crate) fn request(request: &Request) -> Map<String, Value> {
    let Request { messages, params, format, tools, tool_choice, rollout, extensions: _ } = request;
    let mut form = Map::new();
    form.insert("messages".into(), messages.iter().map(message).collect());
    let params = self::params(params);
    if !params.is_empty() {
        form.insert("params".into(), params.into());
    }
    let format = match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!("json_object")),
        ResponseFormat::JsonSchema { name, schema } => Some(json!({"name": &**name, "schema": &**schema})),
    };
    let tools = Some(tools).filter(|tools| !tools.is_empty()).map(|tools| json!(tools));
    let choice = match tool_choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Named(name) => Some(json!({"name": &**name})),
    };
    let rollout = rollout.map(Value::from);
    for (name, value) in [("format", format), ("tools", tools), ("tool_choice", choice), ("rollout", rollout)]
    {
        if let Some(value) = value {
            form.insert(name.into(), value);
        }
    }
    form
}

fn message(message: &Message) -> Value {
    let role = message.role.as_str();
    match &message.content {
        Content::Text(text) => json!({"role": role, "text": &**text}),
        Content::Parts(parts) => json!({"role": role, "parts": parts.iter().map(part).collect::<Value>()}),
        Content::Calls { text, calls, opaque } => {
            let mut form = json!({"role": role, "text": &**text, "calls": &**calls});
            if let Some(opaque) = opaque {
                // Signatures and encrypted data are long and unreadable.
                let digest = blake3::hash(opaque.to_string().as_bytes()).to_hex();
                form["opaque"] = format!("blake3 {}", &digest[..32]).into();
            }
            form
        }
        Content::ToolResult { id, text, parts } if parts.is_empty() => {
            json!({"role": role, "id": &**id, "text": &**text})
        }
        Content::ToolResult { id, parts, .. } => {
            json!({"role": role, "id": &**id, "parts": parts.iter().map(part).collect::<Value>()})
        }
    }
}

fn part(part: &Part) -> Value {
    let media = match part {
        Part::Text(text) => return json!({"text": &**text}),
        Part::Media(media) => media,
    };
    let mut form = Map::from_iter([(media.kind.as_str().to_owned(), Value::from(url(media)))]);
    if let Some(name) = &media.name {
        form.insert("name".into(), Value::from(&**name));
    }
    if let Some(detail) = media.detail {
        form.insert("detail".into(), detail.as_str().into());
    }
    form.into()
}

fn url(media: &Media) -> String {
    match media.data() {
        Some((media_type, data)) if data.len() > INLINE => {
            let digest = blake3::hash(media.url.as_bytes()).to_hex();
            format!("data:{media_type};base64, {} characters, blake3 {}", data.len(), &digest[..32])
        }
        _ => media.url.to_string(),
    }
}

fn params(params: &Params) -> Map<String, Value> {
    let Params {
        temperature,
        top_p,
        max_tokens,
        n,
        seed,
        reasoning_effort,
        logprobs,
        top_logprobs,
        prompt_cache,
        stop,
        extra,
    } = params;
    let prompt_cache = prompt_cache.as_ref().map(|cache| match cache {
        PromptCache::Prefix => json!("prefix"),
        PromptCache::Keyed(key) => json!({"key": &**key}),
    });
    let effort = reasoning_effort.map(ReasoningEffort::as_str);
    let known = [
        ("temperature", temperature.map(Value::from)),
        ("top_p", top_p.map(Value::from)),
        ("max_tokens", max_tokens.map(Value::from)),
        ("n", n.map(Value::from)),
        ("seed", seed.map(Value::from)),
        ("reasoning_effort", effort.map(Value::from)),
        ("logprobs", logprobs.map(Value::from)),
        ("top_logprobs", top_logprobs.map(Value::from)),
        ("prompt_cache", prompt_cache),
        ("stop", Some(stop).filter(|stop| !stop.is_empty()).map(|stop| json!(stop))),
        ("extra", Some(extra).filter(|extra| !extra.is_empty()).map(|extra| json!(extra))),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MediaKind, ToolCall, ToolSpec};

    #[test]
    fn requests_that_differ_have_forms_that_differ() {
        let mut all = vec![Request::new(vec![Message::user("a")]), Request::new(vec![Message::system("a")])];
        let image = |url: String| Message {
            role: crate::Role::User,
            content: Content::Parts([Part::Media(Media::new(MediaKind::Image, url))].into()),
        };
        for last in ["A", "B"] {
            let long = format!("data:image/png;base64,{}{last}", "x".repeat(1000));
            all.push(Request::new(vec![image(long)]));
        }
        all.push(Request::new(vec![Message::calls("a", vec![ToolCall::new("f", json!({"x": 1}))])]));
        all.push(Request::new(vec![Message::tool_result("id", "a")]));
        for url in ["https://h/a.png", "https://h/b.png"] {
            all.push(Request::new(vec![Message::tool_result_parts("id", [Part::image(url)])]));
        }
        all.push(Request::new(vec![Message::tool_result("id", "<image at https://h/a.png>")]));
        let base = all[0].clone();
        let mut with = |change: &dyn Fn(&mut Request)| {
            let mut request = base.clone();
            change(&mut request);
            all.push(request);
        };
        with(&|r| r.params.temperature = Some(0.0));
        with(&|r| r.params.top_p = Some(0.0));
        with(&|r| r.params.max_tokens = Some(0));
        with(&|r| r.params.n = Some(0));
        with(&|r| r.params.seed = Some(0));
        with(&|r| r.params.reasoning_effort = Some(ReasoningEffort::None));
        with(&|r| r.params.logprobs = Some(false));
        with(&|r| r.params.top_logprobs = Some(0));
        with(&|r| r.params.prompt_cache = Some(PromptCache::Prefix));
        with(&|r| r.params.prompt_cache = Some(PromptCache::Keyed("prefix".into())));
        with(&|r| r.messages[0] = Message::calls("a", vec![]).with_opaque(Some(json!(1))));
        with(&|r| r.messages[0] = Message::calls("a", vec![]).with_opaque(Some(json!(2))));
        with(&|r| r.params.stop = vec!["x".into()]);
        with(&|r| drop(r.params.extra.insert("x".into(), 0.into())));
        with(&|r| r.format = ResponseFormat::JsonObject);
        with(&|r| r.format = ResponseFormat::JsonSchema { name: "n".into(), schema: json!({}).into() });
        with(&|r| r.tools = vec![ToolSpec::new("f", "", json!({}))]);
        with(&|r| r.tool_choice = ToolChoice::None);
        with(&|r| r.tool_choice = ToolChoice::Required);
        with(&|r| r.tool_choice = ToolChoice::Named("none".into()));
        with(&|r| r.rollout = Some(0));
        for (at, one) in all.iter().enumerate() {
            for other in &all[..at] {
                assert_ne!(request(one), request(other));
                assert_ne!(one.digest(), other.digest());
            }
        }
    }
}
