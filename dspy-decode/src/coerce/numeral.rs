//! Detection of numbers in running text.

use super::super::report::RepairKind as R;
use super::super::text::words;
use super::digits::Run;
use super::number_context::{is_formula, surroundings};

/// The largest `f64` up to which every integer is exactly representable.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A number written in digits, at any place in the text.
#[derive(Debug, Clone)]
pub(super) struct Mention<'t> {
    /// Start of the number, including sign and currency.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The number as a plain literal.
    pub(super) literal: String,
    /// Another reading of the separators.
    pub(super) other: Option<String>,
    /// Whether the decimal mark is a comma and there are no other separators.
    pub(super) by_comma: bool,
    pub(super) percent: bool,
    /// The factor of a scale word after the number.
    pub(super) scale: Option<(f64, &'t str)>,
    pub(super) kinds: Vec<R>,
}

impl Mention<'_> {
    pub(super) fn scaled(&self) -> String {
        match self.scale {
            None => self.literal.clone(),
            Some((factor, _)) => self.literal.parse::<f64>().map_or_else(
                |_| self.literal.clone(),
                |f| {
                    let product = f * factor;
                    if product.abs() > MAX_EXACT {
                        // The reader of the exponent checks whether the digits are preserved.
                        return format!("{}e{}", self.literal, factor.log10().round());
                    }
                    // 2.3 million is not 2299999.9999999995.
                    let rounded = product.round();
                    if (product - rounded).abs() < 1e-6 * rounded.abs() {
                        rounded.to_string()
                    } else {
                        product.to_string()
                    }
                },
            ),
        }
    }
}

pub(super) enum Scan<'t> {
    Mentions(Vec<Mention<'t>>),
    /// Digits in the text that are not a number (a time, a version); with the reason, in words.
    Unclear(&'static str),
}

/// The maximum number of mentions; text with more numbers has no single value.
const MAX_MENTIONS: usize = 64;

/// Finds all numbers in the text, from left to right.
pub(super) fn scan(text: &str) -> Scan<'_> {
    let mut out = Vec::new();
    let mut at = 0;
    let bytes = text.as_bytes();
    if text.starts_with('(') && text.ends_with(')') {
        return Scan::Unclear("may be negative (in brackets)");
    }
    if text.contains(['½', '¢', '¼', '¾', '⅓', '⅔', '⅛', '²', '³', '⁰', '¹', '⁴', '‰', '∞'])
        && !text.contains("m²")
        && !text.contains("m³")
    {
        return Scan::Unclear("holds a sign that changes the number");
    }
    // A space between digits groups them only if the number is the whole text.
    let alone = !text.chars().any(char::is_alphabetic)
        || words(text).filter(|w| !w.text.starts_with(|c: char| c.is_ascii_digit())).count() <= 1;
    while let Some(found) = bytes[at..].iter().position(u8::is_ascii_digit) {
        let start = at + found;
        let previous = text[..start].chars().next_back();
        let run = Run::read(text, start, alone);
        at = run.end;
        // Part of a name: "GPT-4", "H2O", "v1.2".
        let hyphenated = matches!(previous, Some('-' | '‑'))
            && text[..start]
                .trim_end_matches(['-', '‑'])
                .chars()
                .next_back()
                .is_some_and(char::is_alphabetic);
        if previous.is_some_and(|c| c.is_alphabetic() || c == '_') || hyphenated {
            while at < bytes.len()
                && (bytes[at].is_ascii_alphanumeric()
                    || bytes[at] == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit))
            {
                at += 1;
            }
            continue;
        }
        let next = text[run.end..].chars().next();
        if let Some(why) = is_formula(text, start, run.end) {
            return Scan::Unclear(why);
        }
        if next == Some(':') && bytes.get(run.end + 1).is_some_and(u8::is_ascii_digit) {
            return Scan::Unclear("looks like a time or a ratio");
        }
        let Some((literal, other, grouped)) = run.literal(text) else {
            return Scan::Unclear("has separators that can be read in several ways");
        };
        let separators = |c: char| text[start..run.end].matches(c).count();
        let mut mention = Mention {
            start,
            end: run.end,
            by_comma: separators(',') == 1 && separators('.') == 0 && literal.contains('.'),
            literal,
            other,
            percent: false,
            scale: None,
            kinds: Vec::new(),
        };
        if grouped {
            mention.kinds.push(R::Grouping);
        }
        if previous == Some('.') && start >= 1 {
            // ".5": the point belongs to the number unless it ends a word.
            let before = text[..start - 1].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric()) && !grouped {
                mention.literal = format!("0.{}", &text[start..run.end]);
                mention.start = start - 1;
                if mention.literal.matches('.').count() > 1 {
                    return Scan::Unclear("has separators that can be read in several ways");
                }
            }
        }
        if let Err(why) = surroundings(text, &mut mention) {
            return Scan::Unclear(why);
        }
        at = at.max(mention.end);
        out.push(mention);
        if out.len() > MAX_MENTIONS {
            return Scan::Unclear("holds many numbers");
        }
    }
    Scan::Mentions(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators() {
        for (text, literal) in [
            ("1,234.5", Some("1234.5")),
            ("1.234,5", Some("1234.5")),
            ("12,34,567", Some("1234567")),
            ("1_000", Some("1000")),
            ("1'234", Some("1234")),
            ("1 234 567", Some("1234567")),
            ("1,2,3", None),
            ("1.2.3", None),
            ("3,14", Some("3.14")),
            ("1e5", Some("1e5")),
            ("007", Some("7")),
        ] {
            let read = match scan(text) {
                Scan::Mentions(m) if m.len() == 1 => Some(m[0].literal.clone()),
                _ => None,
            };
            assert_eq!(read.as_deref(), literal, "{text}");
        }
    }
}
