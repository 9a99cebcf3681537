//! XML markup: tags, comments, CDATA, entities.

use std::borrow::Cow;

/// The largest length of a tag with attributes, in bytes.
const LONGEST_TAG: usize = 1024;

/// The markup at the start of some text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// An opening tag: the length of its name and of the whole tag, whether it has attributes, whether it
    /// closes itself.
    Open { name: usize, length: usize, attributes: bool, empty: bool },
    /// A closing tag: the length of its name and of the whole tag.
    Close { name: usize, length: usize },
    /// A comment, CDATA or an instruction, which hides tags up to an end mark: the start of its text, and the
    /// mark.
    Opaque { start: usize, mark: &'static str },
    /// Anything else.
    Other,
    /// The result depends on what follows; only for incomplete text.
    Undecided,
}

pub(super) const COMMENT: (&str, &str) = ("<!--", "-->");
pub(super) const CDATA: (&str, &str) = ("<![CDATA[", "]]>");
const INSTRUCTION: (&str, &str) = ("<?", "?>");

/// Reads the tag that `text` starts with. `whole` says whether the text is complete.
pub(super) fn tag(text: &str, whole: bool) -> Tag {
    let undecided = if whole { Tag::Other } else { Tag::Undecided };
    for (open, mark) in [COMMENT, CDATA, INSTRUCTION] {
        if text.starts_with(open) {
            return Tag::Opaque { start: open.len(), mark };
        }
        if open.starts_with(text) {
            return undecided;
        }
    }
    let Some(inner) = text.strip_prefix('<') else { return Tag::Other };
    let named = inner.strip_prefix('/').unwrap_or(inner);
    let closes = named.len() < inner.len();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let Some(name) = named.char_indices().take(LONGEST_TAG).find(|(_, c)| !is_name(*c)).map(|(at, _)| at)
    else {
        return if named.len() < LONGEST_TAG { undecided } else { Tag::Other };
    };
    let rest = &named[name..];
    if name == 0 || !rest.starts_with(|c: char| c.is_whitespace() || matches!(c, '>' | '/')) {
        return Tag::Other;
    }
    let mut quote = None;
    let end = rest.char_indices().take(LONGEST_TAG).find(|(_, c)| match (quote, c) {
        (None, '"' | '\'') => {
            quote = Some(*c);
            false
        }
        (None, '>' | '<') => true,
        (Some(open), c) if open == *c => {
            quote = None;
            false
        }
        _ => false,
    });
    let Some((end, last)) = end else {
        return if rest.len() < LONGEST_TAG { undecided } else { Tag::Other };
    };
    let inside = rest[..end].trim();
    let empty = !closes && inside.ends_with('/');
    let attributes = inside.strip_suffix('/').filter(|_| empty).unwrap_or(inside);
    // "<answer and more>" is prose.
    if last == '<' || !attributes.is_empty() && (closes || !attributes.contains('=')) {
        return Tag::Other;
    }
    let length = text.len() - rest.len() + end + 1;
    if closes {
        Tag::Close { name, length }
    } else {
        Tag::Open { name, length, attributes: !attributes.is_empty(), empty }
    }
}

/// Returns the text of an element's content: CDATA is unwrapped, entities are restored. Comments are removed
/// from plain text, and kept in content with its own markup, such as an HTML page.
pub(super) fn text_of(content: &str) -> Cow<'_, str> {
    let mut content = Cow::Borrowed(content.trim());
    if content.contains(COMMENT.0) {
        let plain =
            pieces(&content).into_iter().filter(|(text, kind)| *kind != Piece::Comment || text.is_empty());
        let plain: String = plain
            .map(|(text, kind)| match kind {
                Piece::Cdata => format!("{}{text}{}", CDATA.0, CDATA.1),
                _ => text.to_owned(),
            })
            .collect();
        let markup = pieces(&plain).iter().any(|(text, kind)| {
            *kind == Piece::Text
                && text.match_indices('<').any(|(at, _)| tag(&text[at..], true) != Tag::Other)
        });
        if !markup {
            content = plain.trim().to_owned().into();
        }
    }
    if !content.contains(CDATA.0) {
        return match content {
            Cow::Borrowed(text) => unescape(text),
            Cow::Owned(text) => unescape(&text).into_owned().into(),
        };
    }
    let mut out = String::with_capacity(content.len());
    for (text, kind) in pieces(&content) {
        match kind {
            Piece::Text => out.push_str(&unescape(text)),
            Piece::Cdata => out.push_str(text),
            Piece::Comment => {
                out.push_str(COMMENT.0);
                out.push_str(text);
                out.push_str(COMMENT.1);
            }
        }
    }
    out.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Text,
    Cdata,
    Comment,
}

/// Splits `content` at comments and CDATA.
fn pieces(content: &str) -> Vec<(&str, Piece)> {
    let mut out = Vec::new();
    let (mut done, mut at) = (0, 0);
    while let Some(start) = content[at..].find("<!").map(|offset| at + offset) {
        at = start + 2;
        let kinds = [(COMMENT, Piece::Comment), (CDATA, Piece::Cdata)];
        let Some(((open, mark), kind)) =
            kinds.into_iter().find(|((open, _), _)| content[start..].starts_with(open))
        else {
            continue;
        };
        let inner = start + open.len();
        let Some(length) = content[inner..].find(mark) else { break };
        out.push((&content[done..start], Piece::Text));
        out.push((&content[inner..inner + length], kind));
        done = inner + length + mark.len();
        at = done;
    }
    out.push((&content[done..], Piece::Text));
    out
}

/// Restores escaped characters. A bare `&` is kept.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(LONGEST_ENTITY).position(|b| b == b';');
        let entity = end.and_then(|end| Some((entity(&rest[1..end])?, end)));
        if let Some((c, end)) = entity {
            out.push(c);
            rest = &rest[end + 1..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out.into()
}

/// The largest length of a restored entity in bytes, including `&` and `;`.
pub(super) const LONGEST_ENTITY: usize = 12;

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}
