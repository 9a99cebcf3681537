//! The elements of a reply in the XML format. Complete and partial replies are read by the same code.
//!
//! An element ends at the closing tag that balances its opening one. Nothing inside an element is read as
//! another field; comments and CDATA contain no tags, and a tag between backticks is a mention. Reasoning
//! blocks contain no elements.

use std::ops::Range;

use super::markup::{CDATA, Tag, tag};
use super::sections::UNCLOSED;
use crate::decode::thoughts::{self, Head, Thoughts};
use crate::signature::{FieldSpec, SignatureSpec};

/// An element of an output field.
#[derive(Debug, Clone)]
pub(super) struct Element {
    /// The index of the output field.
    pub(super) index: usize,
    /// The name in the tag.
    pub(super) name: Range<usize>,
    /// Its content; empty while it is open.
    pub(super) content: Range<usize>,
    /// The offset after its closing tag.
    end: usize,
}

impl Element {
    /// Returns the range of the element with its tags.
    pub(super) fn whole(&self) -> Range<usize> {
        self.name.start.saturating_sub(1)..self.end
    }
}

/// The result of reading the start of a reply, where a reasoning block may begin or end.
enum Lead {
    /// The tag of a reasoning block, or a mention of one, with the offset to continue at.
    Read(usize),
    Other,
    Undecided,
}

/// The elements at the top level of a reply.
#[derive(Debug)]
pub(super) struct Elements {
    /// The reasoning blocks that are being skipped.
    thoughts: Option<Thoughts>,
    /// The offset of the reply after its reasoning blocks.
    base: usize,
    /// The offset up to which the reply has been read.
    scanned: usize,
    /// The end mark of the comment, CDATA or instruction that is being skipped, and its start offset.
    hidden: Option<(&'static str, usize)>,
    /// The open element, the number of open tags of its name, and whether that number ever exceeded one.
    open: Option<(Element, usize, bool)>,
    /// The closed elements, in order.
    pub(super) closed: Vec<Element>,
    /// Closing tags of a field without an opening tag: the field's index and the offset.
    strays: Vec<(usize, usize)>,
    strayed: bool,
    /// The start offset of an element that a complete reply never closes.
    unclosed: Option<usize>,
    /// The problems, each of a field or of the whole reply.
    pub(super) problems: Vec<(Option<usize>, String)>,
}

impl Elements {
    pub(super) fn new() -> Self {
        Elements {
            thoughts: Some(Thoughts::default()),
            base: 0,
            scanned: 0,
            hidden: None,
            open: None,
            closed: Vec::new(),
            strays: Vec::new(),
            strayed: false,
            unclosed: None,
            problems: Vec::new(),
        }
    }

    /// Finds the elements of a complete reply.
    pub(super) fn of(spec: &SignatureSpec, reply: &str) -> Self {
        let mut elements = Elements::new();
        elements.advance(spec, reply, true);
        elements.finish(spec, reply);
        elements
    }

    /// Returns the start offset of the answer, after the reasoning blocks.
    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Returns the offset of the first tag of an output in a complete reply.
    pub(super) fn first(&self) -> Option<usize> {
        let closed = self.closed.first().map(|element| element.whole().start);
        closed.into_iter().chain(self.unclosed).min()
    }

    /// Returns the incomplete element: its field, and the range of its content read so far.
    pub(super) fn open(&self) -> Option<(usize, Range<usize>)> {
        let (element, ..) = self.open.as_ref()?;
        // A hidden part may turn out to be text.
        let end = self.hidden.map_or(self.scanned, |(_, start)| start);
        Some((element.index, element.content.start..end.max(element.content.start)))
    }

    /// Continues reading. `text` is the reply so far; `whole` says whether it is complete.
    pub(super) fn advance(&mut self, spec: &SignatureSpec, text: &str, whole: bool) {
        loop {
            if let Some(thoughts) = &mut self.thoughts {
                match thoughts.read(text, whole, |name| field_of_tag(spec, name).is_some()) {
                    Head::Answer(at) => {
                        (self.base, self.scanned) = (at, at);
                        self.thoughts = None;
                    }
                    Head::Undecided => return,
                    Head::Thinking => {
                        if whole {
                            self.problems.push((None, UNCLOSED.into()));
                        }
                        return;
                    }
                }
            }
            if !self.step(spec, text, whole) {
                return;
            }
        }
    }

    /// Reads up to and including the next tag; returns false if it has not arrived.
    fn step(&mut self, spec: &SignatureSpec, text: &str, whole: bool) -> bool {
        if let Some((mark, start)) = self.hidden {
            if let Some(end) = text[self.scanned..].find(mark) {
                self.scanned += end + mark.len();
                self.hidden = None;
                return true;
            }
            if whole {
                // Without an end mark it hides nothing.
                self.scanned = start + 1;
                self.hidden = None;
                return true;
            }
            let mut scanned = text.len().saturating_sub(mark.len()).max(self.scanned);
            while !text.is_char_boundary(scanned) {
                scanned -= 1;
            }
            self.scanned = scanned;
            return false;
        }
        let Some(at) = text[self.scanned..].find(['<', '◁']).map(|offset| self.scanned + offset) else {
            self.scanned = text.len();
            return false;
        };
        self.scanned = at;
        let first = text[at..].chars().next().map_or(1, char::len_utf8);
        if self.open.is_none() {
            match self.thought(spec, text, at, whole) {
                Lead::Read(next) => {
                    self.scanned = next;
                    return true;
                }
                Lead::Other => {}
                Lead::Undecided => return false,
            }
        }
        match tag(&text[at..], whole) {
            Tag::Undecided => return false,
            Tag::Other => self.scanned = at + first,
            Tag::Opaque { start, mark } => {
                self.scanned = at + start;
                // A whole reply may be in CDATA.
                if self.open.is_some() || mark != CDATA.1 {
                    self.hidden = Some((mark, at));
                }
            }
            Tag::Open { name, length, attributes, empty } => {
                let Some(mention) = thoughts::is_mention(text, at, at + length, whole) else { return false };
                // Whether a bracket follows the tag is unknown until more text arrives.
                if !whole && text.len() == at + length {
                    return false;
                }
                self.scanned = at + length;
                if !mention {
                    self.opening(spec, text, at + 1..at + 1 + name, attributes, empty);
                }
            }
            Tag::Close { name, length } => {
                let Some(mention) = thoughts::is_mention(text, at, at + length, whole) else { return false };
                self.scanned = at + length;
                if !mention {
                    self.closing(spec, text, at, at + 2..at + 2 + name);
                }
            }
        }
        true
    }

    /// Reads a possible reasoning tag at the top level of the reply. Returns the offset to continue at if it
    /// is one.
    fn thought(&mut self, spec: &SignatureSpec, text: &str, at: usize, whole: bool) -> Lead {
        let (length, opens) = match thoughts::tag(&text[at..], whole) {
            // A field may have the name of a reasoning tag: its tag is then read like any other.
            thoughts::Tag::Undecided if !text[at..].starts_with('<') => return Lead::Undecided,
            thoughts::Tag::Open(_, length) => (length, true),
            thoughts::Tag::Close(_, length) => (length, false),
            _ => return Lead::Other,
        };
        let end = at + length;
        let name = text[at..end].trim_start_matches(['<', '/']);
        let name = name.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if field_of_tag(spec, name).is_some() {
            return Lead::Other;
        }
        match thoughts::is_mention(text, at, end, whole) {
            None => return Lead::Undecided,
            Some(true) => return Lead::Read(end),
            Some(false) => {}
        }
        match (opens, self.closed.is_empty()) {
            (true, true) => {
                self.thoughts = Some(Thoughts::from(at));
                Lead::Read(at)
            }
            (false, true) => {
                self.base = end;
                self.strays.clear();
                self.problems.clear();
                Lead::Read(end)
            }
            (opens, false) => {
                self.strayed |= !opens;
                Lead::Read(end)
            }
        }
    }

    fn opening(
        &mut self,
        spec: &SignatureSpec,
        text: &str,
        name: Range<usize>,
        attributes: bool,
        empty: bool,
    ) {
        if let Some((open, depth, nested)) = &mut self.open {
            let same = text[open.name.clone()].eq_ignore_ascii_case(&text[name]);
            *depth += usize::from(same && !empty);
            *nested |= same && !empty;
            return;
        }
        let Some(index) = field_of_tag(spec, &text[name.clone()]) else { return };
        if std::mem::take(&mut self.strayed) {
            let message = "a thought ends after the answer has begun; write the answer once, at the end";
            self.problem(None, message.into());
        }
        let at = self.scanned;
        let element = Element { index, name, content: at..at, end: at };
        if empty {
            if attributes {
                self.problem(
                    Some(index),
                    "an element with attributes and no content; write the value inside".into(),
                );
            }
            self.closed.push(element);
            return;
        }
        if text[at..].starts_with('>') {
            self.problem(
                Some(index),
                "a `>` too many behind its opening tag; write `&gt;` if it is meant".into(),
            );
        }
        self.open = Some((element, 1, false));
    }

    fn closing(&mut self, spec: &SignatureSpec, text: &str, at: usize, name: Range<usize>) {
        let Some((open, depth, _)) = &mut self.open else {
            if let Some(index) = field_of_tag(spec, &text[name])
                && self.strays.len() < MOST_PROBLEMS
            {
                self.strays.push((index, at));
            }
            return;
        };
        if !text[open.name.clone()].eq_ignore_ascii_case(&text[name]) {
            return;
        }
        *depth -= 1;
        if *depth > 0 {
            return;
        }
        let Some((element, ..)) = self.open.take() else { return };
        let content = element.content.start..at;
        if text[content.clone()].ends_with('<') {
            let message = "a `<` too many before its closing tag; write `&lt;` if it is meant";
            self.problem(Some(element.index), message.into());
        }
        self.closed.push(Element { content, end: self.scanned, ..element });
    }

    fn problem(&mut self, index: Option<usize>, message: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push((index, message));
        }
    }

    fn finish(&mut self, spec: &SignatureSpec, text: &str) {
        let name_of = |index: usize| spec.outputs().nth(index).map(FieldSpec::name).unwrap_or_default();
        if let Some((open, _, nested)) = self.open.take() {
            self.unclosed = Some(open.whole().start);
            let name = name_of(open.index);
            let message = if nested {
                format!(
                    "its tags do not balance; end it with `</{name}>` and write `&lt;` for a `<` in the value"
                )
            } else {
                format!("never closed; end it with `</{name}>`")
            };
            self.problem(Some(open.index), message);
        }
        for (index, at) in std::mem::take(&mut self.strays) {
            let first = self.closed.iter().find(|element| element.index == index);
            let last = self.closed.iter().rev().find(|element| element.index == index && element.end <= at);
            let fault = match (first, last) {
                (None, _) => true,
                (_, Some(element)) => !text[element.end..at].trim().is_empty(),
                (Some(_), None) => false,
            };
            let told = self.problems.iter().any(|(other, _)| *other == Some(index));
            if fault && !told {
                let message =
                    format!("`</{}>` closes nothing; write `&lt;` for a `<` in a value", name_of(index));
                self.problem(Some(index), message);
            }
        }
        // An optional field must not get lost in the text of another one.
        for (index, field) in spec.outputs().enumerate() {
            if !field.is_optional() || self.closed.is_empty() || self.closed.iter().any(|e| e.index == index)
            {
                continue;
            }
            let is_text =
                |element: &&Element| spec.outputs().nth(element.index).is_some_and(FieldSpec::is_text);
            let around =
                self.closed.iter().filter(is_text).find(|e| mentions(&text[e.content.clone()], spec, index));
            if let Some(around) = around.map(|element| name_of(element.index)) {
                let message = format!("stands inside of `<{around}>`; write it behind `</{around}>`");
                self.problem(Some(index), message);
            }
        }
    }
}

/// The largest number of problems to collect.
const MOST_PROBLEMS: usize = 32;

/// Returns whether `text` contains a tag of the field.
fn mentions(text: &str, spec: &SignatureSpec, index: usize) -> bool {
    text.match_indices('<').any(|(at, _)| {
        let name = match tag(&text[at..], true) {
            Tag::Open { name, .. } => at + 1..at + 1 + name,
            Tag::Close { name, .. } => at + 2..at + 2 + name,
            _ => return false,
        };
        field_of_tag(spec, &text[name]) == Some(index)
    })
}

/// Returns the output field that a tag refers to.
pub(super) fn field_of_tag(spec: &SignatureSpec, name: &str) -> Option<usize> {
    let position = |meant: fn(&FieldSpec, &str) -> bool| spec.outputs().position(|field| meant(field, name));
    position(|field, name| field.name() == name)
        .or_else(|| position(|field, name| field.name().eq_ignore_ascii_case(name)))
        .or_else(|| position(|field, name| field.has_alias(|alias| alias.eq_ignore_ascii_case(name))))
}
