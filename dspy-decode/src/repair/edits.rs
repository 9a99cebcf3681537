//! Search for all single edits of structural characters that make the text JSON of its type.

use serde_json::Value;

use super::super::plan::{Schema, same};
use super::super::strict;
use super::doubt::{Doubt, Ending, Looks, judge};
use super::input::Patch;
use super::recognizer::{Machine, Mode, State, Stop};
use super::repeats;

/// The characters that damage affects and edits insert.
pub(super) const MARKS: [u8; 7] = *b"{}[]:,\"";

/// The maximum number of places before the failure at which edits are tried.
const MAX_PLACES: usize = 2_048;

/// The maximum number of readings; more are not distinguished.
const MAX_READINGS: usize = 12;

/// One reading of the text.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) value: Value,
    pub(super) patch: Patch,
    pub(super) doubt: Option<Doubt>,
    pub(super) looks: Looks,
}

#[derive(Debug, Default)]
pub(super) struct Search {
    /// Readings with different values, in the order of their edits in the text.
    pub(super) readings: Vec<Reading>,
    /// Whether the text needs no edit of its structure.
    pub(super) whole: bool,
    /// Whether the search exceeded its work limit.
    pub(super) spent: bool,
}

/// Returns the number of bytes that a search may read: proportional to the text, with an upper bound.
fn fuel(text: &str) -> usize {
    (text.len() * 200 + 200_000).min(8_000_000)
}

/// Searches for the edits.
///
/// If the reply continues after the text, content that is missing at its end was omitted, not truncated.
pub(super) fn search(schema: &Schema, text: &str, ending: Ending) -> Search {
    let mut machine = Machine::new(schema, fuel(text));
    let start = machine.start();
    let mut places: Vec<(usize, State)> = Vec::new();
    let stop = machine.run(text, None, 0, start, &mut |at, state| places.push((at, state)));
    let mut out = Search::default();
    match stop {
        Stop::Whole => {
            out.whole = true;
            return out;
        }
        // A truncated text is not completed, because the missing content is unknown.
        Stop::End if ending == Ending::Nothing => {
            close_at_line(&mut machine, schema, text, &places, &mut out);
            close_key(&mut machine, schema, (text, ending), &places, &mut out);
            return out;
        }
        Stop::End => {}
        Stop::Dead(at) | Stop::Mark(at, _) => {
            // Marks between the last place and the failure can be edited, too.
            if let Some(&(from, state)) = places.last() {
                let marks =
                    text.as_bytes().iter().enumerate().skip(from + 1).take(at.saturating_sub(from) + 1);
                let bytes = text.as_bytes();
                let more: Vec<_> = marks
                    .filter(|(i, b)| MARKS.contains(b) || joins_literals(bytes, *i))
                    .map(|(i, _)| (i, state))
                    .collect();
                let resume = from;
                for (at, state) in more {
                    try_place(&mut machine, schema, (text, ending), at, (resume, state), &places, &mut out);
                }
            }
        }
    }
    if let Stop::Dead(at) = stop {
        repeats::search(&mut machine, schema, text, at, &places, &mut out.readings);
    }
    // Damage causes a failure soon, so earlier places are not searched.
    let first = places.len().saturating_sub(MAX_PLACES);
    for i in (first..places.len()).rev() {
        let (at, state) = places[i];
        try_place(&mut machine, schema, (text, ending), at, (at, state), &places[..i], &mut out);
        if machine.fuel == 0 || out.readings.len() > MAX_READINGS {
            out.spent = true;
            break;
        }
    }
    out
}

/// Tries to close a string before a line break that only closing brackets follow: a JSON string cannot
/// contain a line break.
fn close_at_line(
    machine: &mut Machine<'_>,
    schema: &Schema,
    text: &str,
    places: &[(usize, State)],
    out: &mut Search,
) {
    let closing = |c: char| c.is_ascii_whitespace() || matches!(c, '}' | ']');
    let tail = text.trim_end_matches(closing).len();
    let broken = text[tail..].starts_with(['\r', '\n']);
    let Some(&resume) = places.iter().rev().find(|(place, _)| *place <= tail) else { return };
    if !broken || !matches!(resume.1.mode, Mode::Text) {
        return;
    }
    let patch = Patch::new(tail, 0, b"\"");
    if let Stop::Whole = machine.run(text, Some(patch), resume.0, resume.1, &mut |_, _| {})
        && let Some(edited) = patch.apply(text)
        && let Some(value) = strict::read(schema, &edited)
    {
        out.readings.push(Reading { value, patch, doubt: None, looks: Looks::default() });
    }
}

/// Tries to close a key before each colon, if the text ends in a closing bracket.
fn close_key(
    machine: &mut Machine<'_>,
    schema: &Schema,
    (text, ending): (&str, Ending),
    places: &[(usize, State)],
    out: &mut Search,
) {
    if !text.ends_with(['}', ']']) {
        return;
    }
    let first = places.len().saturating_sub(MAX_PLACES);
    for i in (first..places.len()).rev() {
        let (at, state) = places[i];
        if state.mode == Mode::KeyText && text.as_bytes().get(at) == Some(&b':') {
            try_place(machine, schema, (text, ending), at, (at, state), &places[..i], out);
        }
    }
    out.spent = machine.fuel == 0;
}

/// Tries every edit at one place; `resume` is the last state before it.
fn try_place(
    machine: &mut Machine<'_>,
    schema: &Schema,
    (text, ending): (&str, Ending),
    at: usize,
    resume: (usize, State),
    before: &[(usize, State)],
    out: &mut Search,
) {
    let bytes = text.as_bytes();
    let here = bytes.get(at).copied();
    let mark = here.filter(|b| MARKS.contains(b));
    let in_string = matches!(resume.1.mode, Mode::Text | Mode::KeyText);
    let mut attempt = |resume: (usize, State), patch: Patch| {
        if let Stop::Whole = machine.run(text, Some(patch), resume.0, resume.1, &mut |_, _| {})
            && let Some(edited) = patch.apply(text)
            && let Some(value) = strict::read(schema, &edited)
            && !out.readings.iter().any(|r| same(&r.value, &value))
        {
            let (doubt, looks) = judge(machine, text, ending, &edited, patch, resume.1);
            out.readings.push(Reading { value, patch, doubt, looks });
        }
    };
    if in_string {
        match mark {
            Some(b'"') => {
                if is_doubled(bytes, at) {
                    attempt(resume, Patch::new(at, 1, b""));
                }
            }
            Some(_) | None => {
                attempt(resume, Patch::new(at, 0, b"\""));
                let end = text[..at].trim_end_matches([' ', '\t', '\r', '\n']).len();
                if text[end..at].contains('\n')
                    && let Some(&earlier) = before.iter().rev().chain([&resume]).find(|(p, _)| *p <= end)
                {
                    attempt(earlier, Patch::new(end, 0, b"\""));
                }
                if mark.is_some() {
                    attempt(resume, Patch::new(at, 1, b"\""));
                }
            }
        }
    } else {
        for put in MARKS {
            attempt(resume, Patch::new(at, 0, &[put]));
        }
        if let Some(c) = mark {
            if is_doubled(bytes, at) {
                attempt(resume, Patch::new(at, 1, b""));
            }
            for put in MARKS {
                if put != c {
                    attempt(resume, Patch::new(at, 1, &[put]));
                }
            }
        }
    }
    // Swaps with either neighbour.
    let Some(c) = mark.filter(|_| !is_prefixed(bytes, at)) else { return };
    // White space between marks has no meaning.
    let moves = |other: char| other != char::from(c) && (c == b'"' || !other.is_whitespace());
    if let Some(next) = text[at + 1..].chars().next().filter(|c| moves(*c)) {
        let mut put = [0; 5];
        let width = next.encode_utf8(&mut put).len();
        put[width] = c;
        // A digit that moves before the mark continues the number there.
        let joins = !in_string && (next.is_ascii_alphanumeric() || matches!(next, '-' | '+' | '.'));
        let from = before.last().filter(|(p, _)| joins && *p < at).unwrap_or(&resume);
        attempt(*from, Patch::new(at, 1 + width, &put[..=width]));
    }
    if let Some(previous) = text[..at].chars().next_back().filter(|c| moves(*c)) {
        let from = at - previous.len_utf8();
        let mut put = [0; 5];
        put[0] = c;
        let width = previous.encode_utf8(&mut put[1..]).len();
        let patch = Patch::new(from, 1 + width, &put[..=width]);
        if resume.0 <= from {
            attempt(resume, patch);
        } else if let Some(&earlier) = before.iter().rev().find(|(p, _)| *p <= from) {
            attempt(earlier, patch);
        }
    }
}

/// Returns whether two literals may be adjacent here, without a comma: `null2`, `1-985`.
fn joins_literals(bytes: &[u8], at: usize) -> bool {
    let (Some(before), Some(here)) = (at.checked_sub(1).and_then(|i| bytes.get(i)), bytes.get(at)) else {
        return false;
    };
    before.is_ascii_digit() && (*here == b'-' || matches!(here, b'n' | b't' | b'f'))
        || before.is_ascii_lowercase() && (*here == b'-' || here.is_ascii_digit())
}

/// Returns whether a mark is next to an identical one, so that one of the two is surplus. A single stray mark
/// is the rest of something else.
fn is_doubled(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().find(|b| !b.is_ascii_whitespace());
    let behind = bytes[at + 1..].iter().find(|b| !b.is_ascii_whitespace());
    let this = Some(&bytes[at]);
    if bytes[at] == b'"' {
        return bytes.get(at + 1) == this || at > 0 && bytes.get(at - 1) == this;
    }
    before == this || behind == this
}

/// Returns whether the letter before a quotation mark is a string prefix of a programming language: `r"…"`.
fn is_prefixed(bytes: &[u8], at: usize) -> bool {
    at >= 2
        && bytes[at] == b'"'
        && matches!(bytes[at - 1], b'r' | b'b' | b'f' | b'u' | b'R' | b'B' | b'F' | b'U')
        && !bytes[at - 2].is_ascii_alphanumeric()
}
