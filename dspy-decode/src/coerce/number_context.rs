//! Context of a number that changes its meaning: signs, currency, percent, scales, limits, formulas.

use super::super::report::RepairKind as R;
use super::super::text::words;
use super::number_words::is_number_word;
use super::numeral::Mention;

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

/// Returns why the digits are part of a formula or of another notation, if they are: `sqrt(2)`, `0xFF`, `2π`.
pub(super) fn is_formula(text: &str, start: usize, end: usize) -> Option<&'static str> {
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

/// Words that make the number after them a selection: "top 5", "every 5".
const COUNTED: [&str; 8] = ["top", "bottom", "first", "last", "next", "previous", "every", "each"];

/// Adds sign, currency, percent and scale words to the mention.
pub(super) fn surroundings(text: &str, mention: &mut Mention<'_>) -> Result<(), &'static str> {
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
    if before.ends_with('(') && before.trim_end_matches('(').ends_with(is_currency_sign) {
        return Err("may be negative (in brackets)");
    }
    match before.chars().next_back() {
        Some(sign @ ('-' | '−' | '–' | '+')) => {
            let further = before[..before.len() - sign.len_utf8()].chars().next_back();
            // A range, a difference, a score.
            let joins = further.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | ']' | '%'));
            if joins || (gap && !currency) || matches!(further, Some('-' | '−' | '–' | '+')) {
                return Err("may hold a minus sign or a dash");
            }
            if sign != '+' {
                mention.literal.insert(0, '-');
                if let Some(other) = &mut mention.other {
                    other.insert(0, '-');
                }
            }
            before = &before[..before.len() - sign.len_utf8()];
            mention.start = before.len();
        }
        Some('<' | '>' | '≤' | '≥' | '±' | '^' | '*' | '×' | '√' | '≠') if !before.ends_with("**") =>
        {
            return Err("holds a sign that changes the number");
        }
        Some('!') if !gap => return Err("holds a sign that changes the number"),
        _ => {}
    }
    let lead = words(before).last();
    if let Some(word) = lead.filter(|w| before[w.end()..].trim().is_empty())
        && COUNTED.iter().any(|c| word.text.eq_ignore_ascii_case(c))
    {
        return Err("counts something else (\"top 5\")");
    }
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

/// Single letters that are units if they directly follow a number.
const UNIT_LETTERS: &str = "mshdglyVWLCFNJ";

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
        } else if matches!(c, '-' | '−') && trimmed[c.len_utf8()..].trim().is_empty() {
            return Err("ends in a sign");
        } else if gap > 0 && c == '+' {
            return Err("is a part of a sum");
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
        "quadrillion" => 1e15,
        "quintillion" => 1e18,
        "k" if gap == 0 && (word == "k" || currency) => 1e3,
        "am" | "pm" => return Err("looks like a time"),
        "e" if gap == 0 => return Err("is truncated in an exponent"),
        "k" | "m" | "b" | "t" | "mm" if gap == 0 && (currency || word != lower) => {
            return Err("holds a letter that may scale the number");
        }
        // "5 M", "5 k": a scale as often as a unit.
        "k" => return Err("holds a letter that may scale the number"),
        "m" | "b" | "t" | "g" if gap > 0 && word != lower => {
            return Err("holds a letter that may scale the number");
        }
        "m" | "b" if currency => return Err("holds a letter that may scale the number"),
        "cent" | "cents" | "pence" | "penny" | "ish" | "odd" | "some" | "mio" | "mil" | "mln" | "mn"
        | "bn" | "lakh" | "lakhs" | "crore" | "crores" | "dozen" | "dozens" | "grand" | "bps"
        | "permille" | "score" | "gross" | "hundreds" | "thousands" | "half" | "quarter" | "third"
        | "tenths" | "hundredth" | "hundredths" | "thousandth" | "thousandths" | "millionth"
        | "millionths" => {
            return Err("holds a word that may scale the number");
        }
        // "5 m" is a length; "5G", "5a" and "5x" are names and factors.
        _ if gap == 0 && word.chars().nth(1).is_none() && !UNIT_LETTERS.contains(word) => {
            return Err("holds a code, not a number");
        }
        _ => return Ok(()),
    };
    mention.scale = Some((scale, "scale"));
    mention.kinds.push(R::NumberWord);
    mention.other = None;
    mention.end += gap + word_len;
    Ok(())
}

/// Returns why the words make a number a limit, a difference or an estimate between numbers, if they do.
pub(super) fn changes_meaning(text: &str) -> Option<&'static str> {
    const LIMITS: [&str; 33] = [
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
        "too",
        "enough",
        "insufficient",
        "excessive",
        "and",
    ];
    if text.contains(['<', '>', '≤', '≥', '±', '×', '÷', '√', '≠', '^']) {
        return Some("holds a sign that changes the number");
    }
    if text.contains("!=") || text.contains("/=") {
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
