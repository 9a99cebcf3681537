//! Helpers for the fuzz targets: the schemas, a validator that is independent of the decoder, and values
//! generated from bytes.

use std::sync::LazyLock;

use dspy_decode::Plan;
use serde_json::{Map, Value, json};

/// A schema and its plan.
pub struct Case {
    pub schema: Value,
    pub plan: Plan,
}

/// Returns the case that the first byte selects, and the text after it; `None` if that is not UTF-8.
pub fn pick(data: &[u8]) -> Option<(&'static Case, &str)> {
    let (first, rest) = data.split_first()?;
    let cases: &'static [Case] = &CASES;
    Some((&cases[usize::from(*first) % cases.len()], std::str::from_utf8(rest).ok()?))
}

/// Schemas of each kind that Rust types or authors of schemas produce.
pub static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let person = json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "age": {"type": ["integer", "null"], "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}}, "required": ["city"]},
    }, "required": ["name"]});
    [
        json!({"type": "string"}),
        json!({"type": "string", "minLength": 2, "maxLength": 9}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}),
        json!({"type": ["string", "null"]}),
        json!({"type": "integer"}),
        json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}),
        json!({"type": "number"}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({"type": "boolean"}),
        json!({"type": ["boolean", "null"]}),
        json!({"enum": ["low", "very high", "Élevé", "C", "C++", "not sure"]}),
        json!({"enum": ["one", 2, 2.5, null, true]}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "array", "items": {"type": "number"}, "minItems": 1, "uniqueItems": true}),
        json!({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}}),
        json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2}),
        person.clone(),
        json!({"type": "array", "items": person}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}, "minProperties": 1}),
        json!({"$defs": {"Tree": {"type": "object", "properties": {
            "value": {"type": "integer"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
        }, "required": ["value", "children"]}}, "$ref": "#/$defs/Tree"}),
        json!({"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}, "required": ["kind", "radius"]},
            {"type": "object", "properties": {"kind": {"const": "box"}, "sides": {"type": "array", "items": {"type": "number"}}}, "required": ["kind", "sides"]},
        ]}),
        json!({"oneOf": [
            {"enum": ["Stop"]},
            {"type": "object", "properties": {"Say": {"type": "string"}}, "required": ["Say"], "additionalProperties": false},
            {"type": "object", "properties": {"Go": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}}, "required": ["Go"], "additionalProperties": false},
        ]}),
        json!({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}, {"type": "string"}, {"type": "null"}]}),
        json!(true),
    ]
    .into_iter()
    .map(|schema| Case { plan: Plan::new(&schema).expect("a usable schema"), schema })
    .collect()
});

/// Returns whether the value satisfies the schema. Only the keywords of [`CASES`] are supported; formats and
/// patterns are ignored.
pub fn satisfies(value: &Value, schema: &Value, root: &Value) -> bool {
    let Some(map) = schema.as_object() else { return schema != &Value::Bool(false) };
    let limit = |key: &str| map.get(key).and_then(Value::as_f64);
    let within = |n: f64, low: &str, high: &str| {
        limit(low).is_none_or(|l| n >= l) && limit(high).is_none_or(|h| n <= h)
    };
    if let Some(target) = map.get("$ref").and_then(Value::as_str) {
        return satisfies(value, root.pointer(&target[1..]).expect("a target"), root);
    }
    if let Some(options) = map.get("anyOf").or_else(|| map.get("oneOf")).and_then(Value::as_array) {
        return options.iter().any(|o| satisfies(value, o, root));
    }
    if let Some(options) = map.get("enum").and_then(Value::as_array) {
        return options.iter().any(|o| same(o, value));
    }
    if let Some(only) = map.get("const") {
        return only == value;
    }
    let types: Vec<&str> = match map.get("type") {
        Some(Value::String(t)) => vec![t],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => return true,
    };
    types.iter().any(|kind| match (*kind, value) {
        ("null", Value::Null) | ("boolean", Value::Bool(_)) => true,
        ("integer", Value::Number(n)) => {
            !n.is_f64() && within(n.as_f64().unwrap_or(f64::NAN), "minimum", "maximum")
        }
        ("number", Value::Number(n)) => within(n.as_f64().unwrap_or(f64::NAN), "minimum", "maximum"),
        ("string", Value::String(s)) => within(s.chars().count() as f64, "minLength", "maxLength"),
        ("array", Value::Array(items)) => {
            let prefix = map.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let item = |i: usize| prefix.get(i).or_else(|| map.get("items")).unwrap_or(&Value::Bool(true));
            let unique = map.get("uniqueItems").is_none()
                || items.iter().enumerate().all(|(i, v)| !items[..i].contains(v));
            within(items.len() as f64, "minItems", "maxItems")
                && unique
                && items.iter().enumerate().all(|(i, v)| satisfies(v, item(i), root))
        }
        ("object", Value::Object(members)) => {
            let known = map.get("properties").and_then(Value::as_object);
            let required = map.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            // The decoder drops members that the schema does not name, if it names any.
            let rest = map.get("additionalProperties").unwrap_or(&Value::Bool(false));
            within(members.len() as f64, "minProperties", "maxProperties")
                && required.iter().filter_map(Value::as_str).all(|k| members.contains_key(k))
                && members
                    .iter()
                    .all(|(k, v)| satisfies(v, known.and_then(|p| p.get(k)).unwrap_or(rest), root))
        }
        _ => false,
    })
}

/// Returns whether two values are equal, with `1` and `1.0` as the same number.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Returns whether `late` extends `early`: strings may be longer, lists and objects may have more members.
pub fn grows(early: &Value, late: &Value) -> bool {
    match (early, late) {
        (Value::String(a), Value::String(b)) => b.starts_with(a.as_str()),
        (Value::Array(a), Value::Array(b)) => a.len() <= b.len() && a.iter().zip(b).all(|(a, b)| grows(a, b)),
        (Value::Object(a), Value::Object(b)) => a.iter().all(|(k, a)| b.get(k).is_some_and(|b| grows(a, b))),
        _ => same(early, late),
    }
}

/// Bytes as a source of choices; without bytes left, every choice is the simplest one.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self, width: u32) -> u64 {
        (0..width).fold(0, |n, _| (n << 8) | u64::from(self.byte()))
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.byte() % 24).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// Generates a value of the schema; `None` if the generated value does not satisfy it.
pub fn value(schema: &Value, root: &Value, bytes: &mut Bytes<'_>, depth: usize) -> Option<Value> {
    if depth > 12 {
        return None;
    }
    let Some(map) = schema.as_object() else { return Some(json!(bytes.byte())) };
    if let Some(target) = map.get("$ref").and_then(Value::as_str) {
        return value(root.pointer(&target[1..])?, root, bytes, depth + 1);
    }
    for key in ["anyOf", "oneOf", "enum"] {
        if let Some(options) = map.get(key).and_then(Value::as_array) {
            let option = &options[usize::from(bytes.byte()) % options.len()];
            return if key == "enum" { Some(option.clone()) } else { value(option, root, bytes, depth + 1) };
        }
    }
    if let Some(only) = map.get("const") {
        return Some(only.clone());
    }
    let kind = match map.get("type") {
        Some(Value::Array(all)) => all[usize::from(bytes.byte()) % all.len()].as_str()?,
        Some(Value::String(one)) => one,
        _ => return Some(json!(bytes.text())),
    };
    let made = match kind {
        "null" => Value::Null,
        "boolean" => json!(bytes.byte() & 1 == 1),
        "integer" => match bytes.byte() % 3 {
            0 => json!(bytes.byte()),
            1 => json!(bytes.number(8)),
            _ => json!(bytes.number(8) as i64),
        },
        "number" => match bytes.byte() % 3 {
            0 => json!(f64::from(bytes.byte()) / 255.0),
            1 => json!(bytes.byte()),
            _ => Some(f64::from_bits(bytes.number(8))).filter(|f| f.is_finite()).map(|f| json!(f))?,
        },
        "string" => json!(bytes.text()),
        "array" => {
            let prefix = map.get("prefixItems").and_then(Value::as_array);
            let count = prefix.map_or_else(|| usize::from(bytes.byte() % 4), Vec::len);
            let item = |i: usize| prefix.and_then(|p| p.get(i)).or_else(|| map.get("items"));
            Value::Array((0..count).map(|i| value(item(i)?, root, bytes, depth + 1)).collect::<Option<_>>()?)
        }
        _ => {
            let mut members = Map::new();
            let required = map.get("required").and_then(Value::as_array);
            for (key, schema) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let must = required.is_some_and(|r| r.iter().any(|k| k == key));
                if must || bytes.byte() & 1 == 1 {
                    members.insert(key.clone(), value(schema, root, bytes, depth + 1)?);
                }
            }
            if let Some(schema) = map.get("additionalProperties").filter(|s| s.is_object()) {
                for _ in 0..bytes.byte() % 4 {
                    members.insert(bytes.text(), value(schema, root, bytes, depth + 1)?);
                }
            }
            Value::Object(members)
        }
    };
    satisfies(&made, schema, root).then_some(made)
}
