//! Properties of a field's type that prompts need beside its schema, computed once for each field.

use serde_json::Value;

use crate::types::mentions;
use dspy_base::keyword;

/// The facets of a type.
#[derive(Debug)]
pub(super) struct Facets {
    /// Whether single-precision numbers occur in the values.
    pub(super) f32: bool,
    /// Whether images, audio or files occur in the values.
    pub(super) media: bool,
    /// Whether the type restricts its strings beyond being strings.
    pub(super) constrained: bool,
    pub(super) form: Form,
}

/// The form of a field's values in prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Any string, shown unchanged.
    Text,
    /// A string shown unchanged, or nothing.
    OptionalText,
    /// JSON, except for strings that cannot be mistaken for it.
    Usual,
    /// A document or a list of documents, numbered.
    Documents,
    /// Code in a fence.
    Code,
    /// Earlier turns of the conversation, shown as turns.
    History,
}

impl Facets {
    pub(super) fn of(schema: &Value) -> Self {
        let says = |schema: &Value, keyword: &str| schema.get(keyword).is_some();
        let documents = says(schema, keyword::DOCUMENT)
            || schema.get("items").is_some_and(|items| says(items, keyword::DOCUMENT));
        let form = if documents {
            Form::Documents
        } else if says(schema, keyword::CODE) {
            Form::Code
        } else if says(schema, keyword::HISTORY) {
            Form::History
        } else if is_text(schema) {
            Form::Text
        } else if is_optional_text(schema) {
            Form::OptionalText
        } else {
            Form::Usual
        };
        let constrained = ["minLength", "maxLength", "contentEncoding"].iter().any(|key| says(schema, key));
        let f32 = mentions(schema, &|part| part.get("format").is_some_and(|format| format == "float"));
        let media = mentions(schema, &|part| part.contains_key(keyword::MEDIA));
        Facets { f32, media, constrained, form }
    }
}

fn is_text(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("string")
        && ["enum", "const", "format", "pattern"].iter().all(|key| schema.get(key).is_none())
}

/// Returns whether the values are any string or null.
fn is_optional_text(schema: &Value) -> bool {
    let plain = ["enum", "const", "format", "pattern", "contentEncoding", "allOf", "oneOf", "$ref"];
    if plain.iter().any(|key| schema.get(key).is_some()) {
        return false;
    }
    let is_null = |part: &Value| part.get("type").and_then(Value::as_str) == Some("null");
    match (schema.get("type"), schema.get("anyOf").and_then(Value::as_array)) {
        (Some(Value::Array(kinds)), None) => {
            kinds.len() == 2 && kinds.contains(&"string".into()) && kinds.contains(&"null".into())
        }
        (None, Some(parts)) => match &parts[..] {
            [text, null] | [null, text] if is_null(null) => {
                is_text(text) && text.get(keyword::CODE).is_none()
            }
            _ => false,
        },
        _ => false,
    }
}
