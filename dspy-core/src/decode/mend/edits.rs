//! All single edits of structural characters under which a text is JSON of its type.

use serde_json::Value;

use super::super::plan::{Schema, same};
use super::super::strict;
use super::input::Patch;
use super::machine::{Machine, Mode, State, Stop};

/// The characters that damage touches and edits put in.
const MARKS: [u8; 7] = *b"{}[]:,\"";

/// Places before the failure at which edits are tried.
const MAX_PLACES: usize = 2_048;

/// More readings than this are not told apart any more.
const MAX_READINGS: usize = 12;

/// One way to read the text.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) value: Value,
    pub(super) patch: Patch,
    pub(super) doubt: Option<Doubt>,
    pub(super) looks: Looks,
}

/// Why an edit may hide that something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The text may break off.
    End,
    /// An item of a list may be missing.
    Item,
    /// A member that need not be there may be missing.
    Member,
}

#[derive(Debug, Default)]
pub(super) struct Search {
    /// Readings with different values, in the order of the text.
    pub(super) readings: Vec<Reading>,
    /// The text needs no edit of its structure.
    pub(super) whole: bool,
    /// The search was given up.
    pub(super) spent: bool,
}

/// The bytes that a search may read: in proportion to the text, and never for longer than a moment.
fn fuel(text: &str) -> usize {
    (text.len() * 200 + 200_000).min(8_000_000)
}

/// Looks for the edits.
pub(super) fn search(schema: &Schema, text: &str) -> Search {
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
        // What breaks off is not completed: nobody knows what would have come.
        Stop::End => return out,
        Stop::Dead(at) | Stop::Mark(at, _) => {
            // Marks between the last place and the failure can be edited, too.
            if let Some(&(from, state)) = places.last() {
                let marks =
                    text.as_bytes().iter().enumerate().skip(from + 1).take(at.saturating_sub(from) + 1);
                let more: Vec<_> =
                    marks.filter(|(_, b)| MARKS.contains(b)).map(|(i, _)| (i, state)).collect();
                let resume = from;
                for (at, state) in more {
                    try_place(&mut machine, schema, text, at, (resume, state), &places, &mut out);
                }
            }
        }
    }
    // An accident shows soon: what is wrong further back than this is not looked for.
    let first = places.len().saturating_sub(MAX_PLACES);
    for i in (first..places.len()).rev() {
        let (at, state) = places[i];
        try_place(&mut machine, schema, text, at, (at, state), &places[..i], &mut out);
        if machine.fuel == 0 || out.readings.len() > MAX_READINGS {
            out.spent = true;
            break;
        }
    }
    out
}

/// Tries every edit at one place; `resume` is the last state before it.
fn try_place(
    machine: &mut Machine<'_>,
    schema: &Schema,
    text: &str,
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
            let (doubt, looks) = judge(machine, text, &edited, patch, resume.1);
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
    // White space between marks means nothing wherever it stands.
    let moves = |other: char| other != char::from(c) && (c == b'"' || !other.is_whitespace());
    if let Some(next) = text[at + 1..].chars().next().filter(|c| moves(*c)) {
        let mut put = [0; 5];
        let width = next.encode_utf8(&mut put).len();
        put[width] = c;
        attempt(resume, Patch::new(at, 1 + width, &put[..=width]));
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

/// Whether a mark stands beside its like, so that one of the two is too many. A lone stray mark is what is left of
/// something else.
fn is_doubled(bytes: &[u8], at: usize) -> bool {
    let before = bytes[..at].iter().rev().find(|b| !b.is_ascii_whitespace());
    let behind = bytes[at + 1..].iter().find(|b| !b.is_ascii_whitespace());
    let this = Some(&bytes[at]);
    if bytes[at] == b'"' {
        return bytes.get(at + 1) == this || at > 0 && bytes.get(at - 1) == this;
    }
    before == this || behind == this
}

/// Whether the letter before a quotation mark makes it a string of some programming language: `r"…"`.
fn is_prefixed(bytes: &[u8], at: usize) -> bool {
    at >= 2
        && bytes[at] == b'"'
        && matches!(bytes[at - 1], b'r' | b'b' | b'f' | b'u' | b'R' | b'B' | b'F' | b'U')
        && !bytes[at - 2].is_ascii_alphanumeric()
}

/// What may be missing at the place of an edit, and whether the edit leaves an odd string.
fn judge(
    machine: &mut Machine<'_>,
    text: &str,
    edited: &str,
    patch: Patch,
    state: State,
) -> (Option<Doubt>, Looks) {
    let mut states: Vec<(usize, State)> = Vec::new();
    let start = machine.start();
    machine.run(edited, None, 0, start, &mut |at, state| states.push((at, state)));
    let habit = commas_left_out(machine, text, edited, &states, patch);
    let doubt = if habit { None } else { doubt(machine, text, &states, patch, state) };
    (doubt, looks(edited, &states, patch))
}

/// How the strings look that an edit opens or closes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// One begins or ends with a mark or a blank, as hardly any does.
    pub(super) odd: bool,
    /// One that is odd has brackets that pair up, so it may be meant.
    pub(super) balanced: bool,
    /// One is empty.
    pub(super) empty: bool,
}

fn looks(edited: &str, states: &[(usize, State)], patch: Patch) -> Looks {
    let lead = edited[..patch.at].trim_end().len().saturating_sub(1);
    let strange = |c: char| c.is_whitespace() || "{}[]:,\"".contains(c);
    let in_text = |i: usize| matches!(states[i].1.mode, Mode::Text | Mode::KeyText);
    let mut out = Looks::default();
    for at in lead..=patch.at + patch.put().len() {
        if edited.as_bytes().get(at) != Some(&b'"') {
            continue;
        }
        let Ok(i) = states.binary_search_by_key(&at, |(at, _)| *at) else { continue };
        let (start, end) = if in_text(i) {
            let Some(open) = (0..i).rev().find(|&j| !in_text(j)) else { continue };
            (states[open].0 + 1, at)
        } else {
            let closing = |j: &usize| edited.as_bytes().get(states[*j].0) == Some(&b'"');
            let Some(close) = (i + 1..states.len()).take_while(|j| in_text(*j)).find(closing) else {
                continue;
            };
            (at + 1, states[close].0)
        };
        let body = edited.get(start..end).unwrap_or("");
        let odd = if in_text(i) { body.ends_with(strange) } else { body.starts_with(strange) };
        let count = |c: char| body.matches(c).count();
        let pairs = count('[') == count(']') && count('{') == count('}') && body.contains(['[', '{']);
        out.odd |= odd;
        out.balanced |= odd && pairs;
        out.empty |= body.is_empty();
    }
    out
}

fn doubt(
    machine: &mut Machine<'_>,
    text: &str,
    states: &[(usize, State)],
    patch: Patch,
    state: State,
) -> Option<Doubt> {
    let closes = patch.put().iter().any(|b| matches!(b, b'}' | b']'));
    if patch.at + patch.skip >= text.len() && (patch.skip == 0 || patch.skip == 1 && closes) {
        return Some(Doubt::End);
    }
    let old = &text.as_bytes()[patch.at..patch.at + patch.skip];
    let of_structure = |bytes: &[u8]| bytes.iter().any(|b| MARKS.contains(b) && *b != b'"');
    let structural = of_structure(old) || of_structure(patch.put());
    let behind = patch.at + patch.put().len();
    let first = states.partition_point(|(at, _)| *at < patch.at).saturating_sub(1);
    let next = states.partition_point(|(at, _)| *at < behind.max(patch.at + 1));
    let frame = |i: usize| states.get(i).map(|(_, s)| machine.frames[s.frame as usize]);
    let (Some(here), Some(there)) = (frame(first), frame(next.min(states.len() - 1))) else { return None };
    let put = |b: u8| patch.put().contains(&b);
    let in_list = machine.frames[state.frame as usize].list;
    let varies = here.list && !machine.is_fixed(here.set) || there.list && !machine.is_fixed(there.set);
    // Where items meet, what looks like a comma or a bracket too few or too many may be what is left of an item.
    let seam = in_list
        && match state.mode {
            Mode::After => put(b',') || put(b']'),
            Mode::Value | Mode::First => {
                patch.skip == 0 && (put(b'{') || put(b'"')) || old == b"," || put(b']')
            }
            Mode::Text => put(b']') || old.contains(&b']'),
            _ => false,
        };
    // An opening that is taken for the end leaves nothing of what was in it.
    if state.mode == Mode::FirstKey && put(b'}') && !old.is_empty() {
        return Some(Doubt::Member);
    }
    if seam && varies {
        return Some(Doubt::Item);
    }
    // Of the edits between members it is the colon that what is left of two members most often lacks.
    if state.mode != Mode::Colon || !put(b':') {
        return None;
    }
    for (from, of) in [(first, here), (next, there)] {
        if of.list || of.depth == 0 || !structural {
            continue;
        }
        let before = if from == first {
            of.seen
        } else if there.depth > here.depth {
            0
        } else {
            here.seen
        };
        let (mut after, mut whole) = (None, of.seen);
        for (_, state) in &states[from..] {
            let now = machine.frames[state.frame as usize];
            if now.depth < of.depth {
                break;
            }
            if now.depth == of.depth {
                whole = now.seen;
                if after.is_none() && now.seen != before {
                    after = Some(now.seen);
                }
            }
        }
        if machine.gap(of.set, before, after.unwrap_or(before), whole) {
            return Some(Doubt::Member);
        }
    }
    None
}

/// Whether a comma is missing between the two items of a list, and a blank stands in its place: a habit, as in `["p" 7]`.
fn commas_left_out(
    machine: &Machine<'_>,
    text: &str,
    edited: &str,
    states: &[(usize, State)],
    patch: Patch,
) -> bool {
    let Ok(i) = states.binary_search_by_key(&patch.at, |(at, _)| *at) else { return false };
    let blank = text[..patch.at].ends_with(|c: char| c.is_whitespace());
    let depth = |s: &State| machine.frames[s.frame as usize].depth;
    let level = depth(&states[i].1);
    if patch.skip != 0 || patch.put() != b"," || !blank || !machine.frames[states[i].1.frame as usize].list {
        return false;
    }
    let from = states[..i].iter().rposition(|(_, s)| depth(s) < level).map_or(0, |j| j + 1);
    let to = states[i..].iter().position(|(_, s)| depth(s) < level).map_or(states.len(), |j| i + j);
    let comma = |(at, s): &&(usize, State)| {
        depth(s) == level && s.mode == Mode::After && edited.as_bytes().get(*at) == Some(&b',')
    };
    states[from..to].iter().filter(comma).count() == 1
}
