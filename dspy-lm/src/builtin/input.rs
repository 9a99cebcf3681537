//! One input as the learner sees it.

use serde_json::Value;

use super::features::Bag;
use super::prompt::Field;
use super::words::words;

/// The features of an input and its words of content.
#[derive(Debug, Clone, Default)]
pub(super) struct Input {
    pub(super) bag: Bag,
    /// The stems of the words of content, each once, in the order of the text.
    pub(super) stems: Vec<String>,
}

impl Input {
    /// Reads field values, given as names and readable texts.
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

    /// Reads the texts of these fields.
    pub(super) fn of_fields(fields: &[Field], texts: &[Option<String>]) -> Input {
        let values = fields.iter().zip(texts);
        let values = values.filter_map(|(field, text)| Some((field.name.as_str(), text.as_deref()?)));
        Input::new(&values.collect::<Vec<_>>())
    }
}

/// A field value as plain text: the texts inside JSON, one a line.
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
