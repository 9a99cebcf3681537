//! Lines that are members but not of the type: `Company: Acme` between known members.

use super::unknown_keys;

/// The notation of the key of a line: its prefix, and whether it begins with a capital letter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style<'t> {
    pub(super) prefix: &'t str,
    capital: bool,
}

impl<'t> Style<'t> {
    pub(super) fn of(prefix: &'t str, key: &str) -> Self {
        let capital = key.chars().find(|c| c.is_alphanumeric()).is_some_and(char::is_uppercase);
        Self { prefix, capital }
    }
}

/// A key of a few words, and the value after its colon.
#[derive(Debug, PartialEq)]
pub(super) struct Label<'t> {
    pub(super) key: &'t str,
    pub(super) value: &'t str,
    /// Whether it opens a remark, counts a step or starts a sentence, and is therefore text and not a member.
    pub(super) is_remark: bool,
}

/// Words that open a remark or a line of text, and words that turn the text before a colon into a sentence.
const REMARKS: [&str; 50] = [
    "note",
    "nb",
    "ps",
    "warning",
    "important",
    "todo",
    "update",
    "correction",
    "corrected",
    "edit",
    "hint",
    "tip",
    "example",
    "remark",
    "attention",
    "caution",
    "disclaimer",
    "reminder",
    "also",
    "but",
    "however",
    "wait",
    "actually",
    "sorry",
    "so",
    "and",
    "or",
    "step",
    "then",
    "first",
    "second",
    "next",
    "finally",
    "he",
    "she",
    "they",
    "it",
    "we",
    "i",
    "you",
    "is",
    "are",
    "was",
    "were",
    "says",
    "said",
    "with",
    "because",
    "if",
    "to",
];

/// Returns the label that a line begins with: one to four words before a colon that ends a word.
pub(super) fn label(line: &str) -> Option<Label<'_>> {
    let (key, value) = unknown_keys::of_line(line)?;
    // Quotation marks and emoji are not part of a name; brackets are more than decoration.
    let decorates = |c: char| !c.is_alphanumeric() && !matches!(c, '(' | '[' | '{' | '<' | '/' | '#' | '|');
    let key = key.trim_start_matches(decorates);
    let behind = &line[line.find(':')? + 1..];
    let ends = behind.is_empty()
        || behind.starts_with(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '`' | '"'));
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '/' | '\'' | '(' | ')' | '&');
    let short = (1..=4).contains(&key.split_whitespace().count()) && key.len() <= 64;
    if !ends || !short || !key.starts_with(char::is_alphabetic) || !key.chars().all(plain) {
        return None;
    }
    Some(Label { key, value, is_remark: is_remark(key) })
}

/// Returns whether a key opens a remark, counts a step or starts a sentence.
pub(super) fn is_remark(key: &str) -> bool {
    let words = || key.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let remark = |word: &str| REMARKS.iter().any(|r| word.eq_ignore_ascii_case(r));
    let counts = key.contains(' ') && words().any(|word| word.bytes().all(|b| b.is_ascii_digit()));
    counts || words().any(remark)
}

/// Returns whether words after the members refer to one: to an absent one, or to any in order to change it.
pub(super) fn speaks_of(
    words: &str,
    is_member: &dyn Fn(&str) -> bool,
    is_absent: &dyn Fn(&str) -> bool,
) -> bool {
    const CHANGES: [&str; 9] =
        ["correction", "corrected", "should", "actually", "instead", "rather", "wait", "sorry", "mistake"];
    let words = || words.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let changes = || words().any(|word| CHANGES.iter().any(|c| word.eq_ignore_ascii_case(c)));
    words().any(is_absent) || words().any(is_member) && changes()
}

/// Returns whether text may continue in the next line: it is a sentence, long, or ends in a mark that
/// requires more.
pub(super) fn may_go_on(text: &str) -> bool {
    let text = text.trim_end();
    let count = text.split_whitespace().take(13).count();
    text.ends_with([',', ':', ';', '-', '–', '—', '\\'])
        || count > 12
        || count > 3 && text.ends_with(['.', '!', '?', '…'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_remarks() {
        for (line, key, is_remark) in [
            ("Company: Acme", "Company", false),
            ("- **E-mail address:** a@b.c", "E-mail address", false),
            ("role:", "role", false),
            ("> Company: Acme", "Company", false),
            ("Note: bring a coat", "Note", true),
            ("He said: no", "He said", true),
            ("Step 2: go on", "Step 2", true),
            ("address_2: x", "address_2", false),
        ] {
            let read = label(line).map(|label| (label.key, label.is_remark));
            assert_eq!(read, Some((key, is_remark)), "{line}");
        }
        for line in ["https://a.b", "10:30", "words", "the way of all the flesh: x", "f(a, b): x", "a.b: c"] {
            assert_eq!(label(line), None, "{line}");
        }
    }
}
