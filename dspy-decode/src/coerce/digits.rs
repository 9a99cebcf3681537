//! Digits and their separators: grouping, decimal marks, exponents.

/// A run of digits with its separators.
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Start of the exponent, or the end.
    mantissa: usize,
}

impl Run {
    pub(super) fn read(text: &str, start: usize, alone: bool) -> Self {
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

    /// Returns the plain literal, another reading, and whether there was grouping; `None` if the separators
    /// are inconsistent.
    pub(super) fn literal(&self, text: &str) -> Option<(String, Option<String>, bool)> {
        let mantissa = &text[self.start..self.mantissa];
        let exponent = &text[self.mantissa..self.end];
        let separators: Vec<char> = mantissa.chars().filter(|c| !c.is_ascii_digit()).collect();
        let groups: Vec<&str> = mantissa.split(|c: char| !c.is_ascii_digit()).collect();
        let threes = |groups: &[&str]| {
            groups.split_first().is_some_and(|(first, rest)| {
                (1..=3).contains(&first.len()) && !first.starts_with('0') && rest.iter().all(|g| g.len() == 3)
            })
        };
        // Indian grouping: the last group has three digits, the others two.
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
            // Four digits could be East Asian grouping; any other count can only follow a decimal comma.
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
