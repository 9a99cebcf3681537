//! Replies in a format other than the one that was asked for: that of another adapter, or headings in place of markers.
//!
//! They are read where nothing in the reply is of the adapter's own format and the other one gives every output. A
//! reply that two other formats read as two things is none of them.

use serde_json::Value;

use super::elements::Elements;
use super::sections::{Sections, field_index, label};
use super::{Adapter, ChatAdapter, Parsed, XmlAdapter, chat, json};
use crate::decode::{ParseReport, thoughts};
use crate::lm::Completion;
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// A format of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Sections,
    Elements,
    Object,
}

/// Reads a reply that is not in the format `own`.
pub(super) fn read_other(own: Format, spec: &SignatureSpec, completion: &Completion) -> Option<Parsed> {
    let reply = completion.text.as_str();
    let mut found = [
        (own != Format::Sections).then(|| sections(spec, completion)).flatten(),
        (own != Format::Elements).then(|| elements(spec, completion)).flatten(),
        // The chat adapter reads an object before it asks for other formats.
        (own == Format::Elements).then(|| object(spec, reply)).flatten(),
        headings(spec, reply),
    ]
    .into_iter()
    .flatten();
    let mut first = found.next()?;
    if found.any(|other| other.values != first.values) {
        return None;
    }
    first.report.foreign(0..reply.len());
    Some(first)
}

/// Tells whether the text before `at` may belong to another format, so that the rest may be inside one of its strings.
fn may_be_inside(reply: &str, at: usize) -> bool {
    reply[..at].contains(['{', '<'])
}

fn sections(spec: &SignatureSpec, completion: &Completion) -> Option<Parsed> {
    let reply = completion.text.as_str();
    let sections = Sections::of(spec, reply);
    let first = sections.closed.first().filter(|_| sections.marked)?;
    let start = sections.base();
    if may_be_inside(&reply[start..], first.name.start - start) {
        return None;
    }
    ChatAdapter.parse(spec, completion).ok()
}

fn elements(spec: &SignatureSpec, completion: &Completion) -> Option<Parsed> {
    let reply = completion.text.as_str();
    let elements = Elements::of(spec, reply);
    let first = elements.closed.first()?;
    let tag = first.name.start.checked_sub(1)?;
    let start = thoughts::answer(reply)?.min(tag);
    // A tag in a sentence is a mention.
    let line = reply[..tag].rfind('\n').map_or(start, |at| (at + 1).max(start));
    if may_be_inside(&reply[start..], tag - start) || !reply[line..tag].trim().is_empty() {
        return None;
    }
    XmlAdapter.parse(spec, completion).ok()
}

fn object(spec: &SignatureSpec, reply: &str) -> Option<Parsed> {
    let start = thoughts::answer(reply)?;
    reply[start..].contains('{').then(|| json::parse_object("", spec, reply, start).ok())?
}

/// Reads headings in place of markers: `### answer`, `**answer**: Paris`. Every output must have one, all of one kind;
/// one that may be absent may lack it where nothing else in the reply could be its heading.
fn headings(spec: &SignatureSpec, reply: &str) -> Option<Parsed> {
    let start = thoughts::answer(reply)?;
    // The field and the kind of each heading, where it starts, and where its text starts.
    let mut found: Vec<(usize, usize, usize, usize)> = Vec::new();
    let mut at = start;
    let mut foreign = false;
    for line in reply[start..].split_inclusive('\n') {
        if let Some((name, kind, behind)) = heading(line) {
            match field_index(spec, name) {
                Some(index) => found.push((index, kind, at, at + behind)),
                None => foreign = true,
            }
        }
        at += line.len();
    }
    let fields: Vec<&FieldSpec> = spec.outputs().collect();
    let count = |index: usize| found.iter().filter(|heading| heading.0 == index).count();
    let absent: Vec<usize> = (0..fields.len()).filter(|index| count(*index) == 0).collect();
    let labelled = |line| {
        let named = label(line).and_then(|name| field_index(spec, name));
        named.is_some_and(|index| absent.contains(&index))
    };
    let lost = !absent.is_empty() && (foreign || reply[start..].lines().any(labelled));
    let once = (0..fields.len()).all(|index| match count(index) {
        0 => fields[index].is_optional(),
        count => count == 1,
    });
    if found.is_empty() || lost || !once || found.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        return None;
    }
    let mut parsed = Parsed { values: Values::new(), report: ParseReport::default() };
    let mut values: Vec<Option<Value>> = vec![None; fields.len()];
    for (number, (index, _, _, from)) in found.iter().enumerate() {
        let to = found.get(number + 1).map_or(reply.len(), |next| next.2);
        let text = reply[*from..to].trim();
        let offset = *from + (reply[*from..to].len() - reply[*from..to].trim_start().len());
        let value = chat::read_field(fields[*index], text, offset, &mut parsed.report).ok()?;
        values[*index] = Some(value);
    }
    for (field, value) in fields.iter().zip(values) {
        if let Some(value) = value {
            parsed.values.insert(field.name().to_owned(), value);
        }
    }
    Some(parsed)
}

/// The name in a heading, the kind of the heading, and where the text behind it starts.
fn heading(line: &str) -> Option<(&str, usize, usize)> {
    let content = line.trim();
    let signs = content.bytes().take_while(|b| *b == b'#').count();
    if (1..=6).contains(&signs) && content[signs..].starts_with(' ') {
        let name = content[signs..].trim_matches(['#', ' ', ':', '*', '_', '`']);
        return Some((name, signs, line.len()));
    }
    let inside = content.strip_prefix("**")?;
    let (name, rest) = inside.split_once("**")?;
    let text = rest.strip_prefix(':').or_else(|| name.ends_with(':').then_some(rest))?;
    let behind = text.as_ptr() as usize - line.as_ptr() as usize;
    Some((name.trim_matches([' ', ':', '`']), 7, behind))
}
