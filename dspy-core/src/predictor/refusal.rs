//! Refusals of the values of a reply by the typed side.

use super::Prediction;
use super::prediction::AnyPrediction;
use crate::adapter::{FieldProblem, ParseError, ParseErrorKind};
use crate::error::Error;
use crate::signature::check::{CheckFault, Enforce};
use crate::signature::{CheckFailure, CheckPanic, FieldError, Fields as _, Signature, Values};

/// Values that were read but that the signature does not accept.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A value does not fit its Rust type.
    Field(FieldError),
    /// Hard checks failed.
    Checks(Vec<CheckFailure>),
    /// A check panicked.
    Panic(CheckPanic),
    /// Rules of a signature that is known only at run time failed.
    Rules(Vec<String>),
    /// An error in the program.
    Fault(Error),
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Refusal::Field(error)
    }
}

impl Refusal {
    /// Converts the refusal of a reply to an error. A [`ParseError`] can be fixed by the model, any other
    /// error only by the program.
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

/// A prediction made of the values of a reply, with the soft checks that it fails.
pub(crate) type Converted = (AnyPrediction, Vec<CheckFailure>);

/// Outputs with the results of their checks; an error if a value does not fit its type.
pub(crate) type Checked = Result<(AnyPrediction, Result<Vec<CheckFailure>, CheckPanic>), FieldError>;

/// Reads the outputs of `S` and runs its checks. Compiled for each signature, hence so short.
pub(crate) fn checked<S: Signature>(values: Values) -> Checked {
    match S::Output::from_values(values) {
        Ok(output) => {
            let prediction = Prediction::new(output);
            let failed = S::check(prediction.output());
            Ok((prediction.erased(), failed))
        }
        Err(error) => Err(error),
    }
}

/// The outputs with the soft checks that they fail.
pub(crate) fn converted(checked: Checked) -> Result<Converted, Refusal> {
    let (prediction, failed) = checked?;
    Ok((prediction, soft(failed)?))
}

/// Returns the outputs as a prediction that did not come from a reply.
pub(crate) fn accepted(checked: Checked) -> Result<AnyPrediction, Error> {
    let (mut prediction, failed) = converted(checked).map_err(|refusal| refusal.of("values", ""))?;
    prediction.details_mut().failed_checks = failed;
    Ok(prediction)
}

/// Checks the values of a signature that is known only at run time; returns them with the soft checks that
/// they fail.
pub(crate) fn enforced(enforce: Option<Enforce>, values: &Values) -> Result<Converted, Refusal> {
    let failed = match enforce {
        None => Vec::new(),
        Some(enforce) => match enforce(values.clone()) {
            Ok(failed) => soft(Ok(failed))?,
            Err(CheckFault::Field(error)) => return Err(Refusal::Field(error)),
            Err(CheckFault::Panic(panic)) => return Err(Refusal::Panic(panic)),
        },
    };
    Ok((Prediction::new(values.clone()).erased(), failed))
}

/// Returns the failed soft checks, or a refusal if hard ones failed.
fn soft(checked: Result<Vec<CheckFailure>, CheckPanic>) -> Result<Vec<CheckFailure>, Refusal> {
    let failed = checked.map_err(Refusal::Panic)?;
    let (hard, soft): (Vec<_>, Vec<_>) = failed.into_iter().partition(CheckFailure::is_hard);
    if hard.is_empty() { Ok(soft) } else { Err(Refusal::Checks(hard)) }
}
