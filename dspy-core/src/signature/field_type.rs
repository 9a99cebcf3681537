//! Types that a field can have.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::order::settle;
use super::{FieldError, Values};
use crate::types::root_schema;

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
}

// Without this, rustc would report each missing trait separately instead of our one message.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> FieldType for T {
    fn schema() -> Value {
        root_schema::<T>()
    }

    fn write(&self, name: &'static str, values: &mut Values) -> Result<(), FieldError> {
        let mut value = serde_json::to_value(self).map_err(|e| FieldError::new(name, e.to_string()))?;
        settle::<T>(&mut value);
        values.insert(name.to_owned(), value);
        Ok(())
    }

    fn read(
        values: &mut Values,
        name: &'static str,
        aliases: &[&str],
        default: Option<fn() -> Self>,
    ) -> Result<Self, FieldError> {
        let key = std::iter::once(&name).chain(aliases).find(|key| values.contains_key(**key));
        let taken = key.and_then(|key| values.get_mut(*key)).map(Value::take);
        match (taken, default) {
            (Some(value), _) => T::deserialize(value).map_err(|e| FieldError::new(name, e.to_string())),
            (None, Some(default)) => Ok(default()),
            (None, None) => {
                T::deserialize(Value::Null).map_err(|_| FieldError::new(name, "the value is missing"))
            }
        }
    }
}

/// Returns the schema of the only property of the struct `T`, with the definitions it refers to.
///
/// The macro puts a field with schemars attributes into a struct of its own, so that schemars itself
/// interprets them.
pub fn property_schema<T: JsonSchema>() -> Value {
    let mut root = root_schema::<T>();
    let definitions = root.get_mut("$defs").map(Value::take);
    let property =
        root.get_mut("properties").and_then(Value::as_object_mut).and_then(|p| p.values_mut().next());
    let mut property = property.map_or(Value::Bool(true), Value::take);
    if let (Some(members), Some(definitions)) = (property.as_object_mut(), definitions) {
        members.insert("$defs".into(), definitions);
    }
    property
}
