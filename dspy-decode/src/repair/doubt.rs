//! Detection of edits that may hide missing content or that result in improbable strings.

use super::edits::MARKS;
use super::input::Patch;
use super::recognizer::{Machine, Mode, ROOT, State};

/// The length, in bytes, below which a piece may be duplicate by chance.
const SHORT: usize = 4;

/// The content that an edit may hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The end of the text, which may be truncated.
    End,
    /// An item of a list.
    Item,
    /// An optional member.
    Member,
}

/// The text after the value in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Ending {
    /// Nothing: the reply may be truncated.
    Nothing,
    /// Words, or the end of the fence.
    More,
    /// Words or the end of the fence, after an empty line that may have held a bracket.
    EmptyLine,
}

/// Returns the content that may be missing at the place of an edit, and the appearance of the strings that it
/// changes.
pub(super) fn judge(
    machine: &mut Machine<'_>,
    text: &str,
    ending: Ending,
    edited: &str,
    patch: Patch,
    state: State,
) -> (Option<Doubt>, Looks) {
    let mut states: Vec<(usize, State)> = Vec::new();
    let start = machine.start();
    machine.run(edited, None, 0, start, &mut |at, state| states.push((at, state)));
    let habit = commas_left_out(machine, text, edited, &states, patch);
    let doubt = if habit { None } else { doubt(machine, (text, edited), ending, &states, patch, state) };
    (doubt, looks(edited, &states, patch))
}

/// Properties of the strings that an edit opens or closes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// Whether one begins or ends with a mark or white space, which is rare.
    pub(super) odd: bool,
    /// Whether an unusual one has balanced brackets, so that it may be intended.
    pub(super) balanced: bool,
    /// Whether one is empty.
    pub(super) empty: bool,
}

fn looks(edited: &str, states: &[(usize, State)], patch: Patch) -> Looks {
    let lead = edited[..patch.at].trim_end().len().saturating_sub(1);
    let strange = |c: char| c.is_whitespace() || "{}[]:,\"".contains(c);
    let in_text = |i: usize| matches!(states[i].1.mode, Mode::Text | Mode::KeyText);
    let mut out = Looks::default();
    let behind = patch.at + patch.put().len();
    // The next string may begin with the characters that the edit moved.
    let marks =
        edited.as_bytes()[behind..].iter().take_while(|b| b.is_ascii_whitespace() || MARKS.contains(b));
    let quote = patch.put().contains(&b'"');
    let reach = behind + if quote { marks.count().min(3) } else { 0 };
    for at in lead..=reach {
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
        let key = in_text(i) && states[i].1.mode == Mode::KeyText;
        let put = patch.skip == 0 && at == patch.at;
        let odd = if in_text(i) { body.ends_with(strange) } else { body.starts_with(strange) }
            || put && (body.starts_with(['\'', '`']) || body.ends_with(['\'', '`', ';', '(']))
            || put && body.ends_with(')') && body.matches('(').count() != body.matches(')').count()
            || put && (body.starts_with(strange) || body.ends_with(strange) || key && body.is_empty());
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
    (text, edited): (&str, &str),
    ending: Ending,
    states: &[(usize, State)],
    patch: Patch,
    state: State,
) -> Option<Doubt> {
    let closes = patch.put().iter().any(|b| matches!(b, b'}' | b']'));
    if patch.at + patch.skip >= text.len() && (patch.skip == 0 || patch.skip == 1 && closes) {
        return at_end(machine, text, ending, patch, state);
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
    let (before, rest) = (&text[..patch.at], &text[patch.at + patch.skip..]);
    let digit = |c: char| c.is_ascii_digit();
    // Digits next to an edit may be the rest of more.
    let torn = put(b':')
        && patch.skip == 0
        && before.ends_with('"')
        && rest.starts_with(|c: char| digit(c) || c == '-')
        || before.ends_with(digit) && patch.skip == 0 && closes && text.contains('\n');
    if torn || varies && moves_into_list(edited, old, patch) {
        return Some(Doubt::Item);
    }
    // A list that an edit opens may have lost its first items together with the bracket.
    let lead = rest.len() - rest.trim_start().len();
    let opens = patch.skip == 0 && patch.put() == b"[" && there.list && !machine.is_fixed(there.set);
    let whole = if text.contains('\n') {
        rest[..lead].contains('\n') && !rest.trim_start().starts_with(',')
    } else {
        rest.trim_start().starts_with(['"', '{', '[', 't', 'f', 'n'])
    };
    if opens && !whole {
        return Some(Doubt::Item);
    }
    let last_moved = old.contains(&b',') && old.len() > 1 && rest.trim_start().starts_with([']', '}']);
    if last_moved {
        return Some(Doubt::Item);
    }
    if old == b"," && put(b'}') && !here.list && machine.gap(here.set, here.seen, here.seen, here.seen) {
        return Some(Doubt::Member);
    }
    // Between items, an apparently missing or surplus comma or bracket may be the rest of an item.
    let seam = in_list
        && match state.mode {
            Mode::After => put(b',') || put(b']'),
            Mode::Value | Mode::First => {
                patch.skip == 0 && (put(b'{') || put(b'"') || put(b'[')) || old == b"," || put(b']')
            }
            Mode::Text => put(b']') || old.contains(&b']'),
            _ => false,
        };
    // Empty brackets, one of which the edit inserts.
    let around = (edited[..behind].trim_end(), edited[behind..].trim_start());
    let empties = |open: char, close: char| {
        let closes = around.0.strip_suffix(close).is_some_and(|rest| rest.trim_end().ends_with(open));
        let opens = around.0.ends_with(open) && around.1.starts_with(close);
        structural && (closes && put(close as u8) || opens && (put(open as u8) || put(close as u8)))
    };
    // Content that was lost together with a bracket includes the white space before it, and leaves no other
    // mark instead.
    let replaced = patch.skip == 1 && patch.put().len() == 1;
    let inside = state.frame != ROOT;
    let alone = inside && before.ends_with(": ") && patch.skip == 0
        || replaced && (matches!(old, b":" | b"[" | b"{") || inside && old == b"\"");
    if empties('[', ']') && !alone {
        return Some(Doubt::Item);
    }
    if empties('{', '}') && !alone {
        return Some(Doubt::Member);
    }
    // An opening bracket that is read as a closing one hides all content of the object.
    if state.mode == Mode::FirstKey && put(b'}') && !old.is_empty() {
        return Some(Doubt::Member);
    }
    if seam && varies && !is_comma_missing(text, patch) {
        return Some(Doubt::Item);
    }
    // Of the edits between members, a colon is what the rest of two members most often lacks.
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

/// Returns whether a mark moves over a letter and results in a string with a comma, which may separate two
/// items.
fn moves_into_list(edited: &str, old: &[u8], patch: Patch) -> bool {
    let mark = |bytes: &[u8]| bytes.iter().position(|b| *b == b'"');
    let letter = old.iter().any(|b| b.is_ascii_alphanumeric() || !b.is_ascii());
    let (Some(_), Some(moved), true) = (mark(old), mark(patch.put()), letter && old.len() > 1) else {
        return false;
    };
    let at = patch.at + moved;
    let string =
        if moved == 0 { edited[at + 1..].split('"').next() } else { edited[..at].rsplit('"').next() };
    string.is_some_and(|string| string.contains(','))
}

/// Returns whether only one comma is missing and both neighbours are complete. Missing content rarely ends
/// exactly there.
fn is_comma_missing(text: &str, patch: Patch) -> bool {
    if patch.skip > 0 || patch.put() != b"," {
        return false;
    }
    let (before, behind) = (text[..patch.at].trim_end(), text[patch.at..].trim_start());
    let apart = before.len() + behind.len() < text.len() || !text.contains(", ") && !text.contains('\n');
    let bracketed = before.ends_with(['}', ']']) && behind.starts_with(['{', '[']);
    let whole = before.ends_with(['}', ']', '"']) && behind.starts_with(['{', '[', '"']);
    whole && (bracketed || apart)
}

/// Returns the content that may be missing if the last mark of the text is inserted or replaced.
fn at_end(
    machine: &mut Machine<'_>,
    text: &str,
    ending: Ending,
    patch: Patch,
    state: State,
) -> Option<Doubt> {
    let bracket = |b: &u8| matches!(b, b'}' | b']');
    let last = text.as_bytes().last()?;
    let wrong = patch.skip > 0 && bracket(last);
    if ending == Ending::Nothing || matches!(last, b',' | b':' | b'[' | b'{') || patch.skip > 0 && !wrong {
        return Some(Doubt::End);
    }
    if ending == Ending::EmptyLine || wrong {
        return None;
    }
    let of = machine.frames[state.frame as usize];
    let open =
        if of.list { !machine.is_fixed(of.set) } else { machine.gap(of.set, of.seen, of.seen, of.seen) };
    (last.is_ascii_digit() || open).then_some(Doubt::End)
}

/// Returns whether a comma is missing between two items of a list, with white space in its place: a
/// consistent style, as in `["p" 7]`.
fn commas_left_out(
    machine: &Machine<'_>,
    text: &str,
    edited: &str,
    states: &[(usize, State)],
    patch: Patch,
) -> bool {
    let Ok(i) = states.binary_search_by_key(&patch.at, |(at, _)| *at) else { return false };
    let (before, behind) = (text[..patch.at].trim_end(), text[patch.at..].trim_start());
    let digits = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    let gap = &text[before.len()..text.len() - behind.len()];
    let torn = before.ends_with(digits) && behind.starts_with(digits) && !gap.contains('\n');
    let blank = text[..patch.at].ends_with(|c: char| c.is_whitespace()) && !torn;
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

/// Returns the content that may be missing if one copy of a duplicate piece is removed. The duplicate may be
/// the rest of more, unless the type determines everything around it.
pub(super) fn of_repeat(machine: &mut Machine<'_>, text: &str, patch: Patch, state: State) -> Option<Doubt> {
    if patch.skip < SHORT {
        return Some(Doubt::Item);
    }
    let piece = &text.as_bytes()[patch.at..patch.at + patch.skip];
    if matches!(state.mode, Mode::Text | Mode::KeyText) && !piece.iter().any(|b| MARKS.contains(b)) {
        return None;
    }
    let mut frame = state.frame;
    while frame != ROOT {
        let of = machine.frames[frame as usize];
        if of.list && !machine.is_fixed(of.set) {
            return Some(Doubt::Item);
        }
        if !of.list && machine.has_options(of.set) {
            return Some(Doubt::Member);
        }
        frame = of.parent;
    }
    None
}
