//! The JSON Schema of a type.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::shorten;

/// Returns the schema of `T` without the members that say nothing about values. Descriptions from doc
/// comments end before the first heading or code fence.
pub(crate) fn root_schema<T: JsonSchema>() -> Value {
    plain(generator().into_root_schema_for::<T>())
}

// What follows is compiled once, not for each type.

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

fn plain(schema: Schema) -> Value {
    let mut schema = schema.to_value();
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("$schema");
    }
    shorten(&mut schema);
    schema
}
