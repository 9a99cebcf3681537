//! Replies as models write them, and the damage that is done to them.

use serde_json::Value;

use crate::dice::Dice;

/// A value as text in one of the ways in which models write JSON.
pub(crate) fn render(value: &Value, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => value.to_string(),
        1 => spaced(value),
        _ => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

/// On one line, with a blank behind commas and colons.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let members: Vec<_> =
                map.iter().map(|(k, v)| format!("{}: {}", Value::from(k.as_str()), spaced(v))).collect();
            format!("{{{}}}", members.join(", "))
        }
        leaf => leaf.to_string(),
    }
}

/// The words and fences around the JSON.
pub(crate) fn wrap(json: &str, dice: &mut Dice) -> String {
    match dice.below(6) {
        0 | 1 => json.to_owned(),
        2 => format!("```json\n{json}\n```"),
        3 => format!("Here is the answer:\n\n```json\n{json}\n```\n\nLet me know if you need more."),
        4 => format!("Sure! The answer is:\n{json}"),
        _ => format!("The result:\n\n{json}\n\nI hope this helps."),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    Deleted(char),
    Doubled(char),
    Swapped(char, char),
    Replaced(char, char),
    Removed(String),
    Repeated(String),
}

impl Edit {
    pub(crate) fn is_chunk(&self) -> bool {
        matches!(self, Self::Removed(_) | Self::Repeated(_))
    }
}

const STRUCTURE: [char; 7] = ['{', '}', '[', ']', ':', ',', '"'];

/// The places of structural characters, and of quotation marks wherever they stand.
fn places(text: &str) -> Vec<usize> {
    let (mut inside, mut escaped) = (false, false);
    let mut out = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '"' => {
                out.push(at);
                inside ^= !escaped;
            }
            _ if !inside && STRUCTURE.contains(&c) => out.push(at),
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
    }
    out
}

/// Does one edit of a kind (0 to 5) to the text.
pub(crate) fn damage(text: &str, kind: usize, dice: &mut Dice) -> (String, Edit) {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let places = places(text);
    if kind < 4 && !places.is_empty() {
        let at = *dice.pick(&places);
        let c = char::from(text.as_bytes()[at]);
        let (before, after) = (&text[..at], &text[at + 1..]);
        return match kind {
            0 => (format!("{before}{after}"), Edit::Deleted(c)),
            1 => (format!("{before}{c}{c}{after}"), Edit::Doubled(c)),
            2 => {
                let behind = after.chars().next();
                let ahead = before.chars().next_back();
                match (behind, ahead) {
                    (Some(d), None) => {
                        (format!("{before}{d}{c}{}", &after[d.len_utf8()..]), Edit::Swapped(c, d))
                    }
                    (Some(d), _) if dice.percent(50) => {
                        (format!("{before}{d}{c}{}", &after[d.len_utf8()..]), Edit::Swapped(c, d))
                    }
                    (_, Some(d)) => (
                        format!("{}{c}{d}{after}", &before[..before.len() - d.len_utf8()]),
                        Edit::Swapped(d, c),
                    ),
                    (_, None) => (text.to_owned(), Edit::Swapped(c, c)),
                }
            }
            _ => {
                let other = loop {
                    let other = *dice.pick(&STRUCTURE);
                    if other != c {
                        break other;
                    }
                };
                (format!("{before}{other}{after}"), Edit::Replaced(c, other))
            }
        };
    }
    let from = dice.below(chars.len());
    let to = (from + 1 + dice.below(20)).min(chars.len());
    let (start, end) = (chars[from].0, chars.get(to).map_or(text.len(), |c| c.0));
    let chunk = text[start..end].to_owned();
    if kind == 4 {
        (format!("{}{}", &text[..start], &text[end..]), Edit::Removed(chunk))
    } else {
        (format!("{}{chunk}{}", &text[..end], &text[end..]), Edit::Repeated(chunk))
    }
}

/// Whether the text is this value's own with at most one character left out, added, swapped or replaced, spaces aside.
pub(crate) fn one_character_from(value: &Value, text: &str) -> bool {
    let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<_>>();
    let (own, text) = (squeeze(&value.to_string()), squeeze(text));
    let ahead = own.iter().zip(&text).take_while(|(a, b)| a == b).count();
    let (own, text) = (&own[ahead..], &text[ahead..]);
    let behind = own.iter().rev().zip(text.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&own[..own.len() - behind], &text[..text.len() - behind]) {
        ([a, b], [c, d]) => a == d && b == c,
        (own, text) => own.len() <= 1 && text.len() <= 1,
    }
}
