//! Tokens of exact JSON, read without copying if possible.

use std::borrow::Cow;

use serde_json::Number;

use super::super::text::next_special;

/// A cursor over text that is read from left to right. Its methods return `None` for anything but exact JSON;
/// the cursor is then unusable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    pub(super) at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str, at: usize) -> Self {
        Self { text, at }
    }

    /// Returns the text from a place to the current one.
    pub(super) fn between(&self, from: usize) -> &'t str {
        self.text.get(from..self.at).unwrap_or("")
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Returns the next byte that is not white space, without consuming it.
    pub(super) fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                other => return Some(other),
            }
        }
    }

    /// Consumes the byte if it is the next token.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let found = self.next_token() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Consumes the word if it comes next.
    pub(super) fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// Consumes a key with its colon if it is exactly this one; `name` must not need escapes in JSON.
    pub(super) fn plain_key(&mut self, name: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let found =
            rest.get(1..=name.len()) == Some(name.as_bytes()) && rest.get(name.len() + 1) == Some(&b'"');
        if !found {
            return false;
        }
        let start = self.at;
        self.at += name.len() + 2;
        if self.takes(b':') {
            return true;
        }
        self.at = start;
        false
    }

    /// Reads the string whose opening quotation mark comes next.
    pub(super) fn string(&mut self) -> Option<Cow<'t, str>> {
        let mut copied = self.at + 1;
        let mut out: Option<String> = None;
        self.at += 1;
        loop {
            self.at = next_special(self.text.as_bytes(), self.at, b'"')?;
            let piece = self.text.get(copied..self.at)?;
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(match out {
                        None => Cow::Borrowed(piece),
                        Some(mut out) => {
                            out.push_str(piece);
                            Cow::Owned(out)
                        }
                    });
                }
                b'\\' => {
                    let out = out.get_or_insert_with(|| String::with_capacity(piece.len() + 32));
                    out.push_str(piece);
                    self.at += 1;
                    out.push(self.escape()?);
                    copied = self.at;
                }
                // A control character.
                _ => return None,
            }
        }
    }

    /// Reads the character after a backslash.
    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let first = self.unit()?;
                if let Some(c) = char::from_u32(first) {
                    return Some(c);
                }
                self.word("\\u").filter(|()| first < 0xDC00)?;
                let second = self.unit().filter(|second| (0xDC00..=0xDFFF).contains(second))?;
                char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?
            }
            _ => return None,
        })
    }

    /// Reads four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().try_fold(0, |unit, b| Some(unit << 4 | char::from(b).to_digit(16)?))
    }

    /// Reads the next number, and returns whether it is an integer whose digits a float may have lost.
    pub(super) fn number(&mut self) -> Option<(Number, bool)> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let negative = bytes.get(start) == Some(&b'-');
        let first = start + usize::from(negative);
        let mut i = first;
        let mut whole: u64 = 0;
        while let Some(digit) = bytes.get(i).filter(|b| b.is_ascii_digit()) {
            whole = whole.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            i += 1;
        }
        let count = i - first;
        if count == 0 || (count > 1 && bytes[first] == b'0') {
            return None;
        }
        let end = fraction(bytes, i)?;
        self.at = end;
        if end == i && count < 19 && !(negative && whole == 0) {
            // Below 10^18 no overflow is possible.
            let signed = i64::try_from(whole).ok()?;
            return Some((if negative { Number::from(-signed) } else { Number::from(whole) }, false));
        }
        let literal = self.text.get(start..end)?;
        if end == i && !(negative && whole == 0) {
            if let Ok(number) = literal.parse::<u64>() {
                return Some((number.into(), false));
            }
            if let Ok(number) = literal.parse::<i64>() {
                return Some((number.into(), false));
            }
        }
        // Minus zero is a float.
        Some((Number::from_f64(literal.parse().ok()?)?, end == i && count > 1))
    }
}

/// Returns the end of a number whose integer part ends at `at`.
fn fraction(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let mut i = from;
        while bytes.get(i).is_some_and(u8::is_ascii_digit) {
            i += 1;
        }
        (i > from).then_some(i)
    };
    let mut i = at;
    if bytes.get(i) == Some(&b'.') {
        i = digits(i + 1)?;
    }
    if matches!(bytes.get(i), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(i + 1), Some(b'+' | b'-')));
        i = digits(i + 1 + sign)?;
    }
    Some(i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_those_of_json() {
        for text in [
            r#""""#,
            r#""plain""#,
            r#""a longer text without anything special, and then é""#,
            r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00 end""#,
            r#""12345678\"1234567\\""#,
        ] {
            let mut cursor = Cursor::new(text, 0);
            assert_eq!(
                cursor.string().as_deref(),
                serde_json::from_str::<String>(text).ok().as_deref(),
                "{text}"
            );
            assert_eq!(cursor.at, text.len());
        }
        for text in
            [r#"""#, r#""\ud800""#, r#""\ud800\u0041""#, r#""\udc00""#, r#""\x""#, "\"a\nb\"", r#""\u12"#]
        {
            assert_eq!(Cursor::new(text, 0).string(), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        for text in [
            "0",
            "-0",
            "7",
            "-12",
            "1.50",
            "1e3",
            "1E-3",
            "999999999999999999",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "0.1",
            "-1.5e300",
        ] {
            let read = Cursor::new(text, 0).number().map(|(n, _)| n);
            assert_eq!(read, serde_json::from_str::<Number>(text).ok(), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "1e400", "+1"] {
            assert_eq!(Cursor::new(text, 0).number(), None, "{text}");
        }
    }
}
