//! Feedback in prose: the right answer that it names, its verdict, and the rules that it states.

use std::sync::LazyLock;

use regex_lite::Regex;

use crate::builtin::words::{sentences, words};

/// The number of words of a right answer in feedback, and of a rule.
const LONGEST_ANSWER: usize = 6;
const RULE_WORDS: std::ops::RangeInclusive<usize> = 3..=32;
/// The maximum number of bytes of feedback that are read.
const LONGEST: usize = 8_000;

/// The contents of one piece of feedback.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Feedback {
    pub(super) right: Option<String>,
    /// Whether it approves of the answer, if it says so.
    pub(super) approves: Option<bool>,
    /// Sentences that may state rules.
    pub(super) rules: Vec<String>,
}

fn patterns() -> &'static [Regex] {
    static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        const SAYS: &str = r"(?:is|was|are|would be|would have been|:|=)";
        [
            r"(?i)\bshould (?:have )?(?:been|be|said|say|read|answer|return|output)\b\s*:?\s*(.+)".to_owned(),
            format!(r"(?i)\b(?:expected|gold|correct|right|reference|true|desired)(?: \w+)?\s*{SAYS}\s*(.+)"),
            r"(?i)\bexpected (?:the \w+ )?(.+)".to_owned(),
            format!(r"(?i)\bthe (?:answer|label|output|class|category|value)(?: here)? {SAYS}\s*(.+)"),
        ]
        .iter()
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect()
    });
    &PATTERNS
}

/// Reads feedback.
pub(super) fn read(text: &str) -> Feedback {
    let mut found = Feedback::default();
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    for sentence in sentences(&text[..end]) {
        let lower = sentence.to_lowercase();
        let has = |list: &[&str]| words(&lower).iter().any(|word| list.contains(&word.written(&lower)));
        let rejects = has(&["wrong", "incorrect", "mistake", "failed", "not", "isn't"]);
        let approval = has(&["correct", "right", "good", "perfect", "well", "exactly"]) && !rejects;
        let named =
            patterns().iter().find_map(|pattern| answer(pattern.captures(sentence)?.get(1)?.as_str()));
        if let Some(right) = named {
            found.right.get_or_insert(right);
            continue;
        }
        let length = words(sentence).len();
        let is_verdict = length <= 6 && (approval || rejects);
        if approval && length <= 12 {
            found.approves.get_or_insert(true);
        } else if has(&["wrong", "incorrect"]) {
            found.approves = Some(false);
        }
        let of_answer = has(&["got", "predicted", "score", "scored", "output", "expected"]);
        if !is_verdict && !of_answer && RULE_WORDS.contains(&length) {
            found.rules.push(sentence.trim_start_matches(['-', '*', '•', ' ']).to_owned());
        }
    }
    if found.right.is_some() {
        // "The correct label is x" approves of nothing.
        found.approves = None;
    }
    found
}

/// Returns the answer at the start of a string, if it is short.
fn answer(text: &str) -> Option<String> {
    let text = text.trim();
    let open = text.chars().next()?;
    if matches!(open, '"' | '\'' | '`' | '“') {
        let close = if open == '“' { '”' } else { open };
        let inner = &text[open.len_utf8()..];
        return inner.find(close).filter(|end| *end > 0).map(|end| inner[..end].to_owned());
    }
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        let next = text[at + c.len_utf8()..].chars().next();
        if matches!(c, ',' | ';' | '(' | '\n' | '!') || (c == '.' && next.is_none_or(char::is_whitespace)) {
            end = at;
            break;
        }
    }
    let mut text = &text[..end];
    for word in
        [" but ", " got ", " not ", " instead", " rather ", " because ", " and got", " since ", " as "]
    {
        text = text.split(word).next().unwrap_or_default();
    }
    let text = text.trim().trim_matches(['*', '_']);
    let count = text.split_whitespace().count();
    let first = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    let is_verdict = matches!(
        &*first,
        "wrong"
            | "incorrect"
            | "correct"
            | "right"
            | "not"
            | "too"
            | "missing"
            | "more"
            | "less"
            | "that"
            | "to"
    );
    ((1..=LONGEST_ANSWER).contains(&count) && !is_verdict).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_answers_are_found() {
        for (text, right) in [
            ("Expected billing, got shipping.", Some("billing")),
            ("Wrong. The correct label is \"card arrival\".", Some("card arrival")),
            ("It should be returns because the item is sent back.", Some("returns")),
            ("The answer should have been `no`.", Some("no")),
            ("expected: 3.5 but got 2", Some("3.5")),
            ("The right team is sales.", Some("sales")),
            ("The answer is wrong.", None),
            ("Correct.", None),
            ("Score 0.", None),
        ] {
            assert_eq!(read(text).right.as_deref(), right, "{text}");
        }
        assert_eq!(read("That is correct.").approves, Some(true));
        assert_eq!(read("This is not correct.").approves, None);
        assert_eq!(read("Wrong. Refunds belong to returns.").rules, ["Refunds belong to returns."]);
    }
}
