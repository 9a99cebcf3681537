//! Extensions of JSON Schema: members whose names begin with `x-`, which only the decoder reads.

use dspy_base::keyword;
use serde_json::{Map, Value};

/// Keywords whose members are schemas under user-defined names.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords that hold data instead of schemas.
const DATA: [&str; 5] = ["enum", "const", "default", "examples", "required"];

/// Returns whether the schema has any extension.
pub(super) fn any(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(key, value)| match value {
            _ if key.starts_with(keyword::PREFIX) => true,
            Value::Object(named) if NAMED.contains(&key.as_str()) => named.values().any(any),
            value => !DATA.contains(&key.as_str()) && any(value),
        }),
        Value::Array(items) => items.iter().any(any),
        _ => false,
    }
}

/// Returns the schema without its extensions. Properties called `x-…` and such members of default values are
/// kept.
pub(super) fn without(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !key.starts_with(keyword::PREFIX));
            let bare = |(key, value): (&String, &Value)| {
                let value = match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => each(named),
                    value if DATA.contains(&key.as_str()) => value.clone(),
                    value => without(value),
                };
                (key.clone(), value)
            };
            let bare: Map<String, Value> = kept.map(bare).collect();
            // `true` was replaced by an object to hold an extension.
            if bare.is_empty() && !members.is_empty() { Value::Bool(true) } else { Value::Object(bare) }
        }
        Value::Array(items) => items.iter().map(without).collect(),
        other => other.clone(),
    }
}

fn each(named: &Map<String, Value>) -> Value {
    named.iter().map(|(name, schema)| (name.clone(), without(schema))).collect()
}

/// Adds the aliases of an enum's variants, by variant name, to the schema of the enum: beside the list of
/// choices, in the member that represents a variant with data, or beside the value of the tag.
pub fn variant_aliases(
    tag: Option<&'static str>,
    aliases: &'static [(&'static str, &'static [&'static str])],
) -> impl FnMut(&mut schemars::Schema) {
    move |schema| {
        let Some(members) = schema.as_object_mut() else { return };
        for (name, aliases) in aliases {
            let aliases: Value = aliases.iter().copied().collect();
            mark(members, tag, name, &aliases);
            for options in ["oneOf", "anyOf"] {
                let options = members.get_mut(options).and_then(Value::as_array_mut);
                let options = options.into_iter().flatten().filter_map(Value::as_object_mut);
                options.for_each(|option| mark(option, tag, name, &aliases));
            }
        }
    }
}

fn mark(schema: &mut Map<String, Value>, tag: Option<&str>, name: &str, aliases: &Value) {
    let listed =
        schema.get("enum").and_then(Value::as_array).is_some_and(|list| list.iter().any(|v| v == name));
    if listed || schema.get("const").is_some_and(|value| value == name) {
        // By value and not as `x-aliases`, which on a member would be aliases of the member.
        let by_value = schema.entry(keyword::ENUM_ALIASES).or_insert_with(|| Value::Object(Map::new()));
        if let Some(by_value) = by_value.as_object_mut() {
            by_value.insert(name.to_owned(), aliases.clone());
        }
        return;
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    match (tag, properties.len()) {
        (Some(tag), _) => {
            if let Some(tag) = properties.get_mut(tag).and_then(Value::as_object_mut) {
                mark(tag, None, name, aliases);
            }
        }
        (None, 1) => {
            if let Some(data) = properties.get_mut(name) {
                if !data.is_object() {
                    *data = Value::Object(Map::new());
                }
                if let Some(data) = data.as_object_mut() {
                    data.insert(keyword::ALIASES.into(), aliases.clone());
                }
            }
        }
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn extensions_go_and_names_and_data_stay() {
        let schema = json!({
            "type": "object",
            "x-aliases": ["a"],
            "properties": {
                "x-aliases": {"enum": ["x", {"x-y": 1}], "x-enum-aliases": {"x": ["ex"]}},
                "of": {"anyOf": [{"const": {"x-y": 1}, "x-aliases": ["b"]}], "default": {"x-y": 1}},
            },
            "$defs": {"x-type": {"items": {"x-aliases": ["c"]}}},
        });
        let bare = json!({
            "type": "object",
            "properties": {
                "x-aliases": {"enum": ["x", {"x-y": 1}]},
                "of": {"anyOf": [{"const": {"x-y": 1}}], "default": {"x-y": 1}},
            },
            "$defs": {"x-type": {"items": true}},
        });
        assert!(any(&schema));
        assert_eq!(without(&schema), bare);
        assert!(!any(&bare));
    }
}
