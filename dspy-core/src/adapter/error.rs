//! Replies that could not be read.

use std::fmt;

use crate::decode::{DecodeError, Problem};
use crate::lm::Usage;

/// Why a reply could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The reply is empty.
    Empty,
    /// The token limit cut the reply off: raise `max_tokens` or ask for less. Or it ended in another way that is no
    /// normal end, as [`FinishReason::Other`](crate::lm::FinishReason::Other) says.
    Truncated,
    /// Fields are missing, or their values are not of their type.
    Malformed,
    /// The reply could be read, but hard checks of the signature do not hold.
    Check,
    /// The type of a field cannot be decoded at all: a fault of the program, not of the reply.
    Schema,
}

impl ParseErrorKind {
    /// A word for it in spans.
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
                "the reply is cut off; if the token limit did it, raise `max_tokens` or ask for less"
            }
            ParseErrorKind::Malformed => "the reply does not fit the signature",
            ParseErrorKind::Check => "the reply fails checks of the signature",
            ParseErrorKind::Schema => "the signature cannot be decoded",
        }
    }
}

/// What is wrong with one field of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldProblem {
    /// The field; empty if the problem is that of the whole reply.
    pub field: String,
    /// What was expected and what was found.
    pub message: String,
}

impl FieldProblem {
    /// A problem of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldProblem { field: field.into(), message: message.into() }
    }
}

/// The most problems reported per field; a thousand wrong items usually share one cause.
const MOST_PARTS: usize = 6;

/// The problems of a field, one per part, such as `rows[1].price`.
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

/// A reply that could not be read, with the reply.
///
/// Its text names all attempts of the call, the first one first, as that is where the cause usually is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParseError {
    /// The class of the failure.
    pub kind: ParseErrorKind,
    /// The adapter that read the reply.
    pub adapter: String,
    /// What is wrong, field by field.
    pub problems: Vec<FieldProblem>,
    /// The reply, as the model wrote it.
    pub reply: String,
    /// Boxed, to keep results small.
    usage: Option<Box<Usage>>,
    /// Why earlier attempts at the same call failed, oldest first.
    pub earlier: Vec<ParseError>,
}

impl ParseError {
    /// An error of `adapter` about `reply`.
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

    /// What the request for the reply cost, where that is known.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.as_deref().copied()
    }

    pub(crate) fn set_usage(&mut self, usage: Option<Usage>) {
        self.usage = usage.map(Box::new);
    }

    /// All attempts at the call, oldest first; this one is the last.
    pub fn attempts(&self) -> impl Iterator<Item = &ParseError> {
        self.earlier.iter().chain([self])
    }

    /// The latest of failed attempts, with the others as the earlier ones.
    pub(crate) fn of_attempts(mut failed: Vec<ParseError>) -> Option<Self> {
        let mut last = failed.pop()?;
        last.earlier = failed;
        Some(last)
    }

    /// The problems, one a line.
    pub(crate) fn problems_text(&self) -> String {
        let line = |problem: &FieldProblem| match problem.field.as_str() {
            "" => problem.message.clone(),
            field => format!("{field}: {}", problem.message),
        };
        let lines: Vec<String> = self.problems.iter().map(line).collect();
        if lines.is_empty() { self.kind.describe().to_owned() } else { lines.join("\n") }
    }

    /// The problems in words that a model can act on.
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

/// How many characters of a reply an error message quotes, where it is the only one and where it is one of several.
const QUOTED: usize = 200;
const QUOTED_OF_SEVERAL: usize = 100;
/// How many problems of a reply an error message names.
const NAMED: usize = 6;

impl ParseError {
    /// This attempt alone. What is wrong with it is left out where it is what was wrong with the one `before`.
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

/// The lines of a reply that an error message quotes, and the characters of a line.
const QUOTED_LINES: usize = 8;
const LONGEST_LINE: usize = 100;

/// The beginning of a reply: a single line in quotes, several below one another.
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
