//! The typed side: structs that convert to field values and back.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CheckFailure, CheckPanic, Demo, FieldChange, SignatureSpec, Values};
use dspy_base::error::clipped;

/// A field whose value does not fit its Rust type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    message: String,
}

impl FieldError {
    /// An error of `field`. A message of more than about a thousand bytes is shortened in its middle.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldError { field: clipped(field), message: clipped(message) }
    }

    /// The name of the field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with its value.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}`: {}", self.field, self.message)
    }
}

impl std::error::Error for FieldError {}

/// A struct of named fields that converts to [`Values`] and back.
///
/// `#[signature]` implements it for the annotated struct and for the input and output structs that it generates.
pub trait Fields: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The values by field name.
    ///
    /// # Errors
    /// If a value has no JSON form, such as a map whose keys are structs.
    fn to_values(&self) -> Result<Values, FieldError>;

    /// Builds the struct from values; members that it does not know are ignored.
    ///
    /// # Errors
    /// If a required field is absent or a value does not fit its type.
    fn from_values(values: Values) -> Result<Self, FieldError>;

    /// The signature whose fields these are: all of them, the inputs or the outputs.
    fn signature() -> &'static Arc<SignatureSpec>;
}

/// What a program can be called with: its input struct and everything that converts into it.
///
/// Implemented for all that is `Into` the input. `#[signature]` writes the conversions: from the bare value of a single
/// input, from a tuple of several in the order of their declaration, and from an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the input of this program, which takes `{I}`",
    label = "does not convert into `{I}`",
    note = "a single input is given bare, several as a tuple in the order in which the signature declares them",
    note = "to give them by name, write `{I} {{ field: value, … }}`"
)]
pub trait IntoInput<I> {
    /// The input.
    fn into_input(self) -> I;
}

#[diagnostic::do_not_recommend]
impl<I, T: Into<I>> IntoInput<I> for T {
    fn into_input(self) -> I {
        self.into()
    }
}

/// A typed task for a language model. Implemented by `#[signature]`, never by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a signature",
    label = "not a signature",
    note = "put `#[signature]` on the struct, or write the signature as a string: `predict!(\"question -> answer\")`"
)]
pub trait Signature: Fields {
    /// The input fields.
    type Input: Fields;
    /// The output fields.
    type Output: Fields;
    /// The output fields of an unfinished reply, each with its state.
    type Partial: Default + Serialize + Send + 'static;

    /// The signature as data.
    fn spec() -> &'static Arc<SignatureSpec>;

    /// The demonstrations that are declared on the signature.
    ///
    /// # Errors
    /// If a value has no JSON form.
    fn demos() -> Result<Vec<Demo>, FieldError> {
        Ok(Vec::new())
    }

    /// The checks of the signature, hard and soft, that these outputs fail.
    ///
    /// Calls run them on every reply. A metric may run them too, on the outputs of any program.
    ///
    /// # Errors
    /// If the expression of a check panics.
    fn check(output: &Self::Output) -> Result<Vec<CheckFailure>, CheckPanic> {
        let _ = output;
        Ok(Vec::new())
    }

    /// The hard checks that the final value of the output field `name` fails, of those that look at nothing else. A
    /// reply that is still arriving can be refused for them before it is complete.
    ///
    /// There are none for a field that does not exist and a value that is not of its type.
    ///
    /// # Errors
    /// If the expression of a check panics.
    fn check_field(name: &str, value: &serde_json::Value) -> Result<Vec<CheckFailure>, CheckPanic> {
        let _ = (name, value);
        Ok(Vec::new())
    }

    /// Takes what arrived of a reply into the outputs so far.
    fn update(partial: &mut Self::Partial, change: &FieldChange);
}

/// A row of a data set: what goes in, and what metrics and optimizers may look at.
///
/// Every signature struct is an example of itself. Implement it for a type of your own to evaluate a program whose
/// input is not that of a signature.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an example",
    note = "examples are signature structs: put `#[signature]` on `{Self}`, or implement `Example` for it"
)]
pub trait Example: Send + Sync + 'static {
    /// What the program is called with.
    type Input;

    /// The input part.
    ///
    /// # Errors
    /// If a value does not survive the trip through its JSON form.
    fn input(&self) -> Result<Self::Input, FieldError>;

    /// All fields, labels included.
    ///
    /// # Errors
    /// If a value has no JSON form.
    fn values(&self) -> Result<Values, FieldError>;
}

impl<S: Signature> Example for S {
    type Input = S::Input;

    fn input(&self) -> Result<S::Input, FieldError> {
        S::Input::from_values(self.to_values()?)
    }

    fn values(&self) -> Result<Values, FieldError> {
        self.to_values()
    }
}
