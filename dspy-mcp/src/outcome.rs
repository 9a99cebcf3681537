//! Results of tools as values, and values as results.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use crate::McpError;
use crate::challenge::shorten;

/// Converts the result of a tool to the value that a model reads: the structured content if there is one, otherwise text.
/// Media are described.
pub(crate) fn read(tool: &str, result: CallToolResult, most: usize) -> Result<Value, McpError> {
    let is_media = |block: &ContentBlock| !matches!(block, ContentBlock::Text(_));
    let failed = result.is_error == Some(true);
    let text = |blocks: &[ContentBlock]| {
        let shown: Vec<_> = blocks.iter().map(describe).collect();
        clip(&shown.join("\n"), most)
    };
    if failed {
        let message = match (text(&result.content), result.structured_content) {
            (message, Some(value)) if message.is_empty() => clip(&value.to_string(), most),
            (message, _) if message.is_empty() => "the tool failed without a message".to_owned(),
            (message, _) => message,
        };
        return Err(McpError::Tool { tool: tool.to_owned(), message });
    }
    let Some(value) = result.structured_content.filter(|value| !value.is_null()) else {
        return Ok(Value::String(text(&result.content)));
    };
    let written = value.to_string();
    let value = if written.len() > most { Value::String(clip(&written, most)) } else { value };
    let media: Vec<_> = result.content.into_iter().filter(is_media).collect();
    if media.is_empty() { Ok(value) } else { Ok(json!({"result": value, "media": text(&media)})) }
}

fn describe(block: &ContentBlock) -> String {
    let media = |kind: &str, of: &str, base64: &str| {
        format!("[{kind} of type {}, {} bytes]", shorten(of, 100), base64.len() / 4 * 3)
    };
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => media("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => media("audio", &audio.mime_type, &audio.data),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                format!("[resource {}]\n{text}", shorten(uri, 500))
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().unwrap_or("unknown");
                media(&format!("resource {}", shorten(uri, 500)), kind, blob)
            }
            _ => "[resource of an unknown kind]".into(),
        },
        ContentBlock::ResourceLink(link) => {
            format!("[link to {}: {}]", shorten(&link.name, 200), shorten(&link.uri, 500))
        }
        _ => "[content of an unknown kind]".into(),
    }
}

/// Returns a string without its middle if it is longer than `most` bytes.
fn clip(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let start = text.floor_char_boundary(most / 2);
    let end = text.ceil_char_boundary(text.len() - most / 2);
    format!("{}\n[… {} bytes left out …]\n{}", &text[..start], end - start, &text[end..])
}

/// Converts the value of a tool to a result.
pub(crate) fn write(value: Value) -> CallToolResult {
    match value {
        Value::String(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
        object @ Value::Object(_) => CallToolResult::structured(object),
        other => CallToolResult::success(vec![ContentBlock::text(other.to_string())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_text_structure_and_descriptions() {
        let text = |text: &str| ContentBlock::text(text);
        let image = ContentBlock::image("QUJDREVG", "image/png");
        let read = |result| super::read("t", result, 100);
        assert_eq!(read(CallToolResult::success(vec![text("a"), text("b")])).unwrap(), "a\nb");
        assert_eq!(read(CallToolResult::success(vec![])).unwrap(), "");
        assert_eq!(read(CallToolResult::structured(json!({"a": 1}))).unwrap(), json!({"a": 1}));
        let described = "[image of type image/png, 6 bytes]";
        assert_eq!(read(CallToolResult::success(vec![image.clone()])).unwrap(), described);
        let mut both = CallToolResult::structured(json!([1]));
        both.content.push(image);
        assert_eq!(read(both).unwrap(), json!({"result": [1], "media": described}));
        let error = read(CallToolResult::error(vec![text("no such city")])).unwrap_err();
        assert!(matches!(error, McpError::Tool { .. }) && error.to_string() == "no such city", "{error}");
    }

    #[test]
    fn large_results_lose_their_middle() {
        let long = format!("start{}end", "ü".repeat(10_000));
        let Value::String(text) =
            read("t", CallToolResult::success(vec![ContentBlock::text(long)]), 100).unwrap()
        else {
            panic!("no text")
        };
        assert!(text.len() < 150 && text.starts_with("startü") && text.ends_with("üend"), "{text}");
        assert!(text.contains("bytes left out"), "{text}");
        let large = CallToolResult::structured(json!({"a": "x".repeat(1000)}));
        assert!(read("t", large, 100).unwrap().as_str().is_some_and(|text| text.len() < 150));
    }
}
