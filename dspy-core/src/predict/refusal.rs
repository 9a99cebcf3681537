//! Why the typed side refuses the values of a reply.

use crate::adapter::{FieldProblem, ParseError, ParseErrorKind};
use crate::error::Error;
use crate::signature::check::{CheckFault, Enforce};
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
    /// Rules of a signature that is known only at run time do not hold.
    Rules(Vec<String>),
    /// The program is at fault.
    Fault(Error),
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
            Refusal::Rules(broken) => {
                (ParseErrorKind::Check, broken.iter().map(|why| FieldProblem::new("", why)).collect())
            }
            Refusal::Panic(panic) => return panic.into(),
            Refusal::Fault(error) => return error,
        };
        ParseError::new(kind, adapter, reply, problems).into()
    }
}

/// The outputs of `S` with the soft checks that they fail.
pub(super) fn checked<S: Signature>(values: Values) -> Result<(S::Output, Vec<CheckFailure>), Refusal> {
    use crate::signature::Fields as _;
    let output = S::Output::from_values(values)?;
    let failed = S::check(&output).map_err(Refusal::Panic)?;
    Ok((output, soft(failed)?))
}

/// The values with the soft checks that they fail, of a signature that is known as data.
pub(super) fn enforced(
    enforce: Option<Enforce>,
    values: &Values,
) -> Result<(Values, Vec<CheckFailure>), Refusal> {
    let failed = match enforce {
        None => Vec::new(),
        Some(enforce) => enforce(values.clone()).map_err(|fault| match fault {
            CheckFault::Field(error) => Refusal::Field(error),
            CheckFault::Panic(panic) => Refusal::Panic(panic),
        })?,
    };
    Ok((values.clone(), soft(failed)?))
}

/// The soft ones of the checks that failed, unless there are hard ones.
fn soft(failed: Vec<CheckFailure>) -> Result<Vec<CheckFailure>, Refusal> {
    let (hard, soft): (Vec<_>, Vec<_>) = failed.into_iter().partition(CheckFailure::is_hard);
    if hard.is_empty() { Ok(soft) } else { Err(Refusal::Checks(hard)) }
}
