//! Feedback in prose: the right answer that it names, its verdict, and the rules that it states.

use std::sync::LazyLock;

use regex_lite::Regex;

use super::merge;
use crate::builtin::clauses::clauses;
use crate::builtin::form_rules::FormRule;
use crate::builtin::text_form::TextForm;
use crate::builtin::words::words;

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
    /// The form of the right answer, if it says so without any condition.
    pub(super) form: Option<TextForm>,
}

/// Words that start a request, after a comma too: "wrong, answer in upper case".
const REQUESTS: &[&str] = &[
    "add", "always", "answer", "avoid", "begin", "do", "don't", "end", "finish", "give", "include", "keep",
    "leave", "make", "mention", "must", "name", "never", "omit", "please", "put", "reply", "respond",
    "return", "say", "start", "use", "write",
];
/// Words that start a condition, to which the request after a comma belongs.
const CONDITIONS: &[&str] =
    &["if", "when", "whenever", "where", "unless", "otherwise", "for", "in", "while", "by"];

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
    clauses(&text[..end]).into_iter().flat_map(with_requests).for_each(|clause| found.add(clause));
    if found.right.is_some() {
        // "The correct label is x" approves of nothing.
        found.approves = None;
    }
    found
}

impl Feedback {
    fn add(&mut self, clause: &str) {
        let lower = clause.to_lowercase();
        let has = |list: &[&str]| words(&lower).iter().any(|word| list.contains(&word.written(&lower)));
        let length = words(clause).len();
        // "The correct answer should be in upper case" names no answer, but a form.
        if let Some(FormRule { condition, form }) = FormRule::read(clause) {
            match condition {
                None => self.form.get_or_insert_default().set(&form),
                Some(_) if length <= *RULE_WORDS.end() => self.rules.push(finished(clause)),
                Some(_) => {}
            }
            return;
        }
        let rejects = has(&["wrong", "incorrect", "mistake", "failed", "not", "isn't"]);
        let approval = has(&["correct", "right", "good", "perfect", "well", "exactly"]) && !rejects;
        let named = patterns().iter().find_map(|pattern| answer(pattern.captures(clause)?.get(1)?.as_str()));
        if let Some(right) = named {
            self.right.get_or_insert(right);
            return;
        }
        let is_verdict = length <= 6 && (approval || rejects) && !requests(clause);
        if approval && length <= 12 {
            self.approves.get_or_insert(true);
        } else if has(&["wrong", "incorrect"]) {
            self.approves = Some(false);
        }
        let of_answer = has(&["got", "predicted", "score", "scored", "output", "expected"]);
        if !is_verdict && !of_answer && RULE_WORDS.contains(&length) {
            self.rules.push(finished(clause));
        }
    }
}

/// Returns whether a clause starts with a request: "use …", "do not …".
fn requests(clause: &str) -> bool {
    let first = clause.split_whitespace().next().unwrap_or_default().to_lowercase();
    REQUESTS.contains(&&*first)
}

/// Divides a clause before a request: "wrong, but answer in upper case". A request with a condition stays whole.
fn with_requests(clause: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = clause;
    let has_condition = |text: &str| {
        let lower = text.to_lowercase();
        words(&lower).iter().any(|word| CONDITIONS.contains(&word.written(&lower)))
    };
    let mut from = 0;
    let comma_or_but = |text: &str| text.find(", ").into_iter().chain(text.find(" but ")).min();
    while let Some(at) = comma_or_but(&rest[from..]).map(|at| from + at) {
        let next = rest[at + 1..].trim_start();
        let next =
            ["and ", "but ", "so ", "then "].iter().find_map(|word| next.strip_prefix(word)).unwrap_or(next);
        from = at + 1;
        let quotes = rest[..at].matches('"').count();
        if quotes.is_multiple_of(2) && requests(next) && !has_condition(&rest[..at]) {
            parts.push(&rest[..at]);
            rest = next;
            from = 0;
        }
    }
    parts.push(rest);
    parts
}

/// Makes a clause into a sentence.
fn finished(clause: &str) -> String {
    let clause = merge::bullet(clause).1.trim();
    let mut chars = clause.chars();
    let first = chars.next().map(char::to_uppercase);
    let mut out: String = first.into_iter().flatten().chain(chars).collect();
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
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

    #[test]
    fn every_clause_counts() {
        let rule = "Refunds belong to returns.";
        let (upper, _) = TextForm::stated("answer in upper case").unwrap();
        for (text, right, rules, form) in [
            ("expected x; answer in upper case", Some("x"), vec![], Some(&upper)),
            ("answer in upper case; expected x", Some("x"), vec![], Some(&upper)),
            ("Wrong, answer in upper case. Expected x.", Some("x"), vec![], Some(&upper)),
            ("expected x but answer in upper case", Some("x"), vec![], Some(&upper)),
            ("expected x, got y, but use upper case", Some("x"), vec![], Some(&upper)),
            ("expected x — the answer must be written in upper case", Some("x"), vec![], Some(&upper)),
            ("expected x; refunds belong to returns", Some("x"), vec![rule], None),
            ("Refunds belong to returns; use upper case; expected x", Some("x"), vec![rule], Some(&upper)),
            ("expected x; do not guess", Some("x"), vec!["Do not guess."], None),
            (
                "expected x; if it is a name, answer in upper case",
                Some("x"),
                vec!["If it is a name, answer in upper case."],
                None,
            ),
        ] {
            let found = read(text);
            assert_eq!(found.right.as_deref(), right, "{text}");
            assert_eq!(found.rules, rules, "{text}");
            assert_eq!(found.form.as_ref(), form, "{text}");
        }
        let found = read("expected Jimmy; end the answer with \"So. Long!\"");
        assert_eq!(found.form.unwrap().to_string(), "end the answer with \"So. Long!\"");
    }
}
