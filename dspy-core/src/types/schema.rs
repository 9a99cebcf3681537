//! The JSON Schema of a type.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::shorten;

/// Returns the schema of `T` without the members that say nothing about values. Descriptions from doc
/// comments end before the first heading or code fence.
pub(crate) fn root_schema<T: JsonSchema>() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("$schema");
    }
    shorten(&mut schema);
    schema
}
