//! The text of a reply outside its elements: prose, or an output that would get lost.
//!
//! An optional output must not vanish because of a broken tag, another format, or words in place of a tag.

use dspy_base::prompt_format::COMPLETED;

use super::elements::{Element, Elements, field_of_tag};
use super::markers::{self, Read};
use super::markup::{CDATA, Tag, tag, unescape};
use super::sections::{field_index, label};
use super::{FieldProblem, trailing_text};
use crate::decode::thoughts;
use crate::signature::{FieldSpec, SignatureSpec, Values};

/// The state of a search for outputs without an element in the text between elements.
struct Outside<'s> {
    spec: &'s SignatureSpec,
    /// For each output, whether it is optional and has no element.
    absent: Vec<bool>,
    problems: Vec<FieldProblem>,
    /// Unknown open tags: the name, the number of the text, and the start of the text after the tag.
    open: Vec<(String, usize, usize)>,
}

/// The largest number of problems to collect.
const MOST_PROBLEMS: usize = 8;
/// The largest number of open tags; more of them are not tags of elements.
const MOST_OPEN: usize = 64;

/// Returns the problems of the text around the closed elements of a reply, whose values are `values`.
pub(super) fn problems(
    spec: &SignatureSpec,
    reply: &str,
    elements: &Elements,
    values: &Values,
) -> Vec<FieldProblem> {
    let has = |index: usize| elements.closed.iter().any(|element| element.index == index);
    let absent: Vec<bool> =
        spec.outputs().enumerate().map(|(index, field)| field.is_optional() && !has(index)).collect();
    let mut outside = Outside { spec, absent, problems: Vec::new(), open: Vec::new() };
    let mut from = elements.base();
    let ends = elements.closed.iter().map(Element::whole).chain(std::iter::once(reply.len()..reply.len()));
    let count = elements.closed.len();
    for (number, element) in ends.enumerate() {
        let Some(text) = reply.get(from..element.start.max(from)) else { continue };
        from = element.end.max(from);
        let text = without_comments(&unescape(text));
        outside.read(&text, number, number == count, values);
    }
    outside.problems
}

/// Returns `text` without comments and instructions, and with CDATA unwrapped.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match tag(rest, true) {
            Tag::Opaque { start, mark } if mark == CDATA.1 => rest = &rest[start..],
            Tag::Opaque { start, mark } => match rest[start..].find(mark) {
                Some(end) => rest = &rest[start + end + mark.len()..],
                // Without an end mark it hides nothing.
                None => break,
            },
            _ => {
                out.push('<');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

impl Outside<'_> {
    fn lacks(&self) -> bool {
        self.absent.contains(&true)
    }

    fn name(&self, index: usize) -> &str {
        self.spec.outputs().nth(index).map(FieldSpec::name).unwrap_or_default()
    }

    fn problem(&mut self, index: Option<usize>, message: String) {
        let field = index.map(|index| self.name(index).to_owned()).unwrap_or_default();
        if self.problems.len() < MOST_PROBLEMS && !self.problems.iter().any(|other| other.field == field) {
            self.problems.push(FieldProblem::new(field, message));
        }
    }

    /// Reads the text before element number `number`, or after the `last` one.
    fn read(&mut self, text: &str, number: usize, last: bool, values: &Values) {
        let plain = self.tags(text, number, last);
        self.markers(text, number);
        let labelled: Vec<usize> = plain
            .lines()
            .filter_map(|line| field_index(self.spec, label(line)?))
            .filter(|index| self.absent[*index])
            .collect();
        for index in labelled {
            let name = self.name(index);
            let message = format!("stands outside of its tags; write it as `<{name}>…</{name}>`");
            self.problem(Some(index), message);
        }
        let absent = &self.absent;
        let change = if number == 0 {
            trailing_text::assignment(self.spec, &plain, |index| absent[index])
        } else {
            trailing_text::change(self.spec, &plain, values, |_| true)
        };
        if let Some(change) = change {
            let message = format!(
                "`{}` stands outside of the elements; write each value inside its tags, once",
                shorten(change)
            );
            self.problem(None, message);
        }
    }

    /// Reads the tags in `text`; returns the text without them.
    fn tags(&mut self, text: &str, number: usize, last: bool) -> String {
        let mut plain = String::with_capacity(text.len());
        let mut done = 0;
        // The start of the text after the last tag.
        let mut at = 0;
        while let Some(start) = text[at..].find('<').map(|offset| at + offset) {
            let found = tag(&text[start..], true);
            let (name, length) = match found {
                Tag::Open { name, length, .. } => (start + 1..start + 1 + name, length),
                Tag::Close { name, length } => (start + 2..start + 2 + name, length),
                _ => {
                    self.no_tag(&text[start..], last);
                    at = start + 1;
                    continue;
                }
            };
            let end = start + length;
            at = end;
            if thoughts::is_mention(text, start, end, true) == Some(true) {
                continue;
            }
            plain.push_str(&text[done..start]);
            plain.push(' ');
            done = end;
            let thought = matches!(
                thoughts::tag(&text[start..], true),
                thoughts::Tag::Open(..) | thoughts::Tag::Close(..)
            );
            let name = &text[name];
            let output = field_of_tag(self.spec, name);
            if let Some(index) = output.filter(|index| self.absent[*index]) {
                // A proper tag would have been found: this one is escaped.
                self.broken(index);
            }
            if thought || output.is_some() {
                continue;
            }
            match found {
                Tag::Open { empty: true, attributes, .. } => {
                    if attributes {
                        self.unknown(name);
                    }
                }
                Tag::Open { .. } => {
                    let next = text[end..].find('<').map_or(text.len(), |offset| end + offset);
                    let says = text[end..next].contains(char::is_alphanumeric);
                    if says && number > 0 {
                        self.unknown(name);
                    } else if self.open.len() < MOST_OPEN {
                        self.open.push((name.to_lowercase(), number, end));
                    }
                }
                _ => self.close(text, name, number, start),
            }
        }
        plain.push_str(&text[done..]);
        plain
    }

    /// Reads an unknown closing tag at `at` in text number `number`.
    fn close(&mut self, text: &str, name: &str, number: usize, at: usize) {
        let lower = name.to_lowercase();
        match self.open.iter().rposition(|open| open.0 == lower) {
            Some(place) => {
                let (_, opened, from) = self.open[place];
                self.open.truncate(place);
                // A tag that opened in an earlier text encloses elements of outputs.
                if opened == number && text[from..at].contains(char::is_alphanumeric) {
                    self.unknown(name);
                }
            }
            None => {
                let before = text[..at].rfind('>').map_or(0, |end| end + 1);
                if text[before..at].contains(char::is_alphanumeric) && number > 0 {
                    self.unknown(name);
                }
            }
        }
    }

    /// Reports an element that names no output, since it may be meant for one that is absent.
    fn unknown(&mut self, name: &str) {
        if self.lacks() {
            let name = shorten(name);
            self.problem(
                None,
                format!("`<{name}>` is no output field; leave it out, or write its name right"),
            );
        }
    }

    fn broken(&mut self, index: usize) {
        let name = self.name(index);
        let message = format!("its tag is broken; write it as `<{name}>…</{name}>`");
        self.problem(Some(index), message);
    }

    /// Reads text that starts with `<` and is not a tag.
    fn no_tag(&mut self, text: &str, last: bool) {
        let inner = text[1..].trim_start_matches('/');
        let end = inner.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'));
        let name = &inner[..end.unwrap_or(inner.len())];
        let whole = &inner[..inner.find(['<', '\n']).unwrap_or(inner.len())];
        let tagged = whole.contains('>');
        let begins = |field: &FieldSpec| field.name().to_lowercase().starts_with(&name.to_lowercase());
        if last && end.is_none() && (self.lacks() || !name.is_empty() && self.spec.outputs().any(begins)) {
            if name.is_empty() || name.starts_with(char::is_alphabetic) {
                self.problem(None, "it is truncated in a tag; write the whole reply".into());
            }
            return;
        }
        match field_of_tag(self.spec, name) {
            Some(index) if self.absent[index] => self.broken(index),
            None if tagged && name.len() > 1 && name.starts_with(char::is_alphabetic) => self.unknown(name),
            _ => {}
        }
    }

    /// Reports section markers in a reply with elements.
    fn markers(&mut self, text: &str, number: usize) {
        let mut found: Vec<String> = Vec::new();
        for (at, _) in text.match_indices('[') {
            if let Read::Marker(marker) = markers::read(text, at, 0, true)
                && marker.starts_line
                && found.len() < MOST_OPEN
            {
                found.push(text[marker.name].to_owned());
            }
        }
        found.extend(text.lines().filter_map(markers::remains).map(str::to_owned).take(MOST_OPEN));
        for name in found {
            match field_index(self.spec, &name) {
                Some(index) if self.absent[index] || number > 0 => {
                    let name = self.name(index);
                    let message = format!("stands below a marker; write it as `<{name}>…</{name}>`, once");
                    self.problem(Some(index), message);
                }
                None if self.lacks() && !name.eq_ignore_ascii_case(COMPLETED) => {
                    let message =
                        format!("`[[ ## {} ## ]]` is no output field; leave it out", shorten(&name));
                    self.problem(None, message);
                }
                _ => {}
            }
        }
    }
}

/// Returns the beginning of `text`, to be quoted.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
