//! Return types of tools.

use serde::Serialize;
use serde_json::Value;

use super::ToolValue;
use crate::types::{Audio, File, Image};
use dspy_base::error::BoxError;

/// A return type of the function of a [`Tool`](super::Tool): text, numbers, booleans, JSON values, images, recordings
/// and files, lists and options of anything with a JSON form, [`Json`] of any such type, and a `Result` of any type
/// with a JSON form. A function with `#[tool]` returns any type with a JSON form without [`Json`].
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "not a result of a tool",
    note = "return a type that implements `Serialize`, such as one with `#[dspy::field_type]`, or a `Result` of it",
    note = "in a closure, wrap it: `Json(value)`, or `Ok::<_, Error>(value)`"
)]
pub trait ToolOutput {
    /// Converts the result into what a model reads.
    ///
    /// # Errors
    /// The failure of the tool, or of the conversion to JSON.
    fn into_result(self) -> Result<ToolValue, BoxError>;
}

/// A wrapper to return any type with a JSON form from a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> ToolOutput for Json<T> {
    fn into_result(self) -> Result<ToolValue, BoxError> {
        Ok(ToolValue::new(&self.0)?)
    }
}

impl<T: Serialize, E: ToolFailure> ToolOutput for Result<T, E> {
    fn into_result(self) -> Result<ToolValue, BoxError> {
        Ok(ToolValue::new(&self.map_err(ToolFailure::into_failure)?)?)
    }
}

/// An error that a tool can return: any error type, text, or an error that converts into a boxed one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a tool",
    label = "neither an error nor text",
    note = "implement `std::error::Error` for it, for example with `thiserror`, or return `Result<_, String>`"
)]
pub trait ToolFailure {
    /// Converts the error.
    fn into_failure(self) -> BoxError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<BoxError>> ToolFailure for E {
    fn into_failure(self) -> BoxError {
        self.into()
    }
}

impl<T: Serialize> ToolOutput for Vec<T> {
    fn into_result(self) -> Result<ToolValue, BoxError> {
        Json(self).into_result()
    }
}

impl<T: Serialize> ToolOutput for Option<T> {
    fn into_result(self) -> Result<ToolValue, BoxError> {
        Json(self).into_result()
    }
}

macro_rules! plain_outputs {
    ($($type:ty)*) => { $(
        impl ToolOutput for $type {
            fn into_result(self) -> Result<ToolValue, BoxError> {
                Json(self).into_result()
            }
        }
    )* };
}

plain_outputs! { () bool String &'static str Value f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize Image Audio File }

impl ToolOutput for ToolValue {
    fn into_result(self) -> Result<ToolValue, BoxError> {
        Ok(self)
    }
}
