//! Types that a field can have.

use std::any::TypeId;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::map_order::settle;
use super::{FieldError, Values};
use crate::types::{non_finite, root_schema};

/// A type of a signature field: any type that is `Serialize`, `DeserializeOwned` and `JsonSchema`.
///
/// Implemented for all such types; do not implement it by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a signature field",
    label = "needs `Serialize`, `Deserialize` and `JsonSchema`",
    note = "put `#[dspy::field_type]` on the type that lacks them, or derive all three"
)]
pub trait FieldType: Sized {
    /// Returns the self-contained JSON Schema of the type.
    fn schema() -> Value;

    /// Writes the value into `values` under `name`. The entries of maps and sets are sorted by key, so that
    /// equal values give equal prompts in every process.
    ///
    /// # Errors
    /// If the value has no JSON form.
    fn write(&self, name: &'static str, values: &mut Values) -> Result<(), FieldError>;

    /// Removes the value of `name`, or of one of its aliases, from `values` and converts it. An absent value
    /// becomes `default` or, without a default, the type's value for JSON's `null`.
    ///
    /// # Errors
    /// If the value is absent without such a substitute, or does not fit the type.
    fn read(
        values: &mut Values,
        name: &'static str,
        aliases: &[&str],
        default: Option<fn() -> Self>,
    ) -> Result<Self, FieldError>;

    /// The value without its type, so that what writes structs is compiled once.
    #[doc(hidden)]
    fn erased(&self) -> &dyn ErasedField;
}

/// A value of a [`FieldType`] that is not known.
#[doc(hidden)]
pub trait ErasedField {
    /// The value of the field `name`, with the entries of maps and sets in the order of their keys.
    ///
    /// # Errors
    /// If it has no JSON form.
    fn to_value(&self, name: &'static str) -> Result<Value, FieldError>;
}

impl<T: Serialize + JsonSchema + 'static> ErasedField for T {
    fn to_value(&self, name: &'static str) -> Result<Value, FieldError> {
        let mut written = serde_json::to_value(self);
        if let Ok(value) = &mut written {
            if let Some(number) = non_finite(self, value) {
                let message = format!("the value has the number {number}, which has no JSON form");
                return Err(FieldError::new(name, message));
            }
            settle(value, TypeId::of::<T>(), root_schema::<T>);
        }
        unwritten(name, written)
    }
}

fn unwritten(name: &'static str, written: serde_json::Result<Value>) -> Result<Value, FieldError> {
    written.map_err(|error| FieldError::new(name, error.to_string()))
}

// Without this, rustc would report each missing trait separately instead of our one message.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> FieldType for T {
    fn schema() -> Value {
        root_schema::<T>()
    }

    fn write(&self, name: &'static str, values: &mut Values) -> Result<(), FieldError> {
        write(name, self, values)
    }

    fn read(
        values: &mut Values,
        name: &'static str,
        aliases: &[&str],
        default: Option<fn() -> Self>,
    ) -> Result<Self, FieldError> {
        // Compiled for each type, hence all else stands in functions of no type.
        let taken = take(values, name, aliases);
        match (taken, default) {
            (None, Some(default)) => Ok(default()),
            (taken, _) => {
                let absent = taken.is_none();
                match T::deserialize(taken.unwrap_or_default()) {
                    Ok(value) => Ok(value),
                    Err(error) => Err(unreadable(name, absent, &error)),
                }
            }
        }
    }

    fn erased(&self) -> &dyn ErasedField {
        self
    }
}

fn write(name: &'static str, value: &dyn ErasedField, values: &mut Values) -> Result<(), FieldError> {
    values.insert(name.to_owned(), value.to_value(name)?);
    Ok(())
}

/// Takes the value of `name`, or of one of its aliases, out of `values`.
fn take(values: &mut Values, name: &str, aliases: &[&str]) -> Option<Value> {
    let key = std::iter::once(&name).chain(aliases).find(|key| values.contains_key(**key));
    key.and_then(|key| values.get_mut(*key)).map(Value::take)
}

#[cold]
fn unreadable(name: &'static str, absent: bool, error: &serde_json::Error) -> FieldError {
    FieldError::new(name, if absent { "the value is missing".to_owned() } else { error.to_string() })
}

/// Returns the schema of the only property of the struct `T`, with the definitions it refers to.
///
/// The macro puts a field with schemars attributes into a struct of its own, so that schemars itself
/// interprets them.
pub fn property_schema<T: JsonSchema>() -> Value {
    property(root_schema::<T>())
}

fn property(mut root: Value) -> Value {
    let definitions = root.get_mut("$defs").map(Value::take);
    let property =
        root.get_mut("properties").and_then(Value::as_object_mut).and_then(|p| p.values_mut().next());
    let mut property = property.map_or(Value::Bool(true), Value::take);
    if let (Some(members), Some(definitions)) = (property.as_object_mut(), definitions) {
        members.insert("$defs".into(), definitions);
    }
    property
}
