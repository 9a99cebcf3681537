//! Replies in a format other than the requested one: that of another adapter, or headings in place of
//! markers.
//!
//! They are read if the reply contains nothing in the adapter's own format and the other format yields every
//! output. A reply that two other formats read differently is an error.

use super::elements::Elements;
use super::sections::Sections;
use super::{Adapter, ChatAdapter, FieldProblem, ParseError, Parsed, XmlAdapter, headings, json};
use crate::decode::thoughts;
use crate::lm::Completion;
use crate::signature::SignatureSpec;

/// A format of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Sections,
    Elements,
    Object,
}

/// Reads a reply that is not in the format `own`. The error contains the problems of a reply that is nearly
/// in another format.
pub(super) fn read_other(
    own: Format,
    spec: &SignatureSpec,
    completion: &Completion,
) -> Result<Parsed, Vec<FieldProblem>> {
    let reply = completion.text.as_str();
    let none = Err(None);
    let read = [
        if own == Format::Sections { none.clone() } else { told("with markers", sections(spec, completion)) },
        if own == Format::Elements { none.clone() } else { told("as XML", elements(spec, completion)) },
        // The chat adapter reads an object before it tries other formats.
        if own == Format::Elements { told("as JSON", object(spec, reply)) } else { none },
        // An object of lines is read before other formats are tried.
        headings::read(spec, reply, own != Format::Object)
            .map_err(|miss| miss.map(|miss| format!("read with headings or labels: {miss}"))),
    ];
    let mut first: Option<Parsed> = None;
    let mut misses = Vec::new();
    for read in read {
        match (read, &first) {
            (Ok(parsed), None) => first = Some(parsed),
            (Ok(parsed), Some(first)) if parsed.values != first.values => {
                let message = "the reply answers twice, in two formats; write it once";
                return Err(vec![FieldProblem::new("", message)]);
            }
            (Ok(_), Some(_)) | (Err(None), _) => {}
            (Err(Some(miss)), _) => misses.push(FieldProblem::new("", miss)),
        }
    }
    let Some(mut first) = first else { return Err(misses) };
    first.report.foreign(0..reply.len());
    Ok(first)
}

/// Returns the parsed reply, or its problem in the format that it nearly has.
fn told(form: &str, read: Option<Result<Parsed, ParseError>>) -> Result<Parsed, Option<String>> {
    read.ok_or(None)?.map_err(|error| Some(near_miss(form, &error)))
}

/// Returns the problem of a reply that is nearly in another format.
pub(super) fn near_miss(form: &str, error: &ParseError) -> String {
    match error.problems.first() {
        Some(problem) if problem.field.is_empty() => format!("read {form}: {}", problem.message),
        Some(problem) => format!("read {form}: `{}`: {}", problem.field, problem.message),
        None => format!("read {form}: {}", error.kind.describe()),
    }
}

/// Returns whether the text before `at` may be in another format, so that the rest may be inside one of its
/// strings.
fn may_be_inside(reply: &str, at: usize) -> bool {
    reply[..at].contains(['{', '<'])
}

fn sections(spec: &SignatureSpec, completion: &Completion) -> Option<Result<Parsed, ParseError>> {
    let reply = completion.text.as_str();
    let sections = Sections::of(spec, reply);
    let first = sections.closed.first().filter(|_| sections.marked)?;
    let start = sections.base();
    if may_be_inside(&reply[start..], first.name.start - start) {
        return None;
    }
    Some(ChatAdapter.parse(spec, completion))
}

fn elements(spec: &SignatureSpec, completion: &Completion) -> Option<Result<Parsed, ParseError>> {
    elements_at_top(spec, completion.text.as_str())?;
    Some(XmlAdapter.parse(spec, completion))
}

/// Returns whether every required output has an element, regardless of other problems.
pub(super) fn has_elements(spec: &SignatureSpec, reply: &str) -> bool {
    let has = |elements: &Elements, index| elements.closed.iter().any(|element| element.index == index);
    elements_at_top(spec, reply).is_some_and(|elements| {
        spec.outputs().enumerate().all(|(index, field)| field.is_optional() || has(&elements, index))
    })
}

/// Returns the elements of a reply that are not nested in anything else.
fn elements_at_top(spec: &SignatureSpec, reply: &str) -> Option<Elements> {
    let elements = Elements::of(spec, reply);
    let tag = elements.first()?;
    let start = thoughts::answer(reply)?.min(tag);
    // A tag in a sentence is a mention.
    let line = reply[..tag].rfind('\n').map_or(start, |at| (at + 1).max(start));
    if may_be_inside(&reply[start..], tag - start) || !reply[line..tag].trim().is_empty() {
        return None;
    }
    Some(elements)
}

fn object(spec: &SignatureSpec, reply: &str) -> Option<Result<Parsed, ParseError>> {
    let start = thoughts::answer(reply)?;
    let read = reply[start..].contains('{').then(|| json::parse_object("", spec, reply, start))?;
    // An object without outputs is not an answer that nearly fits.
    (read.is_ok() || json::names_outputs(spec, &reply[start..])).then_some(read)
}
