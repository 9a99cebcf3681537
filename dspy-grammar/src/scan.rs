//! The scanner over the text of a signature.

use crate::Problem;

/// A part of the text that has not been read yet.
#[derive(Debug, Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    end: usize,
}

impl<'a> Scanner<'a> {
    /// Creates a scanner of `text[at..end]`.
    pub(crate) fn new(text: &'a str, at: usize, end: usize) -> Self {
        Scanner { text, at, end }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    pub(crate) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Returns whether only white space is left.
    pub(crate) fn done(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    pub(crate) fn peek(&mut self, token: &str) -> bool {
        self.skip_space();
        self.rest().starts_with(token)
    }

    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let found = self.peek(token);
        if found {
            self.at += token.len();
        }
        found
    }

    pub(crate) fn expect(&mut self, token: &str) -> Result<(), Problem> {
        if self.eat(token) { Ok(()) } else { Err(Problem::new(self.at, format!("expected `{token}`"))) }
    }

    /// Reads the identifier at this position and returns it with its offset.
    pub(crate) fn word(&mut self) -> Option<(&'a str, usize)> {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let word = &rest[..end];
        let at = self.at;
        word.starts_with(|c: char| c.is_alphabetic() || c == '_').then(|| {
            self.at += end;
            (word, at)
        })
    }

    /// Returns the offsets of `token` outside of brackets and quotes.
    pub(crate) fn split(&self, token: &str) -> Vec<usize> {
        let rest = self.rest();
        let (mut open, mut quote, mut found) = (Vec::new(), None, Vec::new());
        for (at, c) in rest.char_indices() {
            let arrow = rest[..at].ends_with('-') && c == '>';
            match (quote, c) {
                (Some(closing), c) if c == closing => quote = None,
                (Some(_), _) => {}
                // Outside of square brackets an apostrophe starts a lifetime.
                (None, '"' | '\'') if open.last() == Some(&'[') => quote = Some(c),
                (None, '[' | '(' | '{' | '<') => open.push(c),
                (None, ']' | ')' | '}' | '>') if !arrow => drop(open.pop()),
                _ if open.is_empty() && rest[at..].starts_with(token) => found.push(self.at + at),
                _ => {}
            }
        }
        found
    }
}
