//! Strings in any quotes, and the detection of the end of a string with stray quotes inside.

use std::borrow::Cow;

use super::super::report::RepairKind as R;
use super::super::text::next_special;
use super::super::tree::{Flaw, Note, Notes, Span, Tree};
use super::escape::{escape, is_half_escape};
use super::{Loose, Place};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quote {
    Double,
    Single,
    Backtick,
    CurlyDouble,
    CurlySingle,
    Guillemet,
    Triple(u8),
}

/// Returns the quotation mark that opens here, if there is one.
pub(crate) fn opening(bytes: &[u8], at: usize, end: usize) -> Option<Quote> {
    let rest = bytes.get(at..end)?;
    let first = *rest.first()?;
    Some(match first {
        b'"' | b'\'' | b'`' => {
            // Three quotes and then anything but a separator; `"""` alone could be an empty string and a
            // stray quote.
            if rest.len() > 3 && rest[1] == first && rest[2] == first {
                Quote::Triple(first)
            } else if first == b'"' {
                Quote::Double
            } else if first == b'\'' {
                Quote::Single
            } else {
                Quote::Backtick
            }
        }
        0xE2 => match rest.get(1..3)? {
            [0x80, 0x9C..=0x9E] => Quote::CurlyDouble,
            [0x80, 0x98 | 0x9A] => Quote::CurlySingle,
            _ => return None,
        },
        0xC2 if rest.get(1) == Some(&0xAB) => Quote::Guillemet,
        _ => return None,
    })
}

impl Quote {
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Double | Self::Single | Self::Backtick => 1,
            Self::Guillemet => 2,
            Self::CurlyDouble | Self::CurlySingle | Self::Triple(_) => 3,
        }
    }

    /// Returns the width of the closing mark at this place, if there is one.
    pub(crate) fn closes_at(self, bytes: &[u8], at: usize, end: usize) -> Option<usize> {
        let rest = bytes.get(at..end)?;
        let first = *rest.first()?;
        match self {
            Self::Double => (first == b'"').then_some(1),
            Self::Single => (first == b'\'').then_some(1),
            Self::Backtick => (first == b'`').then_some(1),
            Self::Triple(q) => rest.starts_with(&[q, q, q]).then_some(3),
            Self::Guillemet => rest.starts_with("»".as_bytes()).then_some(2),
            Self::CurlyDouble => match rest {
                [b'"', ..] => Some(1),
                [0xE2, 0x80, 0x9C | 0x9D, ..] => Some(3),
                _ => None,
            },
            Self::CurlySingle => match rest {
                [b'\'', ..] => Some(1),
                [0xE2, 0x80, 0x99, ..] => Some(3),
                _ => None,
            },
        }
    }

    /// Returns the next byte that [`stops`](Self::stops), or the end.
    fn next_stop(self, bytes: &[u8], from: usize, end: usize) -> usize {
        let bytes = bytes.get(..end).unwrap_or(bytes);
        let found = match self {
            Self::Double => next_special(bytes, from, b'"'),
            Self::Single => next_special(bytes, from, b'\''),
            Self::Backtick => next_special(bytes, from, b'`'),
            Self::Triple(mark) => next_special(bytes, from, mark),
            Self::Guillemet | Self::CurlyDouble | Self::CurlySingle => {
                (from..bytes.len()).find(|&i| self.stops(bytes[i]))
            }
        };
        found.unwrap_or(end)
    }

    /// Returns whether the byte may begin a closing mark or requires a check for another reason.
    fn stops(self, b: u8) -> bool {
        b == b'\\'
            || b < 0x20
            || match self {
                Self::Double => b == b'"',
                Self::Single => b == b'\'',
                Self::Backtick => b == b'`',
                Self::Triple(q) => b == q,
                Self::Guillemet => b == 0xC2,
                Self::CurlyDouble => b == b'"' || b == 0xE2,
                Self::CurlySingle => b == b'\'' || b == 0xE2,
            }
    }
}

/// Reads the string whose opening mark is at the scanner's position.
pub(crate) fn read<'t>(scan: &mut Loose<'t, '_>, quote: Quote, place: Place) -> Tree<'t> {
    let start = scan.pos;
    let mut notes = Notes::None;
    if quote != Quote::Double {
        notes.push(Note { kind: R::QuoteStyle, span: Span::new(start, start + quote.width()) });
    }
    let body = start + quote.width();
    if let Quote::Triple(b'`') = quote {
        return fenced_string(scan, start, body, notes);
    }
    let mut out: Option<String> = None;
    // The start of the part that is not yet copied to `out`.
    let mut copied = body;
    let (mut stray, mut raw_control) = (0_usize, false);
    let mut flaw = None;
    let mut i = body;
    let (stop, cut) = loop {
        let Some(b) = scan.byte(i) else { break (scan.end, true) };
        if !quote.stops(b) {
            i = quote.next_stop(scan.bytes, i + 1, scan.end);
            continue;
        }
        if b == b'\\' {
            if is_half_escape(scan, i) {
                break (i, true);
            }
            let buffer = out.get_or_insert_with(String::new);
            buffer.push_str(&scan.text[copied..i]);
            i = escape(scan, i, buffer, &mut notes, &mut flaw);
            copied = i;
            continue;
        }
        if matches!(quote, Quote::Triple(_)) && i + 3 > scan.end && !scan.closed_end {
            // One or two marks of three.
            break (i, true);
        }
        if let Some(width) = quote.closes_at(scan.bytes, i, scan.end) {
            let ends = || ends_here(scan, i, width, quote, place, stray);
            if matches!(quote, Quote::Triple(_)) || scan.decide(i, ends) {
                scan.pos = i + width;
                break (i, false);
            }
            stray += 1;
            if stray == 1 {
                notes.push(Note { kind: R::InnerQuote, span: Span::new(i, i + width) });
            }
            i += width;
            continue;
        }
        if b < 0x20 && !raw_control && !matches!(quote, Quote::Triple(_)) {
            raw_control = true;
            notes.push(Note { kind: R::RawControl, span: Span::new(i, i + 1) });
        }
        i += 1;
    };
    if cut {
        scan.pos = scan.end;
    }
    let rest = scan.text.get(copied..stop).unwrap_or("");
    let text = match out {
        Some(mut buffer) => {
            buffer.push_str(rest);
            Cow::Owned(buffer)
        }
        None => Cow::Borrowed(rest),
    };
    // `"x""`: a surplus quotation mark, or one that belongs to the string?
    let dangling = stray % 2 == 1 && text.ends_with(['"', '\'']) && scan.byte(stop) == text.bytes().last();
    if stray > 0 && place != Place::Key && (dangling || holds_member(&text)) {
        flaw = Some(Flaw::UnclearEnd);
    }
    let mut tree = Tree::text(text, true, Span::new(start, scan.pos));
    (tree.cut, tree.flaw, tree.notes) = (cut, flaw, notes);
    tree
}

/// Returns whether a string with stray quotes appears to contain the next member: `…", key: "…`.
fn holds_member(text: &str) -> bool {
    text.match_indices(['"', '\'']).any(|(at, _)| {
        let Some(rest) = text[at + 1..].trim_start().strip_prefix([',', ';']) else { return false };
        let Some(colon) = rest.find([':', '=', '\n', ',']) else { return false };
        colon < 60
            && rest[colon..].starts_with([':', '='])
            && rest[colon + 1..].trim_start().starts_with(['"', '\''])
    })
}

/// Reads a string between triple backticks. A language tag and the line breaks next to the marks are not part
/// of it.
fn fenced_string<'t>(scan: &mut Loose<'t, '_>, start: usize, body: usize, notes: Notes) -> Tree<'t> {
    let close = scan.find(body, b"```");
    let stop = close.unwrap_or(scan.end);
    scan.pos = close.map_or(scan.end, |c| c + 3);
    let mut text = scan.text.get(body..stop).unwrap_or("");
    if close.is_none() {
        // Half a closing mark, and a first line that may still be a language tag.
        text = text.trim_end_matches('`');
        if !text.contains('\n') {
            scan.doubts(start);
        }
    }
    if let Some((tag, rest)) = text.split_once('\n')
        && super::super::code::is_info_string(tag)
    {
        text = rest;
        text = text.strip_suffix('\n').unwrap_or(text);
    }
    let mut tree = Tree::text(text, true, Span::new(start, scan.pos));
    (tree.cut, tree.notes) = (close.is_none(), notes);
    tree
}

/// Returns whether a closing mark at `at` ends the string, judged by the text after it.
fn ends_here(
    scan: &Loose<'_, '_>,
    at: usize,
    width: usize,
    quote: Quote,
    place: Place,
    stray: usize,
) -> bool {
    let after = at + width;
    let next = scan.skip_blank(after);
    let Some(b) = scan.byte(next) else { return true };
    let broke = scan.bytes[after..next].contains(&b'\n');
    let comment = b == b'/' && matches!(scan.byte(next + 1), Some(b'/' | b'*'));
    if comment || (b == b'#' && next > after) {
        return true;
    }
    match place {
        Place::Key => matches!(b, b':' | b'=') || broke || !scan.bytes[next].is_ascii_alphanumeric(),
        Place::Member => match b {
            b'}' | b']' => scan.growing || !reopens(scan, next, quote),
            b',' | b';' => scan.member_follows(next + 1, Some(stray)),
            b')' => true,
            _ if next == after => false,
            // Without a comma, only a plain next member ends the string.
            _ if broke => scan.member_follows(next, Some(stray)),
            _ => opening(scan.bytes, next, scan.end).is_some() && scan.member_follows(next, Some(stray)),
        },
        Place::Item => match b {
            b']' | b')' | b'}' => scan.growing || !reopens(scan, next, quote),
            b',' => item_follows(scan, next + 1, quote),
            _ if next == after => false,
            _ if broke => true,
            _ => opening(scan.bytes, next, scan.end).is_some() && item_follows(scan, next, quote),
        },
    }
}

/// Returns whether the quoted string continues after a run of closing brackets, so that the brackets are part
/// of it.
fn reopens(scan: &Loose<'_, '_>, at: usize, quote: Quote) -> bool {
    let mut i = at;
    while let Some(b'}' | b']' | b')' | b' ' | b'\t') = scan.byte(i) {
        i += 1;
    }
    match quote.closes_at(scan.bytes, i, scan.end) {
        // The last mark of the text closes an enclosing structure.
        Some(width) => scan.byte(scan.skip_blank(i + width)).is_some(),
        None => false,
    }
}

/// Returns whether an item of a list starts here, and not the rest of a sentence.
fn item_follows(scan: &Loose<'_, '_>, at: usize, quote: Quote) -> bool {
    const LOOK_AHEAD: usize = 256;
    let start = scan.skip_blank(at);
    let Some(b) = scan.byte(start) else { return true };
    if matches!(b, b']' | b')' | b'[' | b'{' | b'(' | b'-' | b'/' | b'#' | b'0'..=b'9')
        || opening(scan.bytes, start, scan.end).is_some()
        || (b == b'<' && scan.byte(start + 1) == Some(b'!'))
    {
        return true;
    }
    // Bare words: if the next mark opens an item (or there is none), the current one is a closing mark.
    let limit = scan.horizon(start, LOOK_AHEAD);
    let mut last = b',';
    for i in start..limit {
        let b = scan.bytes[i];
        if quote.closes_at(scan.bytes, i, scan.end).is_some() {
            return matches!(last, b',' | b'[' | b':' | b'{' | b'(');
        }
        if b == b'\n' || b == b']' {
            return true;
        }
        if !b.is_ascii_whitespace() {
            last = b;
        }
    }
    scan.saw_nothing_until(limit);
    true
}
