//! The difference between two texts, by words.

/// The largest number of pairs of words that are compared.
const PAIRS: usize = 1_000_000;

/// A word, or a run of whitespace, in one text or in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Same,
    Removed,
    Added,
}

/// Returns the texts as parts, or `None` if they have too little in common, or are too long, for a useful comparison.
pub(super) fn words(old: &str, new: &str) -> Option<Vec<(Kind, String)>> {
    let (old, new) = (split(old), split(new));
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&old[before..], &new[before..]);
    let after = rest.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle, other) = (&rest[..rest.len() - after], &other[..other.len() - after]);
    if middle.len().checked_mul(other.len()).is_none_or(|pairs| pairs > PAIRS) {
        return None;
    }
    let mut parts: Vec<(Kind, &str)> = old[..before].iter().map(|word| (Kind::Same, *word)).collect();
    parts.extend(compare(middle, other));
    parts.extend(rest[rest.len() - after..].iter().map(|word| (Kind::Same, *word)));
    let length = |kinds: &[Kind]| -> usize {
        let of_kind = parts.iter().filter(|(kind, word)| kinds.contains(kind) && !word.trim().is_empty());
        of_kind.map(|(_, word)| word.len()).sum()
    };
    let (same, shorter) =
        (length(&[Kind::Same]), length(&[Kind::Same, Kind::Removed]).min(length(&[Kind::Same, Kind::Added])));
    // A few common words among others are no help to a reader.
    (same * 2 >= shorter && same > 0).then(|| joined(parts))
}

/// Splits text into words and the whitespace between them.
fn split(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        if chars.peek().is_none_or(|(_, next)| next.is_whitespace() != c.is_whitespace()) {
            words.push(&text[start..end]);
            start = end;
        }
    }
    words
}

/// Compares by the longest common subsequence.
fn compare<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Kind, &'a str)> {
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            longest[a * width + b] = if old[a] == new[b] {
                longest[(a + 1) * width + b + 1] + 1
            } else {
                longest[(a + 1) * width + b].max(longest[a * width + b + 1])
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    let mut parts = Vec::with_capacity(old.len().max(new.len()));
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            parts.push((Kind::Same, old[a]));
            (a, b) = (a + 1, b + 1);
        } else if b == new.len()
            || (a < old.len() && longest[(a + 1) * width + b] >= longest[a * width + b + 1])
        {
            parts.push((Kind::Removed, old[a]));
            a += 1;
        } else {
            parts.push((Kind::Added, new[b]));
            b += 1;
        }
    }
    parts
}

/// Joins the parts so that a run of changes is one removed and one added part. Whitespace between changed words counts as
/// changed.
fn joined(parts: Vec<(Kind, &str)>) -> Vec<(Kind, String)> {
    let mut all: Vec<(Kind, String)> = Vec::new();
    let (mut removed, mut added) = (String::new(), String::new());
    for (at, (kind, word)) in parts.iter().enumerate() {
        let between = *kind == Kind::Same
            && word.trim().is_empty()
            && !(removed.is_empty() && added.is_empty())
            && parts.get(at + 1).is_some_and(|(next, _)| *next != Kind::Same);
        match kind {
            Kind::Removed => removed.push_str(word),
            Kind::Added => added.push_str(word),
            Kind::Same if between => {
                removed.push_str(word);
                added.push_str(word);
            }
            Kind::Same => {
                flush(&mut all, &mut removed, &mut added);
                match all.last_mut() {
                    Some((Kind::Same, text)) => text.push_str(word),
                    _ => all.push((Kind::Same, (*word).to_owned())),
                }
            }
        }
    }
    flush(&mut all, &mut removed, &mut added);
    all
}

fn flush(all: &mut Vec<(Kind, String)>, removed: &mut String, added: &mut String) {
    for (kind, text) in [(Kind::Removed, removed), (Kind::Added, added)] {
        if !text.is_empty() {
            all.push((kind, std::mem::take(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> Option<String> {
        let parts = words(old, new)?;
        let show = |(kind, text): &(Kind, String)| match kind {
            Kind::Same => text.clone(),
            Kind::Removed => format!("[-{text}-]"),
            Kind::Added => format!("[+{text}+]"),
        };
        Some(parts.iter().map(show).collect())
    }

    #[test]
    fn changed_words_are_found() {
        let cases = [
            ("a b c", "a b c", "a b c"),
            ("a b c", "a x c", "a [-b-][+x+] c"),
            ("Answer the question.", "Answer the question. Be brief.", "Answer the question.[+ Be brief.+]"),
            (
                "say one two now please",
                "say three four now please",
                "say [-one two-][+three four+] now please",
            ),
        ];
        for (old, new, expected) in cases {
            assert_eq!(shown(old, new).as_deref(), Some(expected), "{old} -> {new}");
        }
    }

    #[test]
    fn texts_with_little_in_common_are_not_compared() {
        assert_eq!(words("Answer the question.", "Totally different words here, the end"), None);
        assert_eq!(words("", "new"), None);
        let (long, other) = ("a ".repeat(2_000), "b ".repeat(2_000));
        assert_eq!(words(&long, &other), None);
    }
}
