//! The descriptions of the choices of an enum, in its JSON Schema.

use std::collections::HashSet;

use dspy_base::keyword;
use serde_json::{Map, Value};

/// The position of the description of a choice.
struct Place {
    /// The name of the choice.
    name: String,
    /// The pointer to the schema that holds the description.
    at: String,
    /// Whether the schema lists several choices, whose descriptions are held by name.
    listed: bool,
}

/// The largest depth of nested unions.
const DEEPEST: usize = 16;

/// Returns the choices of an enum with their descriptions, which may be empty; nothing for other types.
pub(super) fn descriptions(schema: &Value) -> Vec<(String, String)> {
    let found = places(schema).into_iter().map(|place| {
        let own = schema.pointer(&place.at);
        let text = if place.listed {
            own.and_then(|own| own.get(keyword::ENUM_DESCRIPTIONS)?.get(&place.name))
        } else {
            own.and_then(|own| own.get("description"))
        };
        let text = text.and_then(Value::as_str).unwrap_or_default().to_owned();
        (place.name, text)
    });
    found.collect()
}

/// Sets the description of a choice, and returns whether there is such a choice.
pub(super) fn describe(schema: &mut Value, choice: &str, text: &str) -> bool {
    let Some(place) = places(schema).into_iter().find(|place| place.name == choice) else { return false };
    let Some(own) = schema.pointer_mut(&place.at).and_then(Value::as_object_mut) else { return false };
    if !place.listed {
        set(own, "description", text);
        return true;
    }
    let by_name = own.entry(keyword::ENUM_DESCRIPTIONS).or_insert_with(|| Value::Object(Map::new()));
    if let Some(by_name) = by_name.as_object_mut() {
        set(by_name, choice, text);
    }
    true
}

fn set(members: &mut Map<String, Value>, name: &str, text: &str) {
    if text.is_empty() {
        members.shift_remove(name);
    } else {
        members.insert(name.to_owned(), text.into());
    }
}

fn places(schema: &Value) -> Vec<Place> {
    let mut found = Vec::new();
    collect(schema, String::new(), 0, &mut found);
    let mut seen = HashSet::new();
    found.retain(|place| seen.insert(place.name.clone()));
    found
}

fn collect(root: &Value, at: String, depth: usize, found: &mut Vec<Place>) {
    let Some(Value::Object(schema)) = root.pointer(&at) else { return };
    if depth > DEEPEST {
        return;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
        return collect(root, target.to_owned(), depth + 1, found);
    }
    for options in ["oneOf", "anyOf"] {
        let count = schema.get(options).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..count {
            branch(root, format!("{at}/{options}/{index}"), depth + 1, found);
        }
    }
    let choices = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let names = choices.filter(|choice| !choice.is_null()).map(plain);
    found.extend(names.map(|name| Place { name, at: at.clone(), listed: true }));
}

fn branch(root: &Value, at: String, depth: usize, found: &mut Vec<Place>) {
    let Some(Value::Object(schema)) = root.pointer(&at) else { return };
    let name = schema.get("const").map(plain).or_else(|| variant(schema));
    match name {
        Some(name) => found.push(Place { name, at, listed: false }),
        None => collect(root, at, depth, found),
    }
}

/// Returns the name of a variant with data: the value of its tag, or its only member.
fn variant(schema: &Map<String, Value>) -> Option<String> {
    let members = schema.get("properties")?.as_object()?;
    let tag = members.values().find_map(|member| member.get("const"));
    match (tag, members.len()) {
        (Some(tag), _) => Some(plain(tag)),
        (None, 1) => members.keys().next().cloned(),
        _ => None,
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signature::{FieldSpec, Role};

    fn described(mut schema: Value, choice: &str) -> Vec<(String, String)> {
        let fingerprint = |schema: &Value| {
            let field = FieldSpec::new(Role::Output, "kind", "", schema.clone());
            crate::signature::SignatureSpec::new("S", "", [field]).fingerprint()
        };
        let before = fingerprint(&schema);
        assert!(describe(&mut schema, choice, "New."));
        assert_eq!(fingerprint(&schema), before, "the type is the same");
        let field = FieldSpec::new(Role::Output, "kind", "", schema.clone());
        let shown = field.type_text().choices.clone();
        assert_eq!(shown.iter().filter(|(_, text)| text == "New.").count(), 1, "{shown:?}");
        descriptions(&schema)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn each_form_of_an_enum_is_described_where_its_prompt_shows_it() {
        let listed = json!({"type": "string", "enum": ["a", "b"]});
        assert_eq!(described(listed, "b"), pairs(&[("a", ""), ("b", "New.")]));
        let units = json!({"oneOf": [
            {"type": "string", "enum": ["a"]},
            {"type": "string", "const": "b", "description": "Old."},
        ]});
        assert_eq!(described(units.clone(), "a"), pairs(&[("a", "New."), ("b", "Old.")]));
        assert_eq!(described(units, "b"), pairs(&[("a", ""), ("b", "New.")]));
        let optional = json!({"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}], "$defs": {
            "Kind": {"oneOf": [{"const": "a", "description": "Old."}, {"const": "b"}]},
        }});
        assert_eq!(described(optional, "a"), pairs(&[("a", "New."), ("b", "")]));
        let data = json!({"oneOf": [
            {"type": "object", "properties": {"circle": {"type": "number"}}, "required": ["circle"]},
            {"type": "object", "properties": {"square": {"type": "number"}}, "required": ["square"]},
        ]});
        assert_eq!(described(data, "square"), pairs(&[("circle", ""), ("square", "New.")]));
        let tagged = json!({"oneOf": [
            {"type": "object", "required": ["kind", "r"],
             "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}}},
            {"type": "object", "required": ["kind", "a"],
             "properties": {"kind": {"const": "square"}, "a": {"type": "number"}}},
        ]});
        assert_eq!(described(tagged, "circle"), pairs(&[("circle", "New."), ("square", "")]));
    }

    #[test]
    fn other_types_have_no_choices() {
        for schema in [json!(true), json!({"type": "string"}), json!({"$ref": "#"}), json!({"enum": 3})] {
            assert_eq!(descriptions(&schema), []);
            assert!(!describe(&mut schema.clone(), "a", "x"));
        }
    }
}
