//! Objects written as one `key: value` per line.

use std::borrow::Cow;

use super::super::block::{self, Block};
use super::super::report::RepairKind as R;
use super::super::tree::{Entry, Flaw, Note, Shape, Span, Tree};
use super::unknown_lines::{self, Style};
use dspy_base::fold::fold;

pub(super) fn shift_spans(tree: &mut Tree<'_>, by: usize) {
    let shift = |span: &mut Span| {
        span.start += by;
        span.end += by;
    };
    shift(&mut tree.span);
    tree.notes.as_mut_slice().iter_mut().for_each(|n| shift(&mut n.span));
    match &mut tree.shape {
        Shape::List(items) => items.iter_mut().for_each(|t| shift_spans(t, by)),
        Shape::Object(entries) => entries.iter_mut().for_each(|e| {
            shift(&mut e.span);
            shift_spans(&mut e.value, by);
        }),
        _ => {}
    }
}

/// The type's knowledge about keys.
pub(super) struct Keys<'k, 't> {
    /// Returns whether a key is the key of a member.
    pub(super) is_member: &'k dyn Fn(&str) -> bool,
    /// Returns whether a key may be that of a member and is not: another line of text, or a member that would
    /// be lost.
    pub(super) is_near: &'k dyn Fn(&str) -> bool,
    /// Returns whether a key cannot be the key of any member.
    pub(super) is_foreign: &'k dyn Fn(&str) -> bool,
    /// Returns whether the value of a key may continue after a blank line.
    pub(super) goes_on: &'k dyn Fn(&str) -> bool,
    /// Returns the value in brackets or quotes that fills the span, if such values are allowed there.
    pub(super) flow: &'k dyn Fn(Span) -> Option<Tree<'t>>,
}

/// Reads one `key: value` per line, with optional bullets and emphasis. Lines without a key continue the
/// value before them, and so do lines that are indented below a key without a value. A line with a key of no
/// member is a separate member if it is written like the members and cannot be text of the one above.
/// `first_lead` is the indentation of the first line in the original text.
pub(super) fn lines<'t>(text: &'t str, keys: &Keys<'_, 't>, first_lead: Option<usize>) -> Option<Tree<'t>> {
    let Keys { is_member: is_known, is_near, is_foreign, goes_on, flow } = *keys;
    let mut entries: Vec<Entry<'t>> = Vec::new();
    // Lines before the members that are written like one.
    let mut ahead: Vec<Entry<'t>> = Vec::new();
    let mut at = 0;
    let (mut blank, mut aside) = (false, false);
    let (mut style, mut foreign) = (None, false);
    // The indentation of the last value's key, and whether a line right below may belong to it.
    let (mut depth, mut glued, mut listed) = (0, false, false);
    let (mut column, mut open) = (0, false);
    let mut block_end = 0;
    let mut closed = false;
    // Lines after a member that are not part of its text.
    let mut asides = Vec::new();
    // Whether the lines below a key without a value are text and not items.
    let mut texts = false;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let content = line.trim();
        if start < block_end {
            continue;
        }
        if content.is_empty() {
            blank = true;
            continue;
        }
        let lead = line.len() - line.trim_start().len();
        let indent = if start == 0 { first_lead.map_or(lead, |more| more + lead) } else { lead };
        let here = indent + super::list_items::marker(content).map_or(0, |(_, offset)| offset);
        let below = !entries.is_empty() && indent > depth && here > column;
        let marker =
            content.len() - content.trim_start_matches(['-', '*', '•', '+', ' ', '"', '_', '#']).len();
        let body = &content[marker..];
        let split =
            body.find(':').filter(|&i| is_known(body[..i].trim_matches(['*', '"', '`', '\'', '_', ' '])));
        let own = unknown_lines::label(content).filter(|label| split.is_none() && is_foreign(label.key));
        let next_indented = || {
            let next = text[at..].lines().find(|line| !line.trim().is_empty());
            next.is_some_and(|next| next.len() - next.trim_start().len() > indent)
        };
        let stands_alone = own.as_ref().is_some_and(|label| {
            let alike = style == Some(Style::of(&content[..marker], label.key));
            let aligned = if column == usize::MAX { lead == 0 } else { here == column && indent == depth };
            let says = !label.value.is_empty() || super::unknown_keys::is_name(label.key) && next_indented();
            let doubtful = entries.last().is_some_and(|last| {
                !foreign
                    && goes_on(&last.key)
                    && (blank
                        || glued
                        || texts
                        || matches!(last.value.shape, Shape::Absent)
                        || matches!(&last.value.shape, Shape::Text { text, quoted: false } if !listed && unknown_lines::may_go_on(text)))
            });
            alike && aligned && says && !label.is_remark && !doubtful
        });
        // A line that may be a member, or text of the one above, which already has a value.
        let unclear = own.as_ref().is_some_and(|_| !stands_alone && !below && !foreign)
            && super::list_items::marker(content).is_none_or(|_| !open && !listed);
        // A comment, a heading, or a member that was commented out.
        let commented = (content.starts_with("# ") || content.starts_with("//"))
            && style.is_some_and(|style: Style<'_>| !style.prefix.starts_with('#'))
            && !below
            && !open;
        if commented {
            let last = entries.last_mut()?;
            if goes_on(&last.key) && !foreign
                || super::unknown_keys::of_line(content.trim_start_matches('/')).is_some()
            {
                last.value.flaw = Some(Flaw::UnclearEnd);
            }
            continue;
        }
        if let Some(last) = entries.last_mut().filter(|_| below && split.is_some() && !open && !foreign) {
            // A member of the one above, which already has a value?
            last.value.flaw = Some(Flaw::UnclearEnd);
        }
        let member = split.filter(|_| !below);
        if let Some(i) = member.or_else(|| body.find(':').filter(|_| stands_alone && !entries.is_empty())) {
            (aside, glued, listed, texts, depth, column) = (false, false, false, false, indent, here);
            foreign = member.is_none();
            if start == 0 && first_lead.is_none() {
                // The extent is unknown: the next key may be anywhere.
                (depth, column) = (usize::MAX, usize::MAX);
            }
            let key = body[..i].trim_matches(['*', '"', '`', '\'', '_', ' ']);
            if !foreign {
                style = Some(Style::of(&content[..marker], key));
            }
            let mut value = body[i + 1..].trim_start_matches('*').trim();
            if content.starts_with('"') || content.starts_with(['{', '[']) {
                // JSON members, one per line, are read by the scanner.
                return None;
            }
            value = value.strip_suffix(',').unwrap_or(value).trim_end();
            closed = value.starts_with(['{', '[', '"', '\'', '`']);
            let from = start
                + lead
                + marker
                + i
                + 1
                + (body.len() - i - 1 - body[i + 1..].trim_start_matches('*').trim_start().len());
            let span = Span::new(from, from + value.len());
            let key_span = Span::new(start + lead + marker, start + lead + marker + i);
            let mut tree = if closed { flow(span)? } else { Tree::text(value, false, span) };
            open = value.is_empty();
            if open {
                tree.shape = Shape::Absent;
            }
            match block::read(text, value, at, lead) {
                Some(Block::Text(block, end)) => {
                    tree.span.end = end;
                    tree.shape = Shape::Text { text: block.into(), quoted: true };
                    block_end = end;
                }
                Some(Block::Unclear) => tree.flaw = Some(Flaw::UnclearEnd),
                None => {}
            }
            entries.push(Entry { key: Cow::Borrowed(key), quoted: false, span: key_span, value: tree });
        } else if !(below && foreign)
            && super::unknown_keys::of_line(content).is_some_and(|(key, _)| is_near(key))
        {
            // Before the members its meaning is unknown; after one it may be text or the next member.
            entries.last_mut()?.value.flaw = Some(Flaw::UnclearEnd);
        } else if let Some(label) = own.as_ref().filter(|own| entries.is_empty() && !own.value.is_empty()) {
            let from = start + lead + marker;
            let end = start + lead + content.len();
            let value = Tree::text(label.value, false, Span::new(end - label.value.len(), end));
            ahead.push(Entry { key: label.key.into(), quoted: false, span: Span::new(from, from), value });
        } else if let Some(last) = entries.last_mut() {
            let from = last.value.span.start.min(start);
            let to = start + line.trim_end().len();
            let may_go_on = !foreign && goes_on(&last.key);
            if unclear && may_go_on {
                last.value.flaw = Some(Flaw::UnclearEnd);
            }
            aside |= blank && !may_go_on && !below;
            if aside || !may_go_on && !foreign && super::list_items::marker(content).is_none() {
                asides.push(content);
            }
            if aside {
                continue;
            }
            if block_end > 0 && last.value.span.end == block_end {
                // After a block, a line that is not indented is not part of it.
                aside = blank;
                if !blank {
                    last.value.flaw = Some(Flaw::UnclearEnd);
                }
                continue;
            }
            let bulleted = super::list_items::marker(content).is_some();
            glued |= lead <= (if depth == usize::MAX { 0 } else { depth })
                && !bulleted
                && !matches!(last.value.shape, Shape::Absent)
                && !listed;
            listed |= bulleted || matches!(last.value.shape, Shape::Absent);
            texts |= !bulleted && open;
            if foreign && glued {
                last.value.flaw = Some(Flaw::UnclearEnd);
            }
            if blank || closed {
                // A paragraph after the members: part of the last value, or a closing remark?
                last.value.flaw = Some(Flaw::UnclearEnd);
            }
            let joined = text.get(from..to).unwrap_or("");
            let inner = joined.trim_start();
            let joined = if super::list_items::marker(inner).is_some() {
                joined.trim_start_matches(['\n', '\r'])
            } else {
                inner
            };
            last.value.shape = Shape::Text { text: Cow::Borrowed(joined), quoted: false };
            last.value.span = Span::new(to - joined.len(), to);
        } else if content.len() > 200 || entries.is_empty() && content.contains(['{', '[']) {
            return None;
        }
        blank = false;
    }
    // After the last string: a continuation, or a closing remark?
    if let Some(last) = entries.last_mut().filter(|last| glued && goes_on(&last.key)) {
        last.value.flaw = Some(Flaw::UnclearEnd);
    }
    let is_absent = |key: &str| is_known(key) && entries.iter().all(|e| fold(&e.key) != fold(key));
    if asides.iter().any(|line| unknown_lines::speaks_of(line, is_known, &is_absent))
        && let Some(last) = entries.last_mut()
    {
        last.value.flaw = Some(Flaw::UnclearEnd);
    }
    if entries.is_empty() {
        return None;
    }
    ahead.append(&mut entries);
    let mut tree = Tree::new(Shape::Object(ahead), Span::new(0, text.len()));
    tree.notes.push(Note { kind: R::MissingBraces, span: tree.span });
    Some(tree)
}

/// Reads a map in which every line is `key: value`, with optional bullets and emphasis, after at most one
/// introductory line.
pub(super) fn map_lines(text: &str) -> Option<Tree<'_>> {
    let mut entries = Vec::new();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = at;
        at += line.len();
        let content = line.trim();
        if content.is_empty() || (number == 0 && introduces(content)) {
            continue;
        }
        let marker = super::list_items::marker(content).map_or(0, |(_, offset)| offset);
        let colon = marker + content[marker..].find(": ").or_else(|| content[marker..].find(":** "))?;
        let key = content[marker..colon].trim_matches(['*', '`', '_', ' ']);
        let value = content[colon + 1..].trim_start_matches('*').trim();
        // Words with full stops in between are a sentence; quotes and brackets are read by the scanner.
        let plain =
            |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/' | '\'' | '(' | ')' | '&');
        // Commented-out lines are not members.
        let named = !key.is_empty() && !key.starts_with("//") && key.chars().all(plain);
        if !named || key.split_whitespace().count() > 4 {
            return None;
        }
        if value.is_empty() || value.starts_with(['{', '[', '"', '\'', '`']) {
            return None;
        }
        if block::read(text, value, at, 0).is_some() {
            return None;
        }
        let from = start + (line.len() - line.trim_start().len());
        let end = from + content.len();
        let span = Span::new(end - value.len(), end);
        entries.push(Entry {
            key: Cow::Borrowed(key),
            quoted: false,
            span: Span::new(from + marker, from + colon),
            value: Tree::text(value, false, span),
        });
    }
    if entries.is_empty() {
        return None;
    }
    let mut tree = Tree::new(Shape::Object(entries), Span::new(0, text.len()));
    tree.notes.push(Note { kind: R::MissingBraces, span: tree.span });
    Some(tree)
}

/// Returns whether a line announces the members below it. One or two words before the colon may be a key
/// without a value.
fn introduces(line: &str) -> bool {
    let Some(words) = line.trim_matches(['*', '#', '_', ' ']).strip_suffix(':') else { return false };
    let announces = ["answer", "answers", "output", "response", "result", "results"];
    let count = words.split_whitespace().count();
    let said = |word: &str| announces.iter().any(|a| word.eq_ignore_ascii_case(a));
    super::list_items::marker(line).is_none() && (count > 2 || words.split_whitespace().any(said))
}
