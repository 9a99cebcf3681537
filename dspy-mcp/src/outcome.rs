//! Results of tools as values, and values as results.

use dspy_core::decode::Plan;
use dspy_core::lm::{MediaKind, Part};
use dspy_core::tools::ToolValue;
use dspy_core::types::{Audio, File, Image, MediaError};
use rmcp::model::{CallToolResult, ContentBlock, Resource, ResourceContents};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::McpError;
use crate::challenge::shorten;

/// The largest parts of a result that are returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    /// The bytes of its text or structured content.
    pub(crate) text: usize,
    /// The bytes of its media together.
    pub(crate) media: usize,
}

/// A piece of a result, in the order of the server.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Image(Image),
    Audio(Audio),
    File(File),
}

/// The result of a tool with structured content and media.
#[derive(Serialize)]
struct Both {
    result: Value,
    media: Vec<Piece>,
}

/// Converts the result of a tool to the value that a model reads: the structured content if there is one, otherwise text.
/// Images, audio and binary resources are media in their places; those that cannot be shown are described.
pub(crate) fn read(tool: &str, result: CallToolResult, most: Most) -> Result<ToolValue, McpError> {
    if result.is_error == Some(true) {
        let described: Vec<_> = result.content.iter().map(|block| describe(block, None)).collect();
        let message = match (clip(&described.join("\n"), most.text), result.structured_content) {
            (message, Some(value)) if message.is_empty() => clip(&value.to_string(), most.text),
            (message, _) if message.is_empty() => "the tool failed without a message".to_owned(),
            (message, _) => message,
        };
        return Err(McpError::Tool { tool: tool.to_owned(), message });
    }
    let unwritable =
        |error: serde_json::Error| McpError::Tool { tool: tool.to_owned(), message: error.to_string() };
    let mut left = most.media;
    let Some(value) = result.structured_content.filter(|value| !value.is_null()) else {
        let mut pieces = pieces(&result.content, &mut left);
        if let [Piece::Text(text)] = &mut *pieces {
            return Ok(clip(text, most.text).into());
        }
        if pieces.is_empty() {
            return Ok("".into());
        }
        clip_all(&mut pieces, most.text);
        return ToolValue::new(&pieces).map_err(unwritable);
    };
    let written = value.to_string();
    let value = if written.len() > most.text { Value::String(clip(&written, most.text)) } else { value };
    let is_media = |block: &ContentBlock| !matches!(block, ContentBlock::Text(_));
    let media: Vec<_> = result.content.into_iter().filter(is_media).collect();
    if media.is_empty() {
        return Ok(value.into());
    }
    let mut media = pieces(&media, &mut left);
    clip_all(&mut media, most.text);
    ToolValue::new(&Both { result: value, media }).map_err(unwritable)
}

/// Checks that structured content is as the tool has declared it.
pub(crate) fn check(result: &CallToolResult, output: &Plan, most: Most) -> Result<(), String> {
    let value = match &result.structured_content {
        _ if result.is_error == Some(true) => return Ok(()),
        Some(value) => value,
        None => {
            return Err("its result has no structured content, which its output schema declares".to_owned());
        }
    };
    let problem = match output.coerce(value.clone()) {
        Ok(read) if read.report.repairs.is_empty() => return Ok(()),
        Ok(read) => {
            let paths = read.report.repairs.iter().map(|repair| format!("`{}`", repair.path));
            format!("wrong values at {}", paths.collect::<Vec<_>>().join(", "))
        }
        Err(error) => error.to_string(),
    };
    let problem = shorten(&problem, 1_000);
    Err(format!(
        "its structured content is not as its output schema declares: {problem}; it is {}",
        clip(&value.to_string(), most.text)
    ))
}

/// Returns a result in which blocks of unknown types, or without what their type needs, are text: their JSON. Returns `None`
/// for what is no result of a tool.
pub(crate) fn with_known_content(result: &Value) -> Option<CallToolResult> {
    let mut result = result.clone();
    for block in result.get_mut("content")?.as_array_mut()? {
        if ContentBlock::deserialize(&*block).is_err() {
            let kind = block.get("type").and_then(Value::as_str).unwrap_or("none");
            let text = format!("[content of the unknown type `{}`] {block}", shorten(kind, 100));
            *block = serde_json::json!({"type": "text", "text": text});
        }
    }
    CallToolResult::deserialize(result).ok()
}

/// Returns the blocks in their order. Blocks of text are on lines of their own, and neighbours are one piece.
fn pieces(blocks: &[ContentBlock], left: &mut usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let (media, problem) = match media(block, left) {
            Some(Ok(media)) => (Some(media), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        let line = if index > 0 { "\n" } else { "" };
        let text = match &media {
            Some(_) => line.to_owned(),
            None => line.to_owned() + &describe(block, problem.as_deref()),
        };
        match pieces.last_mut() {
            Some(Piece::Text(before)) => before.push_str(&text),
            _ if text.is_empty() => {}
            _ => pieces.push(Piece::Text(text)),
        }
        pieces.extend(media);
    }
    pieces
}

/// Returns the media of a block, or the reason why it cannot be shown; `None` for any other block.
fn media(block: &ContentBlock, left: &mut usize) -> Option<Result<Piece, String>> {
    let (kind, of, base64): (Kind, &str, &str) = match block {
        ContentBlock::Image(image) => (Kind::Image, &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => (Kind::Audio, &audio.mime_type, &audio.data),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::BlobResourceContents { mime_type, blob, .. } => {
                let of = mime_type.as_deref().unwrap_or("application/octet-stream");
                let class = of.split('/').next().unwrap_or_default().to_ascii_lowercase();
                let kind = match class.as_str() {
                    "image" => Kind::Image,
                    "audio" => Kind::Audio,
                    _ => Kind::File,
                };
                (kind, of, blob)
            }
            _ => return None,
        },
        _ => return None,
    };
    let size = bytes(base64);
    let Some(rest) = left.checked_sub(size) else {
        return Some(Err("more than `max_media_bytes`".to_owned()));
    };
    let media = kind.read(&format!("data:{of};base64,{base64}"));
    let media = media.map(|media| match (media, block) {
        (Piece::File(file), ContentBlock::Resource(embedded)) => Piece::File(named(file, &embedded.resource)),
        (media, _) => media,
    });
    if media.is_ok() {
        *left = rest;
    }
    Some(media.map_err(|error| shorten(&error.to_string(), 200).to_owned()))
}

/// Gives a file the name in the address of its resource.
fn named(file: File, resource: &ResourceContents) -> File {
    let name = match resource {
        ResourceContents::BlobResourceContents { uri, .. } => file_name(uri),
        _ => None,
    };
    match name {
        Some(name) => file.with_name(name),
        None => file,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Image,
    Audio,
    File,
}

impl Kind {
    /// Checks the type and the encoding.
    fn read(self, data: &str) -> Result<Piece, MediaError> {
        match self {
            Kind::Image => Image::from_url(data).map(Piece::Image),
            Kind::Audio => Audio::from_url(data).map(Piece::Audio),
            Kind::File => File::from_url(data).map(Piece::File),
        }
    }
}

/// Returns the size of the content.
fn bytes(base64: &str) -> usize {
    let padding = base64.len() - base64.trim_end_matches('=').len();
    (base64.len() / 4 * 3).saturating_sub(padding.min(2))
}

fn describe(block: &ContentBlock, problem: Option<&str>) -> String {
    let media = |kind: &str, of: &str, base64: &str| {
        let problem = problem.map(|problem| format!(", not shown: {problem}")).unwrap_or_default();
        format!("[{kind} of type {}, {} bytes{problem}]", shorten(of, 100), bytes(base64))
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

/// Shortens the texts so that they have at most `most` bytes together, beside the notes of what is missing.
fn clip_all(pieces: &mut [Piece], most: usize) {
    let length = |piece: &Piece| if let Piece::Text(text) = piece { text.len() } else { 0 };
    let all: usize = pieces.iter().map(length).sum();
    if all <= most {
        return;
    }
    // The long ones are shortened first: each has an equal share of what the shorter ones leave.
    let mut lengths: Vec<usize> = pieces.iter().map(length).filter(|length| *length > 0).collect();
    lengths.sort_unstable();
    let (mut left, mut share) = (most, 0);
    for (index, length) in lengths.iter().enumerate() {
        share = left / (lengths.len() - index);
        if *length > share {
            break;
        }
        left -= length;
    }
    for piece in pieces {
        if let Piece::Text(text) = piece
            && text.len() > share
        {
            *text = clip(text, share);
        }
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

/// Converts the value of a tool to a result. One with media is text and media in their order, and has no structured content,
/// which would have the media once more.
pub(crate) fn write(value: &ToolValue) -> CallToolResult {
    match value.value() {
        _ if !value.parts().is_empty() => CallToolResult::success(value.parts().iter().map(block).collect()),
        Value::String(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
        object @ Value::Object(_) => CallToolResult::structured(object.clone()),
        other => CallToolResult::success(vec![ContentBlock::text(other.to_string())]),
    }
}

fn block(part: &Part) -> ContentBlock {
    let media = match part {
        Part::Media(media) => media,
        part => return ContentBlock::text(part.shown()),
    };
    let name = media.name.as_deref().unwrap_or(media.kind.as_str());
    match (media.data(), media.kind) {
        (Some((of, data)), MediaKind::Image) => ContentBlock::image(data, of),
        (Some((of, data)), MediaKind::Audio) => ContentBlock::audio(data, of),
        (Some((of, data)), _) => {
            ContentBlock::resource(ResourceContents::blob(data, file_uri(name)).with_mime_type(of))
        }
        // The client decides whether to fetch it.
        (None, _) => ContentBlock::resource_link(Resource::new(&*media.url, name)),
    }
}

/// Returns the address of a file that is only in the result. Its name is the last segment.
fn file_uri(name: &str) -> String {
    let mut uri = "file:///".to_owned();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// Returns the last segment of an address, if it is the name of a file.
fn file_name(uri: &str) -> Option<String> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let (_, segment) = path.rsplit_once('/')?;
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = (byte == b'%').then(|| after.get(..2)).flatten();
        let escaped = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    let fits = !name.is_empty()
        && name.len() <= 255
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control);
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use dspy_core::lm::Media;
    use serde_json::json;

    use super::*;
    use crate::listing::Listed;
    use crate::session::Limits;

    const MOST: Most = Most { text: 100, media: 10 };

    #[test]
    fn results_are_text_structure_and_media_in_their_order() {
        let text = |text: &str| ContentBlock::text(text);
        let image = ContentBlock::image("QUJDREVG", "image/png");
        let read = |result| super::read("t", result, MOST);
        assert_eq!(read(CallToolResult::success(vec![text("a"), text("b")])).unwrap().value(), "a\nb");
        assert_eq!(read(CallToolResult::success(vec![])).unwrap().value(), "");
        assert_eq!(*read(CallToolResult::structured(json!({"a": 1}))).unwrap().value(), json!({"a": 1}));
        let form = json!({"image": "data:image/png;base64,QUJDREVG"});
        let blocks = vec![text("a"), image.clone(), text("b"), text("c")];
        let value = read(CallToolResult::success(blocks)).unwrap();
        assert_eq!(*value.value(), json!(["a\n", form, "\nb\nc"]));
        assert_eq!(value.parts().len(), 3);
        let mut both = CallToolResult::structured(json!([1]));
        both.content.push(image.clone());
        let both = read(both).unwrap();
        assert_eq!(*both.value(), json!({"result": [1], "media": [form]}));
        assert_eq!(both.parts().iter().filter(|part| matches!(part, Part::Media(_))).count(), 1);
        let error = read(CallToolResult::error(vec![text("no such city")])).unwrap_err();
        assert!(matches!(error, McpError::Tool { .. }) && error.to_string() == "no such city", "{error}");
        let error = read(CallToolResult::error(vec![image])).unwrap_err();
        assert_eq!(error.to_string(), "[image of type image/png, 6 bytes]");
    }

    #[test]
    fn media_that_are_written_are_read_as_they_were() {
        let media = |kind, url: &str| Media::new(kind, url);
        let named = media(MediaKind::File, "data:application/pdf;base64,QUJD").with_name("Année 1/2 %41.pdf");
        let parts = [
            Part::Text("see".into()),
            Part::Media(media(MediaKind::Image, "data:image/png;base64,QUJDREVG")),
            Part::Media(media(MediaKind::Audio, "data:audio/wav;base64,QUJD")),
            Part::Media(named),
            Part::Media(media(MediaKind::File, "data:application/pdf;base64,QUJD").with_name("a b.pdf")),
        ];
        let written = write(&ToolValue::from_parts(parts.clone()));
        assert!(written.structured_content.is_none());
        let wire = serde_json::to_value(&written).unwrap();
        let kinds: Vec<_> = (0..5).map(|at| wire["content"][at]["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["text", "image", "audio", "resource", "resource"]);
        let most = Most { text: 1_000, media: 1_000 };
        let read = super::read("t", written, most).unwrap();
        let seen: Vec<_> = read.parts().iter().filter(|part| matches!(part, Part::Media(_))).collect();
        // A name with a separator is not taken over.
        let wanted = [
            parts[1].clone(),
            parts[2].clone(),
            Part::Media(media(MediaKind::File, "data:application/pdf;base64,QUJD")),
            parts[4].clone(),
        ];
        assert_eq!(seen, wanted.iter().collect::<Vec<_>>());
        // An image elsewhere is a link.
        let link = Part::Media(media(MediaKind::Image, "https://example.org/chart.png"));
        let wire = serde_json::to_value(write(&ToolValue::from_parts([link]))).unwrap();
        assert_eq!(wire["content"][0]["type"], "resource_link");
        assert_eq!(wire["content"][0]["uri"], "https://example.org/chart.png");
    }

    #[test]
    fn media_that_cannot_be_shown_are_described() {
        let most = Most { text: 1_000, ..MOST };
        let read = |blocks| super::read("t", CallToolResult::success(blocks), most).unwrap();
        for (block, problem) in [
            (ContentBlock::image("QUJDREVG", "text/html"), "the type that fits it"),
            (ContentBlock::image("QUJDREVG", "image/png;base64,AAAA"), "data:TYPE;base64,DATA"),
            (ContentBlock::image("QUJD!EVG", "image/png"), "base64"),
            (ContentBlock::image("QUJDREVGQUJDREVG", "image/png"), "max_media_bytes"),
        ] {
            let value = read(vec![block]);
            assert!(value.parts().is_empty(), "{value:?}");
            assert!(value.text().starts_with("[image of type "), "{value:?}");
            assert!(value.text().contains(problem), "{value:?}");
        }
        // The limit is one for all media of a result.
        let image = || ContentBlock::image("QUJDREVG", "image/png");
        let value = read(vec![image(), image()]);
        assert_eq!(value.parts().len(), 2);
        assert!(value.text().contains("max_media_bytes"), "{value:?}");
    }

    #[test]
    fn long_texts_around_media_lose_their_middle() {
        let (long, short) = (ContentBlock::text("x".repeat(1000)), ContentBlock::text("short"));
        let image = ContentBlock::image("QUJDREVG", "image/png");
        let value = super::read("t", CallToolResult::success(vec![long, image, short]), MOST).unwrap();
        assert!(value.text().len() < 200 && value.text().contains("bytes left out"), "{value:?}");
        assert!(value.text().ends_with("\nshort"), "{value:?}");
    }

    #[test]
    fn large_results_lose_their_middle() {
        let long = format!("start{}end", "ü".repeat(10_000));
        let text = read("t", CallToolResult::success(vec![ContentBlock::text(long)]), MOST).unwrap();
        let text = text.text();
        assert!(text.len() < 150 && text.starts_with("startü") && text.ends_with("üend"), "{text}");
        assert!(text.contains("bytes left out"), "{text}");
        let large = CallToolResult::structured(json!({"a": "x".repeat(1000)}));
        assert!(read("t", large, MOST).unwrap().text().len() < 150);
    }

    #[test]
    fn structured_content_is_checked_against_its_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "n": {"type": "integer"}, "name": {"type": "string"}, "kind": {"enum": ["a", "b"]},
                "items": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["n"],
        });
        let item = json!({"name": "t", "outputSchema": schema});
        let output = Listed::read(&item, &Limits::default()).output.unwrap();
        let most = Most { text: 100, media: 0 };
        let checked = |value: Value| {
            let mut result = CallToolResult::default();
            result.structured_content = Some(value);
            check(&result, &output, most)
        };
        for fine in [
            json!({"n": 1}),
            json!({"n": 1, "name": "x", "kind": "b", "items": [1, 2.5]}),
            json!({"n": 1, "more": {"of": "it"}}),
        ] {
            checked(fine.clone()).unwrap_or_else(|error| panic!("{fine}: {error}"));
        }
        for (wrong, at) in [
            (json!({}), "n"),
            (json!({"n": "1"}), "n"),
            (json!({"n": "one"}), "n"),
            (json!({"n": 1.5}), "n"),
            (json!({"n": null}), "n"),
            (json!({"n": 1, "name": 5}), "name"),
            (json!({"n": 1, "kind": "c"}), "kind"),
            (json!({"n": 1, "kind": "A"}), "kind"),
            (json!({"n": 1, "items": 5}), "items"),
            (json!({"n": 1, "items": [1, "x"]}), "items"),
            (json!([1]), ""),
            (json!("n: 1"), ""),
        ] {
            let error = checked(wrong.clone()).expect_err(&wrong.to_string());
            assert!(
                error.contains(at) && error.contains("as its output schema declares"),
                "{wrong}: {error}"
            );
        }
        assert!(check(&CallToolResult::default(), &output, most).is_err());
        let mut failed = CallToolResult::default();
        failed.is_error = Some(true);
        assert!(check(&failed, &output, most).is_ok(), "an error has no structured content");
    }
}
