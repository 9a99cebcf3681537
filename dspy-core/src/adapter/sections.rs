//! The sections of a reply in the chat format. Complete and partial replies are read by the same code.
//!
//! A marker that starts its line opens a section. A marker in mid-line is text if the same marker starts a
//! line elsewhere; until that is known, reading a partial reply stops there. Reasoning blocks before the
//! first section contain no sections.

use std::collections::VecDeque;
use std::ops::Range;

use super::farewell;
use super::markers::{self, Fence, Marker, Read};
use crate::decode::thoughts::{self, Head, Tag, Thoughts};
use crate::signature::{FieldSpec, SignatureSpec};
use dspy_base::fold::fold_accented;
use dspy_base::prompt_format::COMPLETED;

/// The meaning of the name in a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Output(usize),
    Completed,
    Input,
    Unknown,
}

#[derive(Debug)]
enum Event {
    Marker(Marker, Named),
    /// The end of a reasoning block without a beginning.
    Stray,
}

/// An open or closed section.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// The index of the output field.
    pub(super) index: usize,
    /// The range of the name in the marker.
    pub(super) name: Range<usize>,
    /// The range of its text; up to the end of the reply while it is open.
    pub(super) text: Range<usize>,
}

/// The state of a marker.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// It starts a line.
    at_line_start: bool,
    /// It stands in mid-line, where no one can tell what it means.
    refused: bool,
}

/// The sections of a reply.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one reply, not a state machine")]
#[derive(Debug)]
pub(super) struct Sections {
    /// The reasoning blocks that are being skipped.
    thoughts: Option<Thoughts>,
    /// The offset of the reply after its reasoning blocks.
    base: usize,
    /// The offset up to which all markers are in `queue` or have been processed.
    scanned: usize,
    queue: VecDeque<Event>,
    /// The state of the markers of the outputs, then of the closing one.
    seen: Vec<Seen>,
    /// The number of open reasoning blocks inside a section.
    depth: usize,
    open: Option<Section>,
    /// The fence around the sections, if there is one.
    fence: Option<Fence>,
    /// The closed sections, in order.
    pub(super) closed: Vec<Section>,
    /// The problems, each of a field or of the whole reply.
    pub(super) problems: Vec<(Option<usize>, String)>,
    /// Whether any marker starts a line.
    pub(super) marked: bool,
    /// A marker that names no field.
    unknown: Option<Range<usize>>,
    /// Whether the last section that counts has ended.
    ended: bool,
    /// The start of the text after the closing marker.
    behind: Option<usize>,
    strayed: bool,
    over: bool,
}

impl Sections {
    pub(super) fn new(spec: &SignatureSpec) -> Self {
        Sections {
            thoughts: Some(Thoughts::default()),
            base: 0,
            scanned: 0,
            queue: VecDeque::new(),
            seen: vec![Seen::default(); spec.outputs().count() + 1],
            depth: 0,
            open: None,
            fence: None,
            closed: Vec::new(),
            problems: Vec::new(),
            marked: false,
            unknown: None,
            ended: false,
            behind: None,
            strayed: false,
            over: false,
        }
    }

    /// Finds the sections of a complete reply.
    pub(super) fn of(spec: &SignatureSpec, reply: &str) -> Self {
        let mut sections = Sections::new(spec);
        sections.advance(spec, reply, true);
        sections
    }

    /// Continues reading. `text` is the reply so far; `whole` says whether it is complete.
    pub(super) fn advance(&mut self, spec: &SignatureSpec, text: &str, whole: bool) {
        self.scan(spec, text, whole);
        self.settle(spec, text, whole);
        if let Some(fence) = &mut self.fence {
            fence.advance(text, whole);
        }
        if whole {
            self.finish(spec, text);
        }
    }

    /// Returns the start offset of the answer, after the reasoning blocks.
    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Returns the incomplete section, up to the end of the text known to belong to it.
    pub(super) fn open(&self) -> Option<Section> {
        let held = self.queue.iter().find_map(|event| match event {
            Event::Marker(marker, _) => Some(marker.before),
            Event::Stray => None,
        });
        let open = self.open.as_ref()?;
        let end = self.fenced(open.text.start, held.unwrap_or(self.scanned));
        self.open.clone().map(|open| Section { text: open.text.start..end.max(open.text.start), ..open })
    }

    /// Returns the end of a section's text that starts at `start`: the end of the fence around it, or `end`.
    fn fenced(&self, start: usize, end: usize) -> usize {
        let closed = self.fence.as_ref().and_then(|fence| fence.end);
        closed.map_or(end, |(close, _)| if close >= start { end.min(close) } else { end })
    }

    /// Returns whether a section has been opened, or will be by an event in the queue.
    fn begun(&self) -> bool {
        let outputs = self.seen.len() - 1;
        self.seen[..outputs].iter().any(|seen| seen.at_line_start)
    }

    /// Collects the markers that have arrived.
    fn scan(&mut self, spec: &SignatureSpec, text: &str, whole: bool) {
        loop {
            if let Some(thoughts) = &mut self.thoughts {
                match thoughts.read(text, whole, |_| false) {
                    Head::Answer(at) => {
                        self.base = at;
                        self.scanned = at;
                        self.thoughts = None;
                        self.queue.clear();
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
            let Some(at) = next_mark(text, self.scanned) else {
                self.scanned = text.len();
                return;
            };
            self.scanned = at;
            let next = if text[at..].starts_with('[') {
                self.marker(spec, text, at, whole)
            } else {
                self.thought(text, at, whole)
            };
            match next {
                Some(next) => self.scanned = next,
                None => return,
            }
        }
    }

    /// Reads a possible marker; returns the offset to continue at, if it is known.
    fn marker(&mut self, spec: &SignatureSpec, text: &str, at: usize, whole: bool) -> Option<usize> {
        let marker = match markers::read(text, at, self.base, whole) {
            Read::Marker(marker) => marker,
            Read::Other => return Some(at + 1),
            Read::Undecided => return None,
        };
        let after = marker.after;
        let named = named(spec, &text[marker.name.clone()]);
        let known = matches!(named, Named::Output(_) | Named::Completed);
        if marker.damaged && !(known && marker.starts_line) {
            return Some(at + 1);
        }
        if marker.starts_line {
            self.marked = true;
            match named {
                Named::Output(index) => self.seen[index].at_line_start = true,
                Named::Completed => self.seen.last_mut()?.at_line_start = true,
                Named::Input | Named::Unknown => {}
            }
            self.depth = 0;
        } else if !known {
            return Some(at + 1);
        }
        self.queue.push_back(Event::Marker(marker, named));
        Some(after)
    }

    /// Reads a possible reasoning tag; returns the offset to continue at, if it is known.
    fn thought(&mut self, text: &str, at: usize, whole: bool) -> Option<usize> {
        let (length, opens) = match thoughts::tag(&text[at..], whole) {
            Tag::Undecided => return None,
            Tag::Open(_, length) => (length, true),
            Tag::Close(_, length) => (length, false),
            _ => return Some(at + text[at..].chars().next().map_or(1, char::len_utf8)),
        };
        let end = at + length;
        if thoughts::is_mention(text, at, end, whole)? {
            return Some(end);
        }
        if !self.begun() {
            if opens {
                self.thoughts = Some(Thoughts::from(at));
                return Some(at);
            }
            // The prompt of some models opens the reasoning block.
            self.base = end;
            self.queue.clear();
        } else if opens {
            self.depth += 1;
        } else if self.depth > 0 {
            self.depth -= 1;
        } else if thoughts::ends_thought(&text[end..], whole)? {
            self.queue.push_back(Event::Stray);
        }
        Some(end)
    }

    /// Opens and closes sections at the markers whose meaning is known.
    fn settle(&mut self, spec: &SignatureSpec, text: &str, whole: bool) {
        while let Some(event) = self.queue.pop_front() {
            if self.over {
                continue;
            }
            let (marker, named) = match event {
                Event::Marker(marker, named) => (marker, named),
                Event::Stray => {
                    self.strayed = true;
                    continue;
                }
            };
            if marker.starts_line {
                self.boundary(spec, text, marker, named);
                continue;
            }
            let place = match named {
                Named::Output(index) => index,
                Named::Completed if self.open.is_none() => continue,
                _ => self.seen.len() - 1,
            };
            if self.seen[place].at_line_start {
                continue;
            }
            if !whole {
                self.queue.push_front(Event::Marker(marker, named));
                return;
            }
            let mention = marker.quoted && named == Named::Completed;
            if !mention && !self.seen[place].refused {
                self.seen[place].refused = !self.in_mid_line(spec, text, marker, named);
            }
        }
    }

    fn boundary(&mut self, spec: &SignatureSpec, text: &str, marker: Marker, named: Named) {
        if let Named::Output(index) = named
            && let Some(open) = self.open.as_mut().filter(|open| open.index == index)
            && text[open.text.start..marker.before.max(open.text.start)].trim().is_empty()
        {
            // A repeated marker with nothing in between.
            open.name = marker.name;
            open.text = marker.after..marker.after;
            return;
        }
        if let Some(fence) = &mut self.fence {
            fence.advance(text, false);
        }
        let around = match self.fence.as_ref().map(|fence| fence.end) {
            // The fence continues.
            Some(None) => None,
            Some(Some((_, behind))) if behind > marker.before => None,
            Some(Some((_, behind))) => Some(behind),
            None => Some(self.open.as_ref().map_or(self.base, |open| open.text.start)),
        };
        let fence = around
            .filter(|_| matches!(named, Named::Output(_)))
            .and_then(|from| Fence::opened(text.get(from..marker.before)?, marker.after));
        if let Some(open) = self.open.take() {
            let is_text = spec.outputs().nth(open.index).is_some_and(FieldSpec::is_text);
            if is_text && matches!(named, Named::Unknown | Named::Input) {
                let message = format!(
                    "`[[ ## {} ## ]]` stands in it on a line of its own, but is no output field; leave it out",
                    &text[marker.name.clone()]
                );
                self.problem(Some(open.index), message);
            }
            let end = self.fenced(open.text.start, marker.before.max(open.text.start));
            self.closed.push(Section { text: open.text.start..end, ..open });
        }
        self.fence = fence.or(self.fence.take());
        if matches!(named, Named::Output(_) | Named::Input | Named::Completed) {
            self.end_farewell(spec, text, marker.before);
        }
        match named {
            Named::Output(index) => {
                if std::mem::take(&mut self.strayed) {
                    let message =
                        "a thought ends after the answer has begun; write the answer once, at the end";
                    self.problem(None, message.into());
                }
                self.open = Some(Section { index, name: marker.name, text: marker.after..marker.after });
            }
            Named::Completed => {
                self.ended = true;
                self.behind = Some(marker.after).filter(|_| !self.closed.is_empty());
            }
            // An input after the end of the answer starts a further task, which the model made up.
            Named::Input => self.over = self.ended,
            Named::Unknown if !self.ended => self.unknown = Some(marker.name),
            Named::Unknown => {}
        }
    }

    /// Processes a marker in mid-line of a complete reply that starts no line elsewhere: it opens a section
    /// if the whole reply has only a few lines, otherwise it is ambiguous. Returns whether it opens a
    /// section.
    fn in_mid_line(&mut self, spec: &SignatureSpec, text: &str, marker: Marker, named: Named) -> bool {
        let behind = &text[marker.after..];
        let start = self.open.as_ref().map(|open| open.text.start);
        let line = text[self.base..marker.open].rfind('\n').map_or(self.base, |at| self.base + at + 1);
        let chained = start.is_some_and(|start| start > line);
        let is_text = |open: &Section| spec.outputs().nth(open.index).is_some_and(FieldSpec::is_text);
        let in_text = self.open.as_ref().is_some_and(is_text);
        let start = start.unwrap_or(self.base);
        let lead = text[start..marker.before.max(start)].trim_end();
        let sentence_ends = lead.is_empty() || lead.ends_with(SENTENCE_ENDS);
        let section = match named {
            Named::Output(index) => {
                let spaced = behind.is_empty() || behind.starts_with(char::is_whitespace);
                let same = |event: &Event| matches!(event, Event::Marker(_, other) if *other == named);
                let only = !self.queue.iter().any(same) && !self.closed.iter().any(|s| s.index == index);
                // On a single line there is no other place for a required field.
                let one_line = !text[self.base..].trim().contains('\n');
                let required = spec.outputs().nth(index).is_some_and(|field| !field.is_optional());
                let apart = !in_text || one_line && required || sentence_ends && chained;
                !marker.quoted && spaced && only && apart
            }
            _ => behind.trim().is_empty() && (chained || !in_text || sentence_ends),
        };
        if section {
            self.boundary(spec, text, marker, named);
            return true;
        }
        let (index, name) = match named {
            Named::Output(index) => (Some(index), spec.outputs().nth(index).map_or("", FieldSpec::name)),
            _ => (self.open.as_ref().map(|open| open.index), COMPLETED),
        };
        self.problem(
            index,
            format!("`[[ ## {name} ## ]]` stands only in mid-line; write it on a line of its own"),
        );
        false
    }

    /// Checks that the text between the closing marker and `end` does not mention the answer.
    fn end_farewell(&mut self, spec: &SignatureSpec, text: &str, end: usize) {
        let Some(from) = self.behind.take() else { return };
        let behind = text.get(from..end).unwrap_or("");
        if behind.trim().is_empty() {
            return;
        }
        let labels = |line| label(line).is_some_and(|name| matches!(named(spec, name), Named::Output(_)));
        if !farewell::is_farewell(behind) || behind.lines().any(labels) {
            let message = format!(
                "text after `[[ ## {COMPLETED} ## ]]` may change the answer; write the answer once, and nothing after it"
            );
            self.problem(None, message);
        }
    }

    fn problem(&mut self, index: Option<usize>, message: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push((index, message));
        }
    }

    /// Returns whether the closing marker follows the sections.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Checks whether a reply without its closing marker ends where the next section would start.
    fn end_cut(&mut self, spec: &SignatureSpec, text: &str) {
        if self.ended || self.open.is_none() && self.closed.is_empty() {
            return;
        }
        let has = |index: usize| self.closed.iter().chain(&self.open).any(|section| section.index == index);
        let lacks = spec.outputs().enumerate().any(|(index, field)| field.is_optional() && !has(index));
        if markers::breaks_off(&text[self.base..], lacks) {
            self.problem(None, "the reply is truncated in a marker; write the whole reply".into());
        } else if let Some(open) = &self.open
            && !self.closed.is_empty()
            && spec.outputs().nth(open.index).is_some_and(FieldSpec::is_optional)
            && text[open.text.start..].trim().is_empty()
        {
            let message = "the reply is truncated after its marker; write its value, and the closing marker";
            self.problem(Some(open.index), message.into());
        }
    }

    fn finish(&mut self, spec: &SignatureSpec, text: &str) {
        self.end_cut(spec, text);
        if let Some(open) = self.open.take() {
            let end = self.fenced(open.text.start, text.len());
            self.closed.push(Section { text: open.text.start..end, ..open });
        }
        self.end_farewell(spec, text, text.len());
        let absent = |index: usize, field: &FieldSpec| {
            field.is_optional() && !self.closed.iter().any(|section| section.index == index)
        };
        let absent: Vec<usize> = spec
            .outputs()
            .enumerate()
            .filter(|(index, field)| absent(*index, field))
            .map(|(index, _)| index)
            .collect();
        if absent.is_empty() || self.closed.is_empty() {
            return;
        }
        // An optional field must not get lost because of a misspelled marker.
        if let Some(unknown) = self.unknown.clone() {
            let message = format!("`[[ ## {} ## ]]` is no output field; leave it out", &text[unknown]);
            self.problem(None, message);
        }
        let reply = &text[self.base..];
        let remains = reply.lines().filter_map(|line| markers::remains(line).or_else(|| label(line)));
        let lost: Vec<usize> = remains
            .filter_map(|name| match named(spec, name) {
                Named::Output(index) => Some(index).filter(|index| absent.contains(index)),
                _ => None,
            })
            .collect();
        for index in lost {
            let name = spec.outputs().nth(index).map(FieldSpec::name).unwrap_or_default();
            self.problem(Some(index), format!("its marker is broken; write `[[ ## {name} ## ]]`"));
        }
    }
}

/// Returns the next position at or after `from` where a marker or tag may start: a bracket of three kinds.
fn next_mark(text: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text.as_bytes()[at..].iter().position(|&b| matches!(b, b'[' | b'<' | TRIANGLE))?;
        if text.as_bytes()[at] != TRIANGLE || text[at..].starts_with('◁') {
            return Some(at);
        }
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
}

/// The first byte of `◁`, and of other characters.
const TRIANGLE: u8 = 0xe2;

/// Returns the name that a line gives to the following text by means other than a marker: `summary: …`,
/// `**Summary**`, `### Summary`, `<summary>`.
pub(super) fn label(line: &str) -> Option<&str> {
    let line = line.trim();
    let name = line.trim_start_matches(['#', '*', '<', '-', ' ']);
    let end = name.find([':', '*', '>']);
    let led = line.starts_with(['#', '*', '<']);
    end.map(|end| &name[..end]).or(led.then_some(name)).map(str::trim).filter(|name| name.len() <= 64)
}

/// The largest number of problems to collect.
const MOST_PROBLEMS: usize = 32;
/// Characters after which a marker on the same line is separate from the text before it.
const SENTENCE_ENDS: [char; 13] = ['.', ':', '!', '?', '…', '。', ')', ']', '}', '"', '”', '»', '*'];

/// The message about a reasoning block without an end.
pub(super) const UNCLOSED: &str = "a thought is opened and never closed; close it, then write the answer";

fn named(spec: &SignatureSpec, name: &str) -> Named {
    if let Some(index) = field_index(spec, name) {
        Named::Output(index)
    } else if name.eq_ignore_ascii_case(COMPLETED) {
        Named::Completed
    } else if spec.inputs().any(|field| fold_accented(field.name()) == fold_accented(name)) {
        Named::Input
    } else {
        Named::Unknown
    }
}

/// Returns the output field that a marker refers to: by its name, otherwise by the same letters and digits,
/// otherwise by an alias.
pub(super) fn field_index(spec: &SignatureSpec, marker: &str) -> Option<usize> {
    spec.outputs().position(|field| field.name() == marker).or_else(|| {
        if marker.eq_ignore_ascii_case(COMPLETED) {
            return None;
        }
        let wanted = fold_accented(marker);
        let by_name = spec.outputs().position(|field| fold_accented(field.name()) == wanted);
        by_name.or_else(|| {
            spec.outputs().position(|field| field.has_alias(|alias| fold_accented(alias) == wanted))
        })
    })
}
