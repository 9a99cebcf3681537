//! Parses tool calls that a model wrote into its text, for endpoints without a parser for the model's
//! notation.
//!
//! Supported are the notations of the common open models: JSON with a name and arguments, alone, in a list,
//! in a fence, in an element such as `<tool_call>`, or below `tool_calls` and `function` as in OpenAI's
//! replies; and `<function=name>` with JSON or `<parameter=…>` elements.

use std::sync::LazyLock;

use schemars::JsonSchema as _;
use serde_json::{Map, Value};

use super::{ToolCall, ToolCalls};
use crate::decode::Plan;
use crate::decode::thoughts;

/// The tool calls found in a reply.
#[derive(Debug, PartialEq)]
pub(crate) enum Written {
    /// Nothing that looks like a call.
    Nothing,
    /// Calls, and the text without them. `marked`: whether they are in a notation that is only used for
    /// calls.
    Calls { calls: Vec<ToolCall>, rest: String, marked: bool },
    /// Something that must be a call but cannot be read.
    Broken(String),
}

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

/// Finds the calls in the answer of a model. `known` are the names of the tools; if it is empty, any name is
/// accepted.
pub(crate) fn find(reply: &str, known: &[&str]) -> Written {
    let Some(start) = thoughts::answer(reply) else { return Written::Nothing };
    let start = thoughts::stray_end(reply, start).map_or(start, |(_, end)| end);
    let text = &reply[start..];
    match wrapped(text) {
        Written::Nothing => bare(text, known),
        found => found,
    }
}

/// Finds calls in elements and after special tokens.
fn wrapped(text: &str) -> Written {
    let mut calls = Vec::new();
    let mut rest = String::new();
    let (mut done, mut at) = (0, 0);
    while let Some((open, wrapper)) = next_wrapper(text, at).filter(|_| calls.len() < MOST) {
        let (inner, end) = match wrapper {
            Some((opening, closing)) => {
                let inner = open + opening.len();
                let close = text[inner..].find(closing).map(|length| inner + length);
                // Some models open a second call without closing the first.
                let again = text[inner..].find(opening).map(|length| inner + length);
                match (close, again) {
                    (Some(close), again) if again.is_none_or(|again| close < again) => {
                        (inner..close, close + closing.len())
                    }
                    (_, Some(again)) => (inner..again, again),
                    (_, None) => (inner..text.len(), text.len()),
                }
            }
            None => {
                let end = function_end(text, open);
                (open..end, end)
            }
        };
        match read_all(&text[inner]) {
            Some(more) if !more.is_empty() => calls.extend(more),
            _ => return Written::Broken(unreadable(&text[open..end])),
        }
        rest.push_str(&text[done..open]);
        (done, at) = (end, end);
    }
    if calls.is_empty() {
        return Written::Nothing;
    }
    rest.push_str(&text[done..]);
    Written::Calls { calls, rest, marked: true }
}

/// Finds the next wrapper that is not quoted in backticks. Returns its offset and its tags; no tags for a
/// named function.
fn next_wrapper(text: &str, from: usize) -> Option<(usize, Option<(&'static str, &'static str)>)> {
    let mut at = from;
    while let Some(open) = text[at..].find(['<', '[']).map(|offset| at + offset) {
        at = open + 1;
        let here = &text[open..];
        let wrapper = WRAPPERS.into_iter().find(|(opening, _)| here.starts_with(opening));
        let length = match wrapper {
            Some((opening, _)) => opening.len(),
            None if here.starts_with(FUNCTION) => here.find('>').map_or(here.len(), |end| end + 1),
            None => continue,
        };
        if thoughts::is_mention(text, open, open + length, true) == Some(false) {
            return Some((open, wrapper));
        }
    }
    None
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
    if !text.contains(FUNCTION) || text.starts_with(['{', '[']) {
        return read_json(text);
    }
    let mut calls = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find(FUNCTION).map(|offset| at + offset).filter(|_| calls.len() < MOST)
    {
        let end = function_end(text, open);
        calls.push(read_function(&text[open..end])?);
        at = end;
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
        return serde_json::from_str(body).ok().map(|arguments: Value| ToolCall::new(name, arguments));
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

/// Finds calls in JSON without any marker, possibly in a fence or between words.
fn bare(text: &str, known: &[&str]) -> Written {
    let is_known = |call: &ToolCall| known.is_empty() || known.contains(&call.name.as_str());
    let whole = without_fence(text.trim());
    if whole.starts_with(['{', '[']) {
        return match read_json(whole) {
            Some(calls) if !calls.is_empty() => Written::Calls { calls, rest: String::new(), marked: false },
            None if is_call_like(whole, known) => Written::Broken(unreadable(whole)),
            _ => Written::Nothing,
        };
    }
    // With words before or after, only exact JSON that calls known tools counts.
    for start in starts(text).take(MOST) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let mut calls = Vec::new();
        let mut end = start;
        while let Some(Ok(value)) = values.next() {
            match from_json(value) {
                Some(more) if more.iter().all(is_known) => calls.extend(more),
                _ => break,
            }
            end = start + values.byte_offset();
        }
        if !calls.is_empty() {
            let rest = format!("{}{}", &text[..start], &text[end..]);
            return Written::Calls { calls, rest, marked: false };
        }
    }
    Written::Nothing
}

/// Returns the offsets where JSON may start: brackets at the start of a line.
fn starts(text: &str) -> impl Iterator<Item = usize> {
    let mut at = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        line.trim_start().starts_with(['{', '[']).then_some(start)
    })
}

/// Returns whether a string that cannot be parsed names a tool and arguments.
fn is_call_like(text: &str, known: &[&str]) -> bool {
    let arguments = ["\"arguments\"", "\"args\"", "\"parameters\"", "\"tool_calls\"", "\"function\""];
    let named = known.is_empty() || known.iter().any(|name| text.contains(&format!("\"{name}\"")));
    named && text.contains("\"name\"") && arguments.iter().any(|key| text.contains(key))
}

fn unreadable(text: &str) -> String {
    const QUOTED: usize = 60;
    let start: String = text.chars().take(QUOTED).collect();
    format!("the call {start:?} cannot be read; write it as {{\"name\": …, \"arguments\": {{…}}}}")
}

/// Returns the content of the fence if the string consists of one, otherwise the string.
fn without_fence(text: &str) -> &str {
    let inside = || {
        let (info, inside) = text.strip_prefix("```")?.split_once('\n')?;
        let inside = inside.strip_suffix("```")?;
        (!info.contains('`') && !inside.contains("```")).then(|| inside.trim())
    };
    inside().unwrap_or(text)
}

/// Parses calls in JSON: one value, a list, or several values one after another.
pub(crate) fn read_json(text: &str) -> Option<Vec<ToolCall>> {
    exact(text).or_else(|| {
        // Sloppy JSON is decoded by the schema of calls.
        static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
            let schema = ToolCalls::json_schema(&mut schemars::SchemaGenerator::default());
            Plan::new(schema.as_value()).ok()
        });
        let value = PLAN.as_ref()?.decode(text).ok()?.value;
        from_json(value)
    })
}

fn exact(text: &str) -> Option<Vec<ToolCall>> {
    let mut calls = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        calls.extend(from_json(values.next()?.ok()?)?);
        rest = rest[values.byte_offset()..].trim_start();
        rest = rest.strip_prefix([',', ';']).unwrap_or(rest).trim_start();
    }
    Some(calls)
}

/// Converts a value to calls; `None` if it is not a call.
fn from_json(value: Value) -> Option<Vec<ToolCall>> {
    match value {
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
    let inner = arguments.as_str().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    inner.map_or(arguments, Value::Object)
}

/// Converts the calls among the members of an answer to the form of [`ToolCalls`]; returns false if they are
/// no calls.
pub(crate) fn normalize(value: &mut Value) -> bool {
    let Some(calls) = from_json(value.clone()) else { return false };
    *value = serde_json::to_value(ToolCalls(calls)).unwrap_or_default();
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Vec<(String, Value)> {
        match find(text, &["read", "stop"]) {
            Written::Calls { calls, .. } => {
                calls.into_iter().map(|call| (call.name, call.arguments)).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn calls_in_the_wild() {
        let one = || vec![("read".to_owned(), json!({"path": "a"}))];
        let call = r#"{"name": "read", "arguments": {"path": "a"}}"#;
        for text in [
            call.to_owned(),
            format!("[{call}]"),
            format!("```json\n{call}\n```"),
            format!("I will look.\n\n{call}"),
            format!("<think>hm {{</think>\n{call}"),
            format!("<tool_call>\n{call}\n</tool_call>"),
            format!("Let me see. <tool_call>{call}"),
            format!("<tool_call>```json\n{call}\n```</tool_call>"),
            format!("{{\"tool_calls\": [{call}]}}"),
            format!("{{\"function_call\": {call}}}"),
            format!("[TOOL_CALLS] [{call}]"),
            r#"{"name": "read", "parameters": {"path": "a"}}"#.into(),
            r#"{"tool": "read", "args": {"path": "a"}}"#.into(),
            r#"{"name": "read", "input": {"path": "a"}}"#.into(),
            r#"{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{\"path\": \"a\"}"}}"#.into(),
            r#"<function=read>{"path": "a"}</function>"#.into(),
            "<tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>".into(),
            "<function=read><parameter=path>a</parameter></function>".into(),
            "{\"name\": \"read\", \"arguments\": {\"path\": \"a\",}}".into(),
        ] {
            assert_eq!(read(&text), one(), "{text}");
        }
        for text in [
            format!("{call}\n{call}"),
            format!("{call}, {call}"),
            format!("<tool_call>{call}</tool_call>\n<tool_call>{call}</tool_call>"),
            format!("<tool_call>{call}\n{call}</tool_call>"),
            format!("<tool_call>{call}\n<tool_call>{call}"),
        ] {
            assert_eq!(read(&text).len(), 2, "{text}");
        }
    }

    #[test]
    fn what_is_no_call_and_what_is_a_broken_one() {
        for text in [
            "Paris",
            "{\"city\": \"Paris\"}",
            "Write `<tool_call>` first.",
            "[1, 2]",
            "{\"name\": \"Ann\"}",
            "So:\n{\"name\": \"other\", \"arguments\": {}}",
        ] {
            assert_eq!(find(text, &["read"]), Written::Nothing, "{text}");
        }
        for text in [
            "<tool_call>{\"name\": \"read\"</tool_call>",
            "<tool_call>",
            "<function=read><parameter=path>a",
            "<tool_call>I will read a.</tool_call>",
            "{\"name\": \"read\", \"arguments\": {\"path\": \"a\"}, \"args\": {}}",
        ] {
            assert!(
                matches!(find(text, &["read"]), Written::Broken(_)),
                "{text}: {:?}",
                find(text, &["read"])
            );
        }
    }
}
