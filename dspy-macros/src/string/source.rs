//! The string literal of a signature, and errors that point into it.

use std::ops::Range;

use dspy_grammar::Problem;
use proc_macro2::Span;
use syn::LitStr;

use crate::errors::Errors;

/// A string literal. Offsets are bytes of its value.
#[derive(Debug)]
pub(crate) struct Source {
    literal: LitStr,
    text: String,
    /// The offset of the value in the literal's source, if both are the same from there on.
    start: Option<usize>,
}

impl Source {
    pub(crate) fn new(literal: LitStr) -> Self {
        let text = literal.value();
        let start = literal.token().to_string().find(&text);
        Source { literal, text, start }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the span of a part. Stable rustc has no spans inside a literal; there it is the span of the
    /// whole literal.
    pub(crate) fn span(&self, part: Range<usize>) -> Span {
        let start = self.start.unwrap_or_default();
        let part = start + part.start..start + part.end;
        let inner = self.start.and_then(|_| self.literal.token().subspan(part));
        inner.unwrap_or_else(|| self.literal.span())
    }

    /// Reports the problem with a line that marks its position.
    pub(crate) fn report(&self, problem: &Problem, errors: &mut Errors) {
        let at = problem.at.min(self.text.len());
        let (before, after) = self.text.split_at_checked(at).unwrap_or((&self.text, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = after.find('\n').map_or(self.text.len(), |newline| at + newline);
        let line = self.text.get(line_start..line_end).unwrap_or_default();
        let indent = if line_start == 0 { 0 } else { line.len() - line.trim_start().len() };
        let column = before.get(line_start + indent..).unwrap_or_default().chars().count();
        let line = line.get(indent..).unwrap_or_default();
        let end = at + after.chars().next().map_or(0, char::len_utf8);
        errors.at(self.span(at..end), format!("{}\n  {line}\n  {:column$}^", problem.message, ""));
    }
}
