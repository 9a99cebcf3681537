//! Backslash escapes in strings, including those that JSON does not define.

use super::super::report::RepairKind as R;
use super::super::tree::{Flaw, Note, Notes, Span};
use super::Loose;

/// Returns whether the text ends inside the escape at `at`, so that its meaning is unknown.
pub(crate) fn is_half_escape(scan: &Loose<'_, '_>, at: usize) -> bool {
    if scan.closed_end {
        return false;
    }
    let rest = &scan.bytes[at..scan.end];
    let half = |rest: &[u8]| match rest {
        [b'\\'] => true,
        [b'\\', b'u', digits @ ..] => digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    };
    if half(rest) {
        return true;
    }
    // The first half of a surrogate pair.
    let high = matches!(rest, [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a' | b'b' | b'A' | b'B', ..]);
    high && rest.len() >= 6 && (rest.len() == 6 || half(&rest[6..]))
}

/// Decodes the escape at `at` into `out` and returns the place after it.
pub(crate) fn escape(
    scan: &Loose<'_, '_>,
    at: usize,
    out: &mut String,
    notes: &mut Notes,
    flaw: &mut Option<Flaw>,
) -> usize {
    let Some(b) = scan.byte(at + 1) else {
        // A lone backslash at the end: the text ended inside the escape.
        return at + 1;
    };
    let simple = match b {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(scan, at, out, notes, flaw),
        _ => {
            let escaped =
                scan.text.get(at + 1..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
            notes.push(Note { kind: R::BadEscape, span: Span::new(at, at + 1 + escaped) });
            match b {
                b'\'' | b'`' => {
                    out.push(char::from(b));
                    return at + 2;
                }
                // A continued line: the line break is not part of the string.
                b'\n' => return at + 2,
                // An escape that JSON does not define, such as `\d`: the backslash is literal.
                _ => {
                    out.push('\\');
                    return at + 1;
                }
            }
        }
    };
    out.push(simple);
    at + 2
}

fn unicode_escape(
    scan: &Loose<'_, '_>,
    at: usize,
    out: &mut String,
    notes: &mut Notes,
    flaw: &mut Option<Flaw>,
) -> usize {
    let unit = |at: usize| -> Option<u32> {
        let hex = scan
            .text
            .get(at + 2..at + 6)
            .filter(|h| at + 6 <= scan.end && h.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(hex, 16).ok()
    };
    let Some(first) = unit(at) else {
        notes.push(Note { kind: R::BadEscape, span: Span::new(at, at + 2) });
        out.push('\\');
        return at + 1;
    };
    if let Some(c) = char::from_u32(first) {
        out.push(c);
        return at + 6;
    }
    let escaped = scan.byte(at + 6) == Some(b'\\') && scan.byte(at + 7) == Some(b'u');
    if let (0xD800..=0xDBFF, true, Some(second @ 0xDC00..=0xDFFF)) = (first, escaped, unit(at + 6))
        && let Some(c) = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
    {
        out.push(c);
        return at + 12;
    }
    *flaw = Some(Flaw::LoneSurrogate);
    out.push(char::REPLACEMENT_CHARACTER);
    at + 6
}
