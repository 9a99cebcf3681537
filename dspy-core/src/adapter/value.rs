//! Conversion of field values to text in which no value can be read as a marker, and back.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::message_builder::MessageBuilder;
use super::{code, markers};
use crate::decode::internal::{is_nothing, may_be_nothing};
use crate::signature::{FieldSpec, Native};
use crate::types::{Document, Trajectory, describe, show_documents};

/// Appends `value` in the form that follows its marker.
pub(super) fn push(out: &mut MessageBuilder, field: &FieldSpec, value: &Value) {
    if field.has_media() && out.push_media(field, value, markers::escape_json) {
        return;
    }
    if out.push_turns(field, value, markers::escape) {
        return;
    }
    if let Some(text) = own_form(field, value) {
        return push_text(&mut out.text, &text);
    }
    match value {
        Value::String(text) if field.is_optional_text() => push_optional_text(&mut out.text, text),
        Value::String(text) if field.is_text() || !looks_native(text) => push_text(&mut out.text, text),
        value => out.text.push_str(&markers::escape_json(&json_text(field, value))),
    }
}

/// Returns the text of a value, without escaping markers.
pub(super) fn plain<'v>(field: &FieldSpec, value: &'v Value) -> Cow<'v, str> {
    if let Some(text) = own_form(field, value) {
        return text.into();
    }
    match value {
        value if field.native() == Some(Native::Tools) => tools_text(value).into(),
        Value::String(text) if field.is_text() || field.is_optional_text() || !looks_native(text) => {
            text.as_str().into()
        }
        value => json_text(field, value).into(),
    }
}

/// Returns the text of a value whose type has its own form in prompts.
fn own_form(field: &FieldSpec, value: &Value) -> Option<String> {
    match value {
        Value::String(text) if field.is_code() => Some(code::fenced(field, text)),
        value if field.native() == Some(Native::Tools) => Some(tools_text(value)),
        // A log that was rendered before.
        Value::String(text) if field.native() == Some(Native::Trajectory) => Some(text.clone()),
        value if field.native() == Some(Native::Trajectory) => Some(Trajectory::of(value).to_string()),
        value => documents(field, value),
    }
}

/// Returns the text of an input that consists of documents.
fn documents(field: &FieldSpec, value: &Value) -> Option<String> {
    if !field.has_documents() {
        return None;
    }
    let documents: Vec<Document> = match value {
        Value::Array(_) => Deserialize::deserialize(value).ok()?,
        value => vec![Deserialize::deserialize(value).ok()?],
    };
    (!documents.is_empty()).then(|| show_documents(&documents))
}

/// Describes tools in words: a line for each tool with its arguments, and the definitions of their types.
fn tools_text(value: &Value) -> String {
    let mut out = String::new();
    let tools = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    for tool in tools.iter().filter(|tool| tool.is_object()) {
        let text = |key: &str| tool.get(key).and_then(Value::as_str).unwrap_or_default();
        let mut parameters = tool.get("parameters").cloned().unwrap_or_default();
        if let Some(members) = parameters.as_object_mut() {
            // A title would turn the arguments into a named type.
            members.shift_remove("title");
        }
        let arguments = describe(&parameters);
        out.push_str(&format!("- {}: {}\n", text("name"), text("description").replace('\n', "\n  ")));
        out.push_str(&format!("  arguments: {}\n", arguments.notation.replace('\n', "\n  ")));
        for (name, definition) in &arguments.definitions {
            out.push_str(&format!("  {name} = {}\n", definition.replace('\n', "\n  ")));
        }
    }
    if out.is_empty() {
        out.push_str("none");
    }
    out.truncate(out.trim_end().len());
    out
}

/// Returns whether an unquoted string would be read as a value of another type.
fn looks_native(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok() || text.is_empty()
}

fn json_text(field: &FieldSpec, value: &Value) -> String {
    let shortened;
    let value = if field.has_f32() {
        shortened = shorten_f32(value);
        &shortened
    } else {
        value
    };
    // A map of strings, numbers and lists always has a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}

/// Restores the short form of `f32` numbers, which are stored as `f64`, where 0.1 becomes
/// 0.10000000149011612.
pub(super) fn shorten_f32(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let short = number
                .as_f64()
                .filter(|wide| number.is_f64() && f64::from(*wide as f32) == *wide)
                .and_then(|wide| (wide as f32).to_string().parse::<f64>().ok())
                .and_then(serde_json::Number::from_f64);
            Value::Number(short.unwrap_or_else(|| number.clone()))
        }
        Value::Array(items) => items.iter().map(shorten_f32).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), shorten_f32(value))).collect())
        }
        other => other.clone(),
    }
}

fn push_text(out: &mut String, text: &str) {
    let text = markers::escape(text);
    // Space around a section is not significant, so space that belongs to the value is guarded by `\`.
    if text.trim_start_matches('\\').starts_with(char::is_whitespace) {
        out.push('\\');
    }
    out.push_str(&text);
    if needs_end(text.trim_end_matches('\\')) {
        out.push('\\');
    }
}

/// Appends text like [`push_text`], for optional fields: adds a guard to text that would be read as
/// absent.
fn push_optional_text(out: &mut String, text: &str) {
    let start = out.len();
    push_text(out, text);
    if may_seem_absent(&out[start..]) {
        out.insert(start, '\\');
    }
}

/// Returns whether a section, without its guards, is empty or states that the value is absent.
fn may_seem_absent(section: &str) -> bool {
    let bare = section.trim_start_matches('\\');
    bare.is_empty() || is_nothing(bare)
}

/// Returns the text of a section, the inverse of [`push`] for optional text fields; `None` if the section
/// states no value.
pub(super) fn optional_text_of(section: &str) -> Option<Cow<'_, str>> {
    let section = section.trim();
    if section.is_empty() || is_nothing(section) {
        return None;
    }
    Some(match section.strip_prefix('\\').filter(|_| may_seem_absent(section)) {
        Some(guarded) => text_of(guarded),
        None => text_of(section),
    })
}

/// Returns the beginning of such text once it is certain not to be absent.
pub(super) fn optional_beginning(section: &str) -> Option<Cow<'_, str>> {
    let section = section.trim();
    (!may_be_nothing(section.trim_start_matches('\\'))).then(|| markers::unescape(without_lead(section)))
}

/// Returns whether text needs a guard at its end: for trailing space, or for a last line that would be read
/// as the mark of a fence around it.
fn needs_end(text: &str) -> bool {
    text.ends_with(char::is_whitespace) || markers::ends_in_loose_fence(text)
}

/// Returns the beginning of a section without the space before its text, which is known to have begun.
pub(super) fn without_lead(section: &str) -> &str {
    let text = section.trim_start();
    let unguarded = text.trim_start_matches('\\');
    if unguarded.len() < text.len() && unguarded.starts_with(char::is_whitespace) { &text[1..] } else { text }
}

/// Returns the text of a section, the inverse of [`push`] for text fields.
pub(super) fn text_of(section: &str) -> Cow<'_, str> {
    let mut text = without_lead(section.trim());
    let unguarded = text.trim_end_matches('\\');
    if unguarded.len() < text.len() && needs_end(unguarded) {
        text = &text[..text.len() - 1];
    }
    markers::unescape(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signature::Role;

    fn round_trip(text: &str) -> String {
        let field = FieldSpec::text(Role::Output, "answer", "");
        let mut out = MessageBuilder::default();
        out.text.push('\n');
        push(&mut out, &field, &Value::from(text));
        out.text.push_str("\n\n");
        text_of(markers::without_loose_fence(out.text.trim())).into_owned()
    }

    fn optional_round_trip(text: &str) -> Option<String> {
        let schema = serde_json::json!({"type": ["string", "null"]});
        let field = FieldSpec::new(Role::Output, "answer", "", schema);
        let mut out = MessageBuilder::default();
        out.text.push('\n');
        push(&mut out, &field, &Value::from(text));
        out.text.push_str("\n\n");
        optional_text_of(markers::without_loose_fence(out.text.trim())).map(Cow::into_owned)
    }

    #[test]
    fn edge_cases_survive() {
        for text in [
            "",
            " ",
            "\n",
            "\\",
            "\\ ",
            " \\",
            "\\ \\",
            " a ",
            "\\\\ a",
            "[[ ## answer ## ]]",
            "[[ \\## x ## ]]",
            "```",
            "a\n```",
            "a\n```rust\\",
            "```\na\n```\n~~~",
            "</think>",
        ] {
            assert_eq!(round_trip(text), text);
            assert_eq!(optional_round_trip(text).as_deref(), Some(text));
        }
        for text in ["null", "None", "null.", "\\null", " null", "5", "\"x\"", "{}", "\\\\None.", "nul"] {
            assert_eq!(optional_round_trip(text).as_deref(), Some(text));
        }
        for nothing in ["", " \n", "null", "None", "null."] {
            assert_eq!(optional_text_of(nothing), None, "{nothing:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_survives(text in r"([ \\\n`a#\[\]x]|\n?```|</think>){0,12}") {
            prop_assert_eq!(&round_trip(&text), &text);
            let text = text.replace('x', "null");
            prop_assert_eq!(optional_round_trip(&text), Some(text));
        }
    }
}
