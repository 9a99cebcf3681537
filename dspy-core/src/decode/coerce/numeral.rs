//! Finding numbers in running text, and the words around them that change what they mean.

use super::super::report::RepairKind as R;
use super::super::text::words;
use super::spelt::is_number_word;

/// Up to here every whole number is a float of its own.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A number written in digits, somewhere in a text.
#[derive(Debug, Clone)]
pub(super) struct Mention<'t> {
    /// With sign, currency and percent sign.
    pub(super) start: usize,
    pub(super) end: usize,
    /// As a plain literal.
    pub(super) literal: String,
    /// Another way to read the separators.
    pub(super) other: Option<String>,
    pub(super) percent: bool,
    /// The factor that a word behind it names.
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
                        // Whether the digits survived is for the exponent's reader to say.
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
    /// Something in the text is made of digits but is no number (a time, a version); why, in words.
    Unclear(&'static str),
}

pub(super) fn is_currency_sign(c: char) -> bool {
    matches!(c, '$' | '€' | '£' | '¥' | '₹' | '₩' | '₽' | '₺' | '₫' | '฿' | '₴' | '₪')
}

pub(super) fn is_currency_word(word: &str) -> bool {
    const CODES: [&str; 26] = [
        "usd", "eur", "gbp", "jpy", "chf", "cny", "inr", "cad", "aud", "us", "sek", "nok", "dkk", "pln",
        "dollar", "dollars", "euro", "euros", "pound", "pounds", "yen", "rupees", "francs", "bucks", "brl",
        "krw",
    ];
    CODES.iter().any(|c| word.eq_ignore_ascii_case(c))
}

/// All numbers in a text, left to right.
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
    // Only where the number is the whole text is a space between digits grouping and not a gap.
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
        let mut mention =
            Mention { start, end: run.end, literal, other, percent: false, scale: None, kinds: Vec::new() };
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
    }
    Scan::Mentions(out)
}

/// Whether the digits are part of a formula or of another notation: `sqrt(2)`, `0xFF`, `2π`.
fn is_formula(text: &str, start: usize, end: usize) -> Option<&'static str> {
    const FUNCTIONS: [&str; 7] = ["log", "ln", "sin", "cos", "tan", "sqrt", "exp"];
    const OPERATIONS: [&str; 12] = [
        "root",
        "square",
        "cube",
        "log",
        "logarithm",
        "factorial",
        "inverse",
        "reciprocal",
        "half",
        "sine",
        "cosine",
        "negative",
    ];
    let is = |word: &str, list: &[&str]| list.iter().any(|w| word.eq_ignore_ascii_case(w));
    let (before, after) = (&text[..start], &text[end..]);
    let radix = &text[start..end] == "0"
        && after.starts_with(['x', 'X', 'b', 'B', 'o', 'O'])
        && after[1..].starts_with(|c: char| c.is_ascii_hexdigit());
    let called = before.strip_suffix('(').is_some_and(|b| b.ends_with(|c: char| c.is_alphanumeric()));
    let circle = after.starts_with('π')
        || after.to_ascii_lowercase().trim_start().split(|c: char| !c.is_alphanumeric()).next() == Some("pi");
    let mut last = [""; 2];
    let near = before.char_indices().rev().nth(40).map_or(0, |(i, _)| i);
    for word in words(&before[near..]) {
        last = [last[1], word.text];
    }
    let applied = is(last[1], &FUNCTIONS) || (last[1].eq_ignore_ascii_case("of") && is(last[0], &OPERATIONS));
    if radix {
        Some("holds a code, not a number")
    } else if called || circle || applied {
        Some("stands in a formula")
    } else {
        None
    }
}

/// Digits with what may stand between them.
struct Run {
    start: usize,
    end: usize,
    /// Where the exponent starts, or the end.
    mantissa: usize,
}

impl Run {
    fn read(text: &str, start: usize, alone: bool) -> Self {
        let bytes = text.as_bytes();
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
        let mut i = start;
        loop {
            while digit(i) {
                i += 1;
            }
            let width = match text[i..].chars().next() {
                Some('.' | ',' | '_' | '\'') => 1,
                Some(' ') if alone => {
                    let group = (1..=3).all(|n| digit(i + n)) && !digit(i + 4);
                    usize::from(group && leading_digits(text, start, i) <= 3)
                }
                Some(c @ ('’' | '\u{a0}' | '\u{202f}' | '\u{2009}')) => c.len_utf8(),
                _ => 0,
            };
            if width == 0 || !digit(i + width) {
                break;
            }
            i += width;
        }
        let mantissa = i;
        if matches!(bytes.get(i), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(i + 1), Some(b'+' | b'-')));
            if digit(i + 1 + sign) {
                i += 1 + sign;
                while digit(i) {
                    i += 1;
                }
            }
        }
        Self { start, end: i, mantissa }
    }

    /// The plain literal, another reading, and whether there was grouping; `None` when the separators make no sense.
    fn literal(&self, text: &str) -> Option<(String, Option<String>, bool)> {
        let mantissa = &text[self.start..self.mantissa];
        let exponent = &text[self.mantissa..self.end];
        let separators: Vec<char> = mantissa.chars().filter(|c| !c.is_ascii_digit()).collect();
        let groups: Vec<&str> = mantissa.split(|c: char| !c.is_ascii_digit()).collect();
        let threes = |groups: &[&str]| {
            groups.split_first().is_some_and(|(first, rest)| {
                (1..=3).contains(&first.len()) && !first.starts_with('0') && rest.iter().all(|g| g.len() == 3)
            })
        };
        // Indian grouping: the last group of three, the others of two.
        let lakhs = |groups: &[&str]| {
            groups.len() > 2
                && groups[0].len() <= 2
                && groups[1..groups.len() - 1].iter().all(|g| g.len() == 2)
                && groups[groups.len() - 1].len() == 3
        };
        let all = |c: char| separators.iter().all(|s| *s == c);
        let joined = |parts: &[&str]| parts.concat();
        let number = |whole: String, fraction: &str| {
            let whole = whole.trim_start_matches('0');
            let whole = if whole.is_empty() { "0" } else { whole };
            if fraction.is_empty() {
                format!("{whole}{exponent}")
            } else {
                format!("{whole}.{fraction}{exponent}")
            }
        };
        match separators.as_slice() {
            [] => Some((number(joined(&groups), ""), None, false)),
            ['.'] => Some((number(groups[0].to_owned(), groups[1]), None, false)),
            [','] if threes(&groups) => {
                Some((number(joined(&groups), ""), Some(number(groups[0].to_owned(), groups[1])), true))
            }
            // Four digits could be East Asian grouping; any other count can only be a decimal comma.
            [','] if groups[1].len() != 4 => Some((number(groups[0].to_owned(), groups[1]), None, true)),
            _ if all('_') => Some((number(joined(&groups), ""), None, true)),
            [first, ..] if all(*first) && (threes(&groups) || (*first == ',' && lakhs(&groups))) => {
                Some((number(joined(&groups), ""), None, true))
            }
            [rest @ .., last @ ('.' | ',')]
                if !rest.is_empty() && !rest.contains(last) && rest.iter().all(|s| *s == rest[0]) =>
            {
                let (fraction, whole) = groups.split_last()?;
                (threes(whole) || (rest[0] == ',' && lakhs(whole)))
                    .then(|| (number(joined(whole), fraction), None, true))
            }
            _ => None,
        }
    }
}

fn leading_digits(text: &str, start: usize, end: usize) -> usize {
    text[start..end].bytes().take_while(u8::is_ascii_digit).count()
}

/// Takes sign, currency, percent and scale words into the mention.
fn surroundings(text: &str, mention: &mut Mention<'_>) -> Result<(), &'static str> {
    let mut before = text[..mention.start].trim_end_matches(' ');
    let gap = before.len() < mention.start;
    let mut currency = false;
    if let Some(c) = before.chars().next_back().filter(|c| is_currency_sign(*c)) {
        before = &before[..before.len() - c.len_utf8()];
        for prefix in ["US", "A", "C", "CA", "AU", "NZ", "HK", "R"] {
            if before.ends_with(prefix)
                && !before[..before.len() - prefix.len()].ends_with(char::is_alphanumeric)
            {
                before = &before[..before.len() - prefix.len()];
                break;
            }
        }
        mention.start = before.len();
        currency = true;
    }
    match before.chars().next_back() {
        Some(sign @ ('-' | '−' | '–' | '+')) => {
            let further = before[..before.len() - sign.len_utf8()].chars().next_back();
            let joins = further.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | ']' | '%'));
            if joins {
                // A range or a difference; the other number is found on its own.
            } else if (gap && !currency) || matches!(further, Some('-' | '−' | '–' | '+')) {
                return Err("may hold a minus sign or a dash");
            } else {
                if sign != '+' {
                    mention.literal.insert(0, '-');
                    if let Some(other) = &mut mention.other {
                        other.insert(0, '-');
                    }
                }
                mention.start = before.len() - sign.len_utf8();
            }
        }
        Some('<' | '>' | '≤' | '≥' | '±' | '^' | '*' | '×' | '√' | '≠') if !before.ends_with("**") =>
        {
            return Err("holds a sign that changes the number");
        }
        _ => {}
    }
    let lead = words(before).last();
    if let Some(word) = lead.filter(|w| before[w.end()..].trim().is_empty())
        && ["minus", "negative"].iter().any(|m| word.text.eq_ignore_ascii_case(m))
    {
        if mention.literal.starts_with('-') {
            return Err("is negated twice");
        }
        mention.literal.insert(0, '-');
        mention.other = None;
        mention.start = word.start;
    }
    behind(text, mention, currency)
}

fn behind(text: &str, mention: &mut Mention<'_>, mut currency: bool) -> Result<(), &'static str> {
    let after = &text[mention.end..];
    let trimmed = after.trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let gap = after.len() - trimmed.len();
    if let Some(c) = trimmed.chars().next() {
        if c == '%' {
            mention.percent = true;
            mention.end += gap + 1;
        } else if is_currency_sign(c) {
            currency = true;
            mention.end += gap + c.len_utf8();
        } else if gap == 0 && (c == '+' || c == '^' || c == '±' || c == '!') && trimmed.len() == c.len_utf8()
        {
            return Err("holds a sign that changes the number");
        } else if gap == 0
            && matches!(c, '\'' | '"' | '′' | '″')
            && trimmed[c.len_utf8()..].starts_with(|d: char| d.is_ascii_digit())
        {
            return Err("holds several measures");
        }
    }
    if currency {
        mention.kinds.push(R::Currency);
    }
    let after = &text[mention.end..];
    let gap = after.len() - after.trim_start_matches([' ', '\u{a0}', '-']).len();
    let word_len = after[gap..].find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len() - gap);
    let word = &after[gap..gap + word_len];
    if word.is_empty() {
        return Ok(());
    }
    if word.chars().any(|c| c.is_ascii_digit()) && gap == 0 {
        return Err("holds a code, not a number");
    }
    let lower = word.to_ascii_lowercase();
    let scale = match lower.as_str() {
        "percent" | "pct" => {
            mention.percent = true;
            mention.end += gap + word_len;
            return Ok(());
        }
        "per" if after[gap + word_len..].trim_start().to_ascii_lowercase().starts_with("cent") => {
            mention.percent = true;
            mention.end = text.len() - after[gap + word_len..].trim_start()[4..].len();
            return Ok(());
        }
        "hundred" => 1e2,
        "thousand" => 1e3,
        "million" | "millions" => 1e6,
        "billion" | "billions" => 1e9,
        "trillion" => 1e12,
        "k" if gap == 0 && (word == "k" || currency) => 1e3,
        "am" | "pm" => return Err("looks like a time"),
        "e" if gap == 0 => return Err("breaks off in an exponent"),
        "k" | "m" | "b" | "t" | "mm" if gap == 0 && (currency || word != lower) => {
            return Err("holds a letter that may scale the number");
        }
        "m" | "b" if currency => return Err("holds a letter that may scale the number"),
        "cent" | "cents" | "pence" | "penny" | "ish" | "odd" | "some" | "mio" | "mil" | "mln" | "mn"
        | "bn" | "lakh" | "lakhs" | "crore" | "crores" | "dozen" | "dozens" | "grand" | "bps"
        | "permille" | "score" | "gross" | "hundreds" | "thousands" | "half" | "quarter" | "third"
        | "tenths" => {
            return Err("holds a word that may scale the number");
        }
        _ => return Ok(()),
    };
    mention.scale = Some((scale, "scale"));
    mention.kinds.push(R::NumberWord);
    mention.other = None;
    mention.end += gap + word_len;
    Ok(())
}

/// Words that make a number a limit, a difference or a guess between numbers.
pub(super) fn changes_meaning(text: &str) -> Option<&'static str> {
    const LIMITS: [&str; 29] = [
        "more",
        "less",
        "least",
        "most",
        "over",
        "under",
        "above",
        "below",
        "fewer",
        "greater",
        "than",
        "beyond",
        "minimum",
        "maximum",
        "exceeds",
        "exceeding",
        "within",
        "upwards",
        "plus",
        "times",
        "divided",
        "squared",
        "cubed",
        "half",
        "double",
        "twice",
        "minus",
        "until",
        "and",
    ];
    if text.contains(['<', '>', '≤', '≥', '±', '×', '÷', '√', '≠', '^']) {
        return Some("holds a sign that changes the number");
    }
    if text.contains("..") || text.contains('…') {
        return Some("trails off");
    }
    let mut previous = "";
    for word in words(text) {
        if word.text.eq_ignore_ascii_case("to") && previous.eq_ignore_ascii_case("up") {
            return Some("gives a limit, not a number");
        }
        let limit = LIMITS.iter().any(|l| word.text.eq_ignore_ascii_case(l));
        if limit && !word.text.eq_ignore_ascii_case("and") {
            return Some("gives a limit or a calculation, not a number");
        }
        if is_number_word(word.text) && !word.text.eq_ignore_ascii_case("one") {
            return Some("holds a number word beside the number");
        }
        previous = word.text;
    }
    None
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
