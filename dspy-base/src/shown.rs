//! Text of models and servers as people see it: without what a terminal or a browser would obey.

use std::fmt::{self, Write as _};

/// The sign for what cannot be shown.
const REPLACED: char = '\u{fffd}';

/// Returns what people see in place of a character that a terminal or a browser would obey instead of showing it: a control
/// character other than a line end or a tab, one that changes the direction of text, or one that is no character. Returns
/// `None` for all others.
///
/// ```
/// use dspy_base::shown::sign;
///
/// assert_eq!(sign('\u{1b}').unwrap(), "␛");
/// assert_eq!(sign('\u{202e}').unwrap(), "[U+202E]");
/// assert_eq!(sign('é'), None);
/// ```
pub fn sign(c: char) -> Option<String> {
    match c {
        '\n' | '\t' => None,
        // The signs for control characters have their order.
        '\0'..='\u{1f}' => Some(char::from_u32(0x2400 + c as u32).unwrap_or(REPLACED).into()),
        '\u{7f}' => Some('\u{2421}'.into()),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(format!("[U+{:04X}]", c as u32))
        }
        '\u{80}'..='\u{9f}' | '\u{fdd0}'..='\u{fdef}' => Some(REPLACED.into()),
        // The last two characters of each plane are none.
        _ if c as u32 & 0xfffe == 0xfffe => Some(REPLACED.into()),
        _ => None,
    }
}

/// A writer that writes the [`sign`] of each character that has one.
///
/// ```
/// use std::fmt::Write as _;
///
/// let mut text = String::new();
/// write!(dspy_base::shown::Shown(&mut text), "a\u{1b}[2Jb")?;
/// assert_eq!(text, "a␛[2Jb");
/// # Ok::<(), std::fmt::Error>(())
/// ```
#[derive(Debug)]
pub struct Shown<'w, W: ?Sized>(pub &'w mut W);

impl<W: fmt::Write + ?Sized> fmt::Write for Shown<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut written = 0;
        for (at, c) in text.char_indices() {
            if let Some(sign) = sign(c) {
                self.0.write_str(&text[written..at])?;
                self.0.write_str(&sign)?;
                written = at + c.len_utf8();
            }
        }
        self.0.write_str(&text[written..])
    }
}

/// Returns text with the [`sign`] of each character that has one.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a string does not fail.
    let _ = Shown(&mut out).write_str(text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_obeyed_is_left_and_nothing_else_is_changed() {
        let all: String = ('\0'..=char::MAX).collect();
        let text = shown(&all);
        let obeyed = |c: char| {
            c.is_control() && !matches!(c, '\n' | '\t')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        };
        assert!(!text.chars().any(obeyed));
        let plain = "línea\n\ttab 👩‍👩‍👧 नमस्ते עברית\u{a0}…";
        assert_eq!(shown(plain), plain);
    }
}
