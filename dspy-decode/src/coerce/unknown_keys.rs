//! Unknown keys that may be misspelled member names, and keys without a value.

use super::super::error::ProblemKind;
use super::super::path::Path;
use super::super::plan::{NodeId, ObjectPlan, Prop};
use super::super::report::RepairKind as R;
use super::super::soundness::is_mangled;
use super::super::text::snippet;
use super::super::tree::{Entry, Shape, Tree};
use super::object::{KeyMatch, known};
use super::{Coercion, list_items, similar_keys, union_leftovers, unknown_lines};
use dspy_base::fold::fold;

impl Coercion<'_> {
    /// Returns whether no unknown key is a misspelling of a member's name. A key is a misspelling if it
    /// differs by one slip from the name of an absent member, or of a present one where the slip does not
    /// result in another word.
    pub(super) fn none_misspelt(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        unknown: &[&Entry<'_>],
        taken: &[Option<&Entry<'_>>],
        path: &Path<'_>,
    ) -> bool {
        for entry in unknown.iter().take(32) {
            // Two keys of the type that are joined: the content between them is lost.
            let torn = plan.props.iter().take(64).any(|first| {
                let two = |second: &Prop| {
                    first.name != second.name && is_spliced(&first.name, &second.name, &entry.key)
                };
                plan.props.iter().take(64).any(two)
            });
            if torn {
                let found = format!("`{}`, which may be two keys run together", snippet(&entry.key));
                self.problem(ProblemKind::Ambiguous, path, id, found, entry.span);
                return false;
            }
            let says_something = !matches!(entry.value.shape, Shape::Null);
            let meant = plan.props.iter().zip(taken).find(|(prop, taken)| match taken {
                Some(_) => says_something && doubles(&prop.name, &entry.key),
                None if prop.required => false,
                None => {
                    is_mangled(&prop.name, &entry.key)
                        || says_something
                            && (stands_for(&prop.name, &entry.key)
                                || similar_keys::speaks_of(&prop.name, &entry.key))
                }
            });
            if let Some((prop, _)) = meant {
                let found = format!("`{}`, which may stand for `{}`", snippet(&entry.key), prop.name);
                self.problem(ProblemKind::Ambiguous, path, id, found, entry.span);
                return false;
            }
        }
        true
    }

    /// Returns whether no extra member contains the exact name of a member that is absent here: `{"address":
    /// {"city": "Paris"}}`.
    pub(super) fn none_inside(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        unknown: &[&Entry<'_>],
        taken: &[Option<&Entry<'_>>],
        path: &Path<'_>,
    ) -> bool {
        let absent = |key: &str| match known(plan, key) {
            KeyMatch::Prop(i, _) => taken[i].is_none(),
            _ => false,
        };
        let remark = |entry: &&&Entry<'_>| match &entry.value.shape {
            Shape::Text { text, quoted: false } if !entry.quoted && unknown_lines::is_remark(&entry.key) => {
                let member = |word: &str| matches!(known(plan, word), KeyMatch::Prop(..));
                unknown_lines::speaks_of(&format!("{} {text}", entry.key), &member, &absent)
            }
            _ => false,
        };
        if let Some(entry) = unknown.iter().find(remark) {
            let found = format!("`{}`, a remark about another member", snippet(&entry.key));
            self.problem(ProblemKind::Ambiguous, path, id, found, entry.span);
            return false;
        }
        let inside = unknown.iter().find_map(|entry| Some((entry, name_inside(&entry.value, &absent)?)));
        let Some((entry, name)) = inside else { return true };
        let found =
            format!("`{}`, which holds a `{}` that is missing here", snippet(&entry.key), snippet(&name));
        self.problem(ProblemKind::Ambiguous, path, id, found, entry.span);
        false
    }

    /// Returns whether no string continues with a member that has no comma or line break before it: `name:
    /// "a" city: "b"`, or `name: a city: b` where `city` is absent.
    pub(super) fn none_run_on(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        entries: &[Entry<'_>],
        taken: &[Option<&Entry<'_>>],
        path: &Path<'_>,
    ) -> bool {
        let absent = |key: &str| {
            let optional = matches!(known(plan, key), KeyMatch::Prop(i, _) if taken[i].is_none());
            optional && is_name(key)
        };
        let is_text = |key: &str| match known(plan, key) {
            KeyMatch::Prop(i, _) => self.takes_text(plan.props[i].node),
            _ => false,
        };
        let suspect = entries.iter().find(|entry| match &entry.value.shape {
            _ if !is_text(&entry.key) => false,
            Shape::Text { text, quoted: true } => {
                let marked = entry.value.notes.as_slice().iter().any(|note| note.kind == R::InnerQuote);
                marked && goes_on_behind_quote(text)
            }
            Shape::Text { text, quoted: false } => {
                goes_on_behind_quote(text)
                    || text.match_indices([':', '=']).any(|(at, _)| {
                        let before = text[..at].trim_end_matches(' ');
                        let word =
                            before.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).next();
                        word.is_some_and(absent)
                    })
            }
            _ => false,
        });
        let Some(entry) = suspect else { return true };
        let found = format!(
            "`{}`: {}, which may go on with another member",
            snippet(&entry.key),
            Self::found(&entry.value)
        );
        self.problem(ProblemKind::Ambiguous, path, id, found, entry.value.span);
        false
    }

    /// Returns whether no unquoted value contains a key without a value: `{a: 1, b}`. In a map any word may
    /// be such a key, elsewhere only the name of an absent member.
    pub(super) fn none_valueless(
        &mut self,
        id: NodeId,
        plan: &ObjectPlan,
        entries: &[Entry<'_>],
        taken: &[Option<&Entry<'_>>],
        tree: &Tree<'_>,
        path: &Path<'_>,
    ) -> bool {
        const SEPARATORS: [char; 3] = [',', ';', '\n'];
        let suspect = entries.iter().find(|entry| {
            let Shape::Text { text, quoted: false } = &entry.value.shape else { return false };
            let Some((_, behind)) = text.split_once(SEPARATORS) else { return false };
            matches!(known(plan, &entry.key), KeyMatch::Extra(_))
                || behind.split(SEPARATORS).any(|piece| {
                    let name = piece.trim().trim_matches(['"', '\'', '`']);
                    matches!(known(plan, name), KeyMatch::Prop(i, _) if taken[i].is_none())
                })
        });
        // If each member has its own line, a comma is part of the text.
        let by_line = || {
            tree.notes.as_slice().iter().any(|note| note.kind == R::MissingBraces)
                && self.written(tree).trim().contains('\n')
        };
        let Some(entry) = suspect.filter(|_| !by_line()) else { return true };
        let found = format!(
            "`{}`: {}, which may end in a key without a value",
            snippet(&entry.key),
            Self::found(&entry.value)
        );
        self.problem(ProblemKind::Ambiguous, path, id, found, entry.value.span);
        false
    }
}

/// Returns the first name in a value, at any depth, for which `is_absent` holds and that has a non-empty
/// value.
fn name_inside(value: &Tree<'_>, is_absent: &dyn Fn(&str) -> bool) -> Option<String> {
    match &value.shape {
        Shape::Object(entries) => entries.iter().find_map(|entry| {
            let says = !union_leftovers::says_nothing(&entry.value);
            if says && is_absent(&entry.key) {
                return Some(entry.key.to_string());
            }
            name_inside(&entry.value, is_absent)
        }),
        // If several items have it, it is part of each of them and not of the outer object.
        Shape::List(items) => {
            let mut found = items.iter().filter_map(|item| name_inside(item, is_absent));
            found.next().filter(|_| found.next().is_none())
        }
        Shape::Text { text, quoted: false } => {
            union_leftovers::keys_of_lines(text).into_iter().find(|key| is_absent(key)).map(str::to_owned)
        }
        _ => None,
    }
}

/// Returns whether a word with a colon or an equals sign follows a quotation mark inside the text: `a" b:
/// "c`.
fn goes_on_behind_quote(text: &str) -> bool {
    text.match_indices(['"', '\'', '”', '’', '`']).any(|(at, mark)| {
        let behind = &text[at + mark.len()..];
        let rest = behind.trim_start();
        let word = rest.trim_start_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-'));
        let named = word.len() < rest.len() && rest.len() < behind.len();
        let value = word.trim_start().strip_prefix([':', '=']).map(str::trim_start);
        named && value.is_some_and(|value| value.starts_with(['"', '\'', '“', '‘', '`']))
    })
}

/// Returns the key of a line and the text after it, without bullets and emphasis.
pub(super) fn of_line(line: &str) -> Option<(&str, &str)> {
    let content = line.trim();
    let content = list_items::marker(content).map_or(content, |(_, offset)| &content[offset..]);
    let (key, value) = content.split_once(':')?;
    let edge = |c: char| matches!(c, '*' | '_' | '`' | '"' | '\'' | '#' | ' ');
    Some((key.trim_matches(edge), value.trim_matches(|c: char| c == '*' || c.is_whitespace())))
}

/// Returns whether a key is a single word, as names of members are.
pub(super) fn is_name(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key.starts_with(char::is_alphabetic)
        && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

/// Returns whether a word differs by one slip from the name of a member.
pub(super) fn is_near(plan: &ObjectPlan, key: &str) -> bool {
    let near = |name: &str| {
        let lacks = name.len().abs_diff(key.len()) == 1 && name.len() >= 4 && is_mangled(name, key);
        lacks || stands_for(name, key)
    };
    is_name(key) && plan.props.iter().take(64).any(|prop| near(&prop.name))
}

/// The difference between two names.
enum Slip {
    /// Two adjacent letters are swapped.
    Swapped,
    /// The letter at this index is different.
    Replaced(usize),
    /// The longer name has an additional letter at this index.
    Added(usize),
}

/// Returns the only slip between two names, given as letters and digits in lower case.
fn slip(name: &[char], key: &[char]) -> Option<Slip> {
    let (long, short) = if name.len() >= key.len() { (name, key) } else { (key, name) };
    let before = long.iter().zip(short).take_while(|(a, b)| a == b).count();
    let rest = short.len() - before;
    let behind = long.iter().rev().zip(short.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    match (long.len() - before - behind, rest - behind) {
        (1, 0) => Some(Slip::Added(before)),
        (1, 1) => Some(Slip::Replaced(before)),
        (2, 2) if long[before] == short[before + 1] && long[before + 1] == short[before] => {
            Some(Slip::Swapped)
        }
        _ => None,
    }
}

fn letters(name: &str) -> Vec<char> {
    fold(name).chars().take(128).collect()
}

/// Returns whether the key may be a misspelling of an absent member. Short names often differ by one letter
/// without a slip.
fn stands_for(name: &str, key: &str) -> bool {
    if name.len().abs_diff(key.len()) > 8 {
        return false;
    }
    let (name, key) = (letters(name), letters(key));
    match slip(&name, &key) {
        Some(Slip::Swapped | Slip::Added(_)) => name.len() >= 4,
        Some(Slip::Replaced(at)) => name.len() >= 5 && !(name[at].is_numeric() && key[at].is_numeric()),
        None => false,
    }
}

/// Returns whether the key may be a misspelling of a member that is already present. A different first
/// letter, last letter, digit or one-letter word makes another name: `height` and `weight`, `email` and
/// `emails`, `line_1` and `line_2`.
fn doubles(name: &str, key: &str) -> bool {
    if name.len().abs_diff(key.len()) > 8 {
        return false;
    }
    let (own, other) = (letters(name), letters(key));
    match slip(&own, &other) {
        Some(Slip::Swapped) => own.len() >= 5,
        Some(Slip::Replaced(at)) => {
            own.len() >= 6 && at > 0 && !begins_word(name, at) && !begins_word(key, at)
        }
        Some(Slip::Added(at)) => {
            let (long, of) = if own.len() > other.len() { (own.len(), name) } else { (other.len(), key) };
            own.len() >= 6 && at > 0 && at + 1 < long && !begins_word(of, at)
        }
        None => false,
    }
}

/// Returns whether a word or a number begins at a letter of the name: the second `b` of `bob_b` and of
/// `bobB`.
fn begins_word(name: &str, at: usize) -> bool {
    let mut before: Option<char> = None;
    let mut index = 0;
    for c in name.chars() {
        if c.is_alphanumeric() {
            if index == at {
                return !before.is_some_and(char::is_alphanumeric) || c.is_uppercase() || c.is_numeric();
            }
            index += 1;
        }
        before = Some(c);
    }
    false
}

/// Returns whether the key consists of the beginning of one name and the end of another.
fn is_spliced(first: &str, second: &str, key: &str) -> bool {
    let before = key.bytes().zip(first.bytes()).take_while(|(a, b)| a == b).count();
    let behind = key.bytes().rev().zip(second.bytes().rev()).take_while(|(a, b)| a == b).count();
    before >= 2 && behind >= 2 && before + behind >= key.len()
}
