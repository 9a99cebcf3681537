//! Unescaped quotation marks inside strings.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use super::super::plan::{Schema, same};
use super::super::strict;
use super::input::next_quote;
use super::recognizer::{FrameId, Machine, Mode, SetId, State, Stop};
use dspy_base::fold::fold;

#[derive(Debug)]
pub(super) enum Inner {
    /// The value, and the marks that are part of strings.
    One(Value, Vec<usize>),
    Several(Value, Value),
    None,
}

/// A mark in a string, with the cheapest path to it.
struct Node {
    at: usize,
    state: State,
    cost: u32,
    /// The mark before it, and whether that one is part of its string.
    parent: Option<(usize, bool)>,
    /// Whether another path has the same cost.
    tied: bool,
}

/// Finds the smallest set of marks that, read as text, make the whole JSON of its type.
pub(super) fn search(schema: &Schema, text: &str) -> Inner {
    let mut machine = Machine::new(schema, text.len().saturating_mul(32) + 50_000);
    machine.asks = true;
    let mut nodes: Vec<Node> = Vec::new();
    let mut known: HashMap<(usize, FrameId, SetId), usize> = HashMap::new();
    let mut open: VecDeque<usize> = VecDeque::new();
    let mut goals: Vec<(usize, u32)> = Vec::new();
    let start = machine.start();
    let Stop::Mark(at, state) = machine.run(text, None, 0, start, &mut |_, _| {}) else { return Inner::None };
    nodes.push(Node { at, state, cost: 0, parent: None, tied: false });
    open.push_back(0);
    while let Some(i) = open.pop_front() {
        let (at, state, cost) = (nodes[i].at, nodes[i].state, nodes[i].cost);
        if known.get(&(at, state.frame, state.set)).is_some_and(|&best| best != i) {
            continue;
        }
        known.insert((at, state.frame, state.set), i);
        if machine.fuel == 0 {
            return Inner::None;
        }
        if goals.first().is_some_and(|(_, best)| cost > *best) {
            break;
        }
        let reach = |nodes: &mut Vec<Node>, open: &mut VecDeque<usize>, at, state: State, cost, literal| {
            if let Some(&j) = known.get(&(at, state.frame, state.set)) {
                if nodes[j].cost == cost {
                    nodes[j].tied = true;
                }
                return;
            }
            nodes.push(Node { at, state, cost, parent: Some((i, literal)), tied: false });
            if literal {
                open.push_back(nodes.len() - 1);
            } else {
                open.push_front(nodes.len() - 1);
            }
        };
        let after = State { mode: Mode::After, set: 0, from: 0, ..state };
        match machine.run(text, None, at + 1, after, &mut |_, _| {}) {
            Stop::Whole => goals.push((i, cost)),
            Stop::Mark(next, state) => reach(&mut nodes, &mut open, next, state, cost, false),
            Stop::Dead(_) | Stop::End => {}
        }
        if let Some(next) = next_quote(text.as_bytes(), at + 1) {
            reach(&mut nodes, &mut open, next, state, cost + 1, true);
        }
    }
    let Some(best) = goals.iter().map(|(_, cost)| *cost).min() else { return Inner::None };
    goals.retain(|(_, cost)| *cost == best);
    let mut found: Vec<(Value, Vec<usize>)> = Vec::new();
    let mut joins = false;
    for (goal, _) in goals.into_iter().take(4) {
        let (mut marks, mut i, mut tied) = (Vec::new(), goal, false);
        loop {
            tied |= nodes[i].tied;
            let Some((parent, literal)) = nodes[i].parent else { break };
            if literal {
                let Node { at, state, .. } = nodes[parent];
                marks.push(at);
                joins |= machine.frames[state.frame as usize].list && beside_comma(text, at);
            }
            i = parent;
        }
        marks.reverse();
        let Some(value) = strict::read(schema, &escaped(text, &marks)) else { continue };
        if tied || found.iter().any(|(other, _)| !same(other, &value)) {
            let other = found.pop().map_or(Value::Null, |(other, _)| other);
            return Inner::Several(value, other);
        }
        if found.is_empty() {
            found.push((value, marks));
        }
    }
    match found.pop() {
        Some((value, marks)) if best > 0 && !joins && speaks(&schema.keys, text, &marks) => {
            Inner::One(value, marks)
        }
        _ => Inner::None,
    }
}

/// Returns whether the comma next to a mark in a string of a list may separate two items: `a, "b" c`, `"a",
/// }b`.
pub(in super::super) fn beside_comma(text: &str, at: usize) -> bool {
    let next = text[at + 1..].trim_start().strip_prefix(',');
    text[..at].trim_end().ends_with(',')
        || next.is_some_and(|rest| !rest.trim_start().starts_with(char::is_alphanumeric))
}

/// Returns the text with the marks and raw control characters in strings escaped.
fn escaped(text: &str, marks: &[usize]) -> String {
    let mut out = String::with_capacity(text.len() + marks.len() + 16);
    let (mut inside, mut skip) = (false, false);
    for (at, c) in text.char_indices() {
        if c == '"' && !skip {
            if marks.binary_search(&at).is_ok() {
                out.push('\\');
            } else {
                inside = !inside;
            }
        }
        if inside && c.is_ascii_control() {
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push(c);
        }
        skip = inside && c == '\\' && !skip;
    }
    out
}

/// Returns whether the marks look intended, and not like the rest of lost structure.
///
/// Marks at both ends of a string, `""like this""`, are doubled ones as often as they are text.
pub(in super::super) fn speaks(keys: &HashSet<String>, text: &str, marks: &[usize]) -> bool {
    // The marks of one string are consecutive: no other mark is between them.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &mark in marks {
        match groups.last_mut() {
            Some(group) if next_quote(text.as_bytes(), group[group.len() - 1] + 1) == Some(mark) => {
                group.push(mark);
            }
            _ => groups.push(vec![mark]),
        }
    }
    groups.iter().all(|group| {
        let before = |at: usize| text[..at].chars().next_back().unwrap_or(' ');
        let behind = |at: usize| text[at + 1..].chars().next().unwrap_or(' ');
        if let [lone] = group[..] {
            // Inches or seconds.
            let next = text[lone + 1..].trim_start();
            return before(lone).is_ascii_digit()
                && !behind(lone).is_alphanumeric()
                && !next.starts_with([',', ':', ']', '}', '"']);
        }
        let both = before(group[0]) == '"' && behind(group[group.len() - 1]) == '"';
        group.len() % 2 == 0
            && !both
            && group.chunks(2).all(|pair| {
                let (open, close) = (pair[0], pair[1]);
                let opens =
                    !before(open).is_alphanumeric() && before(open) != ':' && !behind(open).is_whitespace();
                let closes = !behind(close).is_alphanumeric()
                    && !before(close).is_whitespace()
                    && before(close) != ':';
                let inside = &text[open + 1..close];
                let words = inside.contains(char::is_alphanumeric)
                    || !inside.contains([',', ':']) && !inside.is_empty();
                let words = words && !inside.starts_with([',', ':']);
                // A comma in prose is followed by white space, and a bracket closes one that the string
                // opens.
                let rest = &text.as_bytes()[close + 1..];
                let torn = matches!(rest.first(), Some(b'}' | b']'))
                    || rest.first() == Some(&b',') && rest.get(1).is_some_and(|b| *b != b' ')
                    || rest.starts_with(b", \n");
                let next = text[close + 1..].trim_start();
                let listed =
                    next.strip_prefix([',', ':']).is_some_and(|rest| rest.trim_start().starts_with('"'));
                let led = text[..open].trim_end().ends_with([',', '{']);
                let member = next.starts_with(':') && (led || keys.contains(&fold(inside)));
                opens && closes && words && !listed && !member && !torn && !inside.contains('\n')
            })
    })
}
