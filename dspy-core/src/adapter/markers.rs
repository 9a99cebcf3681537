//! The marker `[[ ## field ## ]]`: writing it, escaping it in values, finding it in replies.

use std::borrow::Cow;
use std::ops::Range;

use dspy_base::prompt_format::{MARKER_END, MARKER_START};

use super::value;
use crate::decode::thoughts;

/// Appends the marker of `field`.
pub(super) fn push(out: &mut String, field: &str) {
    out.push_str(MARKER_START);
    out.push_str(field);
    out.push_str(MARKER_END);
}

/// The largest number of decoration characters before a marker that starts its line.
const LONGEST_LEAD: usize = 32;
/// The largest length of a name in a marker, in bytes.
const LONGEST_NAME: usize = 128;
/// The largest number of characters in the line of a fence.
const LONGEST_FENCE: usize = 100;
/// The largest number of brackets, number signs and spaces that open or close a marker.
const LONGEST_RUN: usize = 40;

/// A marker found in a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// The range of the text between the number signs.
    pub(super) name: Range<usize>,
    /// The offset of its opening brackets.
    pub(super) open: usize,
    /// The end of the text before it, which excludes decoration on its line such as bold stars.
    pub(super) before: usize,
    /// The start of the text after it.
    pub(super) after: usize,
    /// Whether only decoration precedes it on its line.
    pub(super) starts_line: bool,
    /// Whether it is between backticks or quotation marks.
    pub(super) quoted: bool,
    /// Whether a bracket or number sign is missing: such a marker counts only if it starts its line and names
    /// a field.
    pub(super) damaged: bool,
}

/// The result of reading at a bracket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    Marker(Marker),
    Other,
    /// The result depends on what follows; only for incomplete text.
    Undecided,
}

/// Reads a possible marker at the bracket at `open`: with one to six number signs, any spacing, bold, quoted
/// or in mid-line, one bracket or number sign too many or too few. Lines start at `base` at the earliest;
/// `whole` says whether the text is complete.
pub(super) fn read(text: &str, open: usize, base: usize, whole: bool) -> Read {
    plain(text, open, base).map_or_else(|| read_any(text, open, base, whole), Read::Marker)
}

/// The marker at `open` as the prompt asks for it, alone on its line. Most are such, and need no closer look.
fn plain(text: &str, open: usize, base: usize) -> Option<Marker> {
    let bytes = text.as_bytes();
    if open != base && bytes[open - 1] != b'\n' {
        return None;
    }
    let name = open + MARKER_START.len();
    if bytes.get(open..name)? != MARKER_START.as_bytes() {
        return None;
    }
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let length = bytes[name..].iter().take(LONGEST_NAME).position(|b| !is_name(b)).filter(|at| *at > 0)?;
    let after = name + length + MARKER_END.len();
    if bytes.get(name + length..after)? != MARKER_END.as_bytes() || bytes.get(after) != Some(&b'\n') {
        return None;
    }
    let name = name..name + length;
    Some(Marker { name, open, before: open, after, starts_line: true, quoted: false, damaged: false })
}

fn read_any(text: &str, open: usize, base: usize, whole: bool) -> Read {
    let undecided = if whole { Read::Other } else { Read::Undecided };
    let rest = &text[open..];
    let brackets = run(rest, "[ \t");
    let signs = run(&rest[brackets..], "# \t");
    let named = &rest[brackets + signs..];
    let opening = &rest[..brackets];
    let (opened, marks) = (count(opening, '['), count(&rest[brackets..brackets + signs], '#'));
    if opened > 4 || marks > 6 || brackets > LONGEST_RUN || signs > LONGEST_RUN {
        return Read::Other;
    }
    if named.is_empty() {
        return undecided;
    }
    if marks == 0 || opened == 1 && !rest[brackets..].starts_with("##") {
        return Read::Other;
    }
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.' | '*' | '`');
    let Some(length) = named.char_indices().take(LONGEST_NAME).find(|(_, c)| !is_name(*c)) else {
        return if named.chars().nth(LONGEST_NAME).is_none() { undecided } else { Read::Other };
    };
    let closing = &named[length.0..];
    let Some(close) = close(closing, whole) else { return Read::Undecided };
    let name = named[..length.0].trim().trim_matches(['*', '`']);
    let intact = opened > 1 && close.brackets > 1;
    let damaged = match (opened, close.brackets) {
        (1, 1) => marks > 1 && close.signs > 1,
        (1, closed) => closed > 1 && close.signs > 0,
        (_, 1) => close.signs > 0,
        (_, 0) => close.signs > 0 && close.ends_line,
        _ => true,
    };
    if name.is_empty() || !intact && !damaged {
        return Read::Other;
    }
    let name_at = name.as_ptr() as usize - text.as_ptr() as usize;
    // Decoration is short; an unlimited search backwards would be quadratic in a long line with many markers.
    let window =
        text[base..open].char_indices().rev().take(LONGEST_LEAD).last().map_or(open, |(at, _)| base + at);
    let newline = text[window..open].rfind('\n').map(|newline| window + newline + 1);
    let line = newline.unwrap_or(window);
    let lead = &text[line..open];
    let starts_line =
        (newline.is_some() || line == base) && lead.chars().all(|c| "*_`#-[ \t\r\u{feff}".contains(c));
    // The stars or backticks that open right before the marker close right after it.
    let wrapping = &lead[lead.trim_end_matches(['*', '_', '`']).len()..];
    let mut after = text.len() - closing.len() + close.length;
    let behind = &text[after..];
    if !whole && behind.chars().all(|c| matches!(c, '*' | '_' | '`')) && behind.len() < LONGEST_RUN {
        return Read::Undecided;
    }
    let marks = [('`', '`'), ('"', '"'), ('\'', '\''), ('“', '”'), ('‘', '’'), ('«', '»')];
    let quoted = marks.iter().any(|(open, close)| lead.ends_with(*open) && behind.starts_with(*close));
    if !wrapping.is_empty() && behind.starts_with(wrapping) {
        after += wrapping.len();
    }
    if text[after..].starts_with(':') {
        after += 1;
    }
    let before = if starts_line { line } else { open - wrapping.len() };
    let name = name_at..name_at + name.len();
    Read::Marker(Marker { name, open, before, after, starts_line, quoted, damaged: !intact })
}

/// Returns whether the marker around `name` is intact and starts its line. Lines start at `base` at the earliest.
pub(super) fn is_alone(text: &str, name: &Range<usize>, base: usize) -> bool {
    let line = text[base..name.start].rfind('\n').map_or(base, |newline| base + newline + 1);
    let Some(open) = text[line..name.start].find('[') else { return false };
    // In bold or as a heading at most, and after up to three spaces: four are the indentation of quoted code.
    let before = text[line..line + open].trim_start_matches('\u{feff}');
    let indent = before.len() - before.trim_start_matches(' ').len();
    if indent > 3 || !before.trim_matches([' ', '*', '#']).is_empty() {
        return false;
    }
    let marker = read(text, line + open, base, true);
    matches!(marker, Read::Marker(marker) if marker.name == *name && marker.starts_line && !marker.damaged)
}

/// Returns the length of the longest prefix that consists of these characters, if it is not too long for a
/// marker.
fn run(text: &str, of: &str) -> usize {
    text.bytes().take(LONGEST_RUN + 1).take_while(|b| of.as_bytes().contains(b)).count()
}

fn count(text: &str, wanted: char) -> usize {
    text.chars().filter(|c| *c == wanted).count()
}

/// The closing part of a marker.
struct Close {
    brackets: usize,
    signs: usize,
    length: usize,
    ends_line: bool,
}

/// Reads the closing part of a marker; returns `None` if it depends on what follows.
fn close(text: &str, whole: bool) -> Option<Close> {
    let (mut brackets, mut signs, mut length) = (0, 0, 0);
    let mut at = 0;
    let mut ends_line = true;
    for c in text.chars().take(LONGEST_RUN) {
        match c {
            ']' => brackets += 1,
            // A number sign after the first bracket may have been swapped with it.
            '#' if brackets < 2 => signs += 1,
            ' ' | '\t' | '\r' if brackets < 2 => {
                at += 1;
                continue;
            }
            _ => {
                ends_line = c == '\n';
                return Some(Close { brackets: brackets.min(2), signs, length, ends_line });
            }
        }
        at += 1;
        length = at;
        // A surplus bracket belongs to the marker, too.
        if brackets == 3 {
            return Some(Close { brackets: 2, signs, length, ends_line });
        }
    }
    if at >= LONGEST_RUN {
        ends_line = false;
    }
    (whole || at >= LONGEST_RUN).then_some(Close { brackets: brackets.min(2), signs, length, ends_line })
}

/// Returns the name in a line without a marker that looks like the remains of one.
pub(super) fn remains(line: &str) -> Option<&str> {
    let structure = |c: char| matches!(c, '[' | ']' | '#');
    let edge = |c: char| structure(c) || matches!(c, '*' | '`' | '_' | ':') || c.is_whitespace();
    let name = line.trim_matches(edge);
    let marks = line.chars().filter(|c| structure(*c)).count();
    let bracket = line.contains(['[', ']']);
    (!name.is_empty() && name.len() <= LONGEST_NAME && marks >= 3 && bracket).then_some(name)
}

/// Returns whether incomplete text ends inside a marker: `[[ ## bud`, `[[ ##`, `[[ ## budget ##`. A single
/// bracket counts as the beginning of a marker if it starts a line and `lone` is set.
pub(super) fn breaks_off(text: &str, lone: bool) -> bool {
    let text = text.trim_end();
    let window =
        text.char_indices().rev().take(LONGEST_NAME + 2 * LONGEST_RUN).last().map_or(0, |(at, _)| at);
    let tail = &text[window..];
    let Some(last) = tail.rfind('[') else { return false };
    let before = tail[..=last].trim_end_matches(['[', ' ', '\t']);
    let opening = &tail[before.len()..=last];
    let rest = tail[last + 1..].trim_start();
    let name = rest.trim_start_matches(['#', ' ', '\t']);
    let (opened, marks) = (count(opening, '['), count(&rest[..rest.len() - name.len()], '#'));
    let behind = name.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.'));
    let closers = behind.trim_start_matches(['#', ']', ' ', '\t', '*', '`']);
    if !closers.is_empty() || count(behind, ']') > 1 || opened > 4 || marks > 6 {
        return false;
    }
    let starts_line = before.trim_end_matches(['*', '_', '`', '#', '-', ' ', '\t']);
    let starts_line = starts_line.is_empty() && window == 0 || starts_line.ends_with('\n');
    match (marks, opened) {
        (0, opened) => rest.is_empty() && starts_line && (opened > 1 || lone),
        (1, 1) => false,
        _ => starts_line || opened > 1,
    }
}

/// Returns the offset up to which the text of a section is certain, given that the text from `from` to `end`
/// has arrived: without the space, guards and decoration that would belong to a marker, and without the mark
/// of a fence around the section.
pub(super) fn certain(text: &str, section: usize, from: usize, end: usize) -> usize {
    let decoration = |c: char| c.is_whitespace() || "*_`#-\\[".contains(c);
    let mut end = end;
    // A possible guarded end of a reasoning block is treated as one.
    if let Some(at) =
        text[from..end].rfind(['<', '◁']).filter(|at| thoughts::may_close(&text[from + at..end]))
    {
        end = from + at;
    }
    loop {
        end = from + text[from..end].trim_end_matches(decoration).len();
        let window = text[section..end]
            .char_indices()
            .rev()
            .take(LONGEST_FENCE)
            .last()
            .map_or(end, |(at, _)| section + at);
        let line = match text[window..end].rfind('\n') {
            Some(newline) => window + newline + 1,
            None if window == section => section,
            None => return end,
        };
        if line < from || fence_mark(&text[line..end]).is_none() {
            return end;
        }
        end = line;
    }
}

/// Returns the character of the fence that a line opens or closes, its width, and whether it could close a
/// fence.
pub(super) fn fence_mark(line: &str) -> Option<(char, usize, bool)> {
    const LONGEST_INFO: usize = 40;
    if line.len() > LONGEST_FENCE {
        return None;
    }
    let line = line.trim();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = line.trim_start_matches(mark);
    let width = line.len() - info.len();
    let is_info = info.len() <= LONGEST_INFO && !info.contains(['`', '~', '\\']);
    (width >= 3 && is_info).then_some((mark, width, info.is_empty()))
}

/// A fence around sections.
#[derive(Debug)]
pub(super) struct Fence {
    mark: char,
    width: usize,
    /// The fence that is open inside it.
    inner: Option<(char, usize)>,
    /// The offset up to which the text has been read.
    at: usize,
    /// The start and end of the closing line.
    pub(super) end: Option<(usize, usize)>,
}

impl Fence {
    /// Returns the fence that the last line of `text` opens, around a section that starts at `section`.
    pub(super) fn opened(text: &str, section: usize) -> Option<Self> {
        let text = text.trim_end();
        let (mark, width, _) = fence_mark(&text[loose_fence(text)?..])?;
        Some(Fence { mark, width, inner: None, at: section, end: None })
    }

    /// Continues reading, line by line, up to the end of the fence; the last line counts only if the text is
    /// `whole`.
    pub(super) fn advance(&mut self, text: &str, whole: bool) {
        while self.end.is_none() && self.at < text.len() {
            let rest = &text[self.at..];
            let length = match rest.find('\n') {
                Some(newline) => newline + 1,
                None if whole => rest.len(),
                None => return,
            };
            if let Some((mark, width, bare)) = fence_mark(&rest[..length]) {
                match self.inner {
                    Some((open, least)) if open == mark && width >= least && bare => self.inner = None,
                    Some(_) => {}
                    None if bare && mark == self.mark && width >= self.width => {
                        self.end = Some((self.at, self.at + length));
                    }
                    None => self.inner = Some((mark, width)),
                }
            }
            self.at += length;
        }
    }
}

/// Returns the offset of the last line if it opens an empty fence: the mark of a fence around a section, or
/// around the next one.
fn loose_fence(text: &str) -> Option<usize> {
    // Most texts have no mark at their end, and their lines need not be looked at.
    let tail = &text.as_bytes()[text.len().saturating_sub(LONGEST_FENCE)..];
    if !tail.iter().any(|b| matches!(b, b'`' | b'~')) {
        return None;
    }
    // The guard of leading space is not part of the first line.
    let lead = text.len() - value::without_lead(text).len();
    let last = text.rfind('\n').map_or(lead, |newline| newline + 1).max(lead);
    fence_mark(&text[last..])?;
    let mut open: Option<(char, usize)> = None;
    let mut at = lead;
    for line in text[lead..].split_inclusive('\n') {
        let start = at;
        at += line.len();
        let Some((mark, width, bare)) = fence_mark(line) else { continue };
        match open {
            Some((opened, least)) if opened == mark && width >= least && bare => open = None,
            Some(_) => {}
            None if start == last => return Some(last),
            None => open = Some((mark, width)),
        }
    }
    None
}

/// Returns the text of a section without the mark of a fence around it or around the next one.
pub(super) fn without_loose_fence(section: &str) -> &str {
    loose_fence(section).map_or(section, |at| section[..at].trim_end())
}

/// Returns whether `text` must be guarded, so that its last line is not read as the mark of a fence around
/// it.
pub(super) fn ends_in_loose_fence(text: &str) -> bool {
    loose_fence(text).is_some()
}

/// Returns the range of the backslashes that guard a marker or the end of a reasoning block: before the
/// number sign of the marker, before the slash of the end tag. The range is empty if there are none yet.
fn guarded(text: &str, at: usize) -> Option<(usize, usize)> {
    let first = text[at..].chars().next()?;
    let inner = &text[at + first.len_utf8()..];
    let spaced = if first == '[' { inner.trim_start_matches([' ', '\t']) } else { inner };
    let bare = spaced.trim_start_matches('\\');
    let guards = if first == '[' {
        let doubled = || text[..at].chars().rev().take(LONGEST_RUN).find(|c| !matches!(c, ' ' | '\t'));
        bare.starts_with("##") || bare.starts_with('#') && doubled() == Some('[')
    } else {
        thoughts::is_closing(bare)
    };
    let guard = text.len() - spaced.len();
    guards.then(|| (guard, guard + (spaced.len() - bare.len())))
}

const GUARDED: [char; 3] = ['[', '<', '◁'];

/// Returns whether anything in `text` may have to be guarded.
fn has_guarded(text: &str) -> bool {
    // The first byte of the third one tells most texts apart, byte by byte.
    text.bytes().any(|b| matches!(b, b'[' | b'<' | 0xe2)) && text.contains(GUARDED)
}

/// Guards everything in `text` that could be read as a marker or as the end of a reasoning block with a
/// backslash: `[[ \## answer ## ]]`, `<\/think>`.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    edit_guards(text, |out, _, _| out.push('\\'))
}

/// Reverses [`escape`].
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    edit_guards(text, |out, guard, sign| {
        if sign > guard {
            out.pop();
        }
    })
}

/// Guards JSON text like [`escape`]. In JSON, markers and tags occur only inside strings, and parsing removes
/// the guards.
pub(super) fn escape_json(text: &str) -> Cow<'_, str> {
    if !has_guarded(text) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let (mut done, mut from) = (0, 0);
    while let Some(at) = text[from..].find(GUARDED).map(|offset| from + offset) {
        from = at + 1;
        while !text.is_char_boundary(from) {
            from += 1;
        }
        if let Some((guard, sign)) = guarded(text, at)
            && guard == sign
            && sign >= done
        {
            out.push_str(&text[done..sign]);
            out.push_str(if text[sign..].starts_with('#') { "\\u0023" } else { "\\/" });
            done = sign + 1;
            from = done;
        }
    }
    out.push_str(&text[done..]);
    out.into()
}

/// Copies `text`; `edit` may change the guards before each sign that has or needs one.
fn edit_guards(text: &str, edit: impl Fn(&mut String, usize, usize)) -> Cow<'_, str> {
    if !has_guarded(text) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut done = 0;
    let mut from = 0;
    while let Some(at) = text[from..].find(GUARDED).map(|offset| from + offset) {
        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
        if let Some((guard, sign)) = guarded(text, at)
            && sign >= done
        {
            out.push_str(&text[done..sign]);
            edit(&mut out, guard, sign);
            done = sign;
            from = sign;
        }
    }
    out.push_str(&text[done..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the first marker in `text`.
    fn first(text: &str) -> Option<Marker> {
        text.match_indices('[').find_map(|(open, _)| match read(text, open, 0, true) {
            Read::Marker(marker) => Some(marker),
            _ => None,
        })
    }

    #[test]
    fn markers_in_the_wild() {
        for (text, before, rest) in [
            ("[[ ## answer ## ]]\nParis", 0, "\nParis"),
            ("**[[ ## answer ## ]]** Paris", 0, " Paris"),
            ("  [[##answer##]]\nParis", 0, "\nParis"),
            ("### [[ # answer # ]]: Paris", 0, " Paris"),
            ("so [[ ## answer ## ]] Paris", 3, " Paris"),
            ("`[[ ## answer ## ]]`\nParis", 0, "\nParis"),
            ("[[ ## answer ]] Paris", 0, " Paris"),
            ("[[[ ## answer ## ]]\nParis", 0, "\nParis"),
            ("[[ ## answer ## ]]]\nParis", 0, "\nParis"),
            ("[[ ### answer # ]] Paris", 0, " Paris"),
            ("[ ## answer ## ]]\nParis", 0, "\nParis"),
            ("[ [## answer ## ]]\nParis", 0, "\nParis"),
            ("[[ ## answer ## ]\nParis", 0, "\nParis"),
            ("[[ ## answer ##] ]\nParis", 0, "\nParis"),
            ("[[ ## answer ##\nParis", 0, "\nParis"),
            ("[## answer ##]\nParis", 0, "\nParis"),
            ("[ ## answer ## ]\nParis", 0, "\nParis"),
        ] {
            let marker = first(text).expect(text);
            assert_eq!(&text[marker.name.clone()], "answer", "{text}");
            assert_eq!((marker.before, &text[marker.after..]), (before, rest), "{text}");
        }
        for text in [
            "[[1, 2], [3]]",
            "[[ x ]]",
            "[[ ## ]]",
            "[[ \\## answer ## ]]",
            "[[ ## a\nb ## ]]",
            "[#12] fix",
            "[ # answer ]",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn plain_markers_are_read_as_any() {
        for line in ["[[ ## a ## ]]\n", "[[ ## a_1 ## ]]\nx", "[[ ## completed ## ]]\n", "[[ ## a ## ]]\n*"] {
            for lead in ["", "x\n", "x", "\n\n", " ", "\n "] {
                let text = format!("{lead}{line}");
                for (base, whole) in [(0, true), (0, false), (lead.len(), true), (lead.len(), false)] {
                    let found = plain(&text, lead.len(), base);
                    let alone = lead.len() == base || lead.ends_with('\n');
                    assert_eq!(found.is_some(), alone, "{text}");
                    if let Some(found) = found {
                        assert_eq!(read_any(&text, lead.len(), base, whole), Read::Marker(found), "{text}");
                    }
                }
            }
        }
        for text in
            ["[[ ## a ## ]]", "[[ ## a ## ]] \n", "[[ ## a ## ]]]\n", "[[ ##  ## ]]\n", "[[ ## a b ## ]]\n"]
        {
            assert_eq!(plain(text, 0, 0), None, "{text}");
        }
        let longest = "a".repeat(LONGEST_NAME - 1);
        for (name, is_plain) in [(longest.clone(), true), (longest + "a", false)] {
            assert_eq!(plain(&format!("[[ ## {name} ## ]]\n"), 0, 0).is_some(), is_plain);
        }
    }

    #[test]
    fn marks_of_fences_around_sections_are_known() {
        for (text, rest) in [
            ("Paris\n```", "Paris"),
            ("```\nParis\n```\n```", "```\nParis\n```"),
            ("foo\n\n```text", "foo"),
            ("````\n```\n````", "````\n```\n````"),
            ("```\nx\n```", "```\nx\n```"),
            ("```\nx", "```\nx"),
        ] {
            assert_eq!(without_loose_fence(text), rest, "{text}");
        }
    }

    #[test]
    fn guards_come_and_go() {
        for text in [
            "[[ ## a ## ]]",
            "[[[[ ## a ## ]]",
            "[[ \\\\## a",
            "[[#",
            "[[",
            "x",
            "[ ## a ## ]]",
            "[ [# a # ]]",
            "</think> <\\/Think >",
            "◁/think▷",
        ] {
            let escaped = escape(text);
            assert_eq!(first(&escaped), None, "{escaped}");
            assert_eq!(unescape(&escaped), text);
        }
        for text in ["[[ ## a ## ]]", "[[[ ## a ## ]]", "[[##[[##", "[ ## a ## ]]", "a</think>"] {
            let json = serde_json::json!([text, [["#"]]]).to_string();
            let escaped = escape_json(&json);
            assert_eq!(first(&escaped), None, "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap().to_string(), json);
        }
    }
}
