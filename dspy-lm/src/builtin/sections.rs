//! A reader and a writer for sections with markers such as `[[ ## answer ## ]]`.

use std::fmt::Write as _;

use dspy_base::prompt_format::{COMPLETED, MARKER_END, MARKER_START};
use serde_json::Value;

/// Returns the name in a line that consists of a marker only.
fn marker(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix(MARKER_START)?.strip_suffix(MARKER_END)?;
    (!name.is_empty() && !name.contains(['[', ']', '#'])).then_some(name)
}

/// Returns the sections of `text` as pairs of name and trimmed content. Text after the closing marker is
/// ignored.
pub(super) fn read(text: &str) -> impl Iterator<Item = (&str, &str)> {
    sections(text, true)
}

/// Returns the sections of a string that may hold several replies, without the closing markers.
pub(super) fn read_all(text: &str) -> impl Iterator<Item = (&str, &str)> {
    sections(text, false).filter(|(name, _)| *name != COMPLETED)
}

fn sections(text: &str, to_closing: bool) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    let mut open: Option<&str> = None;
    let mut ended = false;
    std::iter::from_fn(move || {
        while !ended {
            let mut at = 0;
            let found = rest.split_inclusive('\n').find_map(|line| {
                let start = at;
                at += line.len();
                Some((marker(line)?, start, at))
            });
            let (name, body) = match found {
                Some((name, start, end)) => {
                    let body = &rest[..start];
                    rest = &rest[end..];
                    ended = to_closing && name == COMPLETED;
                    (Some(name), body)
                }
                None => {
                    ended = true;
                    (None, std::mem::take(&mut rest))
                }
            };
            let before = std::mem::replace(&mut open, name);
            if let Some(before) = before {
                return Some((before, body.trim()));
            }
        }
        None
    })
}

/// Removes the backslashes that escape markers, and leading and trailing white space, in a section.
pub(super) fn unescape(section: &str) -> String {
    let mut text = section;
    let inner = text.trim_start_matches('\\');
    if inner.len() < text.len() && inner.starts_with(char::is_whitespace) {
        text = &text[1..];
    }
    let inner = text.trim_end_matches('\\');
    if inner.len() < text.len() && inner.ends_with(char::is_whitespace) {
        text = &text[..text.len() - 1];
    }
    if !text.contains("[[") {
        return text.to_owned();
    }
    guards(text, |out, backslashes| out.push_str(backslashes.strip_prefix('\\').unwrap_or_default()))
}

fn escape(text: &str) -> String {
    let mut out = guards(text, |out, backslashes| {
        out.push('\\');
        out.push_str(backslashes);
    });
    if text.trim_start_matches('\\').starts_with(char::is_whitespace) {
        out.insert(0, '\\');
    }
    if text.trim_end_matches('\\').ends_with(char::is_whitespace) {
        out.push('\\');
    }
    out
}

/// Copies `text`, with the backslashes between `[[` and `#` replaced by the output of `edit`.
fn guards(text: &str, edit: impl Fn(&mut String, &str)) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find("[[") {
        // In `[[[` the last two brackets are the ones of a marker.
        let inner = rest[at..].trim_start_matches('[').trim_start_matches([' ', '\t']);
        out.push_str(&rest[..rest.len() - inner.len()]);
        let sign = inner.trim_start_matches('\\');
        let backslashes = &inner[..inner.len() - sign.len()];
        if sign.starts_with('#') {
            edit(&mut out, backslashes);
        } else {
            out.push_str(backslashes);
        }
        rest = sign;
    }
    out + rest
}

/// Appends a value below the marker of its field.
pub(super) fn push(out: &mut String, name: &str, value: &Value, is_text: bool) {
    let _ = writeln!(out, "{MARKER_START}{name}{MARKER_END}");
    match value {
        Value::String(text) if is_text || !looks_native(text) => out.push_str(&escape(text)),
        // In JSON strings `#` is written as an escape, so that no marker remains.
        value => out.push_str(&value.to_string().replace("[[ #", "[[ \\u0023").replace("[[#", "[[\\u0023")),
    }
    out.push_str("\n\n");
}

/// Returns whether a string without quotes would be read as empty or as JSON.
fn looks_native(text: &str) -> bool {
    text.is_empty() || serde_json::from_str::<Value>(text).is_ok()
}

/// Appends the marker for the end of a reply.
pub(super) fn push_completed(out: &mut String) {
    let _ = writeln!(out, "{MARKER_START}{COMPLETED}{MARKER_END}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_to_the_closing_marker() {
        let text =
            "Hello\n[[ ## a ## ]]\none\ntwo\n\n[[ ## b ## ]]\n\n[[ ## completed ## ]]\n[[ ## c ## ]]\nx";
        assert_eq!(read(text).collect::<Vec<_>>(), [("a", "one\ntwo"), ("b", "")]);
        assert_eq!(read("no marker").count(), 0);
        assert_eq!(read("see [[ ## a ## ]] there").count(), 0);
    }

    #[test]
    fn texts_survive_the_guards() {
        for text in ["plain", "[[ ## a ## ]]", "[[[[ \\## a", " x ", "\\ ", "[[", "[[#"] {
            let mut out = String::new();
            push(&mut out, "f", &text.into(), true);
            push_completed(&mut out);
            let found: Vec<_> = read(&out).collect();
            assert_eq!(found.len(), 1, "{out}");
            assert_eq!(unescape(found[0].1), text, "{out}");
        }
    }
}
