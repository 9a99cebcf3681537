//! The library's error type.

mod state;

use std::fmt;

use thiserror::Error;

use crate::adapter::{ParseError, ParseErrorKind};
use crate::lm::LmError;
use crate::observe::Failure;
use crate::signature::{CheckPanic, FieldError, GrammarError};
use dspy_lm::observe::spans::{lm_error_text, lm_error_type};

#[doc(hidden)]
pub use dspy_base::error::{BoxError, clipped, readable_debug, write_chain, write_chain_noting};

pub use state::StateError;

/// A `Result` with the library's [`Error`](enum@Error) by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a program.
///
/// Its `Debug` output, which `fn main() -> dspy::Result<()>` prints, is the error message followed by any
/// sources that the message does not include; `{:#?}` prints the fields.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// No language model is configured.
    #[error(
        "no language model is configured; call `dspy::configure(Lm::from_env()?)` once, or bind one to the program \
         with `set_lm`"
    )]
    NoLm,
    /// The model call failed.
    #[error(transparent)]
    Lm(Box<LmError>),
    /// The model answered, but the reply could not be read. Contains the reply.
    #[error(transparent)]
    Parse(Box<ParseError>),
    /// The reply of the model could not be read, and the request for a better one failed. Contains all
    /// attempts and the cause.
    #[error(transparent)]
    Reprompt(Box<RepromptError>),
    /// A second model could not extract the outputs from the prose of the first. Contains the prose.
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
    /// An error of the program's own code, or of a library that it uses.
    #[error(transparent)]
    Other(BoxError),
}

impl Error {
    /// Wraps a custom error, to be returned from a module.
    pub fn other(error: impl Into<BoxError>) -> Self {
        Error::Other(error.into())
    }

    /// Converts the error to a boxed one, for functions that return any error.
    pub fn into_box(self) -> BoxError {
        Box::new(self)
    }

    /// Returns whether the failure is external rather than in the program: an unreachable or overloaded
    /// model, a refused key, a spent budget. Such a failure says nothing about the quality of a program.
    ///
    /// A call whose first reply could not be read is not an outage, even if the requests for a better reply
    /// failed.
    pub fn is_outage(&self) -> bool {
        match self {
            Error::NoLm => true,
            Error::Lm(error) => error.is_outage(),
            Error::Extraction(error) => error.source.is_outage(),
            _ => false,
        }
    }

    /// Returns whether every call will fail until the configuration changes: no model or an unknown one, a
    /// refused key, denied requests, a signature that cannot be decoded.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::NoLm | Error::Grammar(_) => true,
            Error::Lm(error) => error.kind.is_configuration(),
            Error::Parse(error) => error.kind == ParseErrorKind::Schema,
            Error::Extraction(error) => error.source.is_configuration(),
            _ => false,
        }
    }

    /// Returns the latest reply that could not be read, with the [earlier](ParseError::earlier) ones, if
    /// there is one.
    pub fn as_parse(&self) -> Option<&ParseError> {
        match self {
            Error::Parse(error) => Some(error),
            Error::Reprompt(error) => Some(&error.failed),
            Error::Extraction(error) => error.source.as_parse(),
            _ => None,
        }
    }

    /// Returns the error of the model, if that is the cause.
    pub fn as_lm(&self) -> Option<&LmError> {
        match self {
            Error::Lm(error) => Some(error),
            Error::Reprompt(error) => error.source.as_lm(),
            Error::Extraction(error) => error.source.as_lm(),
            _ => None,
        }
    }
}

impl Failure for Error {
    fn class(&self) -> (&'static str, String) {
        match self {
            Error::Lm(error) => (lm_error_type(error.kind), lm_error_text(error)),
            Error::Parse(error) => (error.kind.class(), error.kind.describe().to_owned()),
            Error::Reprompt(error) => {
                let (kind, (_, cause)) = (error.failed.kind, error.source.class());
                (kind.class(), format!("{}, and re-prompting failed: {cause}", kind.describe()))
            }
            Error::Extraction(error) => error.source.class(),
            Error::NoLm => ("no_lm", "no language model is configured".to_owned()),
            Error::Field(_) => ("field", "a value does not fit its field".to_owned()),
            Error::Check(_) => ("check_panic", "a check of the signature panicked".to_owned()),
            Error::Grammar(_) => ("grammar", String::new()),
            Error::State(_) => ("state", String::new()),
            Error::Other(_) => ("_OTHER", String::new()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            let effort = self.as_lm().and_then(LmError::effort);
            return write_chain_noting(self, effort.as_deref(), f);
        }
        let (name, part): (&str, &dyn fmt::Debug) = match self {
            Error::NoLm => return f.write_str("NoLm"),
            Error::Lm(part) => ("Lm", part),
            Error::Parse(part) => ("Parse", part),
            Error::Reprompt(part) => ("Reprompt", part),
            Error::Extraction(part) => ("Extraction", part),
            Error::Field(part) => ("Field", part),
            Error::Check(part) => ("Check", part),
            Error::Grammar(part) => ("Grammar", part),
            Error::State(part) => ("State", part),
            Error::Other(part) => ("Other", part),
        };
        f.debug_tuple(name).field(part).finish()
    }
}

/// An error for a failed re-prompt: replies that could not be read, and the error of the request for a better
/// one.
#[derive(Debug, Error)]
#[error("{failed}; and re-prompting failed: {source}")]
#[non_exhaustive]
pub struct RepromptError {
    /// The latest reply that could not be read, with the [earlier](ParseError::earlier) ones.
    pub failed: ParseError,
    /// The error of the request for a better reply.
    pub source: Error,
}

impl RepromptError {
    pub(crate) fn new(failed: ParseError, source: Error) -> Self {
        RepromptError { failed, source }
    }
}

impl From<RepromptError> for Error {
    fn from(error: RepromptError) -> Self {
        Error::Reprompt(Box::new(error))
    }
}

/// An error for a failed second step of a [`TwoStepAdapter`](crate::adapter::TwoStepAdapter): the answer of
/// the first model, and the reason why the second could not read it.
#[derive(Debug, Error)]
#[error("the answer was given, but {extractor} could not take the outputs from it: {source}")]
#[non_exhaustive]
pub struct ExtractionError {
    /// The answer of the first model, in prose. It has been paid for.
    pub prose: String,
    /// The id of the second model.
    pub extractor: String,
    /// The error of the second step.
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
