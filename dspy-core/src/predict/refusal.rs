//! Why the typed side refuses the values of a reply.

use crate::adapter::{FieldProblem, ParseError, ParseErrorKind};
use crate::error::Error;
use crate::signature::{CheckFailure, CheckPanic, FieldError, Signature, Values};

/// Values that were read, but that the signature does not take.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A value does not fit its Rust type.
    Field(FieldError),
    /// Hard checks do not hold.
    Checks(Vec<CheckFailure>),
    /// A check panicked.
    Panic(CheckPanic),
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Refusal::Field(error)
    }
}

impl Refusal {
    /// The refusal of a reply. A [`ParseError`] is for the model to mend, everything else for the program.
    pub(super) fn of(self, adapter: &str, reply: &str) -> Error {
        let (kind, problems) = match self {
            Refusal::Field(error) => {
                (ParseErrorKind::Malformed, vec![FieldProblem::new(error.field(), error.message())])
            }
            Refusal::Checks(failed) => {
                let problems = failed.iter().map(|failure| FieldProblem::new(failure.field(), failure.why()));
                (ParseErrorKind::Check, problems.collect())
            }
            Refusal::Panic(panic) => return panic.into(),
        };
        ParseError::new(kind, adapter, reply, problems).into()
    }
}

/// The outputs of `S` with the soft checks that they fail.
pub(super) fn checked<S: Signature>(values: Values) -> Result<(S::Output, Vec<CheckFailure>), Refusal> {
    use crate::signature::Fields as _;
    let output = S::Output::from_values(values)?;
    let failed = S::check(&output).map_err(Refusal::Panic)?;
    let (hard, soft): (Vec<_>, Vec<_>) = failed.into_iter().partition(CheckFailure::is_hard);
    if hard.is_empty() { Ok((output, soft)) } else { Err(Refusal::Checks(hard)) }
}
