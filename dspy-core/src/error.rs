//! The library's error type.

use thiserror::Error;

use crate::adapter::ParseError;
use crate::lm::LmError;
use crate::signature::{CheckPanic, FieldError, GrammarError};
use crate::state::StateError;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with the library's [`Error`](enum@Error).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A message that may repeat a value, shortened in its middle where that is long: nobody reads a megabyte.
#[doc(hidden)]
pub fn clipped(message: impl Into<String>) -> String {
    clipped_to(1_000, message.into())
}

/// The same for messages that are longer by their nature.
pub(crate) fn clipped_to(limit: usize, message: String) -> String {
    if message.len() <= limit {
        return message;
    }
    let (head, tail) = (limit * 2 / 3, message.len() - limit / 3);
    let (head, tail) = (message.floor_char_boundary(head), message.ceil_char_boundary(tail));
    format!("{}… ({} bytes) …{}", &message[..head], tail - head, &message[tail..])
}

/// What can go wrong in a program.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No language model is configured.
    #[error(
        "no language model is configured; call `dspy::configure(Lm::from_env()?)` once, or bind one to the program \
         with `set_lm`"
    )]
    NoLm,
    /// The model gave no answer.
    #[error(transparent)]
    Lm(Box<LmError>),
    /// The model answered, but the answer could not be read. Holds the reply.
    #[error(transparent)]
    Parse(Box<ParseError>),
    /// A second model was to take the outputs from the prose of the first and could not. Holds the prose.
    #[error(transparent)]
    Extraction(Box<ExtractionError>),
    /// A value of an input or a label does not fit its field.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A check of the signature panicked.
    #[error(transparent)]
    Check(Box<CheckPanic>),
    /// A signature string does not parse.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// A saved program cannot be read, written or applied.
    #[error(transparent)]
    State(Box<StateError>),
    /// An error of the program's own code, or of something that it uses.
    #[error(transparent)]
    Other(BoxError),
}

impl Error {
    /// An error of your own, to return from a module.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Error::Other(error.into())
    }

    /// The error as a boxed one, for functions that return any error.
    pub fn into_box(self) -> BoxError {
        Box::new(self)
    }

    /// Whether the world outside failed rather than the program: an unreachable or overloaded model, a refused key,
    /// a spent budget. Such a failure says nothing about how good a program is.
    pub fn is_outage(&self) -> bool {
        match self {
            Error::NoLm => true,
            Error::Lm(error) => error.is_outage(),
            Error::Extraction(error) => error.source.is_outage(),
            _ => false,
        }
    }

    /// The failed reply, if that is what went wrong.
    pub fn as_parse(&self) -> Option<&ParseError> {
        match self {
            Error::Parse(error) => Some(error),
            Error::Extraction(error) => error.source.as_parse(),
            _ => None,
        }
    }

    /// The failure of the model, if that is what went wrong.
    pub fn as_lm(&self) -> Option<&LmError> {
        match self {
            Error::Lm(error) => Some(error),
            Error::Extraction(error) => error.source.as_lm(),
            _ => None,
        }
    }
}

/// A failed second step of a [`TwoStepAdapter`](crate::adapter::TwoStepAdapter): what the first model answered, and why
/// the second could not read it.
#[derive(Debug, Error)]
#[error("the answer was given, but {extractor} could not take the outputs from it: {source}")]
#[non_exhaustive]
pub struct ExtractionError {
    /// The answer of the first model, in prose. It was paid for.
    pub prose: String,
    /// The model that was to read it.
    pub extractor: String,
    /// What went wrong.
    pub source: Error,
}

impl From<ExtractionError> for Error {
    fn from(error: ExtractionError) -> Self {
        Error::Extraction(Box::new(error))
    }
}

impl From<LmError> for Error {
    fn from(error: LmError) -> Self {
        Error::Lm(Box::new(error))
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::Parse(Box::new(error))
    }
}

impl From<CheckPanic> for Error {
    fn from(error: CheckPanic) -> Self {
        Error::Check(Box::new(error))
    }
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Error::State(Box::new(error))
    }
}
