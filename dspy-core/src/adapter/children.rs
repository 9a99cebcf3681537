//! The content of an element: its children, and tags with an unclear meaning.

use std::collections::BTreeMap;

use super::markup::{CDATA, Tag, tag};
use crate::decode::thoughts;

/// The children of an element: the name and the content of each.
pub(super) type Children<'t> = Vec<(&'t str, &'t str)>;

/// Returns the elements that make up `text`, or `None` if it has attributes or anything but elements.
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

/// The largest number of open tags; more of them are not tags of elements.
const MOST_OPEN: usize = 256;

/// Returns whether the content of an element for a list or an object has ambiguous tags: unbalanced ones, or
/// one that starts a line among other text.
pub(super) fn is_unclear(content: &str) -> bool {
    let content = content.trim();
    // In JSON, tags occur only inside strings.
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
    // A tag that opens once, in mid-line, may not be a tag: `Vec<String>`.
    leads || open.iter().any(|name| seen.get(&name.to_lowercase()).is_some_and(|count| *count > 1))
}

/// Returns the end of the content of the element `name`, and the offset after its closing tag. Nested
/// elements of the same name are skipped.
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
