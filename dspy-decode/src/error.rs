//! Errors of schemas and replies, in words that can be sent back to a model.

use std::fmt;
use std::ops::Range;

use serde_json::Value;

/// A reply that could not be decoded as the requested type. Its `Display` is a message for the model that
/// wrote the reply.
///
/// ```
/// let error = dspy_decode::decode::<u8>("about 300 or 400").unwrap_err();
/// assert!(error.to_string().contains("expected an integer"));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", DisplayProblems(.problems))]
#[non_exhaustive]
pub struct DecodeError {
    /// All problems, each with its path in the value.
    pub problems: Vec<Problem>,
    /// The part that was certain before the text ended, if the text is truncated.
    pub read: Option<Value>,
}

impl DecodeError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, read: None }
    }

    /// Returns whether any problem is of this kind.
    ///
    /// ```
    /// use dspy_decode::{decode, ProblemKind};
    /// assert!(decode::<Vec<u8>>("[1, 2").unwrap_err().is(ProblemKind::Truncated));
    /// ```
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.problems.iter().any(|p| p.kind == kind)
    }
}

impl From<Problem> for DecodeError {
    fn from(problem: Problem) -> Self {
        Self::new(vec![problem])
    }
}

struct DisplayProblems<'a>(&'a [Problem]);

impl fmt::Display for DisplayProblems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// One problem of a reply.
///
/// ```
/// use dspy_decode::{decode, ProblemKind};
/// let error = decode::<Vec<u8>>("[1, 300]").unwrap_err();
/// assert_eq!(error.problems[0].path, "$[1]");
/// assert_eq!(error.problems[0].kind, ProblemKind::Constraint);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Path in the value, as a JSON path such as `$.items[2].price`.
    pub path: String,
    /// The expected value, in words.
    pub expected: String,
    /// The actual content of the text, in words.
    pub found: String,
    /// Byte range of the text, if known.
    pub span: Option<Range<usize>>,
    /// Kind of the problem.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path != "$" {
            write!(f, "{}: ", self.path.strip_prefix("$.").unwrap_or(&self.path))?;
        }
        f.write_str(&self.message())
    }
}

/// The `found` text for an absent member.
pub(super) const MISSING: &str = "nothing: the key is missing";

impl Problem {
    /// Creates a problem of the whole value, for replies that are decoded by code outside this crate.
    ///
    /// ```
    /// use dspy_decode::{Problem, ProblemKind};
    /// let problem = Problem::whole(ProblemKind::WrongType, "an object with the arguments", "a list");
    /// assert_eq!(problem.to_string(), "expected an object with the arguments, found a list");
    /// ```
    pub fn whole(kind: ProblemKind, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Problem { path: "$".into(), expected: expected.into(), found: found.into(), span: None, kind }
    }

    /// Returns the expected and the actual content, without the path.
    #[doc(hidden)]
    pub fn message(&self) -> String {
        if self.found == MISSING {
            format!("missing; expected {}", self.expected)
        } else {
            format!("expected {}, found {}", self.expected, self.found)
        }
    }
}

/// The kinds of problem of a reply.
///
/// ```
/// use dspy_decode::{decode, ProblemKind};
/// assert_eq!(decode::<bool>("yes and no").unwrap_err().problems[0].kind, ProblemKind::Ambiguous);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A required member is absent.
    Missing,
    /// The text holds a value of another type.
    WrongType,
    /// The text has several readings with different values.
    Ambiguous,
    /// The value violates a limit of the schema.
    Constraint,
    /// The text ends before the value is complete.
    Truncated,
    /// The text is empty.
    Empty,
    /// Brackets are nested more deeply than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// The text is longer than [`MAX_BYTES`](super::MAX_BYTES), or decoding it exceeds the work limit.
    TooLarge,
    /// The value satisfies the schema, but deserializing it as the Rust type failed.
    Refused,
}

/// An unusable schema, reported when the [`Plan`](super::Plan) is created.
///
/// ```
/// use dspy_decode::{Plan, SchemaError};
/// let schema = serde_json::json!({"enum": ["High", "HIGH"]});
/// assert!(matches!(Plan::new(&schema), Err(SchemaError::ClashingNames { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A `$ref` without a target.
    #[error("schema {at}: `$ref` to `{target}` leads nowhere")]
    DanglingRef {
        /// Location in the schema.
        at: String,
        /// The reference.
        target: String,
    },
    /// A reference that leads back to itself without consuming any of the value.
    #[error("schema {at}: the reference leads back to itself")]
    RefCycle {
        /// Location in the schema.
        at: String,
    },
    /// Constraints that no value can satisfy.
    #[error("schema {at}: {detail}, which no value can satisfy")]
    Contradiction {
        /// Location in the schema.
        at: String,
        /// The constraints that exclude each other.
        detail: String,
    },
    /// Two choices that differ only in case, so that a reply could mean either.
    #[error("schema {at}: the choices `{first}` and `{second}` differ only in case; rename one")]
    ClashingNames {
        /// Location in the schema.
        at: String,
        /// The first choice.
        first: String,
        /// The second choice.
        second: String,
    },
    /// A `pattern` that is not a regular expression that can be checked in linear time.
    #[error("schema {at}: the pattern `{pattern}` cannot be used: {reason}")]
    BadPattern {
        /// Location in the schema.
        at: String,
        /// The pattern.
        pattern: String,
        /// The message of the regex engine.
        reason: String,
    },
    /// A keyword with an invalid value.
    #[error("schema {at}: `{keyword}` cannot hold {found}")]
    BadKeyword {
        /// Location in the schema.
        at: String,
        /// The keyword.
        keyword: String,
        /// The invalid value.
        found: String,
    },
    /// A schema that is nested too deeply.
    #[error("schema {at}: nested too deeply")]
    TooDeep {
        /// Location in the schema.
        at: String,
    },
}
