//! Conversion of messages to content blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::protocols::wire::{Source, arguments_object};
use crate::{Content, Media, MediaKind, Message, Part, Role};

/// Returns the conversation as turns of two roles. System messages are omitted, and consecutive turns of one role are
/// merged, because the results of parallel calls must be in one turn.
pub(super) fn turns(messages: &[Message], source: Source<'_>, images: bool) -> Result<Vec<Value>, String> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in messages.iter().filter(|message| message.role != Role::System) {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let blocks = blocks(message, source, images)?;
        match turns.last_mut() {
            Some((last, content)) if *last == role => content.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    let turn = |(role, content): (&str, Vec<Value>)| json!({"role": role, "content": content});
    Ok(turns.into_iter().filter(|(_, content)| !content.is_empty()).map(turn).collect())
}

/// Returns the system messages as blocks.
pub(super) fn system(messages: &[Message]) -> Vec<Value> {
    let said = messages.iter().filter(|message| message.role == Role::System);
    said.filter_map(|message| text(&message.text())).collect()
}

/// Returns a block of text, or `None` if it is blank, because the API refuses blank ones.
fn text(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn blocks(message: &Message, source: Source<'_>, images: bool) -> Result<Vec<Value>, String> {
    Ok(match &message.content {
        Content::Text(said) => text(said).into_iter().collect(),
        Content::Parts(parts) => {
            let block = |part: &Part| match part {
                Part::Text(said) => Ok(text(said)),
                Part::Media(media) => self::media(media, images).map(Some),
            };
            let blocks = parts.iter().map(block).collect::<Result<Vec<_>, String>>()?;
            blocks.into_iter().flatten().collect()
        }
        Content::Calls { text: said, calls, opaque } => match source.own(opaque.as_deref()) {
            // Signed reasoning must be sent back unchanged and in place.
            Some(items) => items.iter().filter_map(returned).collect(),
            None => {
                let call = |call: &crate::ToolCall| {
                    json!({"type": "tool_use", "id": call.id.as_deref().unwrap_or_default(), "name": call.name,
                        "input": arguments_object(&call.arguments)})
                };
                text(said).into_iter().chain(calls.iter().map(call)).collect()
            }
        },
        Content::ToolResult { id, text, parts } => {
            let content = match &**parts {
                [] => json!(&**text),
                parts => parts.iter().filter_map(|part| result_part(part, images)).collect(),
            };
            vec![json!({"type": "tool_result", "tool_use_id": &**id, "content": content})]
        }
    })
}

/// Returns a part of a tool's result. Media that the model does not take are placeholders: the request is not refused
/// because of what a tool has returned.
fn result_part(part: &Part, images: bool) -> Option<Value> {
    let block = match part {
        Part::Media(media) => self::media(media, images).ok(),
        Part::Text(_) => None,
    };
    block.or_else(|| text(&part.shown()))
}

/// Returns a block of the model in a form that can be sent back; `None` if the API would refuse it, as for some
/// blocks of a truncated reply.
fn returned(item: &Value) -> Option<Value> {
    let mut item = item.clone();
    match item.get("type").and_then(Value::as_str) {
        Some("text") => return text(item.get("text")?.as_str()?),
        Some("tool_use") => item["input"] = arguments_object(&item["input"]),
        _ => {}
    }
    Some(item)
}

fn media(media: &Media, images: bool) -> Result<Value, String> {
    let by_url = || json!({"type": "url", "url": &*media.url});
    match media.kind {
        MediaKind::Image if !images => {
            Err("the model is known to see no images; choose another one".to_owned())
        }
        MediaKind::Image => {
            let source = media.data().map_or_else(
                by_url,
                |(media_type, data)| json!({"type": "base64", "media_type": media_type, "data": data}),
            );
            Ok(json!({"type": "image", "source": source}))
        }
        MediaKind::Audio => Err("it takes no audio; transcribe it first, or use a model that listens".into()),
        MediaKind::File => {
            let source = match media.data() {
                None => by_url(),
                Some((kind @ "application/pdf", data)) => {
                    json!({"type": "base64", "media_type": kind, "data": data})
                }
                Some((kind, data)) if kind.starts_with("text/") || kind == "application/json" => {
                    let bytes =
                        STANDARD.decode(data).map_err(|error| format!("a file is not base64: {error}"))?;
                    let text = String::from_utf8(bytes).map_err(|_| "a text file is not UTF-8".to_owned())?;
                    json!({"type": "text", "media_type": "text/plain", "data": text})
                }
                Some((kind, _)) => {
                    return Err(format!("it takes files as PDF or text, not as `{kind}`; convert it first"));
                }
            };
            let mut block = json!({"type": "document", "source": source});
            if let Some(name) = &media.name {
                block["title"] = (&**name).into();
            }
            Ok(block)
        }
    }
}
