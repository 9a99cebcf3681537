//! The content of an element: its children, and tags with an unclear meaning.

use std::collections::BTreeMap;

use super::markup::{CDATA, Tag, tag};
use crate::decode::thoughts;

/// The children of an element: the name and the content of each.
pub(super) type Children<'t> = Vec<(&'t str, &'t str)>;

/// The elements that a text consists of; nothing if there is anything else in it, or an attribute.
pub(super) fn children(text: &str) -> Option<Children<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, length, empty) = match tag(rest, true) {
            Tag::Open { name, length, attributes: false, empty } => (name, length, empty),
            Tag::Opaque { start, mark } if mark != CDATA.1 => {
                rest = rest[start..].split_once(mark)?.1.trim_start();
                continue;
            }
            _ => return None,
        };
        let (name, inner) = (&rest[1..=name], &rest[length..]);
        if empty {
            found.push((name, ""));
            rest = inner.trim_start();
            continue;
        }
        let (end, after) = matching_close(inner, name)?;
        found.push((name, &inner[..end]));
        rest = inner[after..].trim_start();
    }
    (!found.is_empty()).then_some(found)
}

/// More open tags than these are no tags of elements.
const MOST_OPEN: usize = 256;

/// Whether the content of an element that is to be a list or an object has tags that nobody can tell the meaning of: they
/// do not balance, or stand at the start of a line among other text.
pub(super) fn is_unclear(content: &str) -> bool {
    let content = content.trim();
    // In JSON, tags stand in strings.
    if content.starts_with(['[', '{', '"', '`']) || !content.contains('<') || children(content).is_some() {
        return false;
    }
    let (mut open, mut leads): (Vec<&str>, bool) = (Vec::new(), false);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut at = 0;
    while let Some(start) = content[at..].find('<').map(|offset| at + offset) {
        at = start + 1;
        match tag(&content[start..], true) {
            Tag::Open { name, length, empty, .. } => {
                at = start + length;
                if thoughts::is_mention(content, start, at, true) == Some(true) {
                    continue;
                }
                let line = content[..start].trim_end_matches([' ', '\t']);
                leads |= line.is_empty() || line.ends_with('\n');
                let name = &content[start + 1..start + 1 + name];
                *seen.entry(name.to_lowercase()).or_default() += 1;
                if !empty {
                    open.push(name);
                }
                if open.len() > MOST_OPEN {
                    return true;
                }
            }
            Tag::Close { name, length } => {
                at = start + length;
                if thoughts::is_mention(content, start, at, true) == Some(true) {
                    continue;
                }
                let name = &content[start + 2..start + 2 + name];
                match open.iter().rposition(|open| open.eq_ignore_ascii_case(name)) {
                    Some(place) => drop(open.remove(place)),
                    None => return true,
                }
            }
            Tag::Opaque { start: inner, mark } => {
                let from = start + inner;
                at = content[from..].find(mark).map_or(from, |end| from + end + mark.len());
            }
            Tag::Other | Tag::Undecided => {}
        }
    }
    // What is opened once, in mid-line, may be no tag: `Vec<String>`.
    leads || open.iter().any(|name| seen.get(&name.to_lowercase()).is_some_and(|count| *count > 1))
}

/// Where the element of that name ends and what follows it starts, elements of the same name inside it left aside.
fn matching_close(text: &str, name: &str) -> Option<(usize, usize)> {
    let (mut at, mut depth) = (0, 1usize);
    loop {
        let start = at + text[at..].find('<')?;
        let same = |from: usize, length: usize| text[from..from + length].eq_ignore_ascii_case(name);
        at = match tag(&text[start..], true) {
            Tag::Open { name, length, empty, .. } => {
                depth += usize::from(same(start + 1, name) && !empty);
                start + length
            }
            Tag::Close { name, length } => {
                depth -= usize::from(same(start + 2, name));
                if depth == 0 {
                    return Some((start, start + length));
                }
                start + length
            }
            Tag::Opaque { start: inner, mark } => {
                let from = start + inner;
                text[from..].find(mark).map_or(from, |end| from + end + mark.len())
            }
            Tag::Other | Tag::Undecided => start + 1,
        };
    }
}
