//! Parallel traversal of a schema and a value: finds the part of the schema that applies to a part of the
//! value.

use serde_json::{Map, Value};

/// The maximum nesting depth of references, unions and values; deeper parts are left unchanged.
const DEPTH: usize = 64;

/// A position in a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'s> {
    root: &'s Value,
    schema: &'s Value,
}

impl<'s> Place<'s> {
    /// Returns the position of a whole value.
    pub(crate) fn root(schema: &'s Value) -> Self {
        Place { root: schema, schema }
    }

    fn at(self, schema: &'s Value) -> Self {
        Place { root: self.root, schema }
    }

    /// Returns the value of `keyword` at this position.
    pub(crate) fn keyword(self, keyword: &str) -> Option<&'s Value> {
        self.schema.get(keyword)
    }

    /// Returns the schema at this position, unless it is a boolean.
    pub(crate) fn object(self) -> Option<&'s Map<String, Value>> {
        self.schema.as_object()
    }

    /// Returns the members that the schema names at this position.
    pub(crate) fn properties(self) -> Option<&'s Map<String, Value>> {
        self.keyword("properties")?.as_object()
    }

    /// Returns all subschemas that apply to `value`: this one, those it refers to, and the matching branches
    /// of unions.
    pub(crate) fn pieces(self, value: &Value) -> Vec<Self> {
        let mut pieces = Vec::new();
        self.gather(value, &mut pieces, 0);
        pieces
    }

    fn gather(self, value: &Value, pieces: &mut Vec<Self>, depth: usize) {
        if depth > DEPTH {
            return;
        }
        pieces.push(self);
        if let Some(target) = self.target() {
            target.gather(value, pieces, depth + 1);
        }
        for part in self.list("allOf") {
            part.gather(value, pieces, depth + 1);
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(branch) = self.list(union).find(|branch| branch.fits(value, depth + 1)) {
                branch.gather(value, pieces, depth + 1);
            }
        }
    }

    /// Returns the position of the member `name`, from the first piece that names it.
    pub(crate) fn member(pieces: &[Self], name: &str) -> Option<Self> {
        let named = |piece: &Self| Some(piece.at(piece.properties()?.get(name)?));
        let other = |piece: &Self| {
            let patterns = piece.keyword("patternProperties").and_then(Value::as_object);
            let schema = patterns.and_then(|patterns| patterns.values().next());
            Some(piece.at(schema.or_else(|| piece.keyword("additionalProperties"))?))
        };
        pieces.iter().find_map(named).or_else(|| pieces.iter().find_map(other))
    }

    /// Returns the position of the item `index`, from the first piece that describes it.
    pub(crate) fn item(pieces: &[Self], index: usize) -> Option<Self> {
        pieces.iter().find_map(|piece| {
            let prefix = piece.keyword("prefixItems").and_then(Value::as_array);
            let schema = prefix.and_then(|items| items.get(index)).or_else(|| piece.keyword("items"))?;
            Some(piece.at(schema))
        })
    }

    fn list(self, keyword: &str) -> impl Iterator<Item = Self> {
        self.keyword(keyword).and_then(Value::as_array).into_iter().flatten().map(move |part| self.at(part))
    }

    fn target(self) -> Option<Self> {
        match self.keyword("$ref")?.as_str()? {
            "#" => Some(self.at(self.root)),
            reference => Some(self.at(self.root.get("$defs")?.get(reference.strip_prefix("#/$defs/")?)?)),
        }
    }

    /// Returns whether `value` has the shape that the schema requires; limits such as `minimum` are ignored.
    pub(crate) fn admits(self, value: &Value) -> bool {
        self.fits(value, 0)
    }

    fn fits(self, value: &Value, depth: usize) -> bool {
        if depth > DEPTH {
            return true;
        }
        let Some(schema) = self.schema.as_object() else { return self.schema != &Value::Bool(false) };
        if schema.get("const").is_some_and(|only| only != value)
            || schema.get("enum").and_then(Value::as_array).is_some_and(|choices| !choices.contains(value))
            || schema.get("type").is_some_and(|wanted| !is_of_type(wanted, value))
        {
            return false;
        }
        let union = |keyword: &str| {
            !schema.contains_key(keyword) || self.list(keyword).any(|branch| branch.fits(value, depth + 1))
        };
        self.target().is_none_or(|target| target.fits(value, depth + 1))
            && self.list("allOf").all(|part| part.fits(value, depth + 1))
            && union("anyOf")
            && union("oneOf")
            && match value {
                Value::Object(members) => self.fits_members(members, depth),
                Value::Array(items) => self.fits_items(items, depth),
                _ => true,
            }
    }

    fn fits_members(self, members: &Map<String, Value>, depth: usize) -> bool {
        let required = self.keyword("required").and_then(Value::as_array);
        let mut required = required.into_iter().flatten().filter_map(Value::as_str);
        let properties = self.properties();
        let closed = self.keyword("additionalProperties") == Some(&Value::Bool(false))
            && self.keyword("patternProperties").is_none();
        required.all(|name| members.contains_key(name))
            && members.iter().all(|(name, value)| match properties.and_then(|known| known.get(name)) {
                Some(schema) => self.at(schema).fits(value, depth + 1),
                None => !closed,
            })
    }

    fn fits_items(self, items: &[Value], depth: usize) -> bool {
        let limit = |keyword: &str| self.keyword(keyword).and_then(Value::as_u64).map(|limit| limit as usize);
        limit("minItems").is_none_or(|least| items.len() >= least)
            && limit("maxItems").is_none_or(|most| items.len() <= most)
            && items.iter().enumerate().all(|(index, item)| {
                Self::item(&[self], index).is_none_or(|place| place.fits(item, depth + 1))
            })
    }
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match wanted {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// Returns whether `wanted` holds for any part of a schema.
pub(crate) fn mentions(schema: &Value, wanted: &impl Fn(&Map<String, Value>) -> bool) -> bool {
    match schema {
        Value::Object(members) => wanted(members) || members.values().any(|part| mentions(part, wanted)),
        Value::Array(parts) => parts.iter().any(|part| mentions(part, wanted)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_branch_that_fits_is_taken() {
        let schema = json!({
            "$defs": {"Dog": {"type": "object", "properties": {"dog": {"type": "string"}}, "required": ["dog"]}},
            "anyOf": [
                {"type": "null"},
                {"type": "object", "properties": {"cat": {"type": "integer"}}, "required": ["cat"]},
                {"$ref": "#/$defs/Dog"},
            ],
        });
        let value = json!({"dog": "Rex"});
        let pieces = Place::root(&schema).pieces(&value);
        let member = Place::member(&pieces, "dog").unwrap();
        assert_eq!(member.keyword("type"), Some(&json!("string")));
        assert!(!Place::root(&schema).admits(&json!({"bird": 1})));
        assert!(Place::root(&schema).admits(&json!(null)));
    }

    #[test]
    fn schemas_that_refer_to_themselves_end() {
        let schema = json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]});
        assert!(Place::root(&schema).pieces(&json!(1)).len() < 200);
    }
}
