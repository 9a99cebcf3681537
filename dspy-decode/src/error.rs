//! What went wrong, said so that it can be sent back to a model.

use std::fmt;
use std::ops::Range;

use serde_json::Value;

/// A reply that could not be read as the type asks. Its `Display` is a message for the model that wrote the reply.
///
/// ```
/// let error = dspy_decode::decode::<u8>("about 300 or 400").unwrap_err();
/// assert!(error.to_string().contains("expected an integer"));
/// ```
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", DisplayProblems(.problems))]
#[non_exhaustive]
pub struct DecodeError {
    /// Everything that is wrong, each with its place.
    pub problems: Vec<Problem>,
    /// What could be read with certainty before the text broke off, when it did.
    pub read: Option<Value>,
}

impl DecodeError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, read: None }
    }

    /// Whether any problem is of this kind.
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

/// One thing that is wrong with a reply.
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
    /// Where in the value, as a JSON path such as `$.items[2].price`.
    pub path: String,
    /// What the type asks for.
    pub expected: String,
    /// What the text holds.
    pub found: String,
    /// Which bytes of the text are meant, where that is known.
    pub span: Option<Range<usize>>,
    /// The kind of problem.
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

/// What is found of a member that is not there.
pub(super) const MISSING: &str = "nothing: the key is missing";

impl Problem {
    /// Creates a problem with a value as a whole, for replies that are decoded by code outside this crate.
    ///
    /// ```
    /// use dspy_decode::{Problem, ProblemKind};
    /// let problem = Problem::whole(ProblemKind::WrongType, "an object with the arguments", "a list");
    /// assert_eq!(problem.to_string(), "expected an object with the arguments, found a list");
    /// ```
    pub fn whole(kind: ProblemKind, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Problem { path: "$".into(), expected: expected.into(), found: found.into(), span: None, kind }
    }

    /// What was expected and what was found, without the place.
    #[doc(hidden)]
    pub fn message(&self) -> String {
        if self.found == MISSING {
            format!("missing; expected {}", self.expected)
        } else {
            format!("expected {}, found {}", self.expected, self.found)
        }
    }
}

/// The kinds of problem.
///
/// ```
/// use dspy_decode::{decode, ProblemKind};
/// assert_eq!(decode::<bool>("yes and no").unwrap_err().problems[0].kind, ProblemKind::Ambiguous);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A required member is not there.
    Missing,
    /// The text holds something else than what was asked for.
    WrongType,
    /// The text can be read in several ways that give different values.
    Ambiguous,
    /// The value breaks a limit that the schema sets.
    Constraint,
    /// The text breaks off before the value is complete.
    Truncated,
    /// There is no text.
    Empty,
    /// Brackets are nested more deeply than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// The text is longer than [`MAX_BYTES`](super::MAX_BYTES), or would take too much work.
    TooLarge,
    /// The value fits the schema but the Rust type refused it.
    Refused,
}

/// A schema that no value could be decoded by, found when the [`Plan`](super::Plan) is made.
///
/// ```
/// use dspy_decode::{Plan, SchemaError};
/// let schema = serde_json::json!({"enum": ["High", "HIGH"]});
/// assert!(matches!(Plan::new(&schema), Err(SchemaError::ClashingNames { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// A `$ref` points nowhere.
    #[error("schema {at}: `$ref` to `{target}` leads nowhere")]
    DanglingRef {
        /// Where in the schema.
        at: String,
        /// The reference.
        target: String,
    },
    /// A reference leads back to itself without consuming any of the value.
    #[error("schema {at}: the reference leads back to itself")]
    RefCycle {
        /// Where in the schema.
        at: String,
    },
    /// No value can satisfy the constraints.
    #[error("schema {at}: {detail}, which no value can satisfy")]
    Contradiction {
        /// Where in the schema.
        at: String,
        /// The constraints that exclude each other.
        detail: String,
    },
    /// Two choices differ only in case, so that a reply could mean either.
    #[error("schema {at}: the choices `{first}` and `{second}` differ only in case; rename one")]
    ClashingNames {
        /// Where in the schema.
        at: String,
        /// One choice.
        first: String,
        /// The other choice.
        second: String,
    },
    /// A `pattern` is not a regular expression that can be checked in linear time.
    #[error("schema {at}: the pattern `{pattern}` cannot be used: {reason}")]
    BadPattern {
        /// Where in the schema.
        at: String,
        /// The pattern.
        pattern: String,
        /// What the regex engine says.
        reason: String,
    },
    /// A keyword holds something that it cannot hold.
    #[error("schema {at}: `{keyword}` cannot hold {found}")]
    BadKeyword {
        /// Where in the schema.
        at: String,
        /// The keyword.
        keyword: String,
        /// What it holds.
        found: String,
    },
    /// The schema itself is nested too deeply.
    #[error("schema {at}: nested too deeply")]
    TooDeep {
        /// Where in the schema.
        at: String,
    },
}
