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

/// `Result` with the library's [`Error`](enum@Error).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a program.
///
/// Its `Debug`, which is what `fn main() -> dspy::Result<()>` shows, is its text, followed by the sources that the text
/// does not hold yet; `{:#?}` shows the parts.
#[derive(Error)]
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
    /// The model answered, the answer could not be read, and asking again failed. Holds all attempts and the cause.
    #[error(transparent)]
    Reprompt(Box<RepromptError>),
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
    ///
    /// A call whose first reply could not be read has failed, whatever became of the requests for a better one.
    pub fn is_outage(&self) -> bool {
        match self {
            Error::NoLm => true,
            Error::Lm(error) => error.is_outage(),
            Error::Extraction(error) => error.source.is_outage(),
            _ => false,
        }
    }

    /// Whether nothing can work before something is set up differently: no model or one that is not known, a refused
    /// key, denied requests, a signature that cannot be decoded.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::NoLm | Error::Grammar(_) => true,
            Error::Lm(error) => error.kind.is_configuration(),
            Error::Parse(error) => error.kind == ParseErrorKind::Schema,
            Error::Extraction(error) => error.source.is_configuration(),
            _ => false,
        }
    }

    /// The latest reply that could not be read, with the [earlier](ParseError::earlier) ones, if there was one.
    pub fn as_parse(&self) -> Option<&ParseError> {
        match self {
            Error::Parse(error) => Some(error),
            Error::Reprompt(error) => Some(&error.failed),
            Error::Extraction(error) => error.source.as_parse(),
            _ => None,
        }
    }

    /// The failure of the model, if that is what went wrong.
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

/// Replies that could not be read, and why there is no further one: the request for it failed.
#[derive(Debug, Error)]
#[error("{failed}; and re-prompting failed: {source}")]
#[non_exhaustive]
pub struct RepromptError {
    /// The latest reply that could not be read, with the [earlier](ParseError::earlier) ones.
    pub failed: ParseError,
    /// Why the request for a better one failed.
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
