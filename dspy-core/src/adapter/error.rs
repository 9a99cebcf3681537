//! Errors of replies that could not be read.

use std::fmt;

use crate::decode::{DecodeError, Problem};
use crate::lm::Usage;

/// The reason why a reply could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The reply is empty.
    Empty,
    /// The reply was truncated by the token limit: raise `max_tokens` or request less. Also any other
    /// abnormal end, see [`FinishReason::Other`](crate::lm::FinishReason::Other).
    Truncated,
    /// Fields are missing, or their values do not have the declared type.
    Malformed,
    /// The reply could be read, but hard checks of the signature fail.
    Check,
    /// The type of a field cannot be decoded at all: an error in the program, not in the reply.
    Schema,
}

impl ParseErrorKind {
    /// Returns the name of the kind in spans.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            ParseErrorKind::Empty => "empty_reply",
            ParseErrorKind::Truncated => "truncated_reply",
            ParseErrorKind::Malformed => "malformed_reply",
            ParseErrorKind::Check => "failed_check",
            ParseErrorKind::Schema => "schema",
        }
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            ParseErrorKind::Empty => "the reply is empty",
            ParseErrorKind::Truncated => {
                "the reply is truncated; if the token limit did it, raise `max_tokens` or ask for less"
            }
            ParseErrorKind::Malformed => "the reply does not fit the signature",
            ParseErrorKind::Check => "the reply fails checks of the signature",
            ParseErrorKind::Schema => "the signature cannot be decoded",
        }
    }
}

/// A problem with one field of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldProblem {
    /// The name of the field; empty if the problem concerns the whole reply.
    pub field: String,
    /// The expected and the actual value.
    pub message: String,
}

impl FieldProblem {
    /// Creates a problem of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldProblem { field: field.into(), message: message.into() }
    }
}

/// The largest number of problems reported per field; many invalid items usually share one cause.
const MOST_PARTS: usize = 6;

/// Returns the problems of a field, one per part, such as `rows[1].price`.
pub(super) fn refusals(field: &str, error: &DecodeError) -> Vec<FieldProblem> {
    let place = |problem: &Problem| {
        let path = problem.path.trim_start_matches('$');
        if field.is_empty() { path.trim_start_matches('.').to_owned() } else { format!("{field}{path}") }
    };
    let told = error.problems.iter().take(MOST_PARTS);
    let mut out: Vec<_> = told.map(|problem| FieldProblem::new(place(problem), problem.message())).collect();
    if let Some(more) = error.problems.len().checked_sub(MOST_PARTS).filter(|more| *more > 0) {
        out.push(FieldProblem::new(field, format!("and {more} more of its parts are wrong")));
    }
    out
}

/// An error for a reply that could not be read; it contains the reply.
///
/// Its message describes all attempts of the call, starting with the first, which usually shows the cause.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParseError {
    /// The kind of the failure.
    pub kind: ParseErrorKind,
    /// The name of the adapter that read the reply.
    pub adapter: String,
    /// The problems, by field.
    pub problems: Vec<FieldProblem>,
    /// The reply as the model wrote it.
    pub reply: String,
    /// The usage, boxed to keep results small.
    usage: Option<Box<Usage>>,
    /// The errors of earlier attempts of the same call, oldest first.
    pub earlier: Vec<ParseError>,
}

impl ParseError {
    /// Creates an error of `adapter` about `reply`.
    pub fn new(
        kind: ParseErrorKind,
        adapter: impl Into<String>,
        reply: impl Into<String>,
        problems: Vec<FieldProblem>,
    ) -> Self {
        ParseError {
            kind,
            adapter: adapter.into(),
            problems,
            reply: reply.into(),
            usage: None,
            earlier: Vec::new(),
        }
    }

    /// Returns the usage of the request for the reply, if it is known.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.as_deref().copied()
    }

    pub(crate) fn set_usage(&mut self, usage: Option<Usage>) {
        self.usage = usage.map(Box::new);
    }

    /// Returns all attempts of the call, oldest first; this error is the last.
    pub fn attempts(&self) -> impl Iterator<Item = &ParseError> {
        self.earlier.iter().chain([self])
    }

    /// Combines failed attempts into the error of the latest one, with the others in `earlier`.
    pub(crate) fn of_attempts(mut failed: Vec<ParseError>) -> Option<Self> {
        let mut last = failed.pop()?;
        last.earlier = failed;
        Some(last)
    }

    /// Returns the problems, one per line.
    pub fn problems_text(&self) -> String {
        let line = |problem: &FieldProblem| match problem.field.as_str() {
            "" => problem.message.clone(),
            field => format!("{field}: {}", problem.message),
        };
        let lines: Vec<String> = self.problems.iter().map(line).collect();
        if lines.is_empty() { self.kind.describe().to_owned() } else { lines.join("\n") }
    }

    /// Describes the problems in words that a model can act on.
    pub fn feedback(&self) -> String {
        let title = match self.kind {
            ParseErrorKind::Check => "That reply breaks rules that must hold:\n",
            _ => "That reply cannot be read:\n",
        };
        let mut text = String::from(title);
        if self.problems.is_empty() {
            text.push_str("- it is empty\n");
        }
        for problem in &self.problems {
            if problem.field.is_empty() {
                text.push_str(&format!("- {}\n", problem.message));
            } else {
                text.push_str(&format!("- `{}`: {}\n", problem.field, problem.message));
            }
        }
        text.push_str("\nWrite the whole reply again, all output fields in the agreed layout, with these points mended.");
        text
    }
}

/// Number of characters of a reply quoted in an error message, for a single attempt and for one of several.
const QUOTED: usize = 200;
const QUOTED_OF_SEVERAL: usize = 100;
/// Number of problems of a reply named in an error message.
const NAMED: usize = 6;

impl ParseError {
    /// Writes this attempt alone, without the problems that the attempt `before` also had.
    fn describe(
        &self,
        f: &mut fmt::Formatter<'_>,
        before: Option<&ParseError>,
        quoted: usize,
    ) -> fmt::Result {
        if before.is_some_and(|before| (before.kind, &before.problems) == (self.kind, &self.problems)) {
            f.write_str("the same")?;
        } else {
            f.write_str(self.kind.describe())?;
            for problem in self.problems.iter().take(NAMED) {
                match problem.field.as_str() {
                    "" => write!(f, "; {}", problem.message)?,
                    field => write!(f, "; `{field}`: {}", problem.message)?,
                }
            }
            if self.problems.len() > NAMED {
                write!(f, "; and {} more", self.problems.len() - NAMED)?;
            }
        }
        if self.reply.is_empty() {
            return Ok(());
        }
        quote(f, &self.reply, quoted)
    }
}

/// Number of lines of a reply quoted in an error message, and characters per line.
const QUOTED_LINES: usize = 8;
const LONGEST_LINE: usize = 100;

/// Writes the beginning of a reply: a single line in quotation marks, several lines one below another.
fn quote(f: &mut fmt::Formatter<'_>, reply: &str, quoted: usize) -> fmt::Result {
    let reply = reply.trim();
    if !reply.contains('\n') {
        let end = reply.char_indices().nth(quoted).map_or(reply.len(), |(at, _)| at);
        let more = if end < reply.len() { "…" } else { "" };
        return write!(f, "; the model wrote: {:?}{more}", &reply[..end]);
    }
    f.write_str("; the model wrote:")?;
    let mut left = 2 * quoted;
    let mut lines = reply.lines();
    for line in lines.by_ref().take(QUOTED_LINES * quoted / QUOTED) {
        let most = LONGEST_LINE.min(left);
        let shown: String = line.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
        left -= shown.chars().count();
        let more = if shown.len() < line.len() { "…" } else { "" };
        write!(f, "\n  | {shown}{more}")?;
        if left == 0 {
            break;
        }
    }
    if lines.next().is_some() { f.write_str("\n  | …") } else { Ok(()) }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.earlier.is_empty() {
            write!(f, "{} adapter: ", self.adapter)?;
            return self.describe(f, None, QUOTED);
        }
        write!(f, "no readable reply in {} attempts: ", self.earlier.len() + 1)?;
        let mut before: Option<&ParseError> = None;
        for (number, attempt) in self.attempts().enumerate() {
            let separator = match before {
                Some(before) if before.reply.trim().contains('\n') => "\n",
                Some(_) => "; ",
                None => "",
            };
            write!(f, "{separator}({}) {} adapter: ", number + 1, attempt.adapter)?;
            attempt.describe(f, before, QUOTED_OF_SEVERAL)?;
            before = Some(attempt);
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}
