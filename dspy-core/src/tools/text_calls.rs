//! Parses notations of tool calls in the place that an adapter has for them.
//!
//! Beside the list of the type itself, models write JSON below `tool_calls` and `function` as in OpenAI's replies, JSON in
//! an element such as `<tool_call>`, and `<function=name>` with JSON or `<parameter=…>` elements. A notation counts only
//! if it is all there is: words around it may say that the call is not to be made.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{ToolCall, ToolCalls};

/// Elements and tokens around JSON calls. If the end is missing, the call ends with the text.
const WRAPPERS: [(&str, &str); 6] = [
    ("<tool_call>", "</tool_call>"),
    ("<tool_calls>", "</tool_calls>"),
    ("<function_call>", "</function_call>"),
    ("<|tool_call|>", "<|/tool_call|>"),
    ("<|python_tag|>", "<|eom_id|>"),
    ("[TOOL_CALLS]", "</s>"),
];

/// The start of a call of a named function.
const FUNCTION: &str = "<function=";

/// The maximum number of wrappers; if there are more, they are not calls.
const MOST: usize = 256;

/// Reads a string that consists of calls in another notation than that of the type [`ToolCalls`]; `None` if anything else
/// stands beside them.
pub(crate) fn read(text: &str) -> Option<Vec<ToolCall>> {
    let text = without_fence(text.trim());
    let calls = match text.chars().next() {
        Some('{' | '[') if !starts_wrapper(text) => exact(text),
        Some(mark @ ('-' | '*')) => listed(text, mark),
        _ => wrapped(text),
    };
    calls.filter(|calls| !calls.is_empty())
}

fn starts_wrapper(text: &str) -> bool {
    text.starts_with(FUNCTION) || WRAPPERS.iter().any(|(opening, _)| text.starts_with(opening))
}

/// Reads calls in elements and after special tokens.
fn wrapped(text: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if calls.len() >= MOST {
            return None;
        }
        let (inner, end) = match WRAPPERS.into_iter().find(|(opening, _)| rest.starts_with(opening)) {
            Some((opening, closing)) => {
                let inner = opening.len();
                let close = rest[inner..].find(closing).map(|length| inner + length);
                // Some models open a second call without closing the first.
                let again = rest[inner..].find(opening).map(|length| inner + length);
                match (close, again) {
                    (Some(close), again) if again.is_none_or(|again| close < again) => {
                        (inner..close, close + closing.len())
                    }
                    (_, Some(again)) => (inner..again, again),
                    (_, None) => (inner..rest.len(), rest.len()),
                }
            }
            None if rest.starts_with(FUNCTION) => {
                let end = function_end(rest, 0);
                (0..end, end)
            }
            None => return None,
        };
        calls.extend(read_all(&rest[inner])?);
        rest = rest[end..].trim_start();
    }
    Some(calls)
}

/// Returns the offset where the call that `<function=` opens at `open` ends.
fn function_end(text: &str, open: usize) -> usize {
    let inner = open + FUNCTION.len();
    let close = text[inner..].find("</function>").map(|length| inner + length + "</function>".len());
    let again = text[inner..].find(FUNCTION).map(|length| inner + length);
    match (close, again) {
        (Some(close), Some(again)) => close.min(again),
        (Some(end), None) | (None, Some(end)) => end,
        (None, None) => text.len(),
    }
}

/// Parses the calls inside a wrapper: JSON, or named functions.
fn read_all(inside: &str) -> Option<Vec<ToolCall>> {
    let text = without_fence(inside.trim());
    if !text.starts_with(FUNCTION) {
        return exact(text);
    }
    let mut calls = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = function_end(rest, 0);
        calls.push(read_function(&rest[..end])?);
        rest = rest[end..].trim_start();
        if !rest.is_empty() && (!rest.starts_with(FUNCTION) || calls.len() >= MOST) {
            return None;
        }
    }
    Some(calls)
}

/// Parses `<function=name>…</function>` with arguments as JSON, or each in an element
/// `<parameter=name>…</parameter>`.
fn read_function(text: &str) -> Option<ToolCall> {
    let (name, body) = text.strip_prefix(FUNCTION)?.split_once('>')?;
    let name = name.trim().trim_matches(['"', '\'']);
    let body = body.strip_suffix("</function>").unwrap_or(body).trim();
    if name.is_empty() {
        return None;
    }
    if body.is_empty() {
        return Some(ToolCall::new(name, Value::Object(Map::new())));
    }
    if body.starts_with('{') {
        return parsed(body).map(|arguments| ToolCall::new(name, arguments));
    }
    let mut arguments = Map::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix("<parameter=")?.split_once('>')?;
        let (value, after) = after.split_once("</parameter>")?;
        // One line break on either side belongs to the notation.
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        if arguments.insert(key.trim().to_owned(), value.into()).is_some() {
            return None;
        }
        rest = after.trim_start();
    }
    Some(ToolCall::new(name, Value::Object(arguments)))
}

/// Returns the content of the fence if the string consists of one, otherwise the string.
pub(crate) fn without_fence(text: &str) -> &str {
    let inside = || {
        let (info, inside) = text.strip_prefix("```")?.split_once('\n')?;
        let inside = inside.strip_suffix("```")?;
        (!info.contains('`') && !inside.contains("```")).then(|| inside.trim())
    };
    inside().unwrap_or(text)
}

/// Parses calls in JSON: one value, a list, or several values one after another.
fn exact(text: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && calls.len() < MOST {
        let mut json = serde_json::Deserializer::from_str(rest).into_iter::<Unique>();
        calls.extend(from_json(json.next()?.ok()?.0)?);
        rest = rest[json.byte_offset()..].trim_start();
        rest = rest.strip_prefix([',', ';']).unwrap_or(rest).trim_start();
    }
    rest.is_empty().then_some(calls)
}

/// Parses a list of calls in JSON, each behind the mark of an item at the start of a line.
fn listed(text: &str, mark: char) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && calls.len() < MOST {
        let item = rest.strip_prefix(mark)?.strip_prefix([' ', '\t'])?.trim_start_matches([' ', '\t']);
        let mut json = serde_json::Deserializer::from_str(item).into_iter::<Unique>();
        let call = json.next()?.ok()?.0;
        calls.extend(from_json(call).filter(|_| item.starts_with('{'))?);
        let behind = item[json.byte_offset()..].trim_start_matches([' ', '\t', '\r']);
        let behind = behind.strip_prefix(',').unwrap_or(behind).trim_start_matches([' ', '\t', '\r']);
        if !behind.is_empty() && !behind.starts_with('\n') {
            return None;
        }
        rest = behind.trim_start();
    }
    rest.is_empty().then_some(calls)
}

/// Converts a value to calls; `None` if it is not a call.
fn from_json(value: Value) -> Option<Vec<ToolCall>> {
    match value {
        // A list in a list may be a quotation.
        Value::Array(items) if items.iter().any(Value::is_array) => None,
        Value::Array(items) => {
            let calls: Option<Vec<_>> = items.into_iter().map(from_json).collect();
            calls.map(|calls| calls.into_iter().flatten().collect())
        }
        Value::Object(members) => from_object(members),
        _ => None,
    }
}

fn from_object(mut members: Map<String, Value>) -> Option<Vec<ToolCall>> {
    for key in ["tool_calls", "tool_call", "function_call"] {
        // Another member may say that the calls are not meant; those of a message of OpenAI do not.
        let says = |(name, value): (&String, &Value)| {
            let is_empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
            name != key && !is_empty && name != "role"
        };
        if members.contains_key(key) && members.iter().any(says) {
            return None;
        }
        if let Some(inner) = members.get_mut(key).filter(|inner| inner.is_array() || inner.is_object()) {
            return from_json(inner.take());
        }
    }
    let id = members.get("id").and_then(Value::as_str).map(str::to_owned);
    let mut call = match members.get_mut("function") {
        Some(Value::Object(function)) => std::mem::take(function),
        _ => members,
    };
    let names = ["name", "tool", "tool_name", "function"];
    let name = names.iter().find_map(|key| call.get(*key)?.as_str()).map(str::to_owned)?;
    let keys = ["arguments", "args", "parameters", "input"];
    let mut given = keys.iter().filter_map(|key| call.get_mut(*key).map(Value::take));
    let arguments = given.next()?;
    // Two candidates are ambiguous.
    if given.next().is_some() {
        return None;
    }
    Some(vec![ToolCall { id, name, arguments: unfolded(arguments) }])
}

/// Parses arguments that are JSON in a string, as sent by OpenAI's endpoint.
fn unfolded(arguments: Value) -> Value {
    let inner = arguments.as_str().and_then(parsed).filter(Value::is_object);
    inner.unwrap_or(arguments)
}

/// Converts the calls among the members of an answer to the form of [`ToolCalls`]; returns false if they are
/// no calls.
pub(crate) fn normalize(value: &mut Value) -> bool {
    let Some(calls) = from_json(value.clone()) else { return false };
    *value = serde_json::to_value(ToolCalls(calls)).unwrap_or_default();
    true
}

/// Parses JSON in which no object has two members of one name, since either may be meant.
pub(crate) fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str::<Unique>(text).ok().map(|unique| unique.0)
}

/// A JSON value without duplicate members.
struct Unique(Value);

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UniqueSeed.deserialize(deserializer).map(Unique)
    }
}

struct UniqueSeed;

impl<'de> DeserializeSeed<'de> for UniqueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UniqueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(UniqueSeed)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (mut object, mut names) = (Map::new(), HashSet::new());
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate member `{name}`")));
            }
            object.insert(name, members.next_value_seed(UniqueSeed)?);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CALL: &str = r#"{"name": "read", "arguments": {"path": "a"}}"#;

    #[test]
    fn notations_of_many_models() {
        let one = vec![ToolCall::new("read", json!({"path": "a"}))];
        for text in [
            CALL.to_owned(),
            format!("[{CALL}]"),
            format!("```json\n{CALL}\n```"),
            format!("<tool_call>\n{CALL}\n</tool_call>"),
            format!("<tool_call>{CALL}"),
            format!("<tool_call>```json\n{CALL}\n```</tool_call>"),
            format!("{{\"tool_calls\": [{CALL}]}}"),
            format!("{{\"function_call\": {CALL}}}"),
            format!("[TOOL_CALLS] [{CALL}]"),
            r#"{"name": "read", "parameters": {"path": "a"}}"#.into(),
            r#"{"tool": "read", "args": {"path": "a"}}"#.into(),
            r#"{"name": "read", "input": {"path": "a"}}"#.into(),
            r#"{"type": "function", "function": {"name": "read", "arguments": "{\"path\": \"a\"}"}}"#.into(),
            r#"<function=read>{"path": "a"}</function>"#.into(),
            "<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>"
                .into(),
            "<function=read><parameter=path>a</parameter></function>".into(),
            format!("- {CALL}"),
            "* {\"name\": \"read\",\n   \"arguments\": {\"path\": \"a\"}}".into(),
        ] {
            assert_eq!(read(&text), Some(one.clone()), "{text}");
        }
        for text in [
            format!("{CALL}\n{CALL}"),
            format!("{CALL}, {CALL}"),
            format!("<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>"),
            format!("<tool_call>{CALL}\n{CALL}</tool_call>"),
            format!("<tool_call>{CALL}\n<tool_call>{CALL}"),
            format!("- {CALL}\n- {CALL}"),
            format!("- {CALL},\r\n\r\n- {CALL},\n"),
        ] {
            assert_eq!(read(&text).map(|calls| calls.len()), Some(2), "{text}");
        }
    }

    #[test]
    fn what_stands_among_words_is_no_call() {
        for text in [
            format!("I will look.\n\n{CALL}"),
            format!("{CALL}\nis what the page wants."),
            format!("The page has <tool_call>{CALL}</tool_call>"),
            format!("<tool_call>{CALL}</tool_call> is what the page has"),
            format!("<tool_call>The page has {CALL}</tool_call>"),
            format!("<tool_call>{CALL} is bad</tool_call>"),
            format!("`<tool_call>{CALL}</tool_call>`"),
            format!("[{CALL}, \"not that\"]"),
            format!("- {CALL}\n- not that"),
            format!("- {CALL} - {CALL}"),
            format!("- {CALL} is bad"),
            format!("- {CALL}\n{CALL}"),
            format!("- {CALL}\n* {CALL}"),
            format!("- [{CALL}]"),
            format!("- [ ] {CALL}"),
            format!("-{CALL}"),
            format!("- `{CALL}`"),
            format!("```json\n{CALL}\n```\nNo.\n```json\n{CALL}\n```"),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_call_or_means_two() {
        for text in [
            "",
            "[]",
            "Paris",
            "{\"city\": \"Paris\"}",
            "[1, 2]",
            "{\"name\": \"Ann\"}",
            "<tool_call>{\"name\": \"read\"</tool_call>",
            "<tool_call>",
            "<function=read><parameter=path>a",
            "{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}, \"args\": {}}",
            "{\"function\": {\"name\": \"read\", \"name\": \"write\", \"arguments\": {}}}",
            "{\"tool_calls\": [], \"tool_calls\": [{\"name\": \"read\", \"arguments\": {}}]}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
