//! Return types of tools.

use serde::Serialize;
use serde_json::Value;

use dspy_base::error::BoxError;

/// A return type of the function of a [`Tool`](super::Tool): text, numbers, booleans, JSON values, lists and
/// options of anything with a JSON form, [`Json`] of any such type, and a `Result` of any type with a JSON
/// form.
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "not a result of a tool",
    note = "wrap it: `Json(value)`, or `Ok::<_, Error>(value)`"
)]
pub trait ToolOutput {
    /// Converts the result into the JSON value that a model reads.
    ///
    /// # Errors
    /// The failure of the tool, or of the conversion to JSON.
    fn into_result(self) -> Result<Value, BoxError>;
}

/// A wrapper to return any type with a JSON form from a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> ToolOutput for Json<T> {
    fn into_result(self) -> Result<Value, BoxError> {
        Ok(serde_json::to_value(self.0)?)
    }
}

impl<T: Serialize, E: Into<BoxError>> ToolOutput for Result<T, E> {
    fn into_result(self) -> Result<Value, BoxError> {
        Ok(serde_json::to_value(self.map_err(Into::into)?)?)
    }
}

impl<T: Serialize> ToolOutput for Vec<T> {
    fn into_result(self) -> Result<Value, BoxError> {
        Json(self).into_result()
    }
}

impl<T: Serialize> ToolOutput for Option<T> {
    fn into_result(self) -> Result<Value, BoxError> {
        Json(self).into_result()
    }
}

macro_rules! plain_outputs {
    ($($type:ty)*) => { $(
        impl ToolOutput for $type {
            fn into_result(self) -> Result<Value, BoxError> {
                Json(self).into_result()
            }
        }
    )* };
}

plain_outputs! { () bool String &'static str Value f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize }
