//! Merging of `$ref`, `allOf` and sibling keywords into one flat set of keywords.

use serde_json::{Map, Value, json};

use super::super::error::SchemaError;
use dspy_base::keyword;

/// A schema without `$ref` and `allOf`.
#[derive(Debug, Default)]
pub(super) struct Flat {
    pub(super) keywords: Map<String, Value>,
    /// All `anyOf` and `oneOf` that were found, in order.
    pub(super) unions: Vec<Vec<Value>>,
    /// Duplicate keywords that cannot be merged; each is a separate schema that must hold too.
    pub(super) also: Vec<Value>,
    /// Whether the schema matches no value.
    pub(super) never: bool,
}

/// Keywords that describe a value without restricting it.
pub(super) const ANNOTATIONS: [&str; 17] = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "$anchor",
    "discriminator",
    keyword::ALIASES,
    "contentMediaType",
];

pub(super) struct Resolver<'s> {
    pub(super) root: &'s Value,
}

impl<'s> Resolver<'s> {
    /// Returns the target of a reference.
    pub(super) fn target(&self, reference: &str, at: &str) -> Result<&'s Value, SchemaError> {
        let dangling = || SchemaError::DanglingRef { at: at.to_owned(), target: reference.to_owned() };
        let root_id = self.root.get("$id").and_then(Value::as_str);
        let local = match reference.split_once('#') {
            Some((base, fragment)) if base.is_empty() || Some(base) == root_id => fragment,
            None if Some(reference) == root_id => "",
            _ => return Err(dangling()),
        };
        if local.is_empty() {
            return Ok(self.root);
        }
        if let Some(found) = self.root.pointer(&percent_decode(local)) {
            return Ok(found);
        }
        let anchored =
            ["$defs", "definitions"].iter().filter_map(|d| self.root.get(d)?.as_object()).find_map(|defs| {
                defs.values().find(|s| {
                    ["$anchor", "$dynamicAnchor"]
                        .iter()
                        .any(|a| s.get(a).and_then(Value::as_str) == Some(local))
                })
            });
        anchored.ok_or_else(dangling)
    }

    /// Merges all keywords that apply to one value.
    pub(super) fn flatten(&self, schema: &Value, at: &str) -> Result<Flat, SchemaError> {
        let mut flat = Flat::default();
        self.merge(schema, at, &mut flat, &mut Vec::new())?;
        Ok(flat)
    }

    fn merge(
        &self,
        schema: &Value,
        at: &str,
        flat: &mut Flat,
        trail: &mut Vec<String>,
    ) -> Result<(), SchemaError> {
        let map = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => {
                flat.never = true;
                return Ok(());
            }
            Value::Object(map) => map,
            other => {
                return Err(SchemaError::BadKeyword {
                    at: at.to_owned(),
                    keyword: "schema".to_owned(),
                    found: other.to_string(),
                });
            }
        };
        // The outer description is more specific than that of a shared definition, so own keywords are merged
        // first.
        for (key, value) in map {
            match key.as_str() {
                "$ref" | "$dynamicRef" | "allOf" | "anyOf" | "oneOf" => {}
                _ => merge_keyword(flat, key, value),
            }
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(options) = map.get(key) {
                flat.unions.push(array(options, key, at)?.clone());
            }
        }
        if let Some(parts) = map.get("allOf") {
            for part in array(parts, "allOf", at)? {
                if trail.len() > 64 {
                    return Err(SchemaError::TooDeep { at: at.to_owned() });
                }
                trail.push(String::new());
                self.merge(part, at, flat, trail)?;
                trail.pop();
            }
        }
        if let Some(reference) = reference(schema) {
            if trail.iter().any(|seen| seen == reference) {
                return Err(SchemaError::RefCycle { at: at.to_owned() });
            }
            let target = self.target(reference, at)?;
            trail.push(reference.to_owned());
            self.merge(target, at, flat, trail)?;
            trail.pop();
            if let Some(name) = reference.rsplit('/').next().filter(|n| !n.is_empty() && *n != "#") {
                flat.keywords.entry("title").or_insert_with(|| Value::String(name.to_owned()));
            }
        }
        Ok(())
    }
}

pub(super) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").or_else(|| schema.get("$dynamicRef"))?.as_str()
}

pub(super) fn array<'v>(value: &'v Value, keyword: &str, at: &str) -> Result<&'v Vec<Value>, SchemaError> {
    value.as_array().ok_or_else(|| SchemaError::BadKeyword {
        at: at.to_owned(),
        keyword: keyword.to_owned(),
        found: value.to_string(),
    })
}

fn merge_keyword(flat: &mut Flat, key: &str, new: &Value) {
    let Some(old) = flat.keywords.get_mut(key) else {
        flat.keywords.insert(key.to_owned(), new.clone());
        return;
    };
    if old == new || ANNOTATIONS.contains(&key) {
        return;
    }
    match key {
        "properties" | "patternProperties" => {
            if let (Value::Object(old), Value::Object(new)) = (&mut *old, new) {
                for (name, schema) in new {
                    match old.get_mut(name) {
                        Some(existing) if existing != schema => {
                            *existing = json!({"allOf": [existing.take(), schema]});
                        }
                        Some(_) => {}
                        None => {
                            old.insert(name.clone(), schema.clone());
                        }
                    }
                }
            }
        }
        "required" => {
            if let (Value::Array(old), Value::Array(new)) = (&mut *old, new) {
                for name in new {
                    if !old.contains(name) {
                        old.push(name.clone());
                    }
                }
            }
        }
        "items" => *old = json!({"allOf": [old.take(), new]}),
        "additionalProperties" => {
            if *new != Value::Bool(true) && *old != Value::Bool(false) {
                *old = new.clone();
            }
        }
        "type" => {
            let kinds = |v: &Value| match v {
                Value::Array(a) => a.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                Value::String(s) => vec![s.clone()],
                _ => Vec::new(),
            };
            let (a, b) = (kinds(old), kinds(new));
            let mut both: Vec<String> = a.iter().filter(|k| b.contains(k)).cloned().collect();
            let integer = |x: &[String], y: &[String]| {
                x.iter().any(|k| k == "integer") && y.iter().any(|k| k == "number")
            };
            if (integer(&a, &b) || integer(&b, &a)) && !both.iter().any(|k| k == "integer" || k == "number") {
                both.push("integer".to_owned());
            }
            flat.never |= both.is_empty();
            *old = json!(both);
        }
        "enum" => {
            if let (Value::Array(old), Value::Array(new)) = (&mut *old, new) {
                old.retain(|v| new.contains(v));
                flat.never |= old.is_empty();
            }
        }
        "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
            if new.as_f64() > old.as_f64() {
                *old = new.clone();
            }
        }
        "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
            if new.as_f64() < old.as_f64() {
                *old = new.clone();
            }
        }
        "uniqueItems" => *old = Value::Bool(true),
        _ => {
            let mut alone = Map::new();
            alone.insert(key.to_owned(), new.clone());
            flat.also.push(Value::Object(alone));
        }
    }
}

pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten();
        if let Some(byte) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            out.push(byte);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}
