//! Conversion of messages to input items.

use serde_json::{Value, json};

use crate::protocols::openai::arguments_text;
use crate::protocols::wire::Source;
use crate::{Content, Media, MediaKind, Message, Part, ToolCall};

/// Returns the conversation as items.
pub(super) fn items(messages: &[Message], source: Source<'_>, images: bool) -> Result<Vec<Value>, String> {
    let mut items = Vec::new();
    for message in messages {
        let said = |content: Value| json!({"role": message.role.as_str(), "content": content});
        match &message.content {
            Content::Text(text) => items.push(said((&**text).into())),
            Content::Parts(parts) => {
                let parts =
                    parts.iter().map(|part| self::part(part, images)).collect::<Result<Vec<_>, _>>()?;
                items.push(said(parts.into()));
            }
            Content::Calls { text, calls, opaque } => match source.own(opaque.as_deref()) {
                // Encrypted reasoning must be sent back before the items that resulted from it.
                Some(own) => items.extend(own.iter().cloned()),
                None => {
                    items.extend((!text.is_empty()).then(|| said((&**text).into())));
                    items.extend(calls.iter().map(call));
                }
            },
            Content::ToolResult { id, text, parts } => {
                let output = match &**parts {
                    [] => json!(&**text),
                    parts => parts.iter().map(|part| result_part(part, images)).collect(),
                };
                items.push(json!({"type": "function_call_output", "call_id": &**id, "output": output}));
            }
        }
    }
    Ok(items)
}

fn call(call: &ToolCall) -> Value {
    json!({"type": "function_call", "call_id": call.id.as_deref().unwrap_or_default(), "name": call.name,
        "arguments": arguments_text(&call.arguments)})
}

/// Returns a part of a tool's result. Media that the model does not take are placeholders: the request is not refused
/// because of what a tool has returned.
fn result_part(part: &Part, images: bool) -> Value {
    self::part(part, images).unwrap_or_else(|_| json!({"type": "input_text", "text": &*part.shown()}))
}

fn part(part: &Part, images: bool) -> Result<Value, String> {
    match part {
        Part::Text(text) => Ok(json!({"type": "input_text", "text": &**text})),
        Part::Media(media) => self::media(media, images),
    }
}

fn media(media: &Media, images: bool) -> Result<Value, String> {
    match media.kind {
        MediaKind::Image if !images => {
            Err("the model is known to see no images; choose another one".to_owned())
        }
        MediaKind::Image => {
            let detail = media.detail.map_or("auto", crate::Detail::as_str);
            Ok(json!({"type": "input_image", "image_url": &*media.url, "detail": detail}))
        }
        MediaKind::Audio => {
            Err("responses take no audio; use `Protocol::Chat` or transcribe it first".into())
        }
        MediaKind::File => {
            let mut file = json!({"type": "input_file"});
            if media.data().is_some() {
                file["filename"] = media.name.as_deref().unwrap_or("file.pdf").into();
                file["file_data"] = (&*media.url).into();
            } else {
                file["file_url"] = (&*media.url).into();
            }
            Ok(file)
        }
    }
}
