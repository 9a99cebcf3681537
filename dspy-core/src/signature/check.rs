//! Checks: rules about outputs that are written as Rust expressions, `#[check(expr, "why")]`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{FieldError, Fields as _, Signature, SignatureSpec, Values};

/// The description of a check: its rule in words, as prompts show it, and whether it is hard.
///
/// ```
/// # use dspy_core::signature::SignatureSpec;
/// # let spec: SignatureSpec = "question -> answer".parse()?;
/// // `spec` as from `#[signature]` on a struct with `#[check(self.answer.len() < 80, "the answer is short")]`.
/// for check in spec.field("answer").unwrap().checks() {
///     println!("{}: {}", if check.is_hard() { "must" } else { "should" }, check.why());
/// }
/// # Ok::<(), dspy_core::signature::GrammarError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    why: Arc<str>,
    hard: bool,
}

impl CheckSpec {
    pub(crate) fn new(why: impl Into<Arc<str>>, hard: bool) -> Self {
        CheckSpec { why: why.into(), hard }
    }

    /// Returns the rule in the words of the signature.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Returns whether a reply that fails the check is refused. If not, the failure is only reported.
    pub fn is_hard(&self) -> bool {
        self.hard
    }
}

/// Describes the checks for a prompt: `Must hold: …` for hard checks, `Should hold: …` for soft ones.
pub(crate) fn checks_in_words(checks: &[CheckSpec]) -> impl Iterator<Item = String> {
    [("Must hold", true), ("Should hold", false)].into_iter().filter_map(|(title, hard)| {
        let rules = checks.iter().filter(|check| check.hard == hard);
        let rules: Vec<_> = rules.map(|check| one_line(&check.why)).collect();
        (!rules.is_empty()).then(|| format!("{title}: {}", rules.join("; ")))
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A failed check of an output.
///
/// [`Signature::check`](super::Signature::check) returns the failures of any output, and
/// [`Prediction::failed_checks`](crate::predict::Prediction::failed_checks) the soft ones of a reply. The
/// `Display` form is `` `field`: why ``.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckFailure {
    field: &'static str,
    why: &'static str,
    hard: bool,
}

impl CheckFailure {
    /// Returns the field that the check is declared on; empty for a check on the whole signature.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the rule that does not hold.
    pub fn why(&self) -> &'static str {
        self.why
    }

    /// Returns whether a reply that fails the check is refused.
    pub fn is_hard(&self) -> bool {
        self.hard
    }
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "`{}`: ", self.field)?;
        }
        f.write_str(self.why)
    }
}

/// A panic in the expression of a check. It is a bug in the program, which no reply can fix.
///
/// Panics cannot be caught if they abort the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPanic {
    field: &'static str,
    why: &'static str,
    message: String,
}

impl CheckPanic {
    /// Returns the field that the check is declared on; empty for a check on the whole signature.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the rule that was being checked.
    pub fn why(&self) -> &'static str {
        self.why
    }

    /// Returns the message of the panic.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for CheckPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the check {:?}", self.why)?;
        if !self.field.is_empty() {
            write!(f, " of the field `{}`", self.field)?;
        }
        write!(f, " panicked: {}; make its expression false for such a value instead", self.message)
    }
}

impl std::error::Error for CheckPanic {}

/// A check in the form that the macro generates, on an output.
#[allow(missing_docs, missing_debug_implementations, reason = "not for users")]
pub struct Check<'o> {
    pub field: &'static str,
    pub why: &'static str,
    pub hard: bool,
    pub holds: &'o dyn Fn() -> bool,
}

impl Check<'_> {
    fn holds(&self) -> Result<bool, CheckPanic> {
        catch_unwind(AssertUnwindSafe(self.holds)).map_err(|payload| {
            let message = crate::panics::message(&*payload).unwrap_or("no message").to_owned();
            CheckPanic { field: self.field, why: self.why, message }
        })
    }
}

/// Runs all checks of a signature on the values of its outputs.
pub type Enforce = fn(Values) -> Result<Vec<CheckFailure>, CheckFault>;

/// An error that kept the checks from running.
#[derive(Debug)]
#[allow(missing_docs, reason = "not for users")]
pub enum CheckFault {
    /// A value does not fit its Rust type.
    Field(FieldError),
    /// A check panicked.
    Panic(CheckPanic),
}

/// Runs the checks of `S` on outputs that are known as data.
///
/// # Errors
/// If a value is not of its type, or a check panics.
pub fn enforce<S: Signature>(values: Values) -> Result<Vec<CheckFailure>, CheckFault> {
    match S::Output::from_values(values) {
        Ok(output) => S::check(&output).map_err(CheckFault::Panic),
        Err(error) => Err(CheckFault::Field(error)),
    }
}

/// Returns the signature with the function that runs its checks.
pub fn enforced(spec: Arc<SignatureSpec>, enforce: Enforce) -> Arc<SignatureSpec> {
    Arc::new(Arc::unwrap_or_clone(spec).enforced_by(enforce))
}

/// Returns the failed checks, in the order of their declaration.
///
/// # Errors
/// If a check panics.
pub fn run_checks(checks: &[Check<'_>]) -> Result<Vec<CheckFailure>, CheckPanic> {
    let mut failed = Vec::new();
    for check in checks {
        if !check.holds()? {
            failed.push(CheckFailure { field: check.field, why: check.why, hard: check.hard });
        }
    }
    Ok(failed)
}
