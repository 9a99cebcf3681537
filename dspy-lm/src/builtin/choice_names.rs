//! The names of choices as words, and where prose mentions them.

use std::ops::Range;

use super::words::{Word, is_stop_word, words};

/// Words after which a function word such as `no` or `other` counts as the name of a choice.
const LEADS_TO_VALUE: &[&str] = &[
    "->",
    "=>",
    "→",
    "=",
    "answer",
    "say",
    "output",
    "return",
    "label",
    "choose",
    "means",
    "mean",
    "indicates",
    "indicate",
    "suggests",
    "suggest",
    "go to",
    "goes to",
    "belongs to",
    "belong to",
    "points to",
    "point to",
    "as",
];
/// The number of words before a choice among which a negation is about it.
const NEGATION_REACH: usize = 3;

/// The name of a choice as words, for finding it in prose.
pub(super) struct Name {
    pub(super) words: Vec<String>,
    /// Whether the name consists of function words only, such as `no`, and counts only if marked as a value.
    common: bool,
}

/// A choice that a clause mentions.
#[derive(Debug, Clone, Copy)]
struct Mention {
    choice: usize,
    at: usize,
    length: usize,
}

/// The choices that a clause mentions.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// The words at which each choice is mentioned, by choice.
    pub(super) at: Vec<Vec<usize>>,
    /// The choices that are mentioned only as wrong: "not billing", "never answer billing".
    pub(super) denied: Vec<usize>,
}

impl Name {
    pub(super) fn new(text: &str) -> Name {
        let spaced = split_case(text);
        let found = words(&spaced);
        let common = found.iter().all(|word| word.stop) || is_stop_word(&text.to_lowercase());
        Name { words: found.into_iter().map(|word| word.stem).collect(), common }
    }

    /// Returns the positions of the name in `found`, the words of `clause`.
    fn positions(&self, clause: &str, found: &[Word]) -> Vec<usize> {
        if self.words.is_empty() {
            return Vec::new();
        }
        // A name such as `card_arrival` may be written as one word or as two; both are split into the same
        // words.
        let matches = |(at, window): (usize, &[Word])| {
            let same = window.iter().zip(&self.words).all(|(word, stem)| word.stem == *stem);
            (same && (!self.common || is_marked(clause, found, at, self.words.len()))).then_some(at)
        };
        found.windows(self.words.len()).enumerate().filter_map(matches).collect()
    }
}

impl Mentions {
    /// Finds the choices in a clause, except in the `covered` parts of it. Choices in quotes take precedence over
    /// others, and longer names over the shorter ones inside them.
    pub(super) fn find(clause: &str, found: &[Word], names: &[Name], covered: &[Range<usize>]) -> Mentions {
        let mut mentions: Vec<Mention> = Vec::new();
        for (choice, name) in names.iter().enumerate() {
            let length = name.words.len();
            let all = name.positions(clause, found).into_iter().map(|at| Mention { choice, at, length });
            mentions.extend(
                all.filter(|mention| !covered.iter().any(|span| span.contains(&found[mention.at].start))),
            );
        }
        let in_quotes = |mention: &Mention| is_quoted(clause, found, mention.at, mention.length);
        if mentions.iter().any(in_quotes) {
            mentions.retain(in_quotes);
        }
        let whole = mentions.clone();
        let inside = |inner: &Mention, outer: &Mention| {
            outer.length > inner.length
                && outer.at <= inner.at
                && inner.at + inner.length <= outer.at + outer.length
        };
        mentions.retain(|mention| !whole.iter().any(|other| inside(mention, other)));
        let (denied, stated): (Vec<_>, Vec<_>) =
            mentions.into_iter().partition(|mention| is_denied(clause, found, mention.at));
        let mut at = vec![Vec::new(); names.len()];
        stated.iter().for_each(|mention| at[mention.choice].push(mention.at));
        let mut denied: Vec<usize> = denied.iter().map(|mention| mention.choice).collect();
        denied.dedup();
        Mentions { at, denied }
    }

    /// Returns the choices that are mentioned as right.
    pub(super) fn choices(&self) -> Vec<usize> {
        (0..self.at.len()).filter(|choice| !self.at[*choice].is_empty()).collect()
    }
}

/// Returns whether the words are quoted, follow a word such as "answer", or start a part before a colon or "if".
fn is_marked(clause: &str, found: &[Word], at: usize, length: usize) -> bool {
    let before = clause[..found[at].start].trim_end();
    let after = &clause[found[at + length - 1].end..];
    let lower = before.to_lowercase();
    let leads = |lead: &&&str| {
        lower.strip_suffix(**lead).is_some_and(|rest| {
            !lead.starts_with(char::is_alphabetic) || !rest.ends_with(|c: char| c.is_alphanumeric())
        })
    };
    is_quoted(clause, found, at, length)
        || LEADS_TO_VALUE.iter().any(|lead| leads(&lead))
        || (before.is_empty() && after.trim_start().starts_with(':'))
        || ((before.is_empty() || before.ends_with([',', '.']))
            && [" if ", " when "].iter().any(|word| after.starts_with(word)))
}

fn is_quoted(clause: &str, found: &[Word], at: usize, length: usize) -> bool {
    let before = &clause[..found[at].start];
    let after = &clause[found[at + length - 1].end..];
    before.ends_with(['"', '`', '\'', '“']) && after.starts_with(['"', '`', '\'', '”'])
}

/// Returns whether a negation stands right before the word at `at`.
fn is_denied(clause: &str, found: &[Word], at: usize) -> bool {
    let before = clause[..found[at].start].trim_end_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    if before.ends_with("rather than") || before.ends_with("instead of") {
        return true;
    }
    let near = &found[at.saturating_sub(NEGATION_REACH)..at];
    let separated = |word: &Word| clause[word.end..found[at].start].contains([',', ':', '.']);
    near.iter().any(|word| {
        let written = word.written(clause).to_lowercase().replace('’', "'");
        (matches!(&*written, "not" | "never") || written.ends_with("n't")) && !separated(word)
    })
}

/// Splits identifiers into words: `cardArrival` becomes `card Arrival`, `card_arrival` becomes `card
/// arrival`.
pub(super) fn split_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4);
    let mut lower = false;
    for c in text.chars() {
        if c.is_uppercase() && lower {
            out.push(' ');
        }
        lower = c.is_lowercase();
        out.push(if matches!(c, '_' | '-' | '/') { ' ' } else { c });
    }
    out
}
