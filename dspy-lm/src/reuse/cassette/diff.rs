//! A short diff between a request and a recorded one.

use std::collections::HashMap;

use serde_json::Value;

use super::matching::Asked;
use super::tape::Interaction;

/// The most lines shown of each side.
const SHOWN: usize = 6;
/// The most characters shown of a line.
const WIDTH: usize = 160;

/// Returns the diff: recorded lines with `-`, requested lines with `+`.
pub(super) fn of(recorded: &Interaction, asked: &Asked<'_>) -> String {
    let (mut old, mut new) = (lines(&recorded.model, &recorded.request), lines(asked.model, asked.request));
    if recorded.endpoint != asked.endpoint {
        old.insert(1, format!("endpoint: {}", recorded.endpoint));
        new.insert(1, format!("endpoint: {}", asked.endpoint));
    }
    let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = rest.take_while(|(old, new)| old == new).count();
    let mut text = String::new();
    if let Some(before) = start.checked_sub(1) {
        text += &format!("  {}\n", short(&old[before], ""));
    }
    for (mark, side, other) in [("-", &old, &new), ("+", &new, &old)] {
        let middle = &side[start..side.len() - end];
        for (number, line) in middle.iter().take(SHOWN).enumerate() {
            let other = other.get(start + number).map_or("", String::as_str);
            text += &format!("{mark} {}\n", short(line, other));
        }
        if middle.len() > SHOWN {
            text += &format!("{mark} … {} more lines\n", middle.len() - SHOWN);
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns the number of lines that both have.
pub(super) fn likeness(recorded: &Interaction, asked: &Asked<'_>) -> usize {
    let mut left: HashMap<String, usize> = HashMap::new();
    for line in lines(&recorded.model, &recorded.request) {
        *left.entry(line).or_default() += 1;
    }
    let shared = |line: &String| match left.get_mut(line) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    let asked = lines(asked.model, asked.request);
    let mut shared = shared;
    asked.iter().filter(|line| shared(line)).count()
}

/// Returns the part of a line that differs from `other`.
fn short(line: &str, other: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let same = line.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let skip = same.saturating_sub(WIDTH / 4);
    let part: String = line.chars().skip(skip).take(WIDTH).collect();
    let ends = (if skip > 0 { "…" } else { "" }, if line.chars().count() > skip + WIDTH { "…" } else { "" });
    format!("{}{part}{}", ends.0, ends.1)
}

/// Returns a request as lines, the short parameters before the messages.
fn lines(model: &str, request: &serde_json::Map<String, Value>) -> Vec<String> {
    let mut lines = vec![format!("model: {model}")];
    for (name, value) in request {
        match (name.as_str(), value) {
            ("messages", _) => {}
            ("params", Value::Object(params)) => {
                lines.extend(params.iter().map(|(name, value)| format!("{name}: {value}")));
            }
            _ => lines.push(format!("{name}: {value}")),
        }
    }
    for message in request.get("messages").and_then(Value::as_array).into_iter().flatten() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("[{role}]"));
        for (name, value) in message.as_object().into_iter().flatten() {
            match (name.as_str(), value) {
                ("role", _) => {}
                ("text", Value::String(text)) => lines.push(text.clone()),
                ("text", Value::Array(text)) => {
                    lines.extend(text.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                ("parts" | "calls", Value::Array(items)) => lines.extend(items.iter().map(Value::to_string)),
                _ => lines.push(format!("{name}: {value}")),
            }
        }
    }
    lines
}
