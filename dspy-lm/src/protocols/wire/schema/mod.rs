//! Conversion of a JSON Schema to the subset that an endpoint supports.
//!
//! Every conversion makes a schema looser or equivalent, with one exception that the decoder reverts: if strict mode
//! requires an optional member, `null` stands for its absence. Whatever an endpoint enforces with the result, the
//! reply is checked against the original schema.

mod measure;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::protocols::dialect::SchemaRules;
use measure::{Size, is_recursive};

/// Returns the schema for strict mode: every object closed, every member required. `None` if that is not possible.
pub(super) fn strict(schema: &Value, rules: SchemaRules) -> Option<Value> {
    let mut cleaner = Cleaner { rules, strict: true, inexpressible: false };
    let cleaned = cleaner.clean(schema);
    let fits = !cleaner.inexpressible && is_usable(&cleaned, rules);
    (fits && rules.limits.is_none_or(|limits| Size::of(&cleaned).is_within(limits))).then_some(cleaned)
}

/// Returns the schema without the parts that the endpoint would refuse. `None` if nothing useful is left.
pub(crate) fn lax(schema: &Value, rules: SchemaRules) -> Option<Value> {
    let mut cleaner = Cleaner { rules, strict: false, inexpressible: false };
    let cleaned = cleaner.clean(schema);
    ((rules.open || !cleaner.inexpressible) && is_usable(&cleaned, rules)).then_some(cleaned)
}

/// Returns whether an endpoint can accept the schema at all: every endpoint requires replies to be objects.
fn is_usable(schema: &Value, rules: SchemaRules) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && (rules.recursion || !is_recursive(schema))
}

/// The keywords that every endpoint supports and that are copied unchanged.
const CORE: &[&str] = &["type", "enum", "description"];

struct Cleaner {
    rules: SchemaRules,
    strict: bool,
    /// Whether a part had no closed form: a value of any type, or members without a name.
    inexpressible: bool,
}

impl Cleaner {
    fn clean(&mut self, schema: &Value) -> Value {
        let Some(source) = schema.as_object() else {
            // `true` allows anything, `false` nothing.
            self.inexpressible = true;
            return json!({});
        };
        if let Some(only) = sole_part(source) {
            return self.clean(&merged(source, only));
        }
        if let Some(target) = source.get("$ref") {
            let mut out = Map::new();
            out.insert("$ref".into(), target.clone());
            // "`$ref` cannot have keywords": no description beside a reference.
            if !self.strict {
                out.extend(source.get("description").map(|text| ("description".to_owned(), text.clone())));
            }
            self.definitions(source, &mut out);
            return Value::Object(out);
        }
        let mut out = Map::new();
        let mixed = is_mixed(source);
        for (keyword, value) in source {
            match keyword.as_str() {
                "properties" => self.members(source, value, &mut out),
                "prefixItems" => self.tuple(source, value, &mut out),
                "items" if value.is_object() && !source.contains_key("prefixItems") => {
                    out.insert("items".into(), self.clean(value));
                }
                "anyOf" | "oneOf" if !mixed => self.choices(value, &mut out),
                "const" if !self.takes("const") => drop(out.insert("enum".into(), json!([value]))),
                name if self.carries(name, value) => {
                    out.insert(keyword.clone(), value.clone());
                }
                _ => {}
            }
        }
        imply_type(&mut out);
        if mixed {
            // Members and alternatives apply together; closing either would exclude the other.
            self.inexpressible = true;
        } else {
            self.object(source, &mut out);
        }
        self.definitions(source, &mut out);
        let says_something = ["type", "enum", "const", "anyOf"].iter().any(|key| out.contains_key(*key));
        let list_of_anything =
            out.get("type").is_some_and(|kind| kind == "array") && !out.contains_key("items");
        if !says_something || list_of_anything {
            self.inexpressible = true;
        }
        Value::Object(out)
    }

    fn takes(&self, keyword: &str) -> bool {
        self.rules.keywords.contains(&keyword)
    }

    /// Returns whether a keyword is copied unchanged.
    fn carries(&self, keyword: &str, value: &Value) -> bool {
        let known_format = || value.as_str().is_some_and(|format| self.rules.formats.contains(&format));
        CORE.contains(&keyword) || self.takes(keyword) && (keyword != "format" || known_format())
    }

    fn definitions(&mut self, source: &Map<String, Value>, out: &mut Map<String, Value>) {
        if let Some(definitions) = source.get("$defs").and_then(Value::as_object) {
            let cleaned = definitions.iter().map(|(name, schema)| (name.clone(), self.clean(schema)));
            let cleaned = cleaned.collect::<Map<_, _>>();
            out.insert("$defs".into(), cleaned.into());
        }
    }

    fn members(&mut self, source: &Map<String, Value>, members: &Value, out: &mut Map<String, Value>) {
        let Some(members) = members.as_object() else { return };
        let required: HashSet<&str> = source
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut cleaned = Map::new();
        for (name, schema) in members {
            let mut schema = self.clean(schema);
            if self.strict && !required.contains(name.as_str()) {
                schema = or_null(schema);
            }
            cleaned.insert(name.clone(), schema);
        }
        let names: Vec<&String> =
            members.keys().filter(|name| self.strict || required.contains(name.as_str())).collect();
        out.insert("required".into(), json!(names));
        out.insert("properties".into(), cleaned.into());
    }

    /// Sets `additionalProperties`, and in strict mode the members of an object without any.
    fn object(&mut self, source: &Map<String, Value>, out: &mut Map<String, Value>) {
        if out.get("type").is_none_or(|kind| kind != "object") {
            return;
        }
        let has_members = out.contains_key("properties");
        let more = match source.get("additionalProperties") {
            Some(Value::Bool(false)) => Value::Bool(false),
            // The decoder drops unknown keys, so the model need not generate them.
            None if has_members => Value::Bool(false),
            None => {
                self.inexpressible = true;
                return;
            }
            Some(Value::Bool(true)) => {
                self.inexpressible = true;
                Value::Bool(true)
            }
            Some(schema) => {
                self.inexpressible = true;
                self.clean(schema)
            }
        };
        if self.strict && !has_members {
            out.insert("properties".into(), json!({}));
            out.insert("required".into(), json!([]));
        }
        out.insert("additionalProperties".into(), more);
    }

    /// Converts a tuple; without support for `prefixItems`, to a list of any of its types.
    fn tuple(&mut self, source: &Map<String, Value>, parts: &Value, out: &mut Map<String, Value>) {
        let rest = source.get("items").filter(|items| items.is_object());
        let parts = parts.as_array().into_iter().flatten().chain(rest);
        let parts: Vec<Value> = parts.map(|part| self.clean(part)).collect();
        if self.takes("prefixItems") && rest.is_none() {
            out.insert("prefixItems".into(), parts.into());
            return;
        }
        let mut kinds: Vec<Value> = Vec::new();
        for part in parts {
            if !kinds.contains(&part) {
                kinds.push(part);
            }
        }
        let items = if kinds.len() == 1 { kinds.swap_remove(0) } else { json!({ "anyOf": kinds }) };
        out.insert("items".into(), items);
    }

    fn choices(&mut self, choices: &Value, out: &mut Map<String, Value>) {
        let choices: Vec<Value> =
            choices.as_array().into_iter().flatten().map(|choice| self.clean(choice)).collect();
        out.insert("anyOf".into(), choices.into());
    }
}

/// Returns whether an object's members depend on more than `properties`.
fn is_mixed(schema: &Map<String, Value>) -> bool {
    let has = |key: &&str| schema.contains_key(*key);
    has(&"anyOf") && has(&"oneOf")
        || has(&"properties") && ["anyOf", "oneOf", "allOf", "if", "dependentSchemas"].iter().any(has)
        || has(&"patternProperties")
}

/// Returns the only schema in an `allOf`, which is equivalent without it.
fn sole_part(schema: &Map<String, Value>) -> Option<&Map<String, Value>> {
    match schema.get("allOf")?.as_array()?.as_slice() {
        [Value::Object(only)] => Some(only),
        _ => None,
    }
}

/// Merges the schema in `outer`'s `allOf` into `outer`. If both have a keyword, that of `outer` is kept; the decoder
/// checks the other.
fn merged(outer: &Map<String, Value>, inner: &Map<String, Value>) -> Value {
    let mut out = outer.clone();
    out.shift_remove("allOf");
    for (keyword, value) in inner {
        if !out.contains_key(keyword) {
            out.insert(keyword.clone(), value.clone());
        }
    }
    Value::Object(out)
}

/// Adds the common type of the choices, since endpoints require one.
fn imply_type(schema: &mut Map<String, Value>) {
    if schema.contains_key("type") {
        return;
    }
    let name = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut names: Vec<&str> = Vec::new();
    let choices = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    for value in choices.chain(schema.get("const")) {
        if !names.contains(&name(value)) {
            names.push(name(value));
        }
    }
    match names.as_slice() {
        [] if schema.contains_key("properties") => drop(schema.insert("type".into(), "object".into())),
        [] if schema.contains_key("items") => drop(schema.insert("type".into(), "array".into())),
        [] => {}
        [one] => drop(schema.insert("type".into(), (*one).into())),
        several => drop(schema.insert("type".into(), json!(several))),
    }
}

/// Returns the schema with `null` as an additional value.
fn or_null(mut schema: Value) -> Value {
    let simple = schema.get("const").is_none() && schema.get("type").is_some_and(|kind| kind != "object");
    if let Some(members) = schema.as_object_mut() {
        if simple {
            if let Some(Value::Array(choices)) = members.get_mut("enum")
                && !choices.contains(&Value::Null)
            {
                choices.push(Value::Null);
            }
            match members.get_mut("type") {
                Some(Value::Array(names)) if names.iter().any(|name| name == "null") => return schema,
                Some(Value::Array(names)) => {
                    names.push("null".into());
                    return schema;
                }
                Some(Value::String(name)) if name == "null" => return schema,
                Some(Value::String(name)) => {
                    let both = json!([name, "null"]);
                    members.insert("type".into(), both);
                    return schema;
                }
                _ => {}
            }
        }
        if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
            if !choices.iter().any(|choice| choice.get("type").is_some_and(|kind| kind == "null")) {
                choices.push(json!({"type": "null"}));
            }
            return schema;
        }
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}

#[cfg(test)]
mod tests;
