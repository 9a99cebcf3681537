//! Conversion of messages to contents.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::protocols::wire::{Source, arguments_object, media_title};
use crate::{Content, Media, MediaKind, Message, Part, Role, ToolCall};

/// Returns the conversation as turns of two roles. System messages are omitted, and consecutive turns of one role are
/// merged, because the results of parallel calls must be in one turn.
pub(super) fn turns(messages: &[Message], source: Source<'_>, images: bool) -> Result<Vec<Value>, String> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let mut called = Called::default();
    let conversation: Vec<_> = messages.iter().filter(|message| message.role != Role::System).collect();
    for (index, message) in conversation.iter().enumerate() {
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        let mut parts = parts(message, source, images, &mut called)?;
        // The results of parallel calls come first, then the media in them.
        let is_result = |message: &&Message| matches!(message.content, Content::ToolResult { .. });
        if is_result(message) && !conversation.get(index + 1).is_some_and(is_result) {
            let results =
                conversation[..=index].iter().rev().take_while(|message| is_result(message)).count();
            let results = &conversation[index + 1 - results..=index];
            parts.extend(results.iter().flat_map(|result| result_media(result, images)));
        }
        match turns.last_mut() {
            Some((last, content)) if *last == role => content.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    let turn = |(role, parts): (&str, Vec<Value>)| json!({"role": role, "parts": parts});
    Ok(turns.into_iter().filter(|(_, parts)| !parts.is_empty()).map(turn).collect())
}

/// Returns the system messages as parts.
pub(super) fn system(messages: &[Message]) -> Vec<Value> {
    let said = messages.iter().filter(|message| message.role == Role::System);
    said.filter_map(|message| text(&message.text())).collect()
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({ "text": text }))
}

/// The tool calls so far.
#[derive(Default)]
struct Called<'m> {
    /// The tool of each call id; results are sent back under the tool's name.
    names: HashMap<&'m str, &'m str>,
    /// The ids that the model itself assigned; those assigned by the library are unknown to it.
    ids: HashSet<String>,
}

fn parts<'m>(
    message: &'m Message,
    source: Source<'_>,
    images: bool,
    called: &mut Called<'m>,
) -> Result<Vec<Value>, String> {
    Ok(match &message.content {
        Content::Text(said) => text(said).into_iter().collect(),
        Content::Parts(parts) => {
            let part = |part: &Part| match part {
                Part::Text(said) => Ok(text(said)),
                Part::Media(media) => self::media(media, images).map(Some),
            };
            let parts = parts.iter().map(part).collect::<Result<Vec<_>, String>>()?;
            parts.into_iter().flatten().collect()
        }
        Content::Calls { text: said, calls, opaque } => {
            let named = |call: &'m ToolCall| Some((call.id.as_deref()?, call.name.as_str()));
            called.names.extend(calls.iter().filter_map(named));
            match source.own(opaque.as_deref()) {
                // Signatures must be sent back in their original parts.
                Some(items) => {
                    let id = |item: &Value| Some(item.pointer("/functionCall/id")?.as_str()?.to_owned());
                    called.ids.extend(items.iter().filter_map(id));
                    items.to_vec()
                }
                None => {
                    let call = |call: &ToolCall| json!({"functionCall": {"name": call.name, "args": arguments_object(&call.arguments)}});
                    text(said).into_iter().chain(calls.iter().map(call)).collect()
                }
            }
        }
        Content::ToolResult { id, text, .. } => {
            let name = called.names.get(&**id).copied().unwrap_or(id);
            let result = serde_json::from_str(text).ok().filter(Value::is_object);
            let result = result.unwrap_or_else(|| json!({"result": &**text}));
            let mut response = json!({"name": name, "response": result});
            if called.ids.contains(&**id) {
                response["id"] = (&**id).into();
            }
            vec![json!({"functionResponse": response})]
        }
    })
}

/// Returns the media in a tool's result, below a line that says where they belong. Those that the model does not take
/// are left out; the result itself has a placeholder for each.
fn result_media(message: &Message, images: bool) -> Vec<Value> {
    let Content::ToolResult { id, parts, .. } = &message.content else { return Vec::new() };
    let media = parts.iter().filter_map(|part| match part {
        Part::Media(media) => self::media(media, images).ok(),
        Part::Text(_) => None,
    });
    let media: Vec<Value> = media.collect();
    let title = (!media.is_empty()).then(|| json!({"text": media_title(id)}));
    title.into_iter().chain(media).collect()
}

fn media(media: &Media, images: bool) -> Result<Value, String> {
    if media.kind == MediaKind::Image && !images {
        return Err("the model is known to see no images; choose another one".into());
    }
    if let Some((media_type, data)) = media.data() {
        return Ok(json!({"inlineData": {"mimeType": media_type, "data": data}}));
    }
    let mut file = json!({"fileUri": &*media.url});
    if let Some(media_type) = media_type(&media.url) {
        file["mimeType"] = media_type.into();
    }
    Ok(json!({"fileData": file}))
}

/// Returns the media type implied by the extension of a URL.
fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
