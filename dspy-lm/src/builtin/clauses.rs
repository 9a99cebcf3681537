//! Clauses: sentences, and their parts between semicolons and dashes. What is in quotes is never divided.

use std::ops::Range;

use super::words::is_abbreviation;

/// The maximum length of a quoted string, in bytes.
const LONGEST_QUOTE: usize = 200;

/// Splits text into sentences, trimmed and with their end marks.
pub(super) fn whole_sentences(text: &str) -> Vec<&str> {
    split(text, false)
}

/// Splits text into clauses, trimmed and with the end marks of sentences.
pub(super) fn clauses(text: &str) -> Vec<&str> {
    split(text, true)
}

/// Splits text into sentences, and these into their parts if `parts`.
fn split(text: &str, parts: bool) -> Vec<&str> {
    let quotes = quoted(text);
    let mut found = Vec::new();
    let (mut start, mut next_quote) = (0, 0);
    for (at, c) in text.char_indices() {
        while quotes.get(next_quote).is_some_and(|quote| quote.end <= at) {
            next_quote += 1;
        }
        if at < start || quotes.get(next_quote).is_some_and(|quote| quote.contains(&at)) {
            continue;
        }
        let after = at + c.len_utf8();
        let (before, rest) = (&text[..at], &text[after..]);
        let spaced = rest.starts_with(char::is_whitespace);
        // A sentence may end inside of quotes: `… "Peace!" Then …`.
        let in_quotes = next_quote.checked_sub(1).map(|last| &quotes[last]).is_some_and(|quote| {
            quote.end == at
                && before.trim_end_matches(['"', '”', '`']).ends_with(['.', '!', '?'])
                && rest.trim_start().starts_with(char::is_uppercase)
        });
        let ends = match c {
            '\n' => true,
            ';' => parts && (rest.is_empty() || spaced),
            '—' | '–' => parts && spaced && before.ends_with(char::is_whitespace),
            '.' | '!' | '?' => (rest.is_empty() || spaced) && !is_abbreviation(&text[start..at], c),
            c => c.is_whitespace() && in_quotes,
        };
        if ends {
            let end = if matches!(c, ';' | '—' | '–') { at } else { after };
            found.push(text[start..end].trim());
            start = after;
        }
    }
    found.push(text[start..].trim());
    found.retain(|clause| clause.chars().any(char::is_alphanumeric));
    found
}

/// Returns the byte position of the last comma that is not in quotes.
pub(super) fn last_comma(clause: &str) -> Option<usize> {
    let quotes = quoted(clause);
    let commas = clause.rmatch_indices(',').map(|(at, _)| at);
    commas.into_iter().find(|at| !quotes.iter().any(|quote| quote.contains(at)))
}

/// Returns where strings in quotes are, with their quotes. They lie within one line.
fn quoted(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let close = match c {
            '"' | '`' => c,
            '“' => '”',
            _ => continue,
        };
        if at < end || text[..at].ends_with(char::is_alphanumeric) {
            continue;
        }
        let inner = &text[at + c.len_utf8()..];
        let length = inner
            .char_indices()
            .take_while(|(at, c)| *at <= LONGEST_QUOTE && *c != '\n')
            .find(|(_, c)| *c == close);
        if let Some((length, close)) = length {
            end = at + c.len_utf8() + length + close.len_utf8();
            found.push(at..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_end_where_they_should() {
        for (text, expected) in [
            ("expected a b; answer in upper case", vec!["expected a b", "answer in upper case"]),
            ("Wrong — say yes.\nIt is J. S. Bach.", vec!["Wrong", "say yes.", "It is J. S. Bach."]),
            ("x; end it with \"Peace!\"", vec!["x", "end it with \"Peace!\""]),
            ("End it with \"a; b. C\". Then stop", vec!["End it with \"a; b. C\".", "Then stop"]),
            ("End it with \"Peace!\" Then stop", vec!["End it with \"Peace!\"", "Then stop"]),
            ("Say \"a!\" or `b;` — “c. D”; e", vec!["Say \"a!\" or `b;`", "“c. D”", "e"]),
            ("5\" wide; so \"it goes", vec!["5\" wide", "so \"it goes"]),
            ("a;b—c.d ; . ;", vec!["a;b—c.d"]),
        ] {
            assert_eq!(clauses(text), expected, "{text}");
        }
        assert_eq!(
            whole_sentences("End it with \"a. B!\"; stop. Go"),
            ["End it with \"a. B!\"; stop.", "Go"]
        );
        assert_eq!(last_comma("a, b, \"c, d\""), Some(4));
        let start = std::time::Instant::now();
        clauses(&"\" a \"b ".repeat(30_000));
        assert!(start.elapsed().as_secs() < 5);
    }
}
