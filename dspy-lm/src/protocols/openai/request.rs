//! Encoding of a request's body.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use super::source;
use super::tools::{self, Calls, Thinking, WireTool};
use crate::protocols::dialect::{Dialect, Seed, TokenLimit};
use crate::protocols::wire::{Format, Source, media_title};
use crate::{Content, Detail, MediaKind, Message, Part, PromptCache, Request, Role};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random_seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<WireFormat<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Option<TurnContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Calls<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<&'a [Value]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TurnContent<'a> {
    Text(&'a str),
    Parts(Vec<TurnPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum TurnPart<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    InputAudio { input_audio: InputAudio<'a> },
    File { file: FileData<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

#[derive(Serialize)]
struct InputAudio<'a> {
    data: &'a str,
    format: &'static str,
}

#[derive(Serialize)]
struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    file_data: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: NamedSchema<'a> },
}

#[derive(Serialize)]
struct NamedSchema<'a> {
    name: &'a str,
    strict: bool,
    schema: &'a Value,
}

/// Returns the body of `request` to the model with this name.
pub(super) fn body(
    model: &str,
    request: &Request,
    format: &Format,
    dialect: Dialect,
    stream: bool,
) -> serde_json::Result<Vec<u8>> {
    let params = &request.params;
    let able = dialect.capabilities;
    let sampling = |value: Option<f64>| value.filter(|_| able.sampling);
    let logprobs = able.logprobs && params.wants_logprobs();
    let limit = |name: TokenLimit| params.max_tokens.filter(|_| dialect.token_limit == name);
    let seed = |name: Seed| params.seed.filter(|_| dialect.seed == name);
    let thinking = Thinking::new(params.reasoning_effort, dialect.effort);
    let body = Body {
        model,
        messages: turns(&request.messages, dialect, source(model))?,
        temperature: sampling(params.temperature),
        top_p: sampling(params.top_p),
        max_tokens: limit(TokenLimit::MaxTokens),
        max_completion_tokens: limit(TokenLimit::MaxCompletionTokens),
        n: params.n.filter(|_| able.n),
        seed: seed(Seed::Seed),
        random_seed: seed(Seed::RandomSeed),
        logprobs: params.logprobs.map(|_| logprobs).or(logprobs.then_some(true)).filter(|_| able.logprobs),
        top_logprobs: params.top_logprobs.filter(|_| logprobs),
        prompt_cache_key: match &params.prompt_cache {
            Some(PromptCache::Keyed(key)) if dialect.cache_key => Some(key),
            _ => None,
        },
        stop: if dialect.stop { &params.stop } else { &[] },
        response_format: wire_format(format)
            .filter(|_| dialect.format_with_tools || request.tools.is_empty()),
        tools: request.tools.iter().map(|tool| tools::wire(tool, dialect.schema)).collect(),
        tool_choice: tools::choice(request),
        reasoning_effort: thinking.reasoning_effort,
        reasoning: thinking.reasoning,
        thinking: thinking.switch,
        stream,
        stream_options: (stream && dialect.stream_usage).then_some(StreamOptions { include_usage: true }),
    };
    if params.extra.is_empty() {
        return serde_json::to_vec(&body);
    }
    // Members of `extra` replace those that the library would send.
    let Value::Object(mut members) = serde_json::to_value(&body)? else { return Ok(Vec::new()) };
    merge(&mut members, &params.extra);
    serde_json::to_vec(&members)
}

fn merge(members: &mut Map<String, Value>, extra: &Map<String, Value>) {
    members.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
}

/// Returns the conversation. Results of tools are text here: the media in them follow in a message of the user.
fn turns<'m>(
    messages: &'m [Message],
    dialect: Dialect,
    source: Source<'_>,
) -> serde_json::Result<Vec<Turn<'m>>> {
    let mut turns = Vec::with_capacity(messages.len());
    let mut media = Vec::new();
    for message in messages {
        if !matches!(message.content, Content::ToolResult { .. }) {
            turns.extend(of_user(&mut media));
        }
        turns.push(turn(message, dialect, source)?);
        if let Content::ToolResult { id, parts, .. } = &message.content {
            media.extend(result_media(id, parts, dialect));
        }
    }
    turns.extend(of_user(&mut media));
    Ok(turns)
}

/// Returns the parts as a message of the user.
fn of_user<'m>(parts: &mut Vec<TurnPart<'m>>) -> Option<Turn<'m>> {
    if parts.is_empty() {
        return None;
    }
    let content = Some(TurnContent::Parts(std::mem::take(parts)));
    Some(Turn {
        role: Role::User.as_str(),
        content,
        tool_calls: None,
        reasoning_details: None,
        tool_call_id: None,
    })
}

/// Returns the media in a tool's result, below a line that says where they belong. Those that the model does not take
/// are left out; the result itself has a placeholder for each.
fn result_media<'m>(id: &str, parts: &'m [Part], dialect: Dialect) -> Vec<TurnPart<'m>> {
    let media = parts.iter().filter(|part| matches!(part, Part::Media(_)));
    let media: Vec<_> = media.filter_map(|part| self::part(part, dialect).ok()).collect();
    let title = (!media.is_empty()).then(|| TurnPart::Text { text: media_title(id).into() });
    title.into_iter().chain(media).collect()
}

fn turn<'m>(message: &'m Message, dialect: Dialect, source: Source<'_>) -> serde_json::Result<Turn<'m>> {
    let mut turn = Turn {
        role: message.role.as_str(),
        content: None,
        tool_calls: None,
        reasoning_details: None,
        tool_call_id: None,
    };
    turn.content = match &message.content {
        Content::Text(text) => Some(TurnContent::Text(text)),
        Content::Parts(parts) => {
            let parts = parts.iter().map(|part| self::part(part, dialect)).collect::<Result<_, _>>()?;
            Some(TurnContent::Parts(parts))
        }
        Content::Calls { text, calls, opaque } => {
            turn.tool_calls = Some(Calls(calls));
            turn.reasoning_details = source.own(opaque.as_deref());
            // Some servers refuse an empty string beside calls; all accept `null`.
            Some(TurnContent::Text(text)).filter(|_| !text.is_empty())
        }
        Content::ToolResult { id, text, .. } => {
            turn.tool_call_id = Some(id);
            Some(TurnContent::Text(text))
        }
    };
    Ok(turn)
}

/// Returns a message as JSON, for files of messages.
///
/// # Errors
/// An error if its JSON cannot be written.
pub fn message_value(message: &Message) -> serde_json::Result<Value> {
    serde_json::to_value(turn(message, crate::protocols::dialect::PLAIN, source(""))?)
}

fn part(part: &Part, dialect: Dialect) -> serde_json::Result<TurnPart<'_>> {
    let media = match part {
        Part::Text(text) => return Ok(TurnPart::Text { text: Cow::Borrowed(text) }),
        Part::Media(media) => media,
    };
    Ok(match media.kind {
        MediaKind::Image if !dialect.capabilities.images => {
            return Err(refusal("the model is known to see no images; choose another one"));
        }
        MediaKind::Image => TurnPart::ImageUrl {
            image_url: ImageUrl { url: &media.url, detail: media.detail.map(Detail::as_str) },
        },
        MediaKind::Audio => {
            let (media_type, data) = media.data().ok_or_else(|| {
                refusal("it takes audio only as data, not by URL; load it with `Audio::from_path`")
            })?;
            let format = audio_format(media_type).ok_or_else(|| {
                refusal(&format!("it takes audio as WAV or MP3, not as `{media_type}`; convert it first"))
            })?;
            TurnPart::InputAudio { input_audio: InputAudio { data, format } }
        }
        // URLs are allowed here: OpenAI itself does not support them, but routers with its protocol do.
        MediaKind::File => {
            TurnPart::File { file: FileData { filename: media.name.as_deref(), file_data: &media.url } }
        }
    })
}

fn audio_format(media_type: &str) -> Option<&'static str> {
    match media_type.to_ascii_lowercase().as_str() {
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some("wav"),
        "audio/mp3" | "audio/mpeg" => Some("mp3"),
        _ => None,
    }
}

fn refusal(why: &str) -> serde_json::Error {
    serde::ser::Error::custom(why)
}

fn wire_format(format: &Format) -> Option<WireFormat<'_>> {
    let schema = |name, strict, schema| {
        Some(WireFormat::JsonSchema { json_schema: NamedSchema { name, strict, schema } })
    };
    match format {
        Format::Strict(name, value) => schema(name, true, value),
        Format::Schema(name, value) => schema(name, false, value),
        Format::Object => Some(WireFormat::JsonObject),
        Format::Text => None,
    }
}
