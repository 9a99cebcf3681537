//! The members of a JSON Schema whose names begin with `x-`: what only the decoder reads.

use serde_json::{Map, Value};

const PREFIX: &str = "x-";

/// Members whose own members are schemas by a name of the user's.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Members that hold data.
const DATA: [&str; 5] = ["enum", "const", "default", "examples", "required"];

/// Whether the schema has any extension.
pub(super) fn any(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(key, value)| match value {
            _ if key.starts_with(PREFIX) => true,
            Value::Object(named) if NAMED.contains(&key.as_str()) => named.values().any(any),
            value => !DATA.contains(&key.as_str()) && any(value),
        }),
        Value::Array(items) => items.iter().any(any),
        _ => false,
    }
}

/// The schema without its extensions. A property may be called `x-…`, and a default may hold such a member.
pub(super) fn without(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, _)| !key.starts_with(PREFIX));
            let bare = |(key, value): (&String, &Value)| {
                let value = match value {
                    Value::Object(named) if NAMED.contains(&key.as_str()) => each(named),
                    value if DATA.contains(&key.as_str()) => value.clone(),
                    value => without(value),
                };
                (key.clone(), value)
            };
            kept.map(bare).collect()
        }
        Value::Array(items) => items.iter().map(without).collect(),
        other => other.clone(),
    }
}

fn each(named: &Map<String, Value>) -> Value {
    named.iter().map(|(name, schema)| (name.clone(), without(schema))).collect()
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
            "$defs": {"x-type": {"items": {}}},
        });
        assert!(any(&schema));
        assert_eq!(without(&schema), bare);
        assert!(!any(&bare));
    }
}
