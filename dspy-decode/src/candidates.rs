//! Candidate locations of the value in a reply: structures in prose, code fences, or the words themselves.

use std::collections::HashSet;

use serde_json::Value;

use super::loose::Loose;
use super::loose::quoted::{self, Quote, opening};
use super::plan::{NodeKind, Schema};
use super::strict;
use super::tree::{Shape, Span, Tree};

/// The maximum number of structures that are compared; a reply with more has no identifiable answer.
const MAX_UNITS: usize = 1 << 10;

/// Like [`MAX_UNITS`], for structures that may each be an item of a list.
const MAX_ROWS: usize = 1 << 17;

/// A part of the reply that may hold the value.
#[derive(Debug)]
pub(super) struct Unit<'t> {
    pub(super) tree: Tree<'t>,
    /// The value, if the text is exact JSON of the schema; the tree then holds only the outline.
    pub(super) exact: Option<Value>,
    pub(super) fenced: bool,
    /// The span of the structure including a fence around it; the rest of the reply is omitted.
    pub(super) outer: Span,
}

impl<'t> Unit<'t> {
    pub(super) fn of(tree: Tree<'t>) -> Self {
        Self { outer: tree.span, tree, exact: None, fenced: false }
    }

    fn fenced(self) -> Self {
        Self { fenced: true, ..self }
    }
}

/// A fence around words: the span of its content, and of the whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) content: Span,
    pub(super) outer: Span,
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts about one search, not a state machine")]
#[derive(Debug, Default)]
pub(super) struct Scan<'t> {
    pub(super) units: Vec<Unit<'t>>,
    /// Fences without a structure.
    pub(super) blocks: Vec<Block>,
    pub(super) too_deep: bool,
    /// Whether the work limit was reached before the end of the text.
    pub(super) exhausted: bool,
    /// Whether the text is only the beginning of a reply; then only the first structure is searched for.
    beginning: bool,
    /// In a beginning: whether no structure can be distinguished from prose yet.
    undecided: bool,
    /// In a beginning: the first place after which more text might change the reading.
    doubt: usize,
    /// In a beginning: the mark and the width of an unclosed fence.
    open_fence: Option<(u8, usize)>,
    /// The number of bytes that may still be read unsuccessfully in search of exact JSON.
    strict_fuel: usize,
}

impl Scan<'_> {
    fn is_over(&self, fuel: usize) -> bool {
        let enough = self.beginning && (self.undecided || !self.units.is_empty());
        enough || self.too_deep || fuel == 0
    }
}

/// Returns the first structure of text that may continue, and the place after which its reading may change.
pub(super) fn first<'t>(text: &'t str, schema: &Schema, from: usize) -> Option<(Tree<'t>, usize)> {
    let mut found = Scan { beginning: true, doubt: usize::MAX, ..Scan::default() };
    scan_into(&mut found, text, schema, from, text.len());
    if found.undecided {
        return None;
    }
    let mut doubt = found.doubt;
    if let Some((mark, width)) = found.open_fence {
        // The last marks may be the first half of the closing fence.
        let marks = text.bytes().rev().take_while(|b| *b == mark).count();
        doubt = if (1..width).contains(&marks) { doubt.min(text.len() - marks) } else { doubt };
    }
    found.units.into_iter().next().map(|unit| (unit.tree, doubt))
}

/// Finds all structures, from left to right; structures inside another are not included.
pub(super) fn scan<'t>(text: &'t str, schema: &Schema, from: usize, end: usize) -> Scan<'t> {
    let mut out = Scan { strict_fuel: end - from, ..Scan::default() };
    scan_into(&mut out, text, schema, from, end);
    out
}

fn scan_into<'t>(out: &mut Scan<'t>, text: &'t str, schema: &Schema, from: usize, end: usize) {
    let bytes = text.as_bytes();
    let mut at = from;
    // After a failed start, scanning restarts at the next byte; the fuel keeps the total of all scans linear.
    let mut fuel = (end - from).saturating_mul(4) + 65_536;
    // A list may be written as consecutive objects.
    let most = if matches!(schema.node(schema.root).kind, NodeKind::List(_)) { MAX_ROWS } else { MAX_UNITS };
    // The content of an unclosed fence ends here.
    while at < end {
        let Some(found) = bytes[at..end].iter().position(|b| matches!(b, b'{' | b'[' | b'`' | b'~')) else {
            break;
        };
        at += found;
        match bytes[at] {
            b'`' | b'~' => at = fence(text, schema, at, end, &mut fuel, out),
            _ => match structure(text, schema, at, end, &mut fuel, out) {
                Some((unit, next)) => {
                    out.units.push(unit);
                    at = next;
                }
                None => at += 1,
            },
        }
        if out.is_over(fuel) || out.units.len() > most {
            out.exhausted = fuel == 0 || out.units.len() > most;
            break;
        }
    }
}

/// Reads the structure that starts at a bracket, unless the bracket is part of the prose.
fn structure<'t>(
    text: &'t str,
    schema: &Schema,
    at: usize,
    end: usize,
    fuel: &mut usize,
    out: &mut Scan<'t>,
) -> Option<(Unit<'t>, usize)> {
    let bytes = text.as_bytes();
    let bracket = bytes[at] == b'[';
    let glued = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'$');
    if glued && bracket {
        // `list[0]`, but not a list that touches a word.
        let (inside, closed) = text[at + 1..end]
            .split_once(']')
            .map_or((&text[at + 1..end], false), |(inside, _)| (inside, true));
        if !inside.contains(',') {
            // A comma may follow, which would make these brackets the list.
            out.undecided |= out.beginning && !closed;
            return None;
        }
    }
    if let Some((unit, next)) = exact(text, schema, at, end, out)
        && !(bracket && is_aside(text, at, next))
    {
        return Some((unit, next));
    }
    let mut scanner = Loose::new(text, &schema.keys, at, end);
    scanner.growing = out.beginning;
    let mut tree = scanner.structure();
    *fuel = fuel.saturating_sub(scanner.pos - at + 16);
    if out.beginning {
        out.doubt = scanner.doubt();
        tree.cut |= scanner.too_deep;
        // The text after a bracketed list (a link?) is not known yet, nor is the continuation of an unusual
        // beginning.
        if is_earnest(text, &tree, &schema.keys) || !tree.cut && tree.flaw.is_none() {
            let next = scanner.pos.max(at + 1);
            return Some((Unit::of(tree), next));
        }
        out.undecided |= tree.cut;
        return None;
    }
    if scanner.too_deep {
        out.too_deep = true;
        return None;
    }
    if bracket && is_aside(text, at, scanner.pos) {
        return None;
    }
    if tree.flaw.is_some() && !is_earnest(text, &tree, &schema.keys) {
        return None;
    }
    if tree.cut && !is_earnest(text, &tree, &schema.keys) {
        return None;
    }
    let next = scanner.pos.max(at + 1);
    Some((Unit::of(tree), next))
}

/// Returns whether brackets are part of Markdown: a link or a check box.
fn is_aside(text: &str, start: usize, end: usize) -> bool {
    text.as_bytes().get(end) == Some(&b'(') || matches!(&text[start..end], "[ ]" | "[x]" | "[X]")
}

/// Reads the structure that starts at a bracket, if it is exact JSON of the schema.
fn exact<'t>(
    text: &'t str,
    schema: &Schema,
    at: usize,
    end: usize,
    out: &mut Scan<'t>,
) -> Option<(Unit<'t>, usize)> {
    if out.strict_fuel == 0 {
        return None;
    }
    let (value, next) = strict::read_at(schema, text.get(..end)?, at);
    let Some(value) = value else {
        out.strict_fuel = out.strict_fuel.saturating_sub(next - at + 16);
        return None;
    };
    // A quotation mark after the last bracket: the brackets may have been part of a string.
    if text.as_bytes().get(skip_white(text.as_bytes(), next, end)) == Some(&b'"') {
        return None;
    }
    let shape = if value.is_array() { Shape::List(Vec::new()) } else { Shape::Object(Vec::new()) };
    let unit = Unit::of(Tree::new(shape, Span::new(at, next)));
    Some((Unit { exact: Some(value), ..unit }, next))
}

/// Returns whether an unfinished structure is one, and not a bracket in prose followed by words.
fn is_earnest(text: &str, tree: &Tree<'_>, keys: &HashSet<String>) -> bool {
    match &tree.shape {
        Shape::Object(entries) => match entries.first() {
            Some(first) => first.quoted || keys.contains(&dspy_base::fold::fold(&first.key)),
            None => tree.cut && opens_only(text, tree),
        },
        Shape::List(items) => match items.first() {
            Some(first) => match &first.shape {
                // Half of a number or a literal is still text.
                Shape::Text { text, quoted: false } if first.cut => {
                    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
                        || ["true", "false", "null"].iter().any(|w| w.starts_with(text.as_ref()))
                }
                Shape::Text { quoted, .. } => *quoted,
                Shape::Object(_) | Shape::List(_) => is_earnest(text, first, keys) || !first.cut,
                _ => true,
            },
            None => tree.cut && opens_only(text, tree),
        },
        _ => false,
    }
}

/// Returns whether the bracket is followed only by the beginning of a first string.
fn opens_only(text: &str, tree: &Tree<'_>) -> bool {
    let behind = skip_white(text.as_bytes(), tree.span.start + 1, text.len());
    behind == text.len() || opening(text.as_bytes(), behind, text.len()).is_some()
}

/// Reads the fence that opens at `at` and returns the place after it.
fn fence<'t>(
    text: &'t str,
    schema: &Schema,
    at: usize,
    end: usize,
    fuel: &mut usize,
    out: &mut Scan<'t>,
) -> usize {
    let bytes = text.as_bytes();
    let mark = bytes[at];
    let width = bytes[at..end].iter().take_while(|b| **b == mark).count();
    if width < 3 {
        return at + width;
    }
    out.open_fence = Some((mark, width));
    let (content, tagged_line) = content_start(bytes, at + width, end);
    let mut next = skip_white(bytes, content, end);
    let mut count = 0;
    // A structure determines its end better than the next fence mark does: its strings may hold fences.
    while next < end && matches!(bytes[next], b'{' | b'[') && *fuel > 0 && !out.too_deep {
        let mut found = structure(text, schema, next, end, fuel, out);
        if found.as_ref().is_none_or(|(unit, _)| unit.tree.cut || unit.tree.flaw.is_some())
            && !out.too_deep
            && let Some(close) = closing(bytes, next, end, mark, width)
        {
            let mut scanner = Loose::new(text, &schema.keys, next, close);
            scanner.closed_end = true;
            let tree = scanner.structure();
            *fuel = fuel.saturating_sub(scanner.pos - next + 16);
            if !tree.cut && tree.flaw.is_none() {
                found = Some((Unit::of(tree), close));
                out.doubt = usize::MAX;
                out.undecided = false;
            }
        }
        let Some((unit, behind)) = found else { break };
        out.units.push(unit.fenced());
        count += 1;
        next = behind;
        if out.beginning {
            return end;
        }
        while next < end && (bytes[next].is_ascii_whitespace() || bytes[next] == b',') {
            next += 1;
        }
    }
    if out.too_deep || out.undecided {
        return end;
    }
    let close = closing(bytes, if count > 0 { next } else { content }, end, mark, width);
    if count > 0 {
        let stop = close.map_or(end, |c| c + width);
        if let (1, Some(unit)) = (count, out.units.last_mut())
            && next >= close.unwrap_or(end)
        {
            unit.outer = Span::new(at, stop);
        }
        return close.map_or(next, |c| c + width);
    }
    if let Some(close) = close {
        out.open_fence = None;
        let before = out.units.len();
        let mut i = content;
        while let Some(found) =
            bytes.get(i..close).and_then(|b| b.iter().position(|b| matches!(b, b'{' | b'[')))
        {
            i += found;
            match structure(text, schema, i, close, fuel, out) {
                Some((unit, behind)) => {
                    out.units.push(unit.fenced());
                    i = behind;
                }
                None => i += 1,
            }
            if out.is_over(*fuel) {
                break;
            }
        }
        if out.units.len() == before {
            out.blocks
                .push(Block { content: Span::new(content, close), outer: Span::new(at, close + width) });
        }
        return close + width;
    }
    // An unclosed fence with words in it, or a stray mark.
    if tagged_line && !bytes[content..end].iter().any(|b| matches!(b, b'{' | b'[')) {
        out.blocks.push(Block { content: Span::new(content, end), outer: Span::new(at, end) });
    }
    content.max(at + width)
}

/// Skips the language tag. The flag is set if the fence had its opening line to itself.
fn content_start(bytes: &[u8], at: usize, end: usize) -> (usize, bool) {
    let mut i = at;
    while i < end
        && i - at < 32
        && (bytes[i].is_ascii_alphanumeric() || matches!(bytes[i], b'_' | b'-' | b'+' | b'.' | b'#'))
    {
        i += 1;
    }
    let tag_end = i;
    while i < end && matches!(bytes[i], b' ' | b'\t' | b'\r') {
        i += 1;
    }
    if i < end && bytes[i] == b'\n' {
        return (i + 1, true);
    }
    // "```42```": no tag, the digits are the content; "```json {…}```": a tag.
    let tagged = bytes[at..tag_end].first().is_some_and(u8::is_ascii_alphabetic)
        && matches!(bytes.get(i), Some(b'{' | b'['));
    (if tagged { i } else { at }, false)
}

fn closing(bytes: &[u8], from: usize, end: usize, mark: u8, width: usize) -> Option<usize> {
    let hay = bytes.get(from..end)?;
    let mut i = 0;
    while let Some(found) = hay[i..].iter().position(|b| *b == mark) {
        let start = i + found;
        let run = hay[start..].iter().take_while(|b| **b == mark).count();
        if run >= width {
            return Some(from + start);
        }
        i = start + run;
    }
    None
}

pub(super) fn skip_white(bytes: &[u8], at: usize, end: usize) -> usize {
    let mut i = at;
    while i < end && bytes[i].is_ascii_whitespace() {
        i += 1;
    }
    i
}

/// Returns the reply as one string in quotes, if that is its form.
pub(super) fn whole_string<'t>(text: &'t str, schema: &Schema, start: usize, end: usize) -> Option<Tree<'t>> {
    // A fence is not a quotation mark.
    let quote = opening(text.as_bytes(), start, end).filter(|q| *q != Quote::Triple(b'`'))?;
    let mut scanner = Loose::new(text, &schema.keys, start, end);
    let tree = quoted::read(&mut scanner, quote, super::loose::Place::Member);
    (scanner.pos == end && !tree.cut).then_some(tree)
}
