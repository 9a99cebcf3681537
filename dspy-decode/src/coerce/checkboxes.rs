//! Marks beside an answer that select or reject it: check boxes, strikethrough, scores.

use super::super::text::words;

/// The result of reading the check boxes of the text.
#[derive(Debug, PartialEq)]
pub(super) enum Boxes<'t> {
    None,
    /// The words after the only checked box.
    Ticked(&'t str),
    /// No box is checked, or too many are; with the reason, in words.
    Unclear(&'static str),
}

const EMPTY: [&str; 9] = ["[ ]", "[]", "( )", "()", "☐", "⬜", "🔲", "○", "◯"];
const TICKED: [&str; 11] = ["[x]", "[X]", "[✓]", "[✔]", "(x)", "(X)", "(•)", "☑", "🗹", "●", "◉"];

/// Returns whether the box that a line starts with is checked, and the text after it; `None` if there is no
/// box.
pub(super) fn boxed(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start();
    let behind = |boxes: &[&str]| boxes.iter().find_map(|b| line.strip_prefix(b));
    let (ticked, rest) =
        behind(&TICKED).map(|rest| (true, rest)).or_else(|| behind(&EMPTY).map(|rest| (false, rest)))?;
    // "[x](link)" and "f()" are not boxes.
    let rest = rest.strip_prefix('\u{fe0f}').unwrap_or(rest);
    let spaced = rest.starts_with(char::is_whitespace) || !line.starts_with(['[', '(']);
    let label = rest.trim();
    (spaced && label.contains(char::is_alphanumeric)).then_some((ticked, label))
}

/// Reads the check boxes of the text, line by line, with or without bullets.
pub(super) fn boxes(text: &str) -> Boxes<'_> {
    let (mut any, mut found) = (false, None);
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches(['-', '*', '+', '•']);
        match boxed(line) {
            Some((true, _)) if found.is_some() => return Boxes::Unclear("ticks several boxes"),
            Some((true, label)) => found = Some(label),
            Some((false, _)) => any = true,
            None => {}
        }
    }
    match found {
        Some(label) => Boxes::Ticked(label),
        None if any => Boxes::Unclear("leaves its box empty"),
        None => Boxes::None,
    }
}

/// Returns whether any line of a list starts with an unchecked box.
pub(super) fn leaves_boxes(text: &str) -> bool {
    let mut lines = text.lines().map(|line| line.trim_start().trim_start_matches(['-', '*', '+', '•']));
    lines.any(|line| matches!(boxed(line), Some((false, _))))
}

/// Returns whether a part of the text is struck through.
pub(super) fn is_struck(text: &str) -> bool {
    text.matches("~~").count() >= 2
}

/// Returns whether a name is marked as wrong: `❌ positive`.
pub(super) fn is_crossed(text: &str) -> bool {
    text.trim_start().starts_with(['✗', '✘', '❌', '✖']) && text.contains(char::is_alphanumeric)
}

/// Returns whether the text next to the name from `start` to `end` denies it: a share below one half, or a
/// "false".
pub(super) fn is_outweighed(text: &str, start: usize, end: usize) -> bool {
    let behind = &text[end..];
    let rest = behind.trim_start_matches(|c: char| c.is_whitespace() || ":=(-–—,→*_`\"')".contains(c));
    let assigned = behind[..behind.len() - rest.len()].contains([':', '=', '(']);
    let first = words(rest).next().filter(|w| w.start == 0).map_or("", |w| w.text);
    let falsity = rest.starts_with(['✗', '✘', '❌', '✖'])
        || ["false", "no", "n"].iter().any(|w| first.eq_ignore_ascii_case(w));
    let mut labelled = rest;
    for word in words(rest).take(4) {
        const LABELS: [&str; 11] = [
            "with",
            "confidence",
            "score",
            "probability",
            "prob",
            "likelihood",
            "a",
            "of",
            "is",
            "at",
            "only",
        ];
        if !LABELS.iter().any(|l| word.text.eq_ignore_ascii_case(l)) {
            break;
        }
        labelled = rest[word.end()..].trim_start_matches([' ', ':', '=', '(']);
    }
    let before = text[..start].trim_end_matches(|c: char| c.is_whitespace() || ":*_`\"'(".contains(c));
    let from = before.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '%')).len();
    let led = &before[from..];
    assigned && falsity
        || share(labelled, assigned).is_some_and(|share| share < 0.5)
        || (led.contains(['.', '%']) && share(led, false).is_some_and(|share| share < 0.5))
}

/// Returns the share that the text starts with, if only a delimiter follows it: `0.1`, `12%`, `1/10`.
fn share(text: &str, assigned: bool) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let length = digits(text);
    let literal = text[..length].trim_end_matches('.');
    let number: f64 = literal.parse().ok()?;
    let rest = text[literal.len()..].trim_start_matches(' ');
    let (share, rest) = if let Some(rest) = rest.strip_prefix('%') {
        (number / 100.0, rest)
    } else if let Some(whole) = rest.strip_prefix('/') {
        let length = digits(whole);
        let of: f64 = whole[..length].trim_end_matches('.').parse().ok()?;
        (number / of, &whole[length..])
    } else if number <= 1.0 && (literal.contains('.') || number == 0.0 && assigned) {
        (number, rest)
    } else {
        return None;
    };
    let ends = rest.trim_start_matches(' ').chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '-');
    ends.then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_say_which_line_is_meant() {
        for (text, read) in [
            ("positive", Boxes::None),
            ("[x](link) here", Boxes::None),
            ("[x]", Boxes::None),
            ("- [x] positive", Boxes::Ticked("positive")),
            ("[ ] a\n[x] b\n[ ] c", Boxes::Ticked("b")),
            ("☑ b", Boxes::Ticked("b")),
            ("[ ] a", Boxes::Unclear("leaves its box empty")),
            ("* [x] a\n* [x] b", Boxes::Unclear("ticks several boxes")),
        ] {
            assert_eq!(boxes(text), read, "{text}");
        }
    }

    #[test]
    fn what_outweighs_a_name() {
        for (text, outweighed) in [
            ("good: 0.1", true),
            ("good (10%)", true),
            ("good = 0", true),
            ("good: false", true),
            ("good: ❌", true),
            ("good, with a confidence of 0.2", true),
            ("good - 1/10", true),
            ("good: 0.9", false),
            ("good: 95%", false),
            ("good: 3", false),
            ("good: 0.1 points more", false),
            ("good: the tone is warm", false),
            ("good", false),
            ("good.", false),
        ] {
            assert_eq!(is_outweighed(text, 0, 4), outweighed, "{text}");
        }
        assert!(is_outweighed("10% good", 4, 8) && !is_outweighed("top 10 good", 7, 11));
    }
}
