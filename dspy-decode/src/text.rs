//! Text utilities that the readers share: words, clauses, negations, excerpts.

use dspy_base::fold::fold;

/// Returns the first `mark`, backslash or control character at or after `from`; it reads eight bytes at a
/// time.
pub(super) fn next_special(bytes: &[u8], from: usize, mark: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let mut at = from;
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|c| <[u8; 8]>::try_from(c).ok()) {
        let word = u64::from_le_bytes(chunk);
        // A byte borrows from the next one only if it is a hit itself, so the lowest hit is always a true
        // one.
        let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        let hits = (below(word, 0x20) | equal(mark) | equal(b'\\')) & HIGH;
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes.get(at..)?.iter().position(|b| *b < 0x20 || *b == b'\\' || *b == mark).map(|i| at + i)
}

/// A word: letters and digits, with apostrophes inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) start: usize,
}

impl Word<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\'' | '’') || ('\u{300}'..='\u{36f}').contains(&c)
}

/// Returns the words of the text.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(|c: char| c.is_alphanumeric())?;
        let len = text[start..].find(|c: char| !in_word(c)).unwrap_or(text.len() - start);
        at = start + len;
        let word = text[start..at].trim_end_matches(['\'', '’']);
        Some(Word { text: word, start })
    })
}

/// Returns whether the word negates or retracts its neighbour.
pub(super) fn negates(word: &str) -> bool {
    let contracted = word.contains(['\'', '’']) && fold(word).ends_with("nt");
    contracted
        || [
            "not",
            "no",
            "non",
            "never",
            "neither",
            "nor",
            "cannot",
            "cant",
            "without",
            "none",
            "hardly",
            "isnt",
            "arent",
            "wasnt",
            "dont",
            "doesnt",
            "didnt",
            "wont",
            "unable",
            "unknown",
            "unclear",
            "except",
            "excluding",
            "unsure",
            "impossible",
            "undetermined",
            "rather",
            "instead",
            "anything",
            "incorrect",
            "wrong",
            "refuse",
            "unlikely",
            "avoid",
            "avoids",
            "than",
            "opposite",
            "lack",
            "lacks",
            "lacking",
            "absence",
            "nobody",
            "nothing",
            "rarely",
            "barely",
            "seldom",
            "scarcely",
            "nearly",
            "formerly",
            "doubt",
            "doubtful",
            "ruled",
            "failed",
            "fails",
            "wish",
            "pretends",
            "supposedly",
            "allegedly",
            "few",
            "far",
        ]
        .iter()
        .any(|n| word.eq_ignore_ascii_case(n))
}

/// Returns whether any word negates.
pub(super) fn has_negation(text: &str) -> bool {
    words(text).any(|w| negates(w.text))
}

/// Returns whether the sentence is undecided.
pub(super) fn is_hedged(text: &str) -> bool {
    const HEDGES: [&str; 27] = [
        "barely",
        "almost",
        "mostly",
        "half",
        "sometimes",
        "usually",
        "somewhat",
        "supposed",
        "used",
        "expected",
        "or",
        "if",
        "unless",
        "depends",
        "depending",
        "maybe",
        "perhaps",
        "either",
        "between",
        "versus",
        "vs",
        "partly",
        "partially",
        "could",
        "might",
        "may",
        "possibly",
    ];
    words(text).any(|w| HEDGES.iter().any(|h| w.text.eq_ignore_ascii_case(h))) || text.contains('?')
}

/// Returns whether a sentence retracts an earlier statement.
pub(super) fn corrects(text: &str) -> bool {
    const TURNS: [&str; 7] = ["actually", "correction", "wait", "oops", "scratch", "edit", "erratum"];
    text.split(['.', '!', '\n', '(']).any(|sentence| {
        let first = words(sentence).next();
        first.is_some_and(|w| TURNS.iter().any(|turn| w.text.eq_ignore_ascii_case(turn)))
    })
}

/// Returns the sentence around a byte range: bounded by `.`, `!`, `?`, `;` or a line break.
pub(super) fn sentence_around(text: &str, start: usize, end: usize) -> &str {
    let bytes = text.as_bytes();
    let stops = |i: usize| match bytes[i] {
        b'\n' | b'!' | b'?' | b';' => true,
        b'.' => bytes.get(i + 1).is_none_or(u8::is_ascii_whitespace),
        _ => false,
    };
    let from = (0..start).rev().find(|&i| stops(i)).map_or(0, |i| i + 1);
    let to = (end..bytes.len()).find(|&i| stops(i)).map_or(bytes.len(), |i| i + 1);
    text.get(from..to).unwrap_or(text)
}

/// Removes Markdown emphasis, quotes and closing punctuation from a short answer: `**"Paris".**` → `Paris`.
pub(super) fn bare_answer(text: &str) -> &str {
    let mut text = boxed(text.trim());
    loop {
        let before = text.len();
        for (open, close) in [
            ("**", "**"),
            ("__", "__"),
            ("\"", "\""),
            ("'", "'"),
            ("`", "`"),
            ("“", "”"),
            ("*", "*"),
            ("‘", "’"),
        ] {
            if text.len() > open.len() + close.len()
                && let Some(inner) = text.strip_prefix(open).and_then(|t| t.strip_suffix(close))
            {
                text = inner.trim();
            }
        }
        // One full stop ends a sentence; several leave it open.
        if !text.ends_with("..") {
            text = text.trim_end_matches(['.', '!', ',', ';']).trim_end();
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Returns the content of the only `\boxed{…}` in the text, or of one pair of tags around it.
fn boxed(text: &str) -> &str {
    const BOX: &str = "\\boxed{";
    if let Some((_, rest)) = text.split_once(BOX) {
        let inner = rest.split_once('}').map(|(inner, _)| inner);
        return inner.filter(|i| !i.contains('{') && !rest.contains(BOX)).map_or(text, str::trim);
    }
    let tagged = || {
        let (tag, rest) = text.strip_prefix('<')?.split_once('>')?;
        let inner = rest.strip_suffix('>')?.strip_suffix(tag)?.strip_suffix("</")?;
        (!tag.is_empty() && tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !inner.contains('<'))
            .then(|| inner.trim())
    };
    tagged().unwrap_or(text)
}

/// Returns at most 60 characters of the text, on one line, for a message.
pub(super) fn snippet(text: &str) -> String {
    const MAX: usize = 60;
    let mut out = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(MAX) {
        out.push(if c.is_control() { ' ' } else { c });
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// Returns the end of the text like [`snippet`].
pub(super) fn snippet_of_end(text: &str) -> String {
    const MAX: usize = 60;
    match text.char_indices().rev().nth(MAX - 1) {
        Some((at, _)) if at > 0 => format!("…{}", snippet(&text[at..])),
        _ => snippet(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_carry_their_place() {
        let all: Vec<_> = words("It isn't 'so'!").map(|w| (w.text, w.start)).collect();
        assert_eq!(all, [("It", 0), ("isn't", 3), ("so", 10)]);
    }

    #[test]
    fn answers_lose_their_wrapping() {
        for (text, bare) in [("**\"Paris\".**", "Paris"), ("`x`", "x"), ("True.", "True"), ("\"\"", "\"\"")] {
            assert_eq!(bare_answer(text), bare);
        }
    }
}
