//! The features of one input.

use serde_json::Value;

use super::features::Bag;
use super::prompt::Field;
use super::words::words;

/// The features of an input and the stems of its content words.
#[derive(Debug, Clone, Default)]
pub(super) struct Input {
    pub(super) bag: Bag,
    /// The distinct stems of the content words, in the order of the text.
    pub(super) stems: Vec<String>,
}

impl Input {
    /// Creates the features of field values, given as pairs of name and plain text.
    pub(super) fn new(values: &[(&str, &str)]) -> Input {
        let mut stems: Vec<String> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (_, text) in values {
            for word in words(text) {
                if !word.stop && seen.insert(word.stem.clone()) {
                    stems.push(word.stem);
                }
            }
        }
        Input { bag: Bag::new(values.iter().copied()), stems }
    }

    /// Creates the features of the fields that have text.
    pub(super) fn of_fields(fields: &[Field], texts: &[Option<String>]) -> Input {
        let values = fields.iter().zip(texts);
        let values = values.filter_map(|(field, text)| Some((field.name.as_str(), text.as_deref()?)));
        Input::new(&values.collect::<Vec<_>>())
    }
}

/// Converts a field value to plain text. JSON becomes its strings, numbers and booleans, one per line; null
/// becomes the empty string.
pub(super) fn readable(text: &str) -> String {
    if text.starts_with(['[', '{', '"'])
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        let mut out = String::with_capacity(text.len());
        push_leaves(&mut out, &value);
        return out;
    }
    if text == "null" { String::new() } else { text.to_owned() }
}

fn push_leaves(out: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(text) => push_line(out, text),
        Value::Array(items) => items.iter().for_each(|item| push_leaves(out, item)),
        Value::Object(members) => members.values().for_each(|member| push_leaves(out, member)),
        other => push_line(out, &other.to_string()),
    }
}

fn push_line(out: &mut String, text: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(text);
}
