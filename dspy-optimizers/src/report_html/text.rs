//! Text, numbers and scores in HTML.

use std::fmt;

use dspy_base::shown::sign;
use dspy_core::lm::Usage;

use crate::counts::named;
use crate::report::percent;

/// Text that prints escaped, for elements and attributes. Control characters, and characters that change the direction
/// of text, print as visible signs, so that no text can look like another one.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl<'a> Text<'a> {
    /// Limits the text to this many characters; the number of the others follows.
    pub(super) fn most(self, chars: usize) -> Clipped<'a> {
        let end = self.0.char_indices().nth(chars).map_or(self.0.len(), |(at, _)| at);
        Clipped { shown: &self.0[..end], more: self.0[end..].chars().count() }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => match sign(c) {
                    Some(sign) => f.write_str(&sign)?,
                    None => f.write_char(c)?,
                },
            }
        }
        Ok(())
    }
}

/// The beginning of some text.
#[derive(Clone, Copy)]
pub(super) struct Clipped<'a> {
    pub(super) shown: &'a str,
    more: usize,
}

impl Clipped<'_> {
    /// Returns the remark on the rest, or nothing if there is none.
    pub(super) fn rest(self) -> String {
        if self.more == 0 {
            String::new()
        } else {
            format!(" … ({})", counted(self.more as u64, "more character"))
        }
    }
}

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Text(self.shown), self.rest())
    }
}

/// Formats a number with separators of thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of things, such as `1 row` and `2,000 rows`. `noun` is the singular.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {}", count(number), named(number == 1, noun))
}

/// Formats a score, or a dash if there is none.
pub(super) fn score(score: Option<f64>) -> String {
    score.map_or_else(|| "–".into(), percent)
}

/// Formats a cost in US dollars; `unknown` if the price of any part is.
pub(super) fn dollars(usage: &Usage) -> String {
    match usage.cost_usd {
        Some(usd) => format!("${usd:.4}"),
        None if usage.requests == 0 => "–".into(),
        None => "unknown".into(),
    }
}

/// Writes a note on the number of things that a list leaves out, if it leaves out any. `noun` is the singular.
pub(super) fn left_out(f: &mut fmt::Formatter<'_>, shown: usize, total: usize, noun: &str) -> fmt::Result {
    if shown >= total {
        return Ok(());
    }
    let left = total - shown;
    let more = counted(left as u64, &format!("more {noun}"));
    let are = if left == 1 { "is" } else { "are" };
    writeln!(f, "<p class=\"note\">{more} {are} left out; <code>report.json</code> has all.</p>")
}
