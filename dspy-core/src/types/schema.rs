//! The JSON Schema of a type.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::shorten;

/// Returns the schema of `T` without the members that say nothing about values. Descriptions from doc
/// comments end before the first heading or code fence.
pub(crate) fn root_schema<T: JsonSchema>() -> Value {
    plain(generator().into_root_schema_for::<T>())
}

/// Returns the schema of an object with these members and no others.
pub(crate) fn schema_of_members<F: Fn(&mut SchemaGenerator) -> Schema>(
    members: impl Iterator<Item = (&'static str, F)>,
    required: &[&str],
) -> Value {
    let mut generator = generator();
    let properties: Map<_, _> =
        members.map(|(name, schema)| (name.to_owned(), schema(&mut generator).to_value())).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema["$defs"] = definitions.into();
    }
    shorten(&mut schema);
    schema
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
