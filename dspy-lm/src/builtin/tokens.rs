//! Tokens of a clause: words, numbers, quoted strings and signs.

use std::fmt;

use super::features::number;

/// The maximum length of a quoted string, in bytes; a longer one is read as plain words.
const LONGEST_QUOTE: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Word(&'a str),
    Number(f64),
    Quoted(&'a str),
    Sign(&'a str),
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(text) | Token::Quoted(text) | Token::Sign(text) => f.write_str(text),
            Token::Number(value) => write!(f, "{value}"),
        }
    }
}

/// A token with its position in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexed<'a> {
    pub(super) token: Token<'a>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Lexed<'_> {
    /// Returns whether it is this word, in any case, or this sign.
    pub(super) fn is(&self, text: &str) -> bool {
        match self.token {
            Token::Word(word) => word.to_lowercase() == text,
            Token::Sign(sign) => sign == text,
            Token::Number(_) | Token::Quoted(_) => false,
        }
    }

    pub(super) fn is_quoted(&self) -> bool {
        matches!(self.token, Token::Quoted(_))
    }
}

/// Splits a clause into tokens. Words end at `_`, so that `petal_length` is two words.
pub(super) fn lex(text: &str) -> Vec<Lexed<'_>> {
    let mut found: Vec<Lexed<'_>> = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let start = at;
        let rest = &text[at..];
        let after_word = text[..at].ends_with(|c: char| c.is_alphanumeric());
        if c.is_whitespace() || c == '_' {
            at += c.len_utf8();
            continue;
        }
        let token = if let Some(inner) = quoted(rest, c, after_word) {
            at += c.len_utf8() + inner.len();
            at += text[at..].chars().next().map_or(0, char::len_utf8);
            Token::Quoted(inner)
        } else if let Some((value, length)) = numeric(rest, after_word) {
            at += length;
            Token::Number(value)
        } else if c.is_alphanumeric() {
            let length = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            at += length;
            Token::Word(&rest[..length])
        } else {
            let pair = ["->", "=>"].into_iter().find(|sign| rest.starts_with(sign));
            at += pair.map_or(c.len_utf8(), str::len);
            Token::Sign(&text[start..at])
        };
        found.push(Lexed { token, start, end: at });
    }
    found
}

/// Returns the text in quotes at the start of `rest`.
fn quoted(rest: &str, open: char, after_word: bool) -> Option<&str> {
    let close = match open {
        '"' | '`' => open,
        '\'' if !after_word => open,
        '“' => '”',
        _ => return None,
    };
    let inner = &rest[open.len_utf8()..];
    let length = inner.find(close)?;
    let after = inner[length + close.len_utf8()..].chars().next();
    let closed = close != '\'' || !after.is_some_and(char::is_alphanumeric);
    (length > 0 && length <= LONGEST_QUOTE && closed).then(|| &inner[..length])
}

/// Returns the number at the start of `rest` and its length.
fn numeric(rest: &str, after_word: bool) -> Option<(f64, usize)> {
    let digits = rest.strip_prefix('-').filter(|_| !after_word).unwrap_or(rest);
    let digits = digits.strip_prefix(['$', '€', '£']).unwrap_or(digits);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || after_word {
        return None;
    }
    let inside = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
    let mut length = digits.find(|c: char| !inside(c)).unwrap_or(digits.len());
    // A mark at the end belongs to the sentence.
    length = digits[..length].trim_end_matches(['.', ',']).len();
    if digits[length..].starts_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let sign = if rest.starts_with('-') { -1.0 } else { 1.0 };
    Some((sign * number(&digits[..length])?, rest.len() - digits.len() + length))
}

#[cfg(test)]
mod tests {
    use super::Token::{Number, Quoted, Sign, Word};
    use super::*;

    #[test]
    fn clauses_become_tokens() {
        let tokens: Vec<_> =
            lex("petal_length >= -1,024.5, don't say 'x y' or \"z\".").iter().map(|t| t.token).collect();
        let expected = [
            Word("petal"),
            Word("length"),
            Sign(">"),
            Sign("="),
            Number(-1024.5),
            Sign(","),
            Word("don"),
            Sign("'"),
            Word("t"),
            Word("say"),
            Quoted("x y"),
            Word("or"),
            Quoted("z"),
            Sign("."),
        ];
        assert_eq!(tokens, expected);
    }
}
