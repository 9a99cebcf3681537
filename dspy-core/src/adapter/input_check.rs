//! Checks that need no request.

use super::history;
use super::message_builder::bad_media;
use crate::signature::{FieldError, SignatureSpec, Values};
use crate::types::Place;

/// Checks that a request can be made for a signature with these inputs.
///
/// # Errors
/// If an input is missing, a media value is invalid, a turn of a history does not fit, or an output has a
/// type that no model can answer with.
pub(crate) fn check(spec: &SignatureSpec, inputs: &Values) -> Result<(), FieldError> {
    for field in spec.outputs() {
        if field.has_media() || field.is_history() {
            let message = format!(
                "a model cannot answer with this type ({}); make the field an input, or request a string",
                field.type_text().notation
            );
            return Err(FieldError::new(field.name(), message));
        }
    }
    for field in spec.inputs() {
        match inputs.get(field.name()) {
            None if field.is_optional() => {}
            None => return Err(FieldError::new(field.name(), "the input is missing")),
            Some(value) if field.has_media() => {
                if let Some(message) = bad_media(Place::root(field.schema()), value) {
                    return Err(FieldError::new(field.name(), message));
                }
            }
            Some(value) if field.is_history() => history::check(spec, field, value)?,
            Some(_) => {}
        }
    }
    Ok(())
}
