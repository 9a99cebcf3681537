//! Splitting into words and sentences, stemming, and a list of English function words.

/// English function words, sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "being", "both", "but", "by", "can", "could", "did", "do", "does", "doing",
    "during", "each", "either", "else", "ever", "few", "for", "from", "further", "get", "give", "given",
    "gives", "got", "had", "has", "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i",
    "if", "in", "into", "is", "it", "its", "itself", "just", "let", "may", "me", "might", "more", "most",
    "must", "my", "myself", "no", "nor", "not", "now", "of", "off", "on", "one", "only", "or", "other",
    "our", "ours", "out", "over", "own", "per", "please", "same", "shall", "she", "should", "so", "some",
    "such", "than", "that", "the", "their", "theirs", "them", "then", "there", "these", "they", "this",
    "those", "through", "to", "too", "under", "until", "up", "us", "very", "was", "we", "were", "what",
    "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with", "would", "yes", "you",
    "your", "yours", "yourself",
];

/// Endings that the stemmer removes, longest first.
const SUFFIXES: &[&str] = &[
    "ations", "ation", "ments", "ities", "ment", "ings", "ness", "able", "ible", "ing", "ion", "ity", "ies",
    "ied", "ers", "est", "ed", "er", "es", "ly", "al", "s", "e", "y",
];

/// The minimum length of a stem after an ending is removed.
const SHORTEST_STEM: usize = 3;

/// A word and its position in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The stem, in lower case; of a function word the whole word.
    pub(super) stem: String,
    /// The start of the word as written, in bytes.
    pub(super) start: usize,
    /// The end of the word as written, in bytes.
    pub(super) end: usize,
    /// Whether it is a function word.
    pub(super) stop: bool,
}

impl Word {
    /// Returns the word as written in `text`, from which it was read.
    pub(super) fn written<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Splits `text` into words: runs of letters and digits, with apostrophes inside words and separators inside
/// numbers.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut start = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let joins = start.is_some()
            && match c {
                '\'' | '’' => next.is_some_and(char::is_alphabetic),
                // A decimal point or a thousands separator inside a number.
                '.' | ',' => {
                    next.is_some_and(|next| next.is_ascii_digit())
                        && text[..at].ends_with(|last: char| last.is_ascii_digit())
                }
                _ => false,
            };
        if c.is_alphanumeric() || joins {
            start.get_or_insert(at);
        } else if let Some(start) = start.take() {
            found.push(word(text, start, at));
        }
    }
    if let Some(start) = start {
        found.push(word(text, start, text.len()));
    }
    found
}

fn word(text: &str, start: usize, end: usize) -> Word {
    let mut lower = text[start..end].to_lowercase().replace('’', "'");
    if let Some(apostrophe) = lower.find('\'') {
        // "isn't", "can't" and "it's" are reduced to "is", "can" and "it".
        let whole = &lower[..apostrophe];
        let negated = whole.strip_suffix('n').filter(|verb| lower.ends_with("n't") && is_stop_word(verb));
        let kept = negated.unwrap_or(whole).len();
        lower.truncate(kept);
    }
    let stop = is_stop_word(&lower);
    let stem = if stop { lower } else { stem(&lower) };
    Word { stem, start, end, stop }
}

/// Returns whether a word in lower case is a function word or a single letter.
pub(super) fn is_stop_word(lower: &str) -> bool {
    STOP_WORDS.binary_search(&lower).is_ok() || (lower.len() == 1 && !lower.starts_with(char::is_numeric))
}

/// Returns the stem of a word in lower case. It need not be readable, only equal for related forms.
pub(super) fn stem(lower: &str) -> String {
    let mut rest = lower;
    if !rest.is_ascii() || rest.bytes().any(|byte| byte.is_ascii_digit()) {
        return rest.to_owned();
    }
    // Two rounds, because some words have two endings.
    for _ in 0..2 {
        let shorter = SUFFIXES.iter().find_map(|suffix| {
            let stem = rest.strip_suffix(suffix)?;
            let speaks = stem.bytes().any(|byte| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'));
            (stem.len() >= SHORTEST_STEM && speaks && !(*suffix == "s" && stem.ends_with('s')))
                .then_some(stem)
        });
        match shorter {
            Some(shorter) => rest = shorter,
            None => break,
        }
    }
    let mut stem = rest.to_owned();
    let last = stem.as_bytes().last().copied().unwrap_or_default();
    if stem.len() > SHORTEST_STEM && stem.as_bytes()[stem.len() - 2] == last && !b"aeiou".contains(&last) {
        stem.pop();
    }
    if stem.ends_with('i') && stem.len() > SHORTEST_STEM {
        stem.pop();
    }
    stem
}

/// Splits `text` into sentences, trimmed and with their end marks. Line breaks also end a sentence.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let gap =
            chars.peek().is_none_or(|(_, next)| next.is_whitespace() || matches!(next, '"' | ')' | '”'));
        let ends =
            c == '\n' || (matches!(c, '.' | '!' | '?') && gap && !is_abbreviation(&text[start..at], c));
        if ends {
            let end = at + c.len_utf8();
            found.push(text[start..end].trim());
            start = end;
        }
    }
    found.push(text[start..].trim());
    found.retain(|sentence| sentence.chars().any(char::is_alphanumeric));
    found
}

/// Returns whether a full stop after `before` belongs to an initial ("J. S. Bach") or a short title ("St.
/// Paul").
pub(super) fn is_abbreviation(before: &str, mark: char) -> bool {
    let last = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let length = last.chars().count();
    mark == '.'
        && last.starts_with(char::is_uppercase)
        && (length == 1 || matches!(last, "St" | "Dr" | "Mr" | "Mrs" | "Ms" | "Mt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn related_forms_meet() {
        for group in [
            &["charge", "charged", "charges", "charging"][..],
            &["ship", "shipping", "shipped", "ships", "shipment"],
            &["deliver", "delivery", "delivered", "deliveries"],
            &["invoice", "invoices", "invoiced"],
            &["cancel", "cancelled", "cancellation", "cancelling"],
            &["bill", "billing", "billed"],
        ] {
            let stems: Vec<_> = group.iter().map(|word| stem(word)).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{stems:?}");
        }
    }

    #[test]
    fn words_keep_their_place() {
        let text = "I can't log in: error 1,024.5 (twice).";
        let found = words(text);
        let written: Vec<_> = found.iter().map(|word| word.written(text)).collect();
        assert_eq!(written, ["I", "can't", "log", "in", "error", "1,024.5", "twice"]);
        assert!(found[1].stop);
    }

    #[test]
    fn sentences_end_where_they_should() {
        let text = "J. S. Bach was born in 1685. He died in Leipzig!\nSt. Thomas kept the score";
        assert_eq!(
            sentences(text),
            ["J. S. Bach was born in 1685.", "He died in Leipzig!", "St. Thomas kept the score"]
        );
    }
}
