//! Numbers written in words.

use super::super::text::words;
use dspy_base::fold::fold;

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

pub(super) fn is_number_word(word: &str) -> bool {
    let is = |list: &[&str]| list.iter().any(|w| word.eq_ignore_ascii_case(w));
    is(&SMALL) || is(&TENS) || is(&["hundred", "thousand", "million", "billion", "dozen", "trillion"])
}

/// Returns the number that the whole text spells: "twenty-three", "two thousand and five".
pub(super) fn spelt(text: &str) -> Option<String> {
    if text.len() > 120 || text.chars().any(|c| !(c.is_alphabetic() || c == ' ' || c == '-')) {
        return None;
    }
    let (mut total, mut group, mut sign, mut any) = (0_i64, 0_i64, 1, false);
    // The exclusive bound of the next word: a larger word may not follow a smaller one of its kind ("one
    // two").
    let mut room = 1_000;
    let mut above = i64::MAX;
    let mut joins = false;
    for word in words(text) {
        let word = fold(word.text);
        joins = word == "and";
        if let Some(n) = SMALL.iter().position(|w| *w == word) {
            let n = i64::try_from(n).ok()?;
            if n >= room || (any && n == 0) {
                return None;
            }
            group += n;
            room = 0;
            any = true;
        } else if let Some(n) = TENS.iter().position(|w| *w == word) {
            if room < 100 {
                return None;
            }
            group += (i64::try_from(n).ok()? + 2) * 10;
            room = 10;
            any = true;
        } else {
            match word.as_str() {
                "minus" | "negative" if !any && sign == 1 => sign = -1,
                "and" if any => {}
                "a" if !any && group == 0 => group = 1,
                "hundred" if (1..10).contains(&group) => {
                    group *= 100;
                    room = 100;
                    any = true;
                }
                "thousand" | "million" | "billion" if group > 0 => {
                    let factor = match word.as_str() {
                        "thousand" => 1_000,
                        "million" => 1_000_000,
                        _ => 1_000_000_000,
                    };
                    if factor >= above {
                        return None;
                    }
                    total += group * factor;
                    (group, room, above, any) = (0, 1_000, factor, true);
                }
                _ => return None,
            }
        }
    }
    (any && !joins).then(|| (sign * (total + group)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_spell_numbers() {
        for (text, value) in [
            ("three", Some("3")),
            ("Twenty-three", Some("23")),
            ("two hundred and five", Some("205")),
            ("one two", None),
            ("minus four", Some("-4")),
            ("two hundred and", None),
            ("three thousand one hundred", Some("3100")),
            ("a dog", None),
            ("twenty twelve", None),
        ] {
            assert_eq!(spelt(text).as_deref(), value, "{text}");
        }
    }
}
