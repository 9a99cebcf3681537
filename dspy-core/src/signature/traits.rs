//! The typed view of signatures: structs that convert to field values and back.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shape::FieldShape;
use super::{CheckFailure, CheckPanic, Demo, FieldChange, SignatureSpec, Values};
use dspy_base::error::clipped;

/// A field whose value does not fit its Rust type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    message: String,
}

impl FieldError {
    /// Creates an error of `field`. A message longer than about 1,000 bytes is shortened in its middle.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldError { field: clipped(field), message: clipped(message) }
    }

    /// Returns the name of the field.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the message that describes what is wrong with the value.
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
/// `#[signature]` implements it for the annotated struct and for the input and output structs that it
/// generates.
pub trait Fields: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Returns the values by field name.
    ///
    /// # Errors
    /// If a value has no JSON form, such as a map whose keys are structs.
    fn to_values(&self) -> Result<Values, FieldError>;

    /// Creates the struct from values. Unknown members are ignored.
    ///
    /// # Errors
    /// If a required field is absent or a value does not fit its type.
    fn from_values(values: Values) -> Result<Self, FieldError>;

    /// Returns the signature that these fields belong to; the struct has all of them, the inputs or the
    /// outputs.
    fn signature() -> &'static Arc<SignatureSpec>;
}

/// An argument of a program: its input struct or anything that converts into it.
///
/// Implemented for every type that is `Into` the input. `#[signature]` generates the conversions: from the
/// bare value of a single input, from a tuple of several in the order of their declaration, and from an
/// example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the input of this program, which takes `{I}`",
    label = "does not convert into `{I}`",
    note = "a single input is given bare, several as a tuple in the order in which the signature declares them",
    note = "to give them by name, write `{I} {{ field: value, … }}`"
)]
pub trait IntoInput<I> {
    /// Converts the value into the input struct.
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
    /// The struct of the input fields.
    type Input: Fields;
    /// The struct of the output fields.
    type Output: Fields;
    /// The struct of the output fields of an unfinished reply, each with its state.
    type Partial: Default + Serialize + Send + 'static;

    /// The fields as constants, if the macro has written them.
    #[doc(hidden)]
    const FIELDS: Option<&'static [FieldShape]> = None;

    /// Returns the signature as data.
    fn spec() -> &'static Arc<SignatureSpec>;

    /// Returns the demonstrations that are declared on the signature.
    ///
    /// # Errors
    /// If a value has no JSON form.
    fn demos() -> Result<Vec<Demo>, FieldError> {
        Ok(Vec::new())
    }

    /// Returns the checks of the signature, hard and soft, that these outputs fail.
    ///
    /// Calls run them on every reply. A metric may run them too, on the outputs of any program.
    ///
    /// # Errors
    /// If the expression of a check panics.
    fn check(output: &Self::Output) -> Result<Vec<CheckFailure>, CheckPanic> {
        let _ = output;
        Ok(Vec::new())
    }

    /// Returns the failed hard checks of the output field `name`, of those that depend on this field alone.
    /// With them, a streamed reply can be refused before it is complete.
    ///
    /// The list is empty if the field does not exist or the value does not fit its type.
    ///
    /// # Errors
    /// If the expression of a check panics.
    fn check_field(name: &str, value: &serde_json::Value) -> Result<Vec<CheckFailure>, CheckPanic> {
        let _ = (name, value);
        Ok(Vec::new())
    }

    /// Applies an update of a field to the outputs so far.
    fn update(partial: &mut Self::Partial, change: &FieldChange);
}

/// A row of a data set: the input of a program and everything that metrics and optimizers may use.
///
/// Every signature struct is an example of itself. Implement this trait for a custom type to evaluate a
/// program whose input is not that of a signature.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an example",
    note = "examples are signature structs: put `#[signature]` on `{Self}`, or implement `Example` for it"
)]
pub trait Example: Send + Sync + 'static {
    /// The input of the program.
    type Input;

    /// Returns the input part.
    ///
    /// # Errors
    /// If a value does not convert to JSON and back.
    fn input(&self) -> Result<Self::Input, FieldError>;

    /// Returns all fields, labels included.
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
